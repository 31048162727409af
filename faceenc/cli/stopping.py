"""Ctrl-C and SIGTERM, one way to stop: what is open is closed, a line says how to go on, the exit code says which it was."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_asked: list[int] = []  # the signals that asked this command to stop
_USUAL: dict[signal.Signals, Any] = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}


@contextmanager
def stoppable() -> Iterator[None]:
    """In the block SIGTERM is what Ctrl-C is: a `KeyboardInterrupt`. A second one does not disturb the cleaning up.

    Nothing changes where a signal is ignored, as by nohup, or a program that calls us handles it itself.
    """
    alone = threading.current_thread() is threading.main_thread()
    ours = [number for number, usual in _USUAL.items() if alone and signal.getsignal(number) == usual]
    if not ours:
        yield
        return
    _asked.clear()
    for number in ours:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, _USUAL[number])
        _asked.clear()


def terminated() -> bool:
    """Whether SIGTERM came."""
    return signal.SIGTERM in _asked


def asked_to_stop() -> bool:
    """Whether a signal came: its `KeyboardInterrupt` may have become another error on its way through a library."""
    return bool(_asked)


def stop_if_asked() -> None:
    """Called where work goes on: raise again what somebody has taken for a failure of his own, and passed over."""
    if _asked and threading.current_thread() is threading.main_thread():
        raise KeyboardInterrupt


def stop_code() -> int:
    """The exit code of a command that was stopped: 143 after SIGTERM, 130 after Ctrl-C."""
    return 128 + (_asked[0] if _asked else signal.SIGINT)


def _stop(number: int, _: FrameType | None) -> None:
    _asked.append(number)
    if len(_asked) == 1:
        raise KeyboardInterrupt
