"""`faceenc encrypt` on folders: every photo once, whatever stops the run and whoever else is at it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faceenc.media import read_photo
from tests.encrypting import LOUD, QUICK, check_refused, contents, photos, portrait, records, run, save, tinted
from tests.photo_files import too_deep

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and folders")
PATIENCE = 120  # seconds until a test gives up waiting
NAMES = ("1.png", "2.jpg", "sub/3.webp")
OUT = {"1.png", "2.png", "sub/3.png"}


def fill(folder: Path) -> Path:
    """Photos of three people."""
    for number, name in enumerate(NAMES, start=1):
        save(folder / name, portrait(f"s{number}/1"))
    return folder


@contextmanager
def started(*words: object) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own, which does not outlive the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "faceenc", "encrypt", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell's background jobs, and so their children, ignore the interrupt unless told otherwise.
        preexec_fn=None if sys.platform == "win32" else lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.002)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What an uninterrupted run makes of the three photos."""
    folder = fill(tmp_path_factory.mktemp("whole") / "in")
    before = contents(folder)
    done = run(folder, *QUICK, "--output", folder.parent / "out")
    assert (done.exit_code, done.stderr) == (0, "INFO: photos: 3 to do\n")
    lines = done.stdout.splitlines()
    for name, line in zip(NAMES, lines[::2], strict=False):
        target = folder.parent / "out" / Path(name).with_suffix(".png")
        assert line.startswith(f"{folder / name} -> {target}: noise plainly seen (SSIMULACRA2 ")
        assert f"; largest change {LOUD} of 255; " in line
    assert all("no longer matches the face as saved" in line for line in lines[1:6:2])
    assert lines[6:] == ["3 of 3 photos protected"]
    assert contents(folder) == before
    made = photos(folder.parent / "out")
    assert set(made) == OUT
    return made


