"""The main job on real faces: run, kill -9, resume, report; and one line for each way to get it wrong."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from faceenc.benchmark import ROW_COLUMNS, RunFolder, cell_key, draw_targets, read_config
from faceenc.cli import bench_main
from faceenc.core import RunError
from faceenc.recognizers import FaceResNet, save_checkpoint

TINY = Path(__file__).parent / "tiny.toml"
TIMES = ("seconds",)


COMMAND = [sys.executable, "-c", "from faceenc.cli import bench_main; bench_main()"]


def bench(*words: object) -> Result:
    """The command within this process, which spares loading torch anew."""
    return CliRunner().invoke(bench_main, list(map(str, words)))


def without_times(path: Path) -> list[list[str]]:
    """The rows, every character of them but the timings."""
    with path.open(encoding="utf-8", newline="") as file:
        return [[row[name] for name in ROW_COLUMNS if name not in TIMES] for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run of tiny.toml through the command."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    words = ["run", str(TINY), "--limit", "20", "--output", str(folder)]
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "report:" in done.stdout
    return folder


def test_rows_cover_the_grid(finished: Path) -> None:
    rows = pd.read_csv(finished / "rows.csv", keep_default_na=False)
    assert tuple(rows.columns) == ROW_COLUMNS
    count = rows.groupby(["attack", "norm", "goal", "eps"]).size()
    assert (count == 20).all()
    sizes = {(attack, goal): sorted(part["eps"].unique()) for (attack, goal), part in rows.groupby(["attack", "goal"])}
    linf = pytest.approx([0, 2 / 255, 8 / 255, 128 / 255])
    assert sizes == {
        ("pgd", "dodge"): linf,
        ("pgd", "impersonate"): linf,
        ("pgd-l2", "dodge"): [0, 1],
        ("art-pgd", "dodge"): linf,
        ("noise", "dodge"): linf,
    }
    assert rows["label"].nunique() == 20, "the first images are of different people"


def test_rows_keep_their_promises(finished: Path) -> None:
    rows = pd.read_csv(finished / "rows.csv", keep_default_na=False)
    size = rows["linf"].where(rows["norm"] == "linf", rows["l2"])
    assert (size <= rows["eps"] + 1e-6).all()
    assert (rows["overshoot"] <= 1e-6).all()
    clean = rows[rows["eps"] == 0]
    assert (clean["clean_prediction"] == clean["adversarial_prediction"]).all()
    assert np.isinf(clean["psnr"]).all()
    dodge = rows[rows["goal"] == "dodge"]
    assert ((dodge["adversarial_prediction"] != dodge["label"]) == dodge["success"]).all()
    aimed = rows[rows["goal"] == "impersonate"]
    assert (aimed["target"] != aimed["label"]).all()
    assert ((aimed["adversarial_prediction"] == aimed["target"]) == aimed["success"]).all()
    accuracy = (dodge["label"] == dodge["adversarial_prediction"]).groupby([dodge["attack"], dodge["eps"].round(3)]).mean()
    assert accuracy["noise", 0.031] > 0.3, "the recogniser knows too little: nothing is shown"
    assert accuracy["pgd", 0.031] < 0.1
    assert accuracy["art-pgd", 0.031] < 0.1


def test_run_json_says_what_was_measured(finished: Path) -> None:
    run = json.loads((finished / "run.json").read_text())
    assert run["finished"]
    assert run["config"]["name"] == "tiny"
    assert run["config"]["limit"] == 20
    assert run["data"]["people"] == 40
    assert "AT&T" in run["data"]["credit"]
    assert run["versions"]["adversarial-robustness-toolbox"]
    [recognizer] = run["recognizers"]
    assert recognizer["train"]["init"] == "random"
    assert recognizer["engine"] == {"fused": "fused (plan of a ResNet)"}
    assert "| engine: fused | fused (plan of a ResNet) |" in (finished / "report.md").read_text()
    assert run["diagnostics"] == [{"recognizer": "resnet18", "zero_gradient_share": 0.0, "probabilities": False}]
    assert all(str(Path.home()) not in line for line in (finished / "run.json").read_text().splitlines())


def test_smallest_noise_of_the_first_images_is_kept(finished: Path) -> None:
    table = pd.read_csv(finished / "minimum.csv", keep_default_na=False)
    assert table.groupby("goal").size().to_dict() == {"dodge": 6, "impersonate": 6}
    assert (table["target"] == "").equals(table["goal"] == "dodge")
    found = table[np.isfinite(table["minimum_eps"])]
    assert len(found) > 6
    assert np.allclose(found["minimum_eps"] * 255, (found["minimum_eps"] * 255).round())
    assert "Smallest noise that fools" in (finished / "report.md").read_text(encoding="utf-8")


def test_report_is_there_and_can_be_rendered_again(finished: Path) -> None:
    names = ("summary.csv", "flags.csv", "report.md", "report.html", "accuracy.png", "examples.png", "crosscheck.csv")
    before = {name: (finished / name).read_bytes() for name in names}
    assert all(before.values())
    assert bench("report", finished).exit_code == 0
    for name in names:
        if name.endswith(".csv"):
            assert (finished / name).read_bytes() == before[name]


def test_examples_are_the_judged_images(finished: Path) -> None:
    entries = json.loads((finished / "examples" / "examples.json").read_text())
    assert {entry["goal"] for entry in entries} == {"dodge", "impersonate"}
    for entry in entries:
        original = np.asarray(Image.open(finished / "examples" / entry["original"])).astype(int)
        adversarial = np.asarray(Image.open(finished / "examples" / entry["adversarial"])).astype(int)
        assert np.abs(original - adversarial).max() == 8


def test_killed_and_resumed_run_ends_with_the_same_rows(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    options = ["run", str(TINY), "--limit", "20", "--output", str(folder)]
    process = subprocess.Popen([*COMMAND, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    rows = folder / "rows.csv"
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if rows.exists() and rows.read_bytes().count(b"\n") > 100:
            break
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    cut = without_times(rows)
    assert 0 < len(cut) < len(without_times(finished / "rows.csv")), "not killed in the middle"
    with rows.open("ab") as file:
        file.write(b"resnet18,resnet18,pgd,linf,dod")  # a write that the kill cut short
    assert bench(*options).exit_code == 2, "without --resume a started run is left alone"
    done = bench(*options, "--resume")
    assert done.exit_code == 0, done.stderr
    assert without_times(rows) == without_times(finished / "rows.csv")
    assert (folder / "examples" / "examples.json").read_bytes() == (finished / "examples" / "examples.json").read_bytes()


def children(pid: int) -> list[int]:
    """Of a process, those that have loaded torch by now: its workers."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and "libtorch" in (path / "maps").read_text():
                found.append(int(path.name))
        except OSError:  # it has ended
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="finds workers in /proc")
@pytest.mark.slow  # of shared runs test_resume.py has short ones
def test_two_processes_of_which_one_is_killed_end_with_the_same_rows(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "two"
    options = ["run", str(TINY), "--limit", "20", "--output", str(folder), "--jobs", "2"]
    process = subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not ((folder / "rows.csv").exists() and (workers := children(process.pid))):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    again = bench(*options[:-2], "--resume")
    assert (again.exit_code, again.stderr) == (
        2, f"error: {folder} is being written by another run: wait for it, or choose another --output\n"
    )  # fmt: skip
    os.kill(workers[0], signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=120)
    assert (process.returncode, "error" in stderr) == (0, False), stderr
    assert "report:" in stdout
    assert without_times(folder / "rows.csv") == without_times(finished / "rows.csv")
    for name in ("examples.json", "0-dodge.png", "0-impersonate.png"):
        assert (folder / "examples" / name).read_bytes() == (finished / "examples" / name).read_bytes()
    assert json.loads((folder / "run.json").read_text())["finished"]
    assert not list(folder.rglob(".*"))


def test_a_run_of_before_an_option_is_taken_up_again(finished: Path, tmp_path: Path) -> None:
    """What an older run.json lacks counts as its default; another value is another run."""
    run = json.loads((finished / "run.json").read_text())
    del run["config"]["notes"], run["config"]["data"]["on_no_face"], run["config"]["attacks"][0]["early_stop"]
    del run["config"]["recognizers"][0]["training"]["adversarial_steps"], run["config"]["device"]
    settings = read_config(TINY)
    assert settings.means(run["config"], limit=20, device="cpu")
    assert not settings.means(run["config"], limit=19, device="cpu")
    for change in ({"notes": "x"}, {"unknown": 1}, {"seeds": [1]}, {"attacks": run["config"]["attacks"][1:]}):
        assert not settings.means(run["config"] | change, limit=20, device="cpu"), change
    run["config"]["attacks"][0]["steps"] = 4
    assert not settings.means(run["config"], limit=20, device="cpu")


def test_dry_run_prints_the_plan_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = bench("run", TINY, "--dry-run")
    assert done.exit_code == 0, done.stderr
    assert "pgd-l2" in done.stdout
    assert "minutes" in done.stdout
    assert not list(tmp_path.iterdir())


def people(folder: Path, names: Iterable[str]) -> Path:
    """A folder of people whose photos show no face."""
    for name in names:
        (folder / name).mkdir(parents=True)
        for k in range(3):
            Image.fromarray(np.full((80, 80, 3), 40 * k, dtype=np.uint8)).save(folder / name / f"{k}.png")
    return folder


def test_mistakes_get_one_line_and_leave_nothing(tmp_path: Path) -> None:
    text = TINY.read_text()
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"\x10" * 5000)
    three = tmp_path / "three.safetensors"
    save_checkpoint(FaceResNet(("a", "b", "c"), 32), three, {})
    turned = tmp_path / "turned.safetensors"
    save_checkpoint(FaceResNet(tuple(f"s{k}" for k in range(1, 41)), 32, "aligned"), turned, {})
    training = next(line for line in text.splitlines() if line.startswith("training"))
    cases = {
        "key": (text.replace("crosscheck", "crosschek"), "did you mean 'crosscheck'?"),
        "eps": (text.replace('"2/255"', '"8"'), 'did you mean "8/255"?'),
        "missing": (text.replace('"orl"', f'"{tmp_path / "nowhere"}"'), "nowhere"),
        "faceless": (text.replace('"orl"', f'"{people(tmp_path / "faceless", ("a", "b"))}"'), "face"),
        "alone": (text.replace('"orl"', f'"{people(tmp_path / "alone", ("a",))}"'), "alone"),
        "corrupt": (text.replace(training, f'checkpoint = "{bad}"'), "is damaged or was made otherwise"),
        "other": (text.replace(training, f'source = "{three}"'), "knows 3 people by name, but not s1"),
        "turned": (text.replace(training, f'source = "{turned}"'), 'wants crops of 32 pixels, "aligned"'),
    }
    for name, (config, says) in cases.items():
        assert config != text, name
        path = tmp_path / f"{name}.toml"
        path.write_text(config)
        done = bench("run", path, "--output", tmp_path / "out")
        assert done.exit_code == 2, (name, done.stderr)
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, (name, done.stderr)
        assert says in errors[0], name
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "out").exists(), name


