"""Worker processes, of which any may die at any time.

`concurrent.futures` gives up all of its processes and all pending work when one is killed, and leaves them waiting for ever
when their parent is. Here the one item is lost, a new process takes the place, and nobody outlives the parent.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from faceenc.core import order_sums


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
class Raised:
    """Instead of a result: what the setup or the task raised."""

    error: Exception


@dataclass(slots=True)
class Worker:
    """A process, the number of the item that it is at work on, and whether it has been set up."""

    process: multiprocessing.process.BaseProcess
    item: int | None = None
    ready: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """Before a result: what the task says of how far it is."""

    what: Any


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Instead of an item, while one is under way: nobody wants its result any more."""


class GivenUpError(Exception):
    """Raised in a task that tells how far it is, when nobody wants its result any more."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What a worker is to do.

    Attributes:
        task: `task(state, item)`, or with `tells` `task(state, item, tell)`, where `tell(anything)` says how far it is.
        setup: makes the state.
        tells: see `task`.
    """

    task: Callable[..., Any]
    setup: Callable[[], Any] | None
    tells: bool = False


def hire(workers: dict[Connection, Worker], orders: Orders) -> None:
    """Start a process anew ("spawn": torch and MediaPipe do not survive a fork), and send it its orders."""
    context = multiprocessing.get_context("spawn")
    with _interrupts_held():
        ours: Any  # of another class on Windows
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs,), daemon=True)
        process.start()
        theirs.close()  # or its end would not be noticed
        workers[ours] = Worker(process)
    with suppress(OSError):  # it is dead: the next poll of its line says so
        ours.send(orders)


def dismiss(worker: Worker, line: Connection, *, patience: float) -> int | None:
    """Ends a process, if it has not ended by itself after `patience` seconds, and returns its exit code."""
    line.close()
    worker.process.join(patience)
    worker.process.kill()
    worker.process.join()
    return worker.process.exitcode


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait, lest a process be started by half; one that is started meanwhile never sees Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():  # which alone is interrupted
        yield
        return
    pressed: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    held = [number for number, handler in handlers.items() if callable(handler)]  # others end, or ignore, as they do
    for number in held:
        signal.signal(number, lambda number, _: pressed.append(number))
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
        for number in held:
            signal.signal(number, handlers[number])
    for one in pressed:
        signal.raise_signal(one)


def _serve(line: Connection) -> None:
    """The life of a process: a word that it is ready, and an answer for each item, until it is ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # In good order: multiprocessing complains of semaphores, such as tqdm's, that a killed process leaves.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    order_sums()
    os.environ["OMP_NUM_THREADS"] = "1"  # before the orders load torch; teams of threads side by side wait for one another
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent is dead
        orders: Orders = line.recv()
        tell = [partial(_tell, line)] if orders.tells else []
        if "torch" in sys.modules:  # the main module may have loaded it before
            sys.modules["torch"].set_num_threads(1)
        state = _attempt(orders.setup) if orders.setup is not None else None
        answer = state if isinstance(state, Raised) else None
        while True:
            line.send(answer)
            item = line.recv()
            while isinstance(item, GiveUp):  # too late: the item was done
                item = line.recv()
            answer = _attempt(orders.task, state, item, *tell)


def _tell(line: Connection, what: Any) -> None:
    line.send(Told(what))
    if line.poll():  # while an item is under way nothing else comes
        line.recv()
        raise GivenUpError("nobody wants the result any more")


def _attempt(function: Callable[..., Any], *words: Any) -> Any:
    """What the function returns, or what it raised."""
    try:
        return function(*words)
    except Exception as error:
        return Raised(_portable(error))


def _portable(error: Exception) -> Exception:
    """The error, or one that says the same where it cannot travel; its notes hold the trace."""
    error.add_note("".join(traceback.format_exception(error)).rstrip())
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
