"""Independent items of work, done here or in worker processes of which any may die at any time.

Whatever runs a task sees the same three things: a free function, a `setup` that builds once a worker what the function needs
(nets), and the items. What travels to a worker is pickled and holds names, paths and hashes, never nets; so a cluster can be
a third kind of executor.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from typing import Any, Protocol, TypeVar, runtime_checkable

from faceenc.runs.processes import Death, Orders, Raised, Worker, dismiss, hire

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_PATIENCE = 5.0  # seconds that a process has from closing its line to its end
_GRACE = 1.0  # seconds that a process has to end in good order before it is killed
_TRIES = 2


@dataclass(frozen=True, slots=True)
class Failure:
    """Instead of a result: why the item has none, as what became of its worker ("was killed (SIGKILL)")."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@runtime_checkable
class Sized(Protocol):
    """An item that declares what it needs: seconds (only compared with other items') and bytes of memory, estimated."""

    @property
    def seconds(self) -> float: ...

    @property
    def memory(self) -> float: ...


class Executor(Protocol):
    """Where work is done."""

    def run(
        self,
        task: Callable[[Any, _Item], _Result],
        items: Sequence[_Item],
        *,
        setup: Callable[[], Any] | None = None,
    ) -> Generator[tuple[int, _Result | Failure]]:
        """`task(state, item)` of every item, as they get ready, each with the item's number.

        Args:
            task: a free function.
            items: what to do; those that are `Sized` declare what they need.
            setup: builds the state, once a worker and not at all without items; without it the state is None.

        Raises:
            Exception: what `setup` or a task raised. Only a worker's death is a `Failure`.
        """
        ...


class InProcess:
    """This process does all of it, in the items' order."""

    def run(
        self,
        task: Callable[[Any, _Item], _Result],
        items: Sequence[_Item],
        *,
        setup: Callable[[], Any] | None = None,
    ) -> Generator[tuple[int, _Result | Failure]]:
        """As of `Executor`."""
        if items:
            state = setup() if setup is not None else None
            yield from ((number, task(state, item)) for number, item in enumerate(items))


@dataclass(frozen=True, slots=True)
class Processes:
    """Worker processes of one thread each; `task`, `setup`, items and results are picklable.

    The longest items start first. An item whose worker dies is tried once more in another. The processes do not see Ctrl-C,
    the parent does; they are killed when the generator is closed, and do not outlive the parent.

    Attributes:
        jobs: how many processes there are at most.
        memory: bytes that the items under way may need together; a single one may need more. None is the machine's.
    """

    jobs: int
    memory: float | None = None

    def run(
        self,
        task: Callable[[Any, _Item], _Result],
        items: Sequence[_Item],
        *,
        setup: Callable[[], Any] | None = None,
    ) -> Generator[tuple[int, _Result | Failure]]:
        """As of `Executor`."""
        with closing(_Crew(task, items, setup, self.memory or machine_memory())) as crew:
            yield from crew.work(min(self.jobs, len(items)))


def machine_memory() -> float:
    """Bytes of this machine's memory; infinite where the system does not say."""
    with suppress(AttributeError, ValueError, OSError):
        if (size := os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) > 0:
            return float(size)
    return float("inf")


class _Crew:
    """Workers, and the items that wait for one."""

    def __init__(
        self, task: Callable[[Any, Any], Any], items: Sequence[Any], setup: Callable[[], Any] | None, memory: float
    ) -> None:
        self.orders, self.items, self.memory = Orders(task, setup), items, memory
        self.workers: dict[Connection, Worker] = {}
        self.waiting = sorted(range(len(items)), key=lambda number: -_seconds(items[number]))
        self.tries = [0] * len(items)

    def close(self) -> None:
        for worker in self.workers.values():
            worker.process.terminate()
        for line in list(self.workers):
            dismiss(self.workers.pop(line), line, patience=_GRACE)

    def work(self, jobs: int) -> Generator[tuple[int, Any]]:
        for _ in range(jobs):
            hire(self.workers, self.orders)
        death = Death(None)
        while self.waiting or self._under_way():
            if not self.workers:  # none lives long enough to begin
                yield from ((number, Failure(str(death))) for number in sorted(self.waiting))
                return
            heard = connection.wait(list(self.workers))
            for line, worker in [(line, worker) for line, worker in self.workers.items() if line in heard]:
                number, worker.item = worker.item, None
                try:
                    reply = line.recv()
                except (EOFError, OSError):
                    death = self._bury(line, worker)
                    if number is not None and self.tries[number] < _TRIES:
                        self.waiting.insert(0, number)
                        number = None
                    reply = Failure(str(death))
                    if worker.ready and self.waiting:
                        hire(self.workers, self.orders)
                if isinstance(reply, Raised):
                    raise reply.error
                worker.ready = True
                self._assign()
                if number is not None:
                    yield number, reply

    def _under_way(self) -> list[int]:
        return [worker.item for worker in self.workers.values() if worker.item is not None]

    def _bury(self, line: Connection, worker: Worker) -> Death:
        del self.workers[line]
        return Death(dismiss(worker, line, patience=_PATIENCE))

    def _assign(self) -> None:
        """Give whoever is idle the first item that fits into the memory beside those under way."""
        for line, worker in self.workers.items():
            if worker.ready and worker.item is None:
                busy = self._under_way()
                free = self.memory - sum(_memory(self.items[number]) for number in busy)
                fitting = (number for number in self.waiting if not busy or _memory(self.items[number]) <= free)
                worker.item = next(fitting, None)
                if worker.item is not None:
                    self.waiting.remove(worker.item)
                    self.tries[worker.item] += 1
                    with suppress(OSError):  # it is dead: the next poll of its line says so
                        line.send(self.items[worker.item])


def _seconds(item: object) -> float:
    return item.seconds if isinstance(item, Sized) else 0.0


def _memory(item: object) -> float:
    return item.memory if isinstance(item, Sized) else 0.0