def test_what_gives_no_gradients_is_named_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "asked_only.py").write_text("import numpy as np\ndef scores(x):\n    return np.ones((len(x), 40))\n")
    (tmp_path / "people.txt").write_text("\n".join(f"s{k}" for k in range(1, 41)))
    (tmp_path / "asked.toml").write_text(
        'source = "call:asked_only:scores"\nclasses = "people.txt"\nsize = 64\nframing = "square"\n'
    )
    done = bench("run", TINY, "--recognizer", "asked.toml", "--trust-code", "--output", tmp_path / "out")
    assert done.exit_code == 2, done.output
    assert "asked.toml gives no gradients, and pgd, pgd-l2, art-pgd, minimum follow them: use art-square" in done.stderr
    assert not (tmp_path / "out").exists()


def test_resume_refuses_another_run(finished: Path, tmp_path: Path) -> None:
    for options, says in (
        (["--resume", "--output", tmp_path / "nothing"], "holds no run to resume"),
        (["--resume"], "--resume needs --output"),
        (["--output", finished], "already holds a run"),
        (["--resume", "--output", finished, "--limit", "19"], "another config"),
    ):
        done = bench("run", TINY, "--limit", "20", *options)
        assert done.exit_code == 2
        assert says in done.stderr, done.stderr


