"""The two executors do the same; a worker that dies costs time, or its item, and nothing else."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from faceenc.core import RunError
from faceenc.runs import Executor, Failure, InProcess, Processes

EXECUTORS = (InProcess(), Processes(2))


@dataclass(frozen=True)
class Item:
    """Something to write down, with what it says it needs."""

    name: str
    seconds: float = 0.0
    memory: float = 0.0


def begin(folder: Path) -> Path:
    """The state is the folder that everything is written down in: a line each time that one is made."""
    with (folder / "states").open("a") as file:
        file.write(f"{os.getpid()}\n")
    return folder


def note(folder: Path, item: Item) -> str:
    with (folder / "begun").open("a") as file:
        file.write(f"{item.name}\n")
    if item.name.startswith("deadly") and (item.name != "deadly once" or begun(folder).count(item.name) == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if item.name == "wrong":
        raise RunError("nothing can be done here: go elsewhere")
    if item.memory:
        (folder / item.name).touch()
        time.sleep(0.3)
        assert len(list(folder.glob("big*"))) == 1, "both at once"
        (folder / item.name).unlink()
    return f"{item.name} {os.environ.get('OMP_NUM_THREADS')}"


def begun(folder: Path) -> list[str]:
    return (folder / "begun").read_text().splitlines() if (folder / "begun").exists() else []


def run(executor: Executor, folder: Path, *items: Item) -> dict[int, str | Failure]:
    return dict(executor.run(note, items, setup=partial(begin, folder)))


@pytest.mark.parametrize("executor", EXECUTORS, ids=["here", "processes"])
def test_every_item_is_done_once_on_the_state_of_its_worker(executor: Executor, tmp_path: Path) -> None:
    results = run(executor, tmp_path, *(Item(str(k)) for k in range(5)))
    threads = "1" if isinstance(executor, Processes) else os.environ.get("OMP_NUM_THREADS")
    assert results == {k: f"{k} {threads}" for k in range(5)}
    states = (tmp_path / "states").read_text().split()
    assert len(states) == len(set(states)) <= (2 if isinstance(executor, Processes) else 1)
    assert not list(executor.run(note, [], setup=partial(begin, tmp_path)))
    assert len((tmp_path / "states").read_text().split()) == len(states), "nothing to do takes no state"


@pytest.mark.parametrize("executor", EXECUTORS, ids=["here", "processes"])
def test_what_a_task_or_the_setup_raises_is_raised_here(executor: Executor, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="go elsewhere") as caught:
        run(executor, tmp_path, Item("wrong"))
    if isinstance(executor, Processes):
        assert "in note" in caught.value.__notes__[0], "the trace came along"
    with pytest.raises(FileNotFoundError):
        run(executor, tmp_path / "nowhere", Item("0"))


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_killed_worker_is_replaced_and_its_item_tried_once_more(tmp_path: Path) -> None:
    results = run(Processes(2), tmp_path, Item("deadly"), Item("deadly once"), *(Item(str(k)) for k in range(3)))
    assert results[0] == Failure("was killed (SIGKILL)")
    assert [results[k] for k in range(1, 5)] == ["deadly once 1", "0 1", "1 1", "2 1"]
    assert sorted(begun(tmp_path)) == ["0", "1", "2", "deadly", "deadly", "deadly once", "deadly once"]


def test_the_longest_start_first_and_no_more_than_fit_into_the_memory(tmp_path: Path) -> None:
    run(Processes(1), tmp_path, Item("short", seconds=1), Item("none"), Item("long", seconds=9), Item("same", seconds=9))
    assert begun(tmp_path) == ["long", "same", "short", "none"]
    folder = tmp_path / "memory"
    folder.mkdir()
    items = [Item("big 1", memory=60), Item("small"), Item("big 2", memory=600)]
    assert not any(isinstance(one, Failure) for one in run(Processes(2, memory=100), folder, *items).values())
