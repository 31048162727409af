"""Ctrl-C and SIGTERM, one way to stop: what is open is closed, a line says how to go on, the exit code says which it was."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_asked: list[int] = []  # the signals that asked this command to stop


@contextmanager
def stoppable() -> Iterator[None]:
    """In the block SIGTERM is what Ctrl-C is: a `KeyboardInterrupt`. A second one does not disturb the cleaning up.

    Nothing changes where the signal is ignored, as by nohup, or a program that calls us handles it itself.
    """
    alone = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if not alone:
        yield
        return
    _asked.clear()
    signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _asked.clear()


def terminated() -> bool:
    """Whether SIGTERM came."""
    return bool(_asked)


def stop_code() -> int:
    """The exit code of a command that was stopped: 143 after SIGTERM, 130 after Ctrl-C."""
    return 128 + (_asked[0] if _asked else signal.SIGINT)


def _stop(number: int, _: FrameType | None) -> None:
    _asked.append(number)
    if len(_asked) == 1:
        raise KeyboardInterrupt