def test_targets_are_others_and_fixed_by_seed_and_name() -> None:
    labels, files = torch.arange(40).repeat(5), [f"f{k}" for k in range(200)]
    targets = draw_targets(labels, files, 40, seed=0)
    assert (targets != labels).all()
    assert targets.unique().numel() > 30
    assert torch.equal(draw_targets(labels[7:9], files[7:9], 40, seed=0), targets[7:9])
    assert not torch.equal(draw_targets(labels, files, 40, seed=1), targets)


def row(image: str, eps: float) -> dict[str, object]:
    return dict.fromkeys(ROW_COLUMNS, "x") | {"image": image, "eps": eps}


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 1.0])
def test_rows_of_unfinished_cells_are_dropped(tmp_path: Path, keep: float) -> None:
    """The second cell was cut anywhere: only the first is left, to the byte."""
    folder = RunFolder(tmp_path, resume=False)
    folder.append([row("a", 0.1), row("b", 0.1)])
    first = folder.rows_path.read_bytes()
    folder.append([row("a", 0.2), row("b", 0.2)])
    both = folder.rows_path.read_bytes()
    folder.rows_path.write_bytes(both[: len(first) + int(keep * (len(both) - len(first)))])
    keys = [cell_key(row("a", eps)) for eps in (0.1, 0.2)]
    done = folder.done_cells(dict.fromkeys(keys, 2))
    assert done == (set(keys) if keep == 1.0 else {keys[0]})
    assert folder.rows_path.read_bytes() == (both if keep == 1.0 else first)


def test_large_rows_are_compressed_and_can_be_taken_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path, resume=False)
    folder.append([row("a", 0.1)])
    plain = folder.rows_path.read_bytes()
    monkeypatch.setattr("faceenc.benchmark.folder.PACK_FROM", 10)
    folder.finish({})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.csv.gz", "run.json"]
    again = RunFolder(tmp_path, resume=True)
    assert again.done_cells({cell_key(row("a", 0.1)): 1})
    assert again.rows_path.read_bytes() == plain
    assert not again.packed_path.exists()


def test_a_damaged_run_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(RunError, match=r"run\.json cannot be read"):
        RunFolder(tmp_path, resume=True).read_run()
