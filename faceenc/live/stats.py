"""Figures of each frame, written as they come: a run of a day needs no more memory than one of a minute."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import time
from collections import deque
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from faceenc.core import ConfigError, DataError, atomic_file

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


STAGES = ("capture", "detect", "attack", "read", "show")
_FIELDS = ("frame", "faces", "hidden", "eps", "latency_ms", "dropped", *(f"{stage}_ms" for stage in STAGES))
_WINDOW = 30  # frames that the rate is taken over


class Meter:
    """The rate of the latest frames."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=_WINDOW)

    def tick(self) -> None:
        """A frame was shown now."""
        self._times.append(time.perf_counter())

    @property
    def fps(self) -> float:
        """Frames a second; 0 before the second frame."""
        if len(self._times) < 2 or self._times[-1] == self._times[0]:
            return 0.0
        return (len(self._times) - 1) / (self._times[-1] - self._times[0])


class StatsFile:
    """One row a frame, as JSON or CSV by the file's ending; appears in one piece at the end. A context manager.

    Raises:
        ConfigError: another ending.
        DataError: the folder is missing or not writable.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() not in (".json", ".csv"):
            raise ConfigError(f"`stats` {path}: the ending says how it is written; use .json or .csv")
        self.path = path
        self._stack = ExitStack()
        self._json = path.suffix.lower() == ".json"
        self._file: BinaryIO | None = None
        self._count = 0

    def write(self, row: dict[str, float]) -> None:
        """A frame's figures, by name."""
        assert self._file is not None
        if self._json:
            self._file.write((",\n" if self._count else "").encode() + json.dumps(row).encode())
        else:
            line = io.StringIO()
            csv.DictWriter(line, _FIELDS, lineterminator="\n").writerow(row)
            self._file.write(line.getvalue().encode())
        self._count += 1

    def __enter__(self) -> Self:
        try:
            self._file = self._stack.enter_context(atomic_file(self.path))
        except OSError as error:
            raise DataError(f"cannot write {self.path}: {error.strerror or error}; check the folder") from error
        self._file.write(b"[\n" if self._json else (",".join(_FIELDS) + "\n").encode())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # What was measured up to an error is worth keeping.
        if self._json and self._file is not None:
            with contextlib.suppress(OSError):
                self._file.write(b"\n]\n")
        self._stack.__exit__(None, None, None)
