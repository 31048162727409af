"""Frames into video files and folders.

Convention
    As in `reading`: a frame is an (H, W, 3) uint8 RGB array; all frames of a file have the size of the first.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from faceenc.core import ConfigError, DataError, temporary_beside
from faceenc.media.photos.writing import write_png
from faceenc.media.video.colours import Colours
from faceenc.media.video.encoders import CONTAINERS, VISUALLY_LOSSLESS, Encoder, Timing, open_encoder

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray


class VideoFile:
    """A video file that appears in one piece when the block ends well, and not at all otherwise. A context manager.

    Without PyAV (the extra `video`) OpenCV writes it: MPEG-4 where it has no H.264, at an even rate, without sound.

    Args:
        path: its ending names the container: .mp4, .mov, .m4v, .mkv (H.264), .avi (Motion JPEG) or .webm (VP9).
        rate: frames a second; on average, where `write` is given times.
        tick: seconds that all times are multiples of; None is for an even rate.
        colours: how the file is to be written and tagged; by default as players take what does not say.
        sound: a file whose sound is laid under the pictures.
        whole: all of the sound, even where there are no pictures for it.
        factor: H.264's constant rate factor; larger is smaller and worse.
        overwrite: replace a file of that name.

    Raises:
        ConfigError: an ending of no known format.
        DataError: the file exists, or cannot be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        rate: float | Fraction,
        tick: Fraction | None = None,
        colours: Colours | None = None,
        sound: Path | None = None,
        whole: bool = False,
        factor: int = VISUALLY_LOSSLESS,
        overwrite: bool = True,
    ) -> None:
        if path.suffix.lower() not in CONTAINERS:
            raise ConfigError(f"{path}: no video format is known by the ending {path.suffix!r}; use {', '.join(CONTAINERS)}")
        if not path.parent.is_dir():
            raise DataError(f"cannot write {path}: there is no folder {path.parent}; make it first")
        if path.is_dir() or (not overwrite and os.path.lexists(path)):
            raise DataError(f"{path} exists already: choose another name, or give `overwrite` to replace it")
        self.path = path
        rate = Fraction(rate).limit_denominator(1001 * 60)
        self._timing = Timing(rate, tick or 1 / rate)
        self._colours, self._sound, self._whole, self._factor = colours or Colours(), sound, whole, factor
        self._stack = contextlib.ExitStack()
        self._temporary: Path | None = None
        self._writer: Encoder | None = None
        self._shape: tuple[int, ...] = ()
        self._count = 0

    def write(self, frame: NDArray[np.uint8], time: Fraction | None = None, duration: Fraction | None = None) -> None:
        """Appends one frame.

        Args:
            frame: of the first one's size.
            time: when it is shown, in seconds; None is the next moment of an even rate.
            duration: how long; matters for the last one alone.

        Raises:
            DataError: the encoder stopped, for a full disk, say.
            ValueError: another size than the first frame's.
        """
        if self._writer is None:
            self._shape = frame.shape
            with _in_one_line(self.path):
                # The ending stays: encoders choose the container by it.
                begun = temporary_beside(self.path, suffix=self.path.suffix.lower())
                self._temporary = self._stack.enter_context(begun)
                sizes = self._temporary, frame.shape, self._timing, self._factor
                self._writer = open_encoder(*sizes, self._colours, self._sound)
        if frame.shape != self._shape:
            raise ValueError(f"frames of this file are {self._shape}, got {frame.shape}")
        even = 1 / self._timing.rate
        with _in_one_line(self.path):
            self._writer.write(frame, self._count * even if time is None else time, duration or even)
        self._count += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._stack:
            if self._writer is not None and error is not None:
                self._writer.abandon()
            elif self._writer is not None:
                with _in_one_line(self.path):
                    self._writer.close(whole=self._whole)
                self._finish()

    def _finish(self) -> None:
        if self._temporary is None or not self._temporary.is_file() or not self._temporary.stat().st_size:
            raise DataError(f"cannot write {self.path}: the encoder wrote nothing; check the free space")
        try:
            os.replace(self._temporary, self.path)  # noqa: PTH105  # the documented atomic call
        except OSError as error:
            raise DataError(f"cannot write {self.path}: {error.strerror or error}; check the folder") from error


@contextlib.contextmanager
def _in_one_line(path: Path) -> Iterator[None]:
    """FFmpeg's errors and the system's, with what to do."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, OSError) and type(error).__module__ != "av.error":
            raise
        why = getattr(error, "strerror", None) or str(error)
        raise DataError(f"cannot write {path}: {why}; check the folder and the free space") from error


class PngFolder:
    """Each frame as FOLDER/000000.png and so on, without loss; the folder is made if missing."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"cannot make the folder {folder}: {error.strerror or error}; choose another") from error
        self.folder = folder
        self._count = 0

    def write(self, frame: NDArray[np.uint8]) -> None:
        write_png(self.folder / f"{self._count:06d}.png", frame)
        self._count += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass


def frames_to(path: Path, *, rate: float, sound: Path | None = None, overwrite: bool = True) -> VideoFile | PngFolder:
    """A folder of PNG files where the path has no ending or is a folder, else a video file."""
    if path.is_dir() or not path.suffix:
        return PngFolder(path)
    return VideoFile(path, rate=rate, sound=sound, overwrite=overwrite)
