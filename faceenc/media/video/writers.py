"""Frames into video files and folders.

Convention
    As in `reading`: a frame is an (H, W, 3) uint8 RGB array; all frames of a file have the size of the first.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from faceenc.core import ConfigError, DataError
from faceenc.media.photos.writing import write_png
from faceenc.media.video.encoders import CODECS, VISUALLY_LOSSLESS, Encoder, add_sound, open_encoder

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray


class VideoFile:
    """A video file that appears in one piece when the block ends well, and not at all otherwise. A context manager.

    Args:
        path: its ending names the container: .mp4, .mov, .m4v, .mkv (H.264, or MPEG-4 where there is no encoder for it),
            .avi (Motion JPEG) or .webm (VP8).
        rate: frames a second.
        sound: a file whose sound is laid under the pictures, where the ffmpeg program is present.
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
        rate: float,
        sound: Path | None = None,
        factor: int = VISUALLY_LOSSLESS,
        overwrite: bool = True,
    ) -> None:
        if path.suffix.lower() not in CODECS:
            raise ConfigError(f"{path}: no video format is known by the ending {path.suffix!r}; use {', '.join(CODECS)}")
        if not path.parent.is_dir():
            raise DataError(f"cannot write {path}: there is no folder {path.parent}; make it first")
        if path.is_dir() or (not overwrite and os.path.lexists(path)):
            raise DataError(f"{path} exists already: choose another name, or give `overwrite` to replace it")
        self.path = path
        self._rate, self._sound, self._factor = rate, sound, factor
        # The ending stays: encoders choose the container by it.
        self._temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp{path.suffix.lower()}")
        self._writer: Encoder | None = None
        self._shape: tuple[int, ...] = ()
        self._count = 0

    def write(self, frame: NDArray[np.uint8]) -> None:
        """Appends one frame.

        Raises:
            DataError: the encoder stopped, for a full disk, say.
            ValueError: another size than the first frame's.
        """
        if self._writer is None:
            self._shape = frame.shape
            self._writer = open_encoder(self._temporary, frame.shape, self._rate, self._factor)
        if frame.shape != self._shape:
            raise ValueError(f"frames of this file are {self._shape}, got {frame.shape}")
        self._writer.write(frame)
        self._count += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if self._writer is not None:
                try:
                    self._writer.close()
                except DataError:
                    if error is None:
                        raise
                if error is None:
                    self._finish()
        finally:
            with contextlib.suppress(OSError):
                self._temporary.unlink()

    def _finish(self) -> None:
        if not self._temporary.is_file() or not self._temporary.stat().st_size:
            raise DataError(f"cannot write {self.path}: the encoder wrote nothing; check the free space")
        if self._sound is not None:
            add_sound(self._temporary, self._sound, seconds=self._count / self._rate)
        try:
            os.replace(self._temporary, self.path)  # noqa: PTH105  # the documented atomic call
        except OSError as error:
            raise DataError(f"cannot write {self.path}: {error.strerror or error}; check the folder") from error


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
