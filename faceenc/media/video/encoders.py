"""Encoders of video: the ffmpeg program where it is present, else what OpenCV carries."""

from __future__ import annotations

import contextlib
import logging
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from faceenc.core import DataError
from faceenc.media.video.reading import quiet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


logger = logging.getLogger(__name__)

# What OpenCV is asked for, in turn, by the file's ending.
CODECS = {
    ".mp4": ("avc1", "mp4v"),
    ".m4v": ("avc1", "mp4v"),
    ".mov": ("avc1", "mp4v"),
    ".mkv": ("avc1", "mp4v"),
    ".avi": ("MJPG",),
    ".webm": ("VP80",),
}
_H264 = (".mp4", ".m4v", ".mov", ".mkv")
VISUALLY_LOSSLESS, USUAL = 18, 23  # H.264's constant rate factors


class Encoder(Protocol):
    def write(self, frame: NDArray[np.uint8]) -> None:
        """Appends an (H, W, 3) uint8 RGB frame."""
        ...

    def close(self) -> None:
        """Completes the file."""
        ...


def open_encoder(path: Path, shape: tuple[int, ...], rate: float, factor: int) -> Encoder:
    """An encoder for the file's ending: H.264 where it can be had.

    Args:
        path: with an ending of `CODECS`.
        shape: (height, width, 3) of the frames.
        rate: frames a second.
        factor: H.264's constant rate factor; for ffmpeg alone.

    Raises:
        DataError: no encoder starts.
    """
    height, width = shape[:2]
    if path.suffix in _H264 and _has_x264():
        return _Ffmpeg(path, (width, height), rate, factor)
    for codec in CODECS[path.suffix]:
        if (writer := _cv2_writer(path, codec, (width, height), rate)) is not None:
            if path.suffix in _H264 and codec != "avc1":
                logger.info("no encoder for H.264 here: %s video instead; pip install 'faceenc[video]' brings one", codec)
            return _Cv2(writer)
    raise DataError(
        f"cannot write video as {path.suffix} ({width} x {height}): no encoder for it starts here; try .mp4 or .avi,"
        " and check the folder and the free space"
    )


def ffmpeg() -> str | None:
    """The path of the ffmpeg program, the system's or the one of the extra `video`; None where neither is installed."""
    if found := shutil.which("ffmpeg"):
        return found
    try:
        import imageio_ffmpeg
    except ImportError:
        return None
    with contextlib.suppress(RuntimeError):  # no binary for this platform
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    return None


@cache
def has_h264() -> bool:
    """Whether an encoder for H.264 is at hand."""
    if _has_x264():
        return True
    with tempfile.TemporaryDirectory() as folder:
        writer = _cv2_writer(Path(folder) / "try.mp4", "avc1", (64, 64), 25)
        if writer is not None:
            writer.release()
        return writer is not None


def add_sound(video: Path, source: Path, *, seconds: float) -> None:
    """Lays a file's sound, if it has any, under so many seconds of another's pictures, in place; says so if it cannot."""
    program = ffmpeg()
    if program is None:
        logger.info("%s: no sound is kept, for there is no ffmpeg program; pip install 'faceenc[video]'", source)
        return
    joined = video.with_name(f".{secrets.token_hex(4)}{video.name}")
    try:
        # As it is where the container can hold it, else encoded anew.
        for codec in ("copy", "aac", "libopus"):
            words: list[str | Path] = ["-i", video, "-i", source, "-map", "0:v", "-map", "1:a?", "-c:v", "copy"]
            words += ["-c:a", codec]
            done = subprocess.run(
                _command(program, [*words, "-t", f"{seconds:.6f}", joined]), capture_output=True, check=False
            )
            if done.returncode == 0:
                joined.replace(video)
                return
        logger.warning("%s: no sound is kept: %s", source, _last_line(done.stderr.decode(errors="replace")))
    finally:
        with contextlib.suppress(OSError):
            joined.unlink()


class _Ffmpeg:
    def __init__(self, path: Path, size: tuple[int, int], rate: float, factor: int) -> None:
        width, height = size
        # Colour at half the resolution is what every player shows, but wants even sides.
        pixels = "yuv444p" if width % 2 or height % 2 else "yuv420p"
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{rate:.6f}", "-i", "-"]
        coded: list[str | Path] = ["-c:v", "libx264", "-preset", "veryfast", "-crf", str(factor), "-pix_fmt", pixels, path]
        self._path = path
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the encoder
        program = ffmpeg() or "ffmpeg"
        self._process = subprocess.Popen(
            _command(program, [*raw, *coded]), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._complaints
        )

    def write(self, frame: NDArray[np.uint8]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(frame.tobytes())
        except OSError as error:
            self.close()
            raise DataError(f"cannot write {self._path}: the encoder stopped; check the free space") from error

    def close(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        code = self._process.wait()
        with self._complaints:
            self._complaints.seek(0)
            said = self._complaints.read().decode(errors="replace")
        if code:
            raise DataError(f"cannot write {self._path}: {_last_line(said)}; check the free space")


class _Cv2:
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def write(self, frame: NDArray[np.uint8]) -> None:
        import cv2

        with quiet():
            self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        with quiet():
            self._writer.release()


def _cv2_writer(path: Path, codec: str, size: tuple[int, int], rate: float) -> Any | None:
    """OpenCV's writer, or None if it does not know the codec."""
    import cv2

    with quiet(opening=True):
        writer = cv2.VideoWriter(str(path.absolute()), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), rate, size)
        if writer.isOpened():
            return writer
        writer.release()
        return None


@cache
def _has_x264() -> bool:
    program = ffmpeg()
    if program is None:
        return False
    listed = subprocess.run([program, "-hide_banner", "-encoders"], capture_output=True, text=True, check=False)
    return "libx264" in listed.stdout


def _command(program: str, words: Sequence[str | Path]) -> list[str]:
    return [program, "-hide_banner", "-loglevel", "error", "-nostdin", "-y", *map(str, words)]


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]
