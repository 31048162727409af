"""How far long work is: bars on a terminal, a line every half minute elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from faceenc.cli.stopping import stop_if_asked

if TYPE_CHECKING:
    from rich.console import Console

    from faceenc.core import Progress

INTERVAL = 30.0  # seconds between two lines


@contextmanager
def progress_bars(*, silent: bool = False, as_json: bool = False, interval: float = INTERVAL) -> Iterator[Progress]:
    """The time left of each kind of work, on standard error: bars on a terminal, lines elsewhere.

    Args:
        silent: no line at the beginning where there are no bars.
        as_json: lines of JSON go to standard output: no bars if both meet on a terminal.
        interval: seconds between two lines.
    """
    from rich.console import Console

    from faceenc.cli.logs import is_quiet

    console = Console(stderr=True)
    if is_quiet():
        yield lambda what, done, total: stop_if_asked()
    elif console.is_terminal and not (as_json and sys.stdout.isatty()):
        with _bars(console) as advance:
            yield advance
    else:
        with _Lines(silent, interval) as lines:
            yield lines


@contextmanager
def _bars(console: Console) -> Iterator[Progress]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    tasks: dict[str, TaskID] = {}
    columns = (TextColumn("{task.description:>12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("left"), TimeRemainingColumn())  # fmt: skip
    # What is printed meanwhile makes room for the bars, unless it goes to a file: rich would send it to the terminal.
    redirect = sys.stdout.isatty()
    with Progress(*columns, console=console, redirect_stdout=redirect) as bars:

        def advance(what: str, done: int, total: int) -> None:
            stop_if_asked()
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield advance


class _Work:
    """One kind of work."""

    def __init__(self, what: str, first: int) -> None:
        self.what = what
        self.first = first  # what was done when it began
        self.done = self.total = first
        self.began = time.monotonic()

    def __str__(self) -> str:
        worked = self.done - self.first
        left = (time.monotonic() - self.began) * (self.total - self.done) / worked if worked > 0 else None
        return f"{self.what}: {self.done} of {self.total}" + ("" if left is None else f", {_about(left)} left")


class _Lines:
    """Says what is begun, and at each interval how far it is, whether or not anything came on."""

    def __init__(self, silent: bool, interval: float) -> None:
        self._silent = silent
        self._interval = interval
        self._works: list[_Work] = []  # begun and not ended, the outer ones first
        self._said: set[str] = set()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._began = time.monotonic()

    def __enter__(self) -> _Lines:
        self._thread = threading.Thread(target=self._speak, name="faceenc-progress", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def __call__(self, what: str, done: int, total: int) -> None:
        stop_if_asked()
        with self._lock:
            work = next((work for work in self._works if work.what == what), None)
            if work is None or done < work.done:  # the same again, for the next of what is around it
                work = _Work(what, done)
                self._works = [*(one for one in self._works if one.what != what), work]
                if what not in self._said and not self._silent and done < total:
                    _info("%s: %s to do", what, f"{total - done} of {total}" if done else total)
                self._said.add(what)
            work.done, work.total = done, total
            if done >= total:
                self._works.remove(work)

    def _speak(self) -> None:
        while not self._ended.wait(self._interval):
            with self._lock:
                line = "; ".join(map(str, self._works))
            _info("%s", line or f"still at work, for {_about(time.monotonic() - self._began)}")


def _info(message: str, *values: object) -> None:
    import logging

    logging.getLogger(__name__).info(message, *values)


def _about(seconds: float) -> str:
    for unit, size in (("hour", 3600), ("minute", 60)):
        if seconds >= 1.5 * size:
            return f"about {seconds / size:.0f} {unit}s"
    return "about a minute" if seconds >= 45 else f"about {max(seconds, 1):.0f} seconds"
