"""Rows that cannot be lost: whatever is killed, whoever else writes, however people are called. On a toy without nets."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from faceenc.benchmark import ROW_COLUMNS, Measured, RunFolder, cell_key, run_benchmark
from faceenc.core import Progress, RunError
from faceenc.runs import Executor, InProcess, Processes

# What str.splitlines takes for the end of a line, and what CSV has to quote.
NAMES = ("plain", "line\u2028separator", "next\u0085line", "tab\x0bfeed\x0c", "new\nline", "carriage\rreturn", 'a "b", c')

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


@dataclass(frozen=True)
class Cell:
    """A square number a row; the longest is the last of the plan."""

    eps: float
    seconds: float
    memory: float = 0.0

    @property
    def columns(self) -> dict[str, Any]:
        words = dict.fromkeys(("recognizer", "judge", "attack", "norm", "goal"), "x")
        return words | {"eps": self.eps, "seed": 0}


@dataclass
class Toy:
    """A measurement of nothing; `deadly` is the eps of the cell whose process is killed, each time that it is tried."""

    calls: Path
    deadly: float = -1.0
    kind = ""

    @property
    def config(self) -> dict[str, Any]:
        return {"name": "toy"}

    def same_config(self, recorded: dict[str, Any]) -> bool:
        return False

    def parts(self) -> dict[str, Any]:
        return {"data": {"name": "squares"}}

    def fixed(self, run: Mapping[str, Any]) -> dict[str, Any]:
        return {"data": run.get("data")}

    def cells(self) -> list[Cell]:
        return [Cell(k / 8, float(k)) for k in range(6)]

    def expected(self, cell: Cell) -> dict[tuple[str, ...], int]:
        return {cell_key(cell.columns): len(NAMES)}

    def begin(self, folder: RunFolder, done: Collection[tuple[str, ...]]) -> None:
        pass

    def measure(self, cell: Cell) -> Measured:
        with self.calls.open("a") as file:
            file.write(f"{cell.eps}\n")
        if cell.eps == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        empty = dict.fromkeys(ROW_COLUMNS, "")
        return Measured([empty | cell.columns | {"image": name, "label": name, "loss": cell.eps**2} for name in NAMES])

    def keep(self, folder: RunFolder, cell: Cell, measured: Measured, done: Collection[tuple[str, ...]]) -> None:
        pass

    def diagnose(self) -> list[dict[str, Any]]:
        return []

    def complete(self, folder: RunFolder, progress: Progress) -> None:
        pass


def quiet(what: str, done: int, total: int) -> None:
    """Nobody watches."""


def toy_run(
    folder: Path, *, resume: bool = False, deadly: float = -1.0, executor: Executor | None = None
) -> list[dict[str, Any]]:
    toy = Toy(folder.parent / "calls.txt", deadly)
    setup = partial(Toy, toy.calls, deadly)
    return run_benchmark(
        toy, RunFolder(folder, resume=resume), command="c", progress=quiet, executor=executor or InProcess(), setup=setup
    )


def calls(folder: Path) -> list[float]:
    return [float(line) for line in (folder.parent / "calls.txt").read_text().splitlines()]


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    toy_run(tmp_path / "run")
    return tmp_path / "run"


def test_every_name_is_kept_and_nothing_is_done_twice(finished: Path) -> None:
    data = (finished / "rows.csv").read_bytes()
    with (finished / "rows.csv").open(encoding="utf-8", newline="") as file:
        assert [row["image"] for row in csv.DictReader(file)] == [*NAMES] * 6
    assert sorted(path.name for path in finished.iterdir()) == ["rows.csv", "run.json"]
    toy_run(finished, resume=True)
    assert (finished / "rows.csv").read_bytes() == data
    assert len(calls(finished)) == 6
    record = json.loads((finished / "run.json").read_text())
    assert record["finished"]
    assert "failures" not in record


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.97])
def test_cut_anywhere_the_rest_is_done_again(finished: Path, share: float) -> None:
    path = finished / "rows.csv"
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    (finished / ".rows.csv.0123abcd.tmp").write_bytes(b"left by a killed writer")
    toy_run(finished, resume=True)
    assert path.read_bytes() == data
    assert len(calls(finished)) - 6 - (6 - int(share * 6)) in (0, 1), "the header is longer than a row"
    assert not list(finished.glob(".*"))


def test_doubles_of_two_runs_at_once_are_dropped(finished: Path) -> None:
    path = finished / "rows.csv"
    data = path.read_bytes()
    header, _, rows = data.partition(b"\n")
    path.write_bytes(data + rows)
    toy_run(finished, resume=True)
    assert path.read_bytes() == data
    # As many rows as expected, and yet one image is missing: it is there twice.
    first, second = rows.split(b"\n")[:2]
    path.write_bytes(header + b"\n" + rows.replace(second, first, 1))
    toy_run(finished, resume=True)
    assert path.read_bytes() == data
    assert calls(finished)[6:] == [0.0]


def test_processes_give_the_same_rows_in_the_plans_order(finished: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "run"
    other.parent.mkdir()
    toy_run(other, executor=Processes(2))
    assert (other / "rows.csv").read_bytes() == (finished / "rows.csv").read_bytes()


@posix
def test_a_cell_whose_process_dies_twice_is_named_and_tried_again(finished: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "run"
    other.parent.mkdir()
    [failure] = toy_run(other, deadly=2 / 8, executor=Processes(2))
    assert (failure["cell"]["eps"], failure["reason"]) == ("0.25", "the process at work on it was killed (SIGKILL)")
    record = json.loads((other / "run.json").read_text())
    assert (record["failures"], record["finished"]) == ([failure], False)
    assert sorted(calls(other)) == [0, 1 / 8, 2 / 8, 2 / 8, 3 / 8, 4 / 8, 5 / 8]
    assert toy_run(other, resume=True) == []
    assert calls(other)[7:] == [2 / 8]
    assert (other / "rows.csv").read_bytes() == (finished / "rows.csv").read_bytes()
    assert "failures" not in json.loads((other / "run.json").read_text())


HOLDING = (
    "from pathlib import Path; from faceenc.core import FolderLock\n"
    "lock = FolderLock(Path('run')); lock.acquire(); print('held', flush=True); input(); lock.release()"
)


def test_of_two_runs_at_once_one_writes(finished: Path) -> None:
    command = [sys.executable, "-c", HOLDING]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=finished.parent) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(RunError, match="is being written by another run: wait for it, or choose another `output`"):
            toy_run(finished, resume=True)
        other.communicate("\n")
    toy_run(finished, resume=True)
    assert len(calls(finished)) == 6
    assert not list(finished.glob(".*"))


@posix
def test_the_lock_of_a_killed_run_is_free(finished: Path) -> None:
    command = [sys.executable, "-c", HOLDING]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=finished.parent) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        other.kill()
    assert list(finished.glob(".*"))
    toy_run(finished, resume=True)
    assert not list(finished.glob(".*"))


def test_damaged_rows_are_named(finished: Path) -> None:
    with (finished / "rows.csv").open("ab") as file:
        file.write(b"\xff\xfe\n")
    with pytest.raises(RunError, match=r"rows\.csv cannot be read"):
        toy_run(finished, resume=True)
    (finished / "rows.csv").unlink()
    (finished / "rows.csv.gz").write_bytes(b"\x1f\x8b\x08 cut")
    with pytest.raises(RunError, match=r"rows\.csv\.gz cannot be read"):
        toy_run(finished, resume=True)


def test_a_folder_that_cannot_be_made_is_noticed_before_anything_is_computed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RunError, match="file is no folder"):
        RunFolder(tmp_path / "file" / "deep" / "run", resume=False)
    assert RunFolder(tmp_path / "deep" / "run", resume=False).path == tmp_path / "deep" / "run"
    assert not (tmp_path / "deep").exists()