def test_a_folder_is_done_in_place_once_and_what_changes_is_done_anew(tmp_path: Path) -> None:
    one, other = (save(tmp_path / name, portrait(f"{name[:2]}/1")) for name in ("s1.png", "s2.jpg"))
    done = run(tmp_path, *QUICK, "--preview", "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    first = photos(tmp_path)
    made = {f"{name}-protected{ending}.png" for name in ("s1", "s2") for ending in ("", "-preview")}
    assert set(first) == {"s1.png", "s2.jpg", *made}

    again = run(tmp_path, *QUICK, "--preview", "--json")
    assert (again.exit_code, again.stderr) == (0, "")
    assert [(record["status"], record["message"]) for record in records(again)] == [("skipped", "done already")] * 2
    for before, after in zip(records(done), records(again), strict=True):
        assert {**before, "status": "", "message": ""} == {**after, "status": "", "message": ""}
    assert photos(tmp_path) == first

    save(one, portrait("s3/1"))
    shown = run(tmp_path, *QUICK, "--preview", env={"TTY_COMPATIBLE": "1"})
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert lines[0] == f"{other}: done already"
    assert lines[1].startswith(f"{one} -> {tmp_path / 's1-protected.png'}: noise plainly seen")
    assert lines[-1] == "2 of 2 photos protected"
    assert "photos" in shown.stderr, "the bar"
    second = photos(tmp_path)
    assert {name for name in second if second[name] != first[name]} == {"s1.png", *(name for name in made if "s1" in name)}

    done = run(tmp_path, *QUICK, "--seed", "1", "--json")
    assert [record["status"] for record in records(done)] == ["done", "done"]
    third = photos(tmp_path)
    assert {name for name in third if third[name] != second[name]} == {"s1-protected.png", "s2-protected.png"}


@POSIX
def test_good_and_bad_photos_together(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    good = save(folder / "good.png", tinted())
    save(folder / "wall.png", Image.new("RGB", (90, 120)))
    (folder / "half.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    (folder / "empty.png").touch()
    for name in ("a.mov", "b.mov", "b.cr2"):
        (folder / name).touch()
    done = run(folder, *QUICK, "--output", tmp_path / "out")
    assert done.exit_code == 3
    assert done.stdout.splitlines()[-3:] == [
        "1 of 4 photos protected, 1 without a face, 2 failed",
        f"left out (a video: faceenc video takes it): {folder / 'a.mov'}, {folder / 'b.mov'}",
        f"left out (a camera's raw file: export it as JPEG or TIFF): {folder / 'b.cr2'}",
    ]
    record = tmp_path / "out" / "faceenc-run.jsonl"
    first = [json.loads(line) for line in record.read_text().splitlines()]
    assert {line["source"].removeprefix("../in/"): line.get("status", "done") for line in first} == {
        "good.png": "done", "wall.png": "failed", "half.jpg": "failed", "empty.png": "failed",
        "a.mov": "left out", "b.mov": "left out", "b.cr2": "left out",
    }  # fmt: skip
    assert all(line["reason"] for line in first if "status" in line)
    (folder / "a.mov").unlink()
    (folder / "b.mov").unlink()
    said = [line for line in done.stderr.splitlines() if not line.startswith("INFO: ")]
    assert [line.split(":")[0] for line in said] == ["error", "error", "skipped"]
    for line, name in zip(said, ("empty.png", "half.jpg", "wall.png"), strict=True):
        assert name in line
    assert set(photos(tmp_path / "out")) == {"good.png"}
    (folder / "half.jpg").unlink()
    (folder / "empty.png").unlink()
    again = run(folder, *QUICK, "--output", tmp_path / "out")
    assert again.exit_code == 0, "a photo without a face is passed over"
    assert again.stderr.splitlines()[0] == "INFO: photos: 1 of 2 to do"
    left = f"left out (a camera's raw file: export it as JPEG or TIFF): {folder / 'b.cr2'}"
    assert again.stdout.splitlines() == [f"{good}: done already", "1 of 2 photos protected, 1 without a face", left]
    told = records(run(folder, *QUICK, "--output", tmp_path / "out", "--json"))
    assert [json.loads(line) for line in record.read_text().splitlines()] == first, "nothing is recorded twice"
    assert [(record["source"], record["message"]) for record in told if record["status"] == "left out"] == [
        (str(folder / "b.cr2"), "a camera's raw file: export it as JPEG or TIFF")
    ]
    (folder / "b.cr2").unlink()
    deep = too_deep(folder)
    again = run(folder, *QUICK, "--output", tmp_path / "out")
    assert again.exit_code == 3
    assert again.stderr.splitlines()[-1].startswith(f"error: cannot read {deep}")
    assert again.stdout.splitlines()[-1] == "1 of 3 photos protected, 1 without a face, 1 failed"
    assert f"cannot read {deep}" in json.loads(record.read_text().splitlines()[-1])["reason"]
    shutil.rmtree(deep)
    check_refused(run(tmp_path / "out", *QUICK), f"all photos in {tmp_path / 'out'} were made by faceenc")
    assert run(folder, *QUICK, "--output", tmp_path / "out", "--on-no-face", "fail").exit_code == 3
    good.unlink()
    (folder / "empty.png").touch()
    done = run(folder, *QUICK, "--output", tmp_path / "out2")
    assert done.exit_code == 2
    assert done.stdout == "0 of 2 photos protected, 1 without a face, 1 failed\n"
    assert photos(tmp_path / "out2") == {}


def test_several_processes_share_the_photos(tmp_path: Path) -> None:
    fill(tmp_path / "in")
    (tmp_path / "in" / "0.png").touch()
    done = run(tmp_path / "in", *QUICK, "--output", tmp_path / "out", "--jobs", "2", "--json")
    assert done.exit_code == 3, done.output
    assert sorted(record["source"] for record in records(done)) == sorted(
        str(tmp_path / "in" / name) for name in ("0.png", *NAMES)
    )
    assert done.stderr == f"error: cannot read {tmp_path / 'in' / '0.png'}: the file is empty; copy it anew\n"
    assert set(photos(tmp_path / "out")) == OUT
    for name in NAMES:
        pair = tmp_path / "in" / name, (tmp_path / "out" / name).with_suffix(".png")
        before, after = (read_photo(path) for path in pair)
        assert 0 < np.abs(after.pixels.astype(int) - before.pixels).max() <= LOUD


@POSIX
def test_a_folder_as_phones_and_messengers_leave_it(tmp_path: Path) -> None:
    album = tmp_path / "album"
    names = ("plain.jpg", "whatsapp.jfif", "old.jpe", "phone.mpo", "photo.jpg_large")
    for number, name in enumerate(names, start=1):
        save(album / name, portrait(f"s{number}/1"), format="JPEG")
    save(tmp_path / "elsewhere" / "linked.jpg", portrait("s6/1"))
    (album / "2019").symlink_to("../elsewhere")
    (album / "again.jpg").symlink_to("plain.jpg")
    (album / "IMG_1.MOV").write_bytes(b"x")
    (album / ".DS_Store").touch()
    done = run(album, *QUICK, "--output", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-5:] == [
        "5 of 5 photos protected",
        f"left out (hidden): {album / '.DS_Store'}",
        f"left out (a video: faceenc video takes it): {album / 'IMG_1.MOV'}",
        f"left out (a link to a folder: name that folder itself): {album / '2019'}",
        f"left out (the same photo as {album / 'plain.jpg'}): {album / 'again.jpg'}",
    ]
    assert set(photos(tmp_path / "out")) == {Path(name).with_suffix(".png").name for name in names}
    alone = run(album / names[-1], *QUICK)
    assert alone.exit_code == 0, alone.output
    assert (album / "photo-protected.png").exists()


@POSIX
def test_killed_then_interrupted_then_finished(whole: dict[str, bytes], tmp_path: Path) -> None:
    """The same bytes as without any of that."""
    words = [fill(tmp_path / "in"), *QUICK, "--output", tmp_path / "out"]

    def made() -> int:
        return sum((tmp_path / "out" / name).exists() for name in OUT)

    with started(*words) as process:
        wait_until(lambda: made() == 1 and list((tmp_path / "out").rglob(".*.tmp")), process)
        process.kill()
        process.wait()
    assert made() == 1
    with started(*words) as process:
        wait_until(lambda: made() == 2, process)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130
    # Ctrl-C may strike between the second photo's being in place and its being counted.
    counts = ("1 photo is", "2 photos are")
    assert said.splitlines()[-1] in [f"stopped: {count} done; run the same command again to go on" for count in counts]
    assert "Traceback" not in said
    middle = photos(tmp_path / "out")
    assert len(middle) == 2
    assert middle.items() <= whole.items()
    done = run(*words)
    assert done.exit_code == 0, done.output
    assert done.stdout.count("done already") == 2
    assert photos(tmp_path / "out") == whole
    assert run(*words).stdout.count("done already") == 3


@POSIX
def test_two_runs_over_one_folder_share_it(whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEENC_LOG", str(tmp_path / "log"))
    words = [fill(tmp_path / "in"), *QUICK, "--output", tmp_path / "out", "--json"]
    with started(*words) as process:
        wait_until(lambda: list(tmp_path.rglob(".*.tmp")), process)
        here = run(*words)
        printed, said = process.communicate(timeout=PATIENCE)
    there = [json.loads(line) for line in printed.splitlines()]
    assert (said, here.stderr) == ("", "")
    for results, code in ((there, process.returncode), (records(here), here.exit_code)):
        assert len(results) == 3
        busy = [record for record in results if record["message"] == "being done by another run"]
        assert code == (3 if busy else 0)
    assert len([record for record in (*there, *records(here)) if record["status"] == "done"]) == 3
    assert photos(tmp_path / "out") == whole
    lines = [json.loads(line) for line in (tmp_path / "log" / "audit.jsonl").read_text().splitlines()]
    assert len({line["source_sha256"] for line in lines}) == len(lines) == 3


@POSIX
def test_a_photo_that_another_run_is_at_is_left_to_it(tmp_path: Path) -> None:
    """Also where each of the two runs was given the photo alone, and so keeps no record in a folder."""
    photo = save(tmp_path / "a.png", tinted())
    code = (
        "from contextlib import ExitStack; from pathlib import Path\n"
        "from faceenc.protect import find_ledger; from faceenc.runs import Ledger\n"
        "with ExitStack() as stack:\n"
        "    ledger = Ledger(*find_ledger((Path('a.png'),), None, stack))\n"
        "    with ledger.hold(Path('a-protected.png')):\n"
        "        print('held', flush=True)\n"
        "        input()"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        done = run(photo, *QUICK)
        other.communicate("\n")
    assert (done.exit_code, done.stdout, done.stderr) == (2, f"{photo}: being done by another run\n", "")
    assert set(photos(tmp_path)) == {"a.png"}
    done = run(photo, *QUICK)
    assert done.exit_code == 0, done.output
    assert set(photos(tmp_path)) == {"a.png", "a-protected.png"}
