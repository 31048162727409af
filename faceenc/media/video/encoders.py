"""Encoders of video: PyAV where it is installed, else what OpenCV carries."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from faceenc.core import DataError
from faceenc.media.video.clips import has_pyav
from faceenc.media.video.colours import JPEG, Colours
from faceenc.media.video.reading import quiet
from faceenc.media.video.sound import Sound

if TYPE_CHECKING:
    from av.video.stream import VideoStream
    from numpy.typing import NDArray


logger = logging.getLogger(__name__)

VISUALLY_LOSSLESS, USUAL = 18, 23  # H.264's constant rate factors
_MOST_TICKS = 1_000_000  # a second: finer times are of no use, and some containers do not take them


@dataclass(frozen=True)
class _Container:
    """What a file of some ending is.

    Attributes:
        format: FFmpeg's name.
        codec: FFmpeg's name of its encoder.
        opencv: the codecs that OpenCV is asked for, in turn.
        options: of the encoder.
    """

    format: str
    codec: str
    opencv: tuple[str, ...]
    options: dict[str, str]


_H264 = "libx264", ("avc1", "mp4v"), {"preset": "veryfast"}
CONTAINERS = {
    ".mp4": _Container("mp4", *_H264),
    ".m4v": _Container("ipod", *_H264),
    ".mov": _Container("mov", *_H264),
    ".mkv": _Container("matroska", *_H264),
    ".avi": _Container("avi", "mjpeg", ("MJPG",), {"qmin": "2", "qmax": "3"}),
    ".webm": _Container("webm", "libvpx-vp9", ("VP80",), {"deadline": "realtime", "cpu-used": "6", "row-mt": "1", "b": "0"}),
}


@dataclass(frozen=True)
class Timing:
    """When frames are shown.

    Attributes:
        rate: frames a second, on average.
        tick: seconds; times are multiples of it.
    """

    rate: Fraction
    tick: Fraction


class Encoder(Protocol):
    """Its errors are the system's and FFmpeg's."""

    def write(self, frame: NDArray[np.uint8], time: Fraction, duration: Fraction | None) -> None:
        """Appends an (H, W, 3) uint8 RGB frame, to be shown at so many seconds."""
        ...

    def close(self, *, whole: bool) -> None:
        """Completes the file; with the rest of the sound, or with as much as there are pictures for."""
        ...

    def abandon(self) -> None:
        """Lets go of the file as it is; also after an error."""
        ...


def open_encoder(
    path: Path, shape: tuple[int, ...], timing: Timing, factor: int, colours: Colours, sound: Path | None
) -> Encoder:
    """An encoder for the file's ending: H.264 where it can be had.

    Args:
        path: with an ending of `CONTAINERS`.
        shape: (height, width, 3) of the frames.
        timing: of the frames.
        factor: H.264's constant rate factor; for PyAV alone, as are times and colours.
        colours: how the file is to be written and tagged.
        sound: a file whose sound goes with it; for PyAV alone.

    Raises:
        DataError: no encoder starts.
    """
    if has_pyav():
        return _PyAv(path, shape, timing, factor, colours, sound)
    size = (shape[1], shape[0])
    for codec in CONTAINERS[path.suffix].opencv:
        if (writer := _cv2_writer(path, codec, size, float(timing.rate))) is not None:
            if sound is not None:
                logger.info("%s: no sound is kept without PyAV; pip install 'faceenc[video]'", sound)
            if codec == "mp4v":
                logger.info("no encoder for H.264 here: %s video instead; pip install 'faceenc[video]' brings one", codec)
            return _Cv2(writer)
    raise DataError(
        f"cannot write video as {path.suffix} ({size[0]} x {size[1]}): no encoder for it starts here; try .mp4 or .avi,"
        " and check the folder and the free space"
    )


class _PyAv:
    def __init__(
        self, path: Path, shape: tuple[int, ...], timing: Timing, factor: int, colours: Colours, sound: Path | None
    ) -> None:
        import av

        kind = CONTAINERS[path.suffix]
        if kind.codec == "mjpeg":  # AVI counts frames; it knows no times
            colours, timing = JPEG, Timing(timing.rate, 1 / timing.rate)
        self._colours = colours
        self._tick = max(timing.tick, Fraction(1, _MOST_TICKS))
        # Colours at half the resolution are what phones and browsers play, and want even sides.
        self._odd = (shape[0] % 2, shape[1] % 2)
        self._last = -1
        self._end = Fraction(0)
        self._sound: Sound | None = None
        self._stack = contextlib.ExitStack()
        with self._stack:
            # By a file object, as in `Clip`.
            file = self._stack.enter_context(path.open("wb"))
            self._output = self._stack.enter_context(av.open(file, "w", format=kind.format))
            options = kind.options if kind.codec == "mjpeg" else {**kind.options, "crf": str(factor)}
            stream = cast("VideoStream", self._output.add_stream(kind.codec, rate=timing.rate, options=options))
            stream.height, stream.width = (side + odd for side, odd in zip(shape, self._odd, strict=False))
            stream.pix_fmt = "yuvj420p" if kind.codec == "mjpeg" else "yuv420p"
            context = stream.codec_context
            context.time_base = self._tick
            context.color_range = 2 if colours.full else 1
            context.colorspace, context.color_trc = colours.matrix, colours.transfer
            context.color_primaries = colours.primaries
            self._stream = stream
            if sound is not None:
                self._sound = Sound(sound, self._output)
                self._stack.callback(self._sound.close)
            self._stack = self._stack.pop_all()

    def write(self, frame: NDArray[np.uint8], time: Fraction, duration: Fraction | None) -> None:
        import av
        from av.video.reformatter import Interpolation

        if any(self._odd):
            frame = np.pad(frame, ((0, self._odd[0]), (0, self._odd[1]), (0, 0)), mode="edge")
        picture = av.VideoFrame.from_ndarray(frame).reformat(
            format=self._stream.pix_fmt,
            dst_colorspace=self._colours.scaler(len(frame)), dst_color_range=2 if self._colours.full else 1,
            interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP,
        )  # fmt: skip
        picture.colorspace, picture.color_trc = self._colours.matrix, self._colours.transfer
        picture.color_primaries = self._colours.primaries
        self._last = picture.pts = max(round(time / self._tick), self._last + 1)
        picture.time_base = self._tick
        self._end = time + (duration or self._tick)
        if duration is not None:
            picture.duration = max(1, round(duration / self._tick))
        self._output.mux(self._stream.encode(picture))
        if self._sound is not None:
            self._sound.until(time)

    def close(self, *, whole: bool) -> None:
        with self._stack:
            self._output.mux(self._stream.encode(None))
            if self._sound is not None:
                self._sound.until(None if whole else self._end)
                self._sound.finish()

    def abandon(self) -> None:
        import av

        with contextlib.suppress(OSError, av.FFmpegError):
            self._stack.close()


class _Cv2:
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def write(self, frame: NDArray[np.uint8], time: Fraction, duration: Fraction | None) -> None:
        import cv2

        with quiet():
            self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))

    def close(self, *, whole: bool) -> None:
        self.abandon()

    def abandon(self) -> None:
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
