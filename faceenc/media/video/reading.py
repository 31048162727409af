"""Frames out of video files, by OpenCV.

Convention
    A frame is an (H, W, 3) uint8 RGB array, upright: the rotation that phones note in the file is applied, once.
    Frames are known by their index in decoding order, from 0. Neither the frame rate nor the frame count that a file
    states is trusted for that: both are often missing or wrong.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from faceenc.core import DataError, open_file

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    import cv2
    import numpy as np
    from cv2.typing import MatLike
    from numpy.typing import NDArray


logger = logging.getLogger(__name__)

_FFMPEG_LEVEL = "OPENCV_FFMPEG_LOGLEVEL"
_SILENT = "-8"  # FFmpeg's AV_LOG_QUIET
_MOST_RATE = 1000.0  # frames a second; files without a rate state absurd ones
WHOLE = 0.95  # of what a file promises; less is reported. Containers without a frame count are off by a few frames.


class Capture:
    """What OpenCV decodes, freed by `close` or at the end of a `with`."""

    _capture: cv2.VideoCapture

    def close(self) -> None:
        """Frees the decoder; a second call does nothing."""
        self._capture.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Video(Capture):
    """A video file, decoded from the first frame to the last. A context manager.

    There is no seeking: with many codecs OpenCV then lands on another frame than asked for. Skipped frames are decoded but
    not converted to RGB.

    The first `Video` of a process silences FFmpeg's own messages for good, unless OPENCV_FFMPEG_LOGLEVEL is set.

    Attributes:
        index: of the current frame; -1 before the first.

    Raises:
        DataError: no such file, an empty one, or no video.
    """

    def __init__(self, path: str | Path) -> None:
        import cv2

        self.index = -1
        self._elapsed = 0.0  # seconds
        # Absolute, for FFmpeg takes what stands before a colon in "12:30.mp4" for a protocol.
        filename = str(readable(Path(path)).absolute())
        with quiet(opening=True):
            # FFmpeg by name: others would take a name with digits for a series of pictures.
            self._capture = cv2.VideoCapture(filename, cv2.CAP_FFMPEG)
            self._capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
            codec = int(self._capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
        # FFmpeg draws text files as the screen of a terminal.
        if not self._capture.isOpened() or codec.to_bytes(4, "little") == b"ansi":
            self.close()
            raise DataError(
                f"cannot read {path}: no video of a known format, or its end with the index is missing; "
                "use MP4, MOV, MKV, WebM or AVI, and copy the file anew if it should be one"
            )

    @property
    def promised(self) -> int | None:
        """Frames that the file says it holds, often an estimate; None if it does not say."""
        import cv2

        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        return round(count) if math.isfinite(count) and count > 0 else None

    @property
    def rate(self) -> float | None:
        """Frames a second that the file states; None if it states none that can be."""
        import cv2

        rate = self._capture.get(cv2.CAP_PROP_FPS)
        return rate if math.isfinite(rate) and 0 < rate <= _MOST_RATE else None

    @property
    def complete(self) -> bool:
        """Whether the current frame may well be the last, by the count and the duration that the file promises."""
        import cv2

        if self.promised is None or self.index + 1 >= WHOLE * self.promised - 1:
            return True
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        if not (math.isfinite(rate) and rate > 0):
            return False
        # At a variable rate the count is an estimate, and may be twice too high, but the duration holds.
        return self._elapsed + 2 / rate >= WHOLE * self.promised / rate

    def grab(self) -> bool:
        """Goes on to the next frame; False at the end."""
        import cv2

        with quiet():
            grabbed = self._capture.grab()
        if grabbed:
            self.index += 1
            self._elapsed = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000  # after the last frame it may be 0 again
        return grabbed

    def skip_to(self, index: int) -> bool:
        """Goes on until `index` is the current frame; False if the video ends before, or is past it already."""
        while self.index < index and self.grab():
            pass
        return self.index == index

    def retrieve(self) -> NDArray[np.uint8] | None:
        """The current frame, (H, W, 3) uint8 RGB; None if it is damaged beyond decoding."""
        with quiet():
            found, frame = self._capture.retrieve()
        return to_rgb(frame) if found else None


def to_rgb(frame: MatLike) -> NDArray[np.uint8]:
    """OpenCV's BGR frame -> (H, W, 3) uint8 RGB."""
    import cv2
    import numpy as np

    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)


def count_frames(path: str | Path, *, progress: Callable[[int], None] | None = None) -> int:
    """Frames that can be decoded, at least one; a file that ends early is logged with one warning.

    Args:
        path: of the video.
        progress: is called with the frames counted so far, after each.

    Raises:
        DataError: as of `Video`, or not one frame.
    """
    with Video(path) as video:
        while video.grab():
            if progress is not None:
                progress(video.index + 1)
        count = video.index + 1
        if not count:
            raise DataError(f"cannot read {path}: not one frame of it can be decoded; copy it anew or convert it to MP4")
        if not video.complete:
            logger.warning(
                "%s is cut short or damaged: %d frames can be read of about %d; copy the file anew for the rest",
                path, count, video.promised,
            )  # fmt: skip
    return count


def readable(path: Path) -> Path:
    try:
        with open_file(path) as file:
            empty = not file.read(1)
        str(path.absolute()).encode()  # OpenCV crashes on a name that is not valid UTF-8
    except OSError as error:
        raise DataError(f"cannot read {path}: {(error.strerror or str(error)).lower()}; check the path") from error
    except UnicodeEncodeError as error:
        raise DataError(f"cannot read {str(path)!r}: its name is not valid UTF-8; rename the file") from error
    if empty:
        raise DataError(f"cannot read {path}: the file is empty; copy it anew")
    return path


@contextmanager
def quiet(*, opening: bool = False) -> Iterator[None]:
    """Keeps OpenCV and FFmpeg from writing to standard error about damaged files: what matters we say ourselves.

    Their own switches rather than a redirected file descriptor: FFmpeg decodes, and complains, in threads of its own. Its
    level is read from the environment when a process opens its first video.
    """
    import cv2

    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    ours = opening and _FFMPEG_LEVEL not in os.environ
    if ours:
        os.environ[_FFMPEG_LEVEL] = _SILENT
    try:
        yield
    finally:
        if ours:
            os.environ.pop(_FFMPEG_LEVEL, None)
        cv2.utils.logging.setLogLevel(level)
