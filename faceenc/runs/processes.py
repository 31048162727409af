"""Work shared among processes of which any may die at any time.

`concurrent.futures` gives up all of its processes and all pending work when one is killed, and leaves them waiting for ever
when their parent is. Here the one item is lost, a new process takes the place, and nobody outlives the parent.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, resource_tracker
from multiprocessing.connection import Connection
from typing import Any, TypeVar

_Item = TypeVar("_Item")

_Result = TypeVar("_Result")

_PATIENCE = 5.0  # seconds that a process has from closing its line to its end


@dataclass(frozen=True, slots=True)
class Death:
    """Instead of a result: the process died over the item, with this exit code (-N: killed by signal N)."""

    exit_code: int | None

    def __str__(self) -> str:
        if self.exit_code is not None and self.exit_code < 0:
            with suppress(ValueError):
                return f"was killed ({signal.Signals(-self.exit_code).name})"
        return f"ended with exit code {self.exit_code}"


@dataclass(frozen=True, slots=True)
class _Failure:
    error: Exception


@dataclass(slots=True)
class _Worker:
    process: multiprocessing.process.BaseProcess
    item: int | None = None  # what it is at work on
    ready: bool = False


def each_in_processes(
    function: Callable[[_Item], _Result],
    items: Sequence[_Item],
    *,
    jobs: int,
    initializer: Callable[[], object] | None = None,
) -> Generator[tuple[int, _Result | Death]]:
    """`function` of every item, as they get ready, each with the item's number.

    Processes are started anew ("spawn": torch and MediaPipe do not survive a fork) and killed when the generator is closed.
    They do not see Ctrl-C, the parent does.

    Args:
        function: picklable; should catch its errors, for one that it lets out is a death.
        items: picklable.
        jobs: how many processes there are at most.
        initializer: picklable; called once in each process.

    Raises:
        Exception: what `initializer` raised.
    """
    crew: dict[Connection, _Worker] = {}
    waiting = deque(range(len(items)))
    try:
        for _ in range(min(jobs, len(items))):
            _hire(crew, function, initializer)
        death = Death(None)
        while waiting or any(worker.item is not None for worker in crew.values()):
            if not crew:  # none lives long enough to begin
                yield from ((number, death) for number in waiting)
                return
            heard = connection.wait(list(crew))
            for line, worker in [(line, worker) for line, worker in crew.items() if line in heard]:
                done = worker.item
                try:
                    reply = line.recv()
                except (EOFError, OSError):
                    reply = death = Death(_dismiss(crew, line, patience=_PATIENCE))
                    if worker.ready and waiting:
                        _hire(crew, function, initializer)
                else:
                    if isinstance(reply, _Failure):
                        raise reply.error
                    _assign(line, worker, items, waiting)
                if done is not None:
                    yield done, reply
    finally:
        for line in list(crew):
            _dismiss(crew, line, patience=0)


def _hire(
    crew: dict[Connection, _Worker], function: Callable[[Any], object], initializer: Callable[[], object] | None
) -> None:
    context = multiprocessing.get_context("spawn")
    with _interrupts_held():
        ours: Any  # of another class on Windows
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, function, initializer), daemon=True)
        process.start()
        theirs.close()  # or its end would not be noticed
        crew[ours] = _Worker(process)


def _assign(line: Connection, worker: _Worker, items: Sequence[object], waiting: deque[int]) -> None:
    worker.ready = True
    worker.item = waiting.popleft() if waiting else None
    if worker.item is not None:
        with suppress(OSError):  # it is dead: the next poll of its line says so
            line.send(items[worker.item])


def _dismiss(crew: dict[Connection, _Worker], line: Connection, *, patience: float) -> int | None:
    """Ends a process, if it has not ended by itself after `patience` seconds, and returns its exit code."""
    process = crew.pop(line).process
    line.close()
    process.join(patience)
    process.kill()
    process.join()
    return process.exitcode


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits, lest a process be started by half; and one that is started meanwhile never sees it, nor says so."""
    if threading.current_thread() is not threading.main_thread():  # which alone is interrupted
        yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        if sys.platform == "win32":
            yield
        else:
            resource_tracker.ensure_running()  # when it starts, it lifts the block
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # is inherited
            try:
                yield
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)
    if pressed:
        signal.raise_signal(signal.SIGINT)


def _serve(line: Connection, function: Callable[[Any], object], initializer: Callable[[], object] | None) -> None:
    """The life of a process: an answer for each item, until it is ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent is dead
        try:
            if initializer is not None:
                initializer()
        except Exception as error:
            line.send(_Failure(error))
            return
        line.send(None)
        while True:
            line.send(function(line.recv()))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
