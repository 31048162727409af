"""Workers that stay: what they tell, what they return, and what becomes of their items when they die or nobody waits."""

from __future__ import annotations

import os
import queue
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from faceenc.core import DataError
from faceenc.runs import Failure, Pool


def begin() -> int:
    return os.getpid()


def work(state: int, item: Any, tell: Callable[[Any], None]) -> Any:
    what, *rest = item
    if what == "pid":
        return state, os.getpid()
    if what == "count":
        for k in range(rest[0]):
            tell(k)
            time.sleep(0.01)
        return "counted"
    if what == "wrong":
        raise DataError("not this one: take another")
    if what == "grow":
        hoard = bytearray(rest[0])
        hoard[::4096] = b"x" * len(hoard[::4096])
        if rest[1]:
            time.sleep(30)
        return len(hoard)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    made = Pool(work, setup=begin, jobs=1, memory=400e6)
    yield made
    made.close()


def ask(pool: Pool, *item: Any, told: Callable[[Any], None] | None = None) -> Any:
    answers: queue.Queue[Any] = queue.Queue()
    pool.submit(item, answers.put, told)
    return answers.get(timeout=60)


def test_one_process_stays_and_tells_how_far_it_is(pool: Pool) -> None:
    state, pid = ask(pool, "pid")
    assert (state, ask(pool, "pid")[1]) == (pid, pid)
    told: list[int] = []
    assert ask(pool, "count", 4, told=told.append) == "counted"
    assert told == [0, 1, 2, 3]
    assert (pool.ready, pool.waiting, pool.busy) == (1, 0, 0)


def test_what_a_task_raises_comes_back_and_the_worker_stays(pool: Pool) -> None:
    pid = ask(pool, "pid")[1]
    error = ask(pool, "wrong")
    assert isinstance(error, DataError)
    assert str(error) == "not this one: take another"
    assert ask(pool, "pid")[1] == pid


def test_a_cancelled_item_frees_its_worker_or_never_begins(pool: Pool) -> None:
    answers: queue.Queue[tuple[str, Any]] = queue.Queue()
    begun: queue.Queue[Any] = queue.Queue()
    first = pool.submit(("count", 10_000), lambda result: answers.put(("first", result)), begun.put)
    second = pool.submit(("count", 1), lambda result: answers.put(("second", result)))
    begun.get(timeout=60)
    assert pool.place(second) == 0
    pool.cancel(second)
    assert answers.get(timeout=5) == ("second", Failure("was cancelled"))
    pool.cancel(first)
    assert answers.get(timeout=5) == ("first", Failure("was cancelled"))
    assert ask(pool, "count", 1) == "counted"


def test_a_killed_worker_is_replaced_and_its_item_tried_once_more(pool: Pool) -> None:
    pid = ask(pool, "pid")[1]
    replaced = pool.replaced
    told: queue.Queue[Any] = queue.Queue()
    answers: queue.Queue[Any] = queue.Queue()
    pool.submit(("count", 300), answers.put, told.put)
    told.get(timeout=60)
    os.kill(pid, signal.SIGKILL)
    assert answers.get(timeout=60) == "counted"
    assert ask(pool, "pid")[1] != pid
    assert pool.replaced == replaced + 1
    assert ask(pool, "deadly") == Failure("was killed (SIGKILL)")
    assert ask(pool, "count", 1) == "counted"


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="the system does not say what processes hold")
def test_a_worker_that_grows_is_replaced(pool: Pool) -> None:
    pid = ask(pool, "pid")[1]
    assert ask(pool, "grow", 500_000_000, True) == Failure("was killed (SIGKILL)")
    assert ask(pool, "pid")[1] != pid


def test_closing_drops_what_waits_and_lets_the_rest_finish() -> None:
    pool = Pool(work, setup=begin, jobs=1)
    answers: queue.Queue[Any] = queue.Queue()
    told: queue.Queue[Any] = queue.Queue()
    pool.submit(("count", 30), answers.put, told.put)
    pool.submit(("count", 30), answers.put)
    told.get(timeout=60)
    pool.close(patience=20)
    assert {str(answers.get(timeout=1)) for _ in range(2)} == {"counted", "was dropped: the work ends"}
