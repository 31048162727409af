"""What all commands have in common: how much they say, their help, completion, and names to choose from."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from faceenc.attacks import ATTACKS
from faceenc.cli import HEADINGS, Command, Group, Option, as_options, bench_main, conclude, main, resumable
from faceenc.core import ASSETS, Box, Face, builtin_configs, fetch, shown
from faceenc.faces import Found
from faceenc.media import read_photo
from faceenc.protect import STRENGTHS, Options, Strength, notes_about
from faceenc.recognizers import ENSEMBLE, keep_weights
from faceenc.runs import FileResult


def commands(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        yield from commands(command) if isinstance(command, click.Group) else (command,)


ALL = [*commands(main), *commands(bench_main)]


@pytest.mark.parametrize("command", ALL, ids=[str(command.name) for command in ALL])
def test_every_command(command: click.Command) -> None:
    assert isinstance(command, Command)
    for option in command.params:
        if "--output" in option.opts:
            assert "-o" in option.opts
        if isinstance(option, Option):
            assert option.heading in HEADINGS
    shown = CliRunner().invoke(command, ["--help"]).stdout
    for words in ("-q, --quiet", "-v, --verbose"):
        assert shown.count(words) == 1
    for option in command.params:
        if isinstance(option, click.Option):
            assert max(option.opts, key=len) in shown


def test_help_below_headings() -> None:
    shown = CliRunner().invoke(main, ["encrypt", "--help"]).stdout
    headings = [line.rstrip(":") for line in shown.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["What to write", "How strong", "Who", "Evidence", "Running", "Options"]
    assert shown.index("Who:") < shown.index("--on-no-face") < shown.index("Evidence:") < shown.index("--thorough")


@pytest.mark.parametrize(
    ("group", "words"),
    [("main", "--help"), ("main", "encrypt --help"), ("main", "webcam --help"), ("bench_main", "run --help")],
)
def test_help_needs_little(group: str, words: str) -> None:
    code = (
        "import sys; before = {*sys.modules}\n"
        f"from faceenc.cli import {group} as command\n"
        f"try: command({words.split()!r})\n"
        "except SystemExit: print(sorted({*sys.modules} - before), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("Usage: ")
    loaded = done.stderr.strip()
    assert "'faceenc.cli.options'" in loaded
    for heavy in ("numpy", "json", "logging", "pathlib", "dataclasses", "rich", "faceenc.attacks"):
        assert f"'{heavy}'" not in loaded


def test_how_much_is_said(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.png").write_bytes(b"no photo")

    def said(*words: str) -> str:
        done = CliRunner().invoke(main, [*words[:1], "recognize", str(photos), "--model", str(tmp_path / "no.safetensors"),
                                         *words[1:]])  # fmt: skip
        return f"{type(done.exception).__name__} {done.stderr}"

    assert said("-q").startswith("SystemExit error: ")
    assert said("-v", "-q").startswith("SystemExit error: ")
    assert said("--debug").startswith("CheckpointError")
    assert said("--debug", "-q").startswith("CheckpointError"), "a trace that was asked for is shown"


@pytest.mark.parametrize(
    ("group", "name", "typed", "wanted"),
    [
        (main, "faceenc", "encr", "encrypt"),
        (main, "faceenc", "encrypt --stren", "--strength"),
        (main, "faceenc", "encrypt --strength str", "strong"),
        (bench_main, "faceenc-bench", "cross", "crosscheck"),
    ],
)
def test_completion(group: click.Group, name: str, typed: str, wanted: str) -> None:
    words = f"{name} {typed}"
    environment = {f"_{name.replace('-', '_').upper()}_COMPLETE": "bash_complete", "COMP_WORDS": words}
    done = CliRunner().invoke(
        group, prog_name=name, env={**environment, "COMP_CWORD": str(len(words.split()) - 1)}
    )  # fmt: skip
    assert done.stdout.splitlines() == [f"plain,{wanted}"]


def test_what_can_be_named() -> None:
    listed = json.loads(CliRunner().invoke(bench_main, ["list", "--json"]).stdout)
    found = {one["name"]: one for one in listed["configurations"]}
    assert set(found) == set(builtin_configs())
    assert found["transfer"]["for"] == "faceenc-bench transfer"
    assert found["people"]["for"] == "faceenc train"
    assert found["demo"]["for"] == "faceenc-bench run"
    assert found["demo"]["what"].startswith("The built-in demo: ")
    attacks = {one["name"]: one for one in listed["attacks"]}
    assert set(attacks) == set(ATTACKS)
    assert attacks["pgd"] == {"name": "pgd", "norms": ["linf", "l2"], "targeted": True, "what": "Projected gradient descent"}
    assert attacks["art-deepfool"]["targeted"] is False
    assert attacks["art-cw-linf"]["norms"] == ["linf"]
    assert set(ENSEMBLE) < {one["name"] for one in listed["recognizers"]}
    assert all(one["what"] and "http" not in one["what"] for one in (*attacks.values(), *found.values()))
    shown = CliRunner().invoke(bench_main, ["list"]).stdout
    for name in (*found, *attacks):
        assert f"\n{name} " in shown


@pytest.mark.parametrize(
    ("group", "words", "parts"),
    [
        (main, "recognize x.png --model nope", ("checkpoint nope does not exist: check the path; `faceenc train` writes",)),
        (main, "train empty.jpg", ("empty.jpg is a photo: give the folder",)),
        (main, "train dmo", ("did you mean 'demo'?",)),
        (bench_main, "run dmo", ("configuration dmo does not exist", "did you mean 'demo'?")),
        (bench_main, "run binary.toml", ("binary.toml is no text",)),
    ],
)
def test_errors_say_what_to_do(
    group: click.Group, words: str, parts: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.jpg").touch()
    Path("binary.toml").write_bytes(b"\xff\xd8\xff")
    done = CliRunner().invoke(group, words.split())
    assert done.exit_code == 2
    assert done.output.count("\n") == 1
    assert all(part in done.output for part in parts)


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    @click.command(cls=Command)
    def stopped() -> None:
        with resumable(tmp_path, "run.json"):
            raise KeyboardInterrupt

    said = []
    for _ in range(2):
        done = CliRunner().invoke(stopped)
        said.append((done.exit_code, done.output))
        (tmp_path / "run.json").touch()
    remedies = "run the same command again", f"go on with --output {tmp_path} --resume"
    assert said == [(130, f"stopped: {remedy}\n") for remedy in remedies]


def test_names_do_not_break_the_line_nor_command_the_terminal() -> None:
    odd = "new\nline \x1b[31m \u202egpj caf\udce9 \u2028"
    assert shown(odd) == "new\\nline \\x1b[31m \\u202egpj caf\\udce9 \\u2028"
    for plain in ("\U0001f468\u200d\U0001f469", "\u674e\u96f7", "a\u00a0b", "jose\u0301"):
        assert shown(plain) == plain
    assert as_options(f"{odd} `no_option`") == f"{shown(odd)} `no_option`"


def test_what_is_needed_is_not_shown_as_optional() -> None:
    assert (
        CliRunner().invoke(main, ["consent", "--help"]).stdout.splitlines()[0].endswith("consent [OPTIONS] NAME PHOTOS...")
    )


def test_photos_that_are_still_matched_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    results = [
        FileResult(Path(name), Path("out", name), "skipped", "done already", details={"matched": matched})
        for name, matched in (("a.jpg", 0), ("b.jpg", 1), ("c.jpg", 2))
    ]
    strong = STRENGTHS["strong"]
    for strength, remedy in (
        (STRENGTHS["balanced"], "--strength strong"),
        (strong, f"--steps {2 * strong.steps}"),
        (Strength.bounded(2 / 255, 5), "a larger --eps"),
    ):
        assert conclude(results, Options(strength), as_json=False) == 4
        assert capsys.readouterr().out.splitlines() == [
            "1 of 3 photos protected, 2 still matched",
            f"still matched: b.jpg, c.jpg; try {remedy}",
        ]


def test_what_is_kept_and_what_was_not_there_is_said(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8825)[2] = (50.0, 30.0, 0.0)  # latitude
    picture = Image.new("RGB", (60, 60))
    photos = {}
    for name, options in (("there.jpg", {"exif": exif}), ("nowhere.jpg", {})):
        picture.save(tmp_path / name, **options)
        photos[name] = read_photo(tmp_path / name)
    one = Found(faces=[Face(Box(1, 1, 50, 50), {}, 1.0, "yunet")], doubtful=[], smallest=0, smallest_turned=0)
    kept = Options(keep_metadata=True, faces="9")
    place, count = notes_about(photos["there.jpg"], kept, one)
    assert "(GPS) stays in the file" in place
    assert count == "`faces=9` asked for more than the 1 face in it"
    assert notes_about(photos["nowhere.jpg"], kept, one) == (count,)
    assert notes_about(photos["there.jpg"], Options(faces="1"), one) == ()


def test_what_is_fetched_is_one_table_by_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fetch("blazeface-short").read_bytes()
    monkeypatch.setenv("FACEENC_CACHE", str(tmp_path))
    asset = ASSETS["blazeface-short"]
    (tmp_path / asset.filename).write_bytes(whole)
    rotten = bytearray(whole)
    keep_weights(tmp_path / "net.safetensors", "key", {"w": torch.ones(3)})
    lines = {line.split()[0]: line for line in CliRunner().invoke(main, ["assets"]).stdout.splitlines() if line}
    for name, one in ASSETS.items():
        assert {one.sha256, one.archive.distribution, one.archive.version} < {*lines[name].split()}
    assert lines["blazeface-short"].split()[1] == "present"
    done = CliRunner().invoke(main, ["assets", "--verify", "--json"])
    assert done.exit_code == 0
    assert [json.loads(line)["state"] for line in done.stdout.splitlines()].count("verified") == 1
    rotten[100] ^= 1
    (tmp_path / asset.filename).write_bytes(rotten)
    weights = bytearray((tmp_path / "net.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "net.safetensors").write_bytes(weights)
    assert CliRunner().invoke(main, ["assets"]).exit_code == 0
    done = CliRunner().invoke(main, ["assets", "--verify"])
    assert done.exit_code == 3
    assert [line.split(";")[0] for line in done.stderr.splitlines()] == [
        f"damaged: blazeface-short ({asset.filename})",
        "damaged: net.safetensors",
    ]


CHECK = "check the path, its permissions and the disk"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((errno.ENOSPC, "No space left on device", "x/rows.csv"), "x/rows.csv: no space left on device; free some space"),
        ((errno.EROFS, "Read-only file system", "x"), f"x: read-only file system; {CHECK}"),
        ((errno.EIO, "Input/output error"), f"input/output error; {CHECK}"),
        (("of no number",), "of no number"),
    ],
    ids=["full", "read-only", "no path", "no number"],
)
@pytest.mark.parametrize("begun", [True, False])
def test_a_disk_that_takes_no_more_is_one_line_with_how_to_go_on(
    words: tuple[Any, ...], line: str, begun: bool, tmp_path: Path
) -> None:
    @click.group(cls=Group)
    def program() -> None:
        pass

    @program.command()
    def work() -> None:
        with resumable(tmp_path, "state.pt"):
            if begun:
                (tmp_path / "state.pt").write_bytes(b"")
            raise OSError(*words)

    done = CliRunner().invoke(program, ["work"])
    then = f"; then go on with --output {tmp_path} --resume" if begun else ""
    assert (done.exit_code, done.stderr) == (2, f"error: {line}{then}\n")
