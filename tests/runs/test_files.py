"""A folder of photos in, a folder out: each file once, whatever is killed, whoever else is at it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from faceenc.core import AssetError, DataError, atomic_file, write_atomically
from faceenc.runs import FileResult, StoppedError, Task, exit_code, plan_files, record_rest, run_files

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

PATIENCE = 60  # seconds until a test gives up waiting
HALF = b"half a picture"


@dataclass(frozen=True)
class Invert:
    """The photo's negative as PNG, and its grey version beside it.

    Attributes:
        calls: a line "PID SOURCE" is added to this file at the beginning of each call.
        together: the first call of a process waits until so many processes have begun.
        slow: this source takes minutes, after half of its file is written.
        deadly: this source kills the process at that moment.
    """

    calls: Path
    together: int = 1
    slow: str = ""
    deadly: str = ""

    def __call__(self, source: Path, target: Path) -> dict[str, Any]:
        with self.calls.open("a") as file:
            file.write(f"{os.getpid()} {source.name}\n")
        wait_until(lambda: len({pid for pid, _ in called(self.calls)}) >= self.together)
        try:
            with Image.open(source) as image:
                negative = ImageOps.invert(image.convert("RGB"))
        except OSError as error:
            raise DataError(f"cannot turn {source} into {target}: it is no image") from error
        with atomic_file(target) as file:
            if source.name in (self.slow, self.deadly):
                file.write(HALF)
                file.flush()
                if source.name == self.deadly:
                    os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(300)
            negative.save(file, format="PNG")
        write_atomically(target.with_name(f"{target.stem}-grey.txt"), f"{np.asarray(negative).mean():.2f}")
        return {"size": list(negative.size), "output": str(target)}


def fail(source: Path, target: Path) -> dict[str, Any]:
    raise ZeroDivisionError("a slip\nof ours")


def exhaust(source: Path, target: Path) -> dict[str, Any]:
    raise MemoryError


def refuse() -> None:
    raise AssetError("no weights: fetch them")


def die() -> None:
    os._exit(7)


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.005)


def called(calls: Path) -> list[tuple[str, str]]:
    """(process, photo) of each call."""
    return [(pid, name) for pid, name in map(str.split, calls.read_text().splitlines())] if calls.exists() else []


@dataclass(frozen=True)
class Studio:
    """A folder with photos in/0.png, in/1.jpg, in/a/2.png ..., and the folder out, which is not there yet."""

    root: Path

    @property
    def photos(self) -> Path:
        return self.root / "in"

    @property
    def out(self) -> Path:
        return self.root / "out"

    @property
    def ledger(self) -> Path:
        return self.out / "run.jsonl"

    @property
    def calls(self) -> Path:
        return self.root / "calls.txt"

    def plan(self) -> list[Task]:
        tasks, others = plan_files([self.photos], self.out, name=lambda photo: f"{photo.stem}-x.png")
        assert others == []
        return tasks

    def run(self, jobs: int = 1, key: str = "k", *, force: bool = False, **options: Any) -> list[FileResult]:
        work = Invert(self.calls, **options)
        return run_files(self.plan(), work, settings=key, jobs=jobs, force=force, ledger=self.ledger)

    def start(self, jobs: int, **options: Any) -> subprocess.Popen[str]:
        """The same in a process of its own, which prints JSON: statuses, or how many were settled before Ctrl-C."""
        code = (
            "import json, sys; from pathlib import Path\n"
            "from faceenc.runs import StoppedError\n"
            "from tests.runs.test_files import Studio\n"
            f"try: results = Studio(Path({str(self.root)!r})).run({jobs}, **{options!r})\n"
            "except StoppedError as stopped: print(json.dumps(len(stopped.results))); sys.exit(130)\n"
            "print(json.dumps([result.status for result in results]))\n"
        )
        # A shell's background jobs, and so their children, ignore the interrupt unless told otherwise.
        return subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            start_new_session=True,
            preexec_fn=None if sys.platform == "win32" else lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.ledger.read_text().splitlines()] if self.ledger.exists() else []

    def half_made(self) -> bool:
        with suppress(FileNotFoundError):  # folders come and go
            return any(file.read_bytes() == HALF for file in self.out.glob(".*.tmp/.*.tmp"))
        return False

    def check(self, count: int) -> None:
        """As many targets are there, each whole and recorded, and nothing else."""
        files = {path.relative_to(self.out).as_posix() for path in self.out.rglob("*") if path.is_file()}
        assert files - {"run.jsonl", ".run.jsonl.lock"} == {
            name for line in self.lines() for name in line["files"] if (self.out / name).exists()
        }
        whole = [task for task in self.plan() if task.target.exists()]
        assert len(whole) == count
        for task in whole:
            source, target = (np.asarray(Image.open(path).convert("RGB")) for path in (task.source, task.target))
            np.testing.assert_array_equal(target, 255 - source)
            assert float(task.target.with_name(f"{task.target.stem}-grey.txt").read_text()) == round(target.mean(), 2)
        assert not list(self.out.rglob("*.tmp"))


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    rng = np.random.default_rng(0)
    (tmp_path / "in" / "a").mkdir(parents=True)
    for k, name in enumerate(["0.png", "1.jpg", "3.png", "a/2.png", "a/4.webp", "a/5.png"]):
        Image.fromarray(rng.integers(0, 256, (20 + k, 30, 3), np.uint8)).save(tmp_path / "in" / name)
    return Studio(tmp_path)


def statuses(results: list[FileResult]) -> list[str]:
    return [result.status for result in results]


ALL = ["done"] * 6


@pytest.mark.parametrize("jobs", [1, 2])
def test_each_file_is_done_once(jobs: int, studio: Studio) -> None:
    calls: list[tuple[FileResult, int, int]] = []
    results = run_files(
        studio.plan(),
        Invert(studio.calls, together=jobs),
        settings="k",
        jobs=jobs,
        force=False,
        ledger=studio.ledger,
        progress=lambda *words: calls.append(words),
    )
    assert statuses(results) == ALL
    assert exit_code(results) == 0
    studio.check(6)
    assert [result.source for result in results] == [task.source for task in studio.plan()]
    assert [(done, total) for _, done, total in calls] == [(k + 1, 6) for k in range(6)]
    assert sorted(str(result.target) for result, _, _ in calls) == sorted(str(result.target) for result in results)
    assert results[0].details == {"size": [30, 20], "output": str(studio.out / "0-x.png")}
    [line] = [line for line in studio.lines() if line["target"] == "a/2-x.png"]
    assert line["source"] == "../in/a/2.png"
    assert line["source_sha256"] == hashlib.sha256((studio.photos / "a" / "2.png").read_bytes()).hexdigest()
    assert line["files"]["a/2-x.png"] == hashlib.sha256((studio.out / "a" / "2-x.png").read_bytes()).hexdigest()
    assert {pid for pid, _ in called(studio.calls)} == {str(os.getpid())} or jobs == 2
    again = studio.run(jobs)
    assert statuses(again) == ["skipped"] * 6
    assert [result.details for result in again] == [result.details for result in results]
    assert exit_code(again) == 0
    assert len(called(studio.calls)) == 6


def test_what_changed_is_done_anew_and_nothing_else(studio: Studio) -> None:
    studio.run()
    Image.new("RGB", (4, 4), "red").save(studio.photos / "0.png")
    (studio.out / "a" / "5-x.png").unlink()
    assert statuses(studio.run()) == ["done", *["skipped"] * 4, "done"]
    studio.check(6)
    assert statuses(studio.run(key="other settings")) == ALL
    assert statuses(studio.run(key="other settings")) == ["skipped"] * 6
    assert statuses(studio.run(key="k")) == ALL
    studio.check(6)
    assert statuses(studio.run(force=True)) == ALL
    studio.check(6)


def test_the_folder_may_move(studio: Studio, tmp_path: Path) -> None:
    studio.run()
    moved = Studio(tmp_path / "elsewhere")
    moved.root.mkdir()
    studio.photos.rename(moved.photos)
    studio.out.rename(moved.out)
    assert statuses(moved.run()) == ["skipped"] * 6


def test_nothing_that_is_not_ours_is_overwritten(studio: Studio) -> None:
    studio.out.mkdir()
    (studio.out / "0-x.png").write_bytes(b"a holiday")
    (studio.out / "1-x-grey.txt").write_bytes(b"a diary")  # in the way of what stands beside a target
    results = studio.run()
    assert statuses(results) == ["failed", "failed", *["done"] * 4]
    assert exit_code(results) == 3
    for result, name in zip(results, ["0-x.png", "1-x-grey.txt"], strict=False):
        assert f"{studio.out / name} exists already" in result.message
        assert "`force`" in result.message
    assert (studio.out / "0-x.png").read_bytes() == b"a holiday"
    assert (studio.out / "1-x-grey.txt").read_bytes() == b"a diary"
    assert not (studio.out / "1-x.png").exists()
    (studio.out / "3-x.png").write_bytes(b"retouched by hand")
    results = studio.run(key="other settings")
    assert statuses(results) == ["failed"] * 3 + ["done"] * 3
    assert "was changed since" in results[2].message
    assert (studio.out / "3-x.png").read_bytes() == b"retouched by hand"
    assert statuses(studio.run(force=True)) == ALL
    studio.check(6)


def test_the_photo_itself_is_never_overwritten(studio: Studio) -> None:
    photo = studio.photos / "0.png"
    before = photo.read_bytes()
    for force in (False, True):
        [result] = run_files(
            [Task(photo, photo)], Invert(studio.calls), settings="k", jobs=1, force=force, ledger=studio.ledger
        )
        assert "is the photo itself" in result.message
    assert photo.read_bytes() == before


def test_a_file_that_comes_in_the_way_during_the_work_is_left(studio: Studio) -> None:
    def meanwhile(source: Path, target: Path) -> dict[str, Any]:
        details = Invert(studio.calls)(source, target)
        (studio.out / target.name).write_bytes(b"a holiday")
        return details

    task = studio.plan()[0]
    [result] = run_files([task], meanwhile, settings="k", jobs=1, force=False, ledger=studio.ledger)
    assert "exists already" in result.message
    assert task.target.read_bytes() == b"a holiday"
    assert exit_code([result]) == 2


def test_a_file_that_cannot_be_done_is_tried_again(studio: Studio) -> None:
    good = (studio.photos / "0.png").read_bytes()
    (studio.photos / "0.png").write_bytes(b"no picture")
    results = studio.run()
    assert statuses(results) == ["failed", *["done"] * 5]
    source, target = studio.photos / "0.png", studio.out / "0-x.png"
    assert results[0].message == f"cannot turn {source} into {target}: it is no image"
    assert exit_code(results) == 3
    studio.check(5)
    (studio.photos / "0.png").write_bytes(good)
    assert statuses(studio.run()) == ["done", *["skipped"] * 5]
    studio.check(6)


def test_a_photo_that_is_not_there(tmp_path: Path) -> None:
    task = Task(tmp_path / "none.png", tmp_path / "out" / "none.png")
    results = run_files([task], fail, settings="k", jobs=2, force=True, ledger=tmp_path / "out" / "run", initializer=refuse)
    assert results[0].message == f"cannot read {task.source}: no such file or directory; check the path"
    assert exit_code(results) == 2
    assert run_files([], fail, settings="k", jobs=2, force=True, ledger=tmp_path / "no" / "run") == []
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(("work", "said"), [(fail, "unexpected ZeroDivisionError: a slip of ours"), (exhaust, "memory")])
def test_slips_of_the_work_are_reported_in_a_line(
    work: Any, said: str, studio: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(5, logger="faceenc")  # of --debug
    results = run_files(studio.plan(), work, settings="k", jobs=1, force=False, ledger=studio.ledger)
    assert statuses(results) == ["failed"] * 6
    assert all(said in result.message and "\n" not in result.message for result in results)
    assert ("in fail" in caplog.text) == (work is fail)
    studio.check(0)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_work_that_cannot_begin_stops_the_run(jobs: int, studio: Studio) -> None:
    with pytest.raises(AssetError, match="no weights"):
        run_files(studio.plan(), fail, settings="k", jobs=jobs, force=False, ledger=studio.ledger, initializer=refuse)
    studio.check(0)


def test_workers_that_die_at_once_do_not_go_on_for_ever(studio: Studio) -> None:
    tasks = studio.plan()
    results = run_files(tasks, fail, settings="k", jobs=2, force=False, ledger=studio.ledger, initializer=die)
    assert statuses(results) == ["failed"] * 6
    assert all("ended with exit code 7" in result.message for result in results)


@posix
def test_a_killed_worker_costs_its_own_file_only(studio: Studio) -> None:
    (studio.photos / "0.png").write_bytes(b"no picture")
    results = studio.run(jobs=2, deadly="3.png")
    assert statuses(results) == ["failed", "done", "failed", *["done"] * 3]
    assert "it is no image" in results[0].message
    assert f"{studio.photos / '3.png'}: the process at work on it was killed (SIGKILL)" in results[2].message
    assert exit_code(results) == 3
    studio.check(4)
    assert statuses(studio.run()) == ["failed", "skipped", "done", *["skipped"] * 3]
    studio.check(5)


@posix
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL])
def test_stopped_in_the_middle_and_taken_up_again(kill: signal.Signals, jobs: int, studio: Studio) -> None:
    process = studio.start(jobs, slow="3.png")
    done = 2 if jobs == 1 else 5  # one waits at the slow photo, the other goes on
    wait_until(lambda: studio.half_made() and sum(task.target.exists() for task in studio.plan()) == done)
    if kill == signal.SIGINT:
        os.killpg(process.pid, kill)  # as a terminal does
    else:
        os.kill(process.pid, kill)
    # The pipes close when the last worker has ended, too: nobody goes on behind our back.
    stdout, stderr = process.communicate(timeout=PATIENCE)
    if kill == signal.SIGINT:
        assert (process.returncode, stderr) == (130, "")
        assert done - 1 <= json.loads(stdout) <= done
        studio.check(done)
    else:
        assert process.returncode == -signal.SIGKILL
        assert studio.half_made(), "what a kill leaves"
    ours = [path for path in studio.out.rglob("*.png") if not path.parent.name.endswith(".tmp")]
    assert len(ours) == done
    again = studio.run()
    assert statuses(again).count("skipped") == done
    assert statuses(again).count("done") == 6 - done
    studio.check(6)
    assert len(studio.lines()) == 6


@posix
def test_killed_between_the_record_and_the_file(studio: Studio) -> None:
    studio.run()
    before = studio.lines()
    (studio.out / "0-x.png").unlink()  # the line is there already, its file is not yet
    (studio.out / "1-x.png").unlink()
    (studio.out / "1-x-grey.txt").unlink()
    assert statuses(studio.run()) == ["done", "done", *["skipped"] * 4]
    studio.check(6)
    assert [line["files"] for line in studio.lines()] == [line["files"] for line in [*before, *before[:2]]]


@pytest.mark.parametrize("rest", [
    b'{"source": "../in/0.p', b"\n[]\nnull\n{}\n", b"\xff\xfe\n", b'{"files": [[1]], "tar',
    b'{"source": ' + b"[" * 100_000 + b"\n", b'{"source": [], "status": "failed", "reason": ""}\n',
    b'{"source": "a", "target": "1.png", "files": {"1.png": 1}, "source_sha256": "", "settings": 1, "details": 3}\n',
    b'{"source": "a", "target": "1.png", "files": {"1.png": []}, "source_sha256": "", "settings": 1, "details": {}}\n',
    b'{"source": "a", "target": [], "files": {}, "source_sha256": "", "settings": 1, "details": {}}\n',
])  # fmt: skip
def test_torn_and_foreign_lines_are_passed_over(rest: bytes, studio: Studio) -> None:
    studio.run()
    with studio.ledger.open("ab") as file:
        file.write(rest)
    (studio.photos / "6.png").write_bytes((studio.photos / "3.png").read_bytes())
    assert sorted(statuses(studio.run())) == ["done", *["skipped"] * 6]
    assert statuses(studio.run()) == ["skipped"] * 7
    assert len(called(studio.calls)) == 7


def test_without_the_record_targets_are_strangers(studio: Studio) -> None:
    studio.run()
    studio.ledger.unlink()
    results = studio.run()
    assert statuses(results) == ["failed"] * 6
    assert exit_code(results) == 2


def test_two_runs_at_once_share_the_files(studio: Studio) -> None:
    for k in range(10, 20):
        Image.new("RGB", (k, 9), (k, 2 * k, 3 * k)).save(studio.photos / f"{k}.png")
    runs = [studio.start(jobs, together=3) for jobs in (1, 2)]
    answers = [process.communicate(timeout=PATIENCE) for process in runs]
    assert [stderr for _, stderr in answers] == ["", ""]
    for statuses_ in zip(*(json.loads(stdout) for stdout, _ in answers), strict=True):
        assert sorted(statuses_) == ["done", "skipped"]
    assert sorted(name for _, name in called(studio.calls)) == sorted(task.source.name for task in studio.plan())
    assert len({pid for pid, _ in called(studio.calls)}) == 3
    studio.check(16)
    assert len(studio.lines()) == 16


@posix
def test_a_file_that_another_run_is_at_is_left_to_it(studio: Studio) -> None:
    other = studio.start(1, slow="0.png")
    try:
        wait_until(lambda: called(studio.calls))
        results = studio.run()
        assert statuses(results) == ["skipped", *["done"] * 5]
        assert results[0].message == "being done by another run"
        assert list(studio.out.glob(".*.tmp")), "the other run's work is left alone"
    finally:
        other.kill()
        other.communicate()
    assert statuses(studio.run()) == ["done", *["skipped"] * 5]
    studio.check(6)


@posix
def test_runs_with_records_of_their_own_do_not_spoil_each_other(studio: Studio, tmp_path: Path) -> None:
    other = studio.start(1, slow="0.png")
    try:
        wait_until(studio.half_made)
        work = Invert(studio.calls)
        [result] = run_files(
            studio.plan()[:1], work, settings="k", jobs=1, force=False, ledger=tmp_path / "mine" / "run.jsonl"
        )
        assert result.status == "done"
        assert studio.half_made()
    finally:
        other.kill()
        other.communicate()


def test_ctrl_c_keeps_what_was_reported(studio: Studio) -> None:
    def stop(result: FileResult, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    work = Invert(studio.calls)
    with pytest.raises(StoppedError) as stopped:
        run_files(studio.plan(), work, settings="k", jobs=1, force=False, ledger=studio.ledger, progress=stop)
    assert isinstance(stopped.value, KeyboardInterrupt)
    assert statuses(stopped.value.results) == ["done", "done"]
    studio.check(2)


def test_ctrl_c_while_cleaning_up_leaves_nothing(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    remove = shutil.rmtree
    targets = [task.target for task in studio.plan()]

    def interrupted(place: Path, **options: bool) -> None:
        if sum(target.exists() for target in targets) == 2:  # the second photo's folder is no longer needed
            monkeypatch.setattr(shutil, "rmtree", remove)
            raise KeyboardInterrupt
        remove(place, **options)

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(StoppedError):
        studio.run()
    assert shutil.rmtree is remove, "it was interrupted there"
    studio.check(2)
    assert statuses(studio.run()) == ["skipped"] * 2 + ["done"] * 4


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may write everywhere: not so meanwhile."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@posix
def test_folders_that_take_nothing(studio: Studio) -> None:
    (studio.root / "file").touch()
    with pytest.raises(DataError, match=r"cannot write into .*file/out: not a directory; choose another `output`"):
        run_files(studio.plan(), fail, settings="k", jobs=1, force=False, ledger=studio.root / "file" / "out" / "run")
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        folder = Path(name)
        Image.new("RGB", (3, 3)).save(folder / "a.png")
        (folder / "out" / "sub").mkdir(parents=True)
        (folder / "out" / "sub").chmod(0o555)
        (folder / "out").chmod(0o777)
        folder.chmod(0o755)
        tasks = [Task(folder / "a.png", folder / "out" / place / "a.png") for place in ("sub", "")]
        with as_nobody():
            work = Invert(folder / "out" / "calls.txt")
            results = run_files(tasks, work, settings="k", jobs=1, force=False, ledger=folder / "out" / "run")
            assert statuses(results) == ["failed", "done"]
            assert f"cannot write {folder / 'out' / 'sub' / 'a.png'}: permission denied" in results[0].message
            with pytest.raises(DataError, match=r"cannot write into .*sub: permission denied"):
                run_files(tasks, work, settings="k", jobs=1, force=False, ledger=folder / "out" / "sub" / "run")
        assert list((folder / "out" / "sub").iterdir()) == []


@posix
def test_a_full_disk_costs_the_files_that_do_not_fit(studio: Studio) -> None:
    """A file size limit is a full disk for one process."""
    noise = np.random.default_rng(1).integers(0, 256, (200, 200, 3), np.uint8)
    Image.fromarray(noise).save(studio.photos / "3.png")
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "from pathlib import Path\n"
        "from tests.runs.test_files import Studio\n"
        f"print([result.message for result in Studio(Path({str(studio.root)!r})).run()][2])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert done.stdout == f"cannot write {studio.out / '3-x.png'}: file too large; check the folder and the free space\n"
    studio.check(5)
    assert statuses(studio.run()).count("skipped") == 5
    studio.check(6)


def name_png(photo: Path) -> str:
    return f"{photo.stem}.png"


def name_marked(photo: Path) -> str:
    return f"{photo.stem}-x.png"


def fill(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def planned(tasks: list[Task], root: Path) -> dict[str, str]:
    return {task.source.relative_to(root).as_posix(): task.target.relative_to(root).as_posix() for task in tasks}


def test_a_plan_keeps_sub_folders_and_lets_no_two_meet(tmp_path: Path) -> None:
    fill(tmp_path, ["in/a.jpg", "in/a.png", "in/s/A.PNG", "in/s/a.webp", "in/.git/h.png", "in/.h.png", "in/n.txt"])
    fill(tmp_path, ["in/out/s/a.png", "in/a-2.png", "b/a.png", "empty/n.txt"])
    sources = [tmp_path / name for name in ("in", "b", "in/a.jpg", "empty", "none.gif")]
    tasks, others = plan_files(sources, tmp_path / "in" / "out", name=name_png)
    assert planned(tasks, tmp_path) == {
        "in/a-2.png": "in/out/a-2.png",
        "in/a.jpg": "in/out/a.png",
        "in/a.png": "in/out/a-3.png",
        "in/s/A.PNG": "in/out/s/A.png",
        "in/s/a.webp": "in/out/s/a-2.png",
        "b/a.png": "in/out/a-4.png",
        "none.gif": "in/out/none.png",
    }
    hidden = {tmp_path / "in" / name for name in (".git", ".h.png")}
    assert {other.source for other in others if other.message == "hidden"} == hidden
    empty, notes, notes_too = (other for other in others if other.message != "hidden")
    assert (notes.source, notes.status, notes.message) == (tmp_path / "in" / "n.txt", "left out", "no photo")
    assert notes_too.source == tmp_path / "empty" / "n.txt"
    assert (empty.source, empty.status) == (tmp_path / "empty", "failed")
    assert "no photos in" in empty.message


@pytest.mark.parametrize("into_the_same_folder", [True, False])
def test_a_plan_never_means_a_photo_as_target(into_the_same_folder: bool, tmp_path: Path) -> None:
    fill(tmp_path, ["a.jpg", "a.png", "s/b.PNG"])
    output = tmp_path if into_the_same_folder else None
    tasks, others = plan_files([tmp_path], output, name=name_png)
    assert planned(tasks, tmp_path) == {"a.jpg": "a-2.png", "a.png": "a-3.png", "s/b.PNG": "s/b-2.png"}
    assert others == []


def test_what_was_made_is_no_photo(tmp_path: Path) -> None:
    fill(tmp_path, ["a.jpg", "a-x.png", "b.png", "c-x.png", "s/a-x.png"])
    tasks, others = plan_files([tmp_path], None, name=name_marked)
    assert planned(tasks, tmp_path) == {
        "a.jpg": "a-x.png",
        "b.png": "b-x.png",
        "c-x.png": "c-x-x.png",
        "s/a-x.png": "s/a-x-x.png",
    }
    why = f"named as the copy of {tmp_path / 'a.jpg'}: rename it if it is a photo"
    assert [(other.source, other.status, other.message) for other in others] == [(tmp_path / "a-x.png", "left out", why)]
    _, others = plan_files(sorted(tmp_path.glob("*.*")), None, name=name_marked)
    assert [(other.source.name, other.status) for other in others] == [("a-x.png", "skipped")]


def test_what_the_record_tells_of_is_no_photo(studio: Studio) -> None:
    ledger = studio.photos / "run.jsonl"

    def plan() -> list[Task]:
        return plan_files([studio.photos], studio.photos, name=name_png, ledger=ledger)[0]

    first = plan()
    results = run_files(first, Invert(studio.calls), settings="k", jobs=1, force=False, ledger=ledger)
    assert statuses(results) == ALL
    assert plan() == first
    (studio.photos / "0-2.png").write_bytes((studio.photos / "1.jpg").read_bytes())  # an own photo under that name
    assert studio.photos / "0-2.png" in [task.source for task in plan()]


@pytest.mark.parametrize("output", ["out", "again"])
def test_a_folder_of_results_alone_says_so(output: str, studio: Studio) -> None:
    """Whichever record tells of them."""
    studio.run()
    ledger = studio.root / output / studio.ledger.name
    tasks, [told] = plan_files([studio.out], studio.root / output, name=name_png, ledger=ledger)
    assert tasks == []
    assert told.status == "failed"
    assert told.message == f"all photos in {studio.out} were made by faceenc: name the folder of the originals"


@posix
def test_a_folder_that_says_what_is_in_it_and_nothing_else_costs_no_other(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        folder = Path(name)
        fill(folder, ["a.jpg", "half/b.jpg", "half/c"])
        (folder / "half").chmod(0o444)
        folder.chmod(0o755)
        with as_nobody():
            tasks, others = plan_files([folder], folder / "out", name=name_png, ledger=folder / "out" / "run.jsonl")
            assert planned(tasks, folder) == {"a.jpg": "out/a.png", "half/b.jpg": "out/half/b.png"}
            assert [(other.source, other.status) for other in others] == [(folder / "half" / "c", "failed")]
        (folder / "half").chmod(0o755)


def test_what_is_not_made_is_recorded_once_until_it_changes(studio: Studio) -> None:
    (studio.photos / "0.png").write_bytes(b"no picture")
    clip = FileResult(studio.photos / "clip.mov", None, "left out", "a video")
    record_rest([clip], studio.ledger)
    assert not studio.out.exists(), "nothing was done there"
    for _ in range(2):
        record_rest([clip, *studio.run()], studio.ledger)
    rest = [line for line in studio.lines() if "status" in line]
    assert [(line["source"], line["status"]) for line in rest] == [("../in/clip.mov", "left out"), ("../in/0.png", "failed")]
    assert rest[0]["reason"] == "a video"
    assert "it is no image" in rest[1]["reason"]
    Image.new("RGB", (3, 3)).save(studio.photos / "0.png")
    record_rest(studio.run(), studio.ledger)
    assert "status" not in studio.lines()[-1]
    (studio.photos / "0.png").write_bytes(b"no picture")
    record_rest(studio.run(), studio.ledger)
    assert studio.lines()[-1]["status"] == "failed", "the last line about a source counts"
    assert {path.name for path in studio.out.iterdir() if path.name.startswith(".")} == set()
