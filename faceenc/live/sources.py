"""Frames in time: read in a thread of their own, the old ones dropped where nobody can wait for them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from faceenc.media import Camera, Clip, Video

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray

_USUAL_RATE = 25.0  # frames a second of a file that states none
_AHEAD = 4  # frames read in advance where none is dropped
_PATIENCE = 0.2  # seconds between two checks whether all shall end


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame.

    Attributes:
        index: in the source; gaps are dropped frames.
        pixels: (H, W, 3) uint8 RGB.
        taken: when it was there, as of `time.perf_counter`.
        seconds: that reading it took.
    """

    index: int
    pixels: NDArray[np.uint8]
    taken: float
    seconds: float


class Source(Protocol):
    """Frames one after the other; a camera, a file."""

    @property
    def rate(self) -> float:
        """Frames a second."""
        ...

    @property
    def complete(self) -> bool:
        """Once `read` has answered None: whether that was the end, and not a source that broke off."""
        ...

    def read(self) -> NDArray[np.uint8] | None:
        """The next frame, (H, W, 3) uint8 RGB; None at the end."""
        ...

    def close(self) -> None: ...


class FileSource:
    """The frames of a video file. One that is damaged beyond decoding is the one before again.

    Raises:
        DataError: as of `faceenc.media.Video`.
    """

    def __init__(self, path: Path) -> None:
        self._video = Video(path)
        self._last: NDArray[np.uint8] | None = None

    @property
    def rate(self) -> float:
        return self._video.rate or _USUAL_RATE

    @property
    def complete(self) -> bool:
        return self._video.complete

    def read(self) -> NDArray[np.uint8] | None:
        while self._video.grab():
            frame = self._video.retrieve()
            if frame is not None and self._last is not None and frame.shape != self._last.shape:
                frame = None  # files that change their size in the middle: nothing that is written could
            self._last = self._last if frame is None else frame
            if self._last is not None:
                return self._last
        return None

    def close(self) -> None:
        self._video.close()


class ClipSource:
    """The frames of a video file with their times, which `written_at` hands out in the frames' order.

    Raises:
        AssetError: as of `faceenc.media.Clip`, as is DataError.
    """

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self._frames = iter(clip)
        self._times: deque[tuple[Fraction, Fraction | None]] = deque()

    @property
    def rate(self) -> float:
        return float(self.clip.rate)

    @property
    def complete(self) -> bool:
        return self.clip.complete

    def read(self) -> NDArray[np.uint8] | None:
        frame = next(self._frames, None)
        if frame is None:
            return None
        self._times.append((frame.time, frame.duration))
        return self.clip.pixels(frame)

    def written_at(self) -> tuple[Fraction, Fraction | None]:
        """Time and duration, in seconds, of the oldest frame that was not asked for."""
        return self._times.popleft()

    def close(self) -> None:
        self.clip.close()


class Mirrored:
    """A source with left and right exchanged."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def rate(self) -> float:
        return self._source.rate

    @property
    def complete(self) -> bool:
        return self._source.complete

    def read(self) -> NDArray[np.uint8] | None:
        frame = self._source.read()
        return None if frame is None else np.ascontiguousarray(frame[:, ::-1])

    def close(self) -> None:
        self._source.close()


class LoopSource:
    """Frames in memory, over and over: a camera for measurements."""

    complete = True

    def __init__(self, frames: Sequence[NDArray[np.uint8]], *, rate: float) -> None:
        self._frames, self.rate = frames, rate
        self._count = 0

    def read(self) -> NDArray[np.uint8] | None:
        self._count += 1
        return self._frames[(self._count - 1) % len(self._frames)]

    def close(self) -> None:
        pass


def open_source(
    name: str, *, width: int | None = None, height: int | None = None, rate: float | None = None
) -> tuple[Source, bool]:
    """A camera's number, a stream's address or a file's path; and whether it is live, that is, waits for nobody.

    Args:
        name: "0", "rtsp://...", "clip.mp4".
        width: asked of a camera, as are height and rate.
        height: see `width`.
        rate: frames a second.

    Raises:
        DataError: it cannot be opened.
    """
    if name.isdecimal() and not Path(name).exists():
        return Camera(int(name), width=width, height=height, rate=rate), True
    if "://" in name:
        return Camera(name), True
    return FileSource(Path(name)), False


class Feed:
    """Reads a source in a thread. A context manager.

    Args:
        source: is closed with the feed.
        drop: of frames that nobody took in time only the newest is kept; else reading waits.
        pace: frames a second at most, for a file that plays as a camera; None reads as fast as it can.
        limit: frames to read, at most.
    """

    def __init__(self, source: Source, *, drop: bool, pace: float | None = None, limit: int | None = None) -> None:
        self.source = source
        self.dropped = 0
        self.broken = False  # the source ended before its end
        self._drop, self._pace, self._limit = drop, pace, limit
        self._frames: deque[Frame] = deque()
        self._change = threading.Condition()
        self._ended = self._stopped = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="faceenc-capture", daemon=True)

    def next(self) -> Frame | None:
        """The oldest frame that was not taken yet, waited for; None at the end.

        Raises:
            BaseException: what reading raised.
        """
        with self._change:
            while not self._frames and not self._ended:
                self._change.wait(_PATIENCE)
            if self._frames:
                frame = self._frames.popleft()
                self._change.notify_all()
                return frame
            if self._error is not None:
                raise self._error
            return None

    def stop(self) -> None:
        """No further frame is read; `next` answers None."""
        with self._change:
            self._stopped = self._ended = True
            self._frames.clear()
            self._change.notify_all()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        self._thread.join(timeout=5)  # a stream may hang in its network: then the process does not wait for it
        if not self._thread.is_alive():
            self.source.close()

    def _run(self) -> None:
        try:
            self._read_all()
        except BaseException as error:  # whatever it was, it is the taker's
            self._error = error
        finally:
            with self._change:
                self._ended = True
                self._change.notify_all()

    def _read_all(self) -> None:
        begun, index = time.perf_counter(), 0
        while not self._stopped and (self._limit is None or index < self._limit):
            start = time.perf_counter()
            pixels = self.source.read()
            if pixels is None:
                self.broken = not self._stopped and not self.source.complete
                return
            now = time.perf_counter()
            if self._pace is not None and (early := begun + index / self._pace - now) > 0:
                time.sleep(early)
            self._put(Frame(index, pixels, time.perf_counter(), now - start))
            index += 1

    def _put(self, frame: Frame) -> None:
        with self._change:
            if self._drop:
                self.dropped += len(self._frames)
                self._frames.clear()
            while len(self._frames) >= _AHEAD and not self._stopped:
                self._change.wait(_PATIENCE)
            if not self._stopped:
                self._frames.append(frame)
            self._change.notify_all()
