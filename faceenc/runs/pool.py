"""Worker processes that stay, with what `setup` built in them, for items that come one by one: what a server needs."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from faceenc.runs.executor import Failure
from faceenc.runs.processes import Death, GivenUpError, GiveUp, Orders, Raised, Told, Worker, dismiss, hire

_TRIES = 2
_LOOK = 0.5  # seconds between looks at a worker's memory
_PATIENCE = 1.0  # seconds that a process has from closing its line to its end
_PAUSE = 2.0  # seconds before a process takes the place of one that died before it was ready


class Handle:
    """An item that was handed in.

    `done(result)` is called once, in a thread of the pool, with what the task returned or raised, or with a `Failure` (its
    worker died twice, or it was cancelled); before that `told(what)` with whatever the task told.
    """

    def __init__(self, item: Any, done: Callable[[Any], None], told: Callable[[Any], None] | None) -> None:
        self.item, self.done, self.told = item, done, told
        self.tries = 0
        self.cancelled = False
        self.line: Connection | None = None  # of the worker that is at work on it


class Pool:
    """Resident workers of one thread each; items start in the order in which they were handed in.

    An item whose worker dies is tried once more in another. A worker that grows beyond the limit of memory is replaced:
    between two items, or, while it is at work, as if it had died.

    Args:
        task: `task(state, item, tell)`, a free function; `tell(anything)` says how far it is, and raises where the item was
            cancelled meanwhile.
        setup: builds the state, once a worker; what it raises is kept in `broken`.
        jobs: how many workers there are.
        memory: bytes that a worker may hold; None sets no limit. It is looked at on Linux only.
    """

    def __init__(
        self,
        task: Callable[[Any, Any, Callable[[Any], None]], Any],
        *,
        setup: Callable[[], Any],
        jobs: int,
        memory: float | None = None,
    ) -> None:
        self._orders, self._memory = Orders(task, setup, tells=True), memory
        self._waiting: deque[Handle] = deque()
        self._changed = threading.Condition()
        self._ready: set[int] = set()
        self._closed, self._closing = False, threading.Event()
        self.broken: Exception | None = None
        self.replaced = 0
        self._busy: set[Handle] = set()
        self._threads = [threading.Thread(target=self._employ, args=(number,), daemon=True) for number in range(jobs)]
        for thread in self._threads:
            thread.start()

    @property
    def ready(self) -> int:
        """Workers that are set up."""
        return len(self._ready)

    @property
    def waiting(self) -> int:
        """Items that no worker has begun."""
        return len(self._waiting)

    @property
    def busy(self) -> int:
        """Items under way."""
        return len(self._busy)

    def place(self, handle: Handle) -> int:
        """How many items stand before it; 0 as well once it is under way."""
        with self._changed:
            return self._waiting.index(handle) if handle in self._waiting else 0

    def submit(self, item: Any, done: Callable[[Any], None], told: Callable[[Any], None] | None = None) -> Handle:
        """Hand in an item; see `Handle`."""
        handle = Handle(item, done, told)
        with self._changed:
            self._waiting.append(handle)
            self._changed.notify()
        return handle

    def cancel(self, handle: Handle) -> None:
        """Nobody wants the result: an item that waits is dropped, one under way ends where it next tells something."""
        with self._changed:
            handle.cancelled = True
            waited = handle in self._waiting
            if waited:
                self._waiting.remove(handle)
            elif handle.line is not None:
                with suppress(OSError):
                    handle.line.send(GiveUp())
        if waited:
            handle.done(Failure("was cancelled"))

    def close(self, *, patience: float = 0.0) -> None:
        """Begin no more items, wait so many seconds for those under way, and end the workers."""
        deadline = time.monotonic() + patience
        with self._changed:
            dropped, self._closed = list(self._waiting), True
            self._waiting.clear()
            self._changed.notify_all()
        for handle in dropped:
            handle.done(Failure("was dropped: the work ends"))
        while self._busy and time.monotonic() < deadline:
            time.sleep(0.05)
        for handle in list(self._busy):
            self.cancel(handle)
        self._closing.set()
        for thread in self._threads:
            thread.join(2 * _PATIENCE + 1)

    def _employ(self, number: int) -> None:
        """The life of one place: a worker, and the next one whenever it ends."""
        while not self._closing.is_set():
            workers: dict[Connection, Worker] = {}
            hire(workers, self._orders)
            [(line, worker)] = workers.items()
            try:
                self._keep_busy(number, line, worker)
            finally:
                self._ready.discard(number)
                dismiss(worker, line, patience=_PATIENCE)
            self.replaced += not self._closing.is_set()

    def _keep_busy(self, number: int, line: Connection, worker: Worker) -> None:
        try:
            reply = self._hear(line, worker, None)
        except (EOFError, OSError):
            self._closing.wait(_PAUSE)  # or a machine that cannot start one would do nothing else
            return
        if isinstance(reply, Raised):
            self.broken = reply.error
            self._closing.wait(_PAUSE)
            return
        self.broken = None
        self._ready.add(number)
        while (handle := self._next(line)) is not None:
            try:
                reply = self._hear(line, worker, handle)
            except (EOFError, OSError):
                self._end(handle, Failure(str(Death(dismiss(worker, line, patience=_PATIENCE)))), lost=True)
                return
            self._end(handle, reply.error if isinstance(reply, Raised) else reply)
            if self._memory is not None and _resident(worker) > self._memory:
                return

    def _next(self, line: Connection) -> Handle | None:
        with self._changed:
            while not self._waiting:
                if self._closed or self._closing.is_set():
                    return None
                self._changed.wait(_LOOK)
                if line.poll():  # it died idle
                    return None
            handle = self._waiting.popleft()
            handle.tries += 1
            handle.line = line
            self._busy.add(handle)
            with suppress(OSError):  # it is dead, as the next poll of its line says; a cancel comes after the item
                line.send(handle.item)
            return handle

    def _hear(self, line: Connection, worker: Worker, handle: Handle | None) -> Any:
        """A worker's reply; what it tells before goes to the handle."""
        while True:
            while not line.poll(_LOOK):
                if self._closing.is_set():
                    raise EOFError
                if self._memory is not None and _resident(worker) > self._memory:
                    worker.process.kill()
            reply = line.recv()
            if not isinstance(reply, Told):
                return reply
            if handle is not None and handle.told is not None and not handle.cancelled:
                handle.told(reply.what)

    def _end(self, handle: Handle, reply: Any, *, lost: bool = False) -> None:
        with self._changed:
            handle.line = None
            self._busy.discard(handle)
            again = lost and handle.tries < _TRIES and not handle.cancelled and not self._closed
            if again:
                self._waiting.appendleft(handle)
                self._changed.notify()
        if not again:
            given_up = handle.cancelled or isinstance(reply, GivenUpError)
            handle.done(Failure("was cancelled") if given_up else reply)


def _resident(worker: Worker) -> float:
    """Bytes of memory that a process holds; 0 where the system does not say."""
    try:
        pages = int(Path(f"/proc/{worker.process.pid}/statm").read_text(encoding="ascii").split()[1])
        return float(pages * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, IndexError):
        return 0.0
