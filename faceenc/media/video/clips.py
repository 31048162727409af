"""Video files by PyAV, which knows what OpenCV does not hand out: times, colours, pixel aspect, what is damaged.

Convention
    A frame is an (H, W, 3) uint8 RGB array, upright and with square pixels, in BT.709's light where the clip has high
    dynamic range. Times are seconds from the beginning of the clip, picture and sound alike.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from faceenc.core import AssetError, DataError
from faceenc.media.video.colours import Colours, ToneMap
from faceenc.media.video.reading import readable

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.reformatter import VideoReformatter
    from numpy.typing import NDArray


logger = logging.getLogger(__name__)

# Named, for a playlist may point to other files, and FFmpeg draws text as the screen of a terminal.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,mxf,dv,nut,ivf,gif,h264,hevc,m4v,mjpeg,rm"
_DATED = ("mov", "matroska", "avi")  # formats whose duration is written down, not guessed from the size
_WHOLE = 0.98  # of the promised duration
_USUAL_RATE = Fraction(25)
_MOST_RATE = 1000


def has_pyav() -> bool:
    """Whether PyAV is installed."""
    try:
        import av  # noqa: F401
    except ImportError:
        return False
    return True


def need_pyav() -> None:
    """Nothing where PyAV is installed.

    Raises:
        AssetError: it is not.
    """
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise AssetError(f"videos need PyAV ({error}): pip install 'faceenc[video]'") from error


@dataclass(frozen=True, slots=True, eq=False)
class ClipFrame:
    """One decoded frame.

    Attributes:
        index: from 0.
        time: when it is shown, in seconds.
        duration: how long, in seconds; None where nothing says.
        decoded: as PyAV has it.
    """

    index: int
    time: Fraction
    duration: Fraction | None
    decoded: VideoFrame


class Clip:
    """A video file, from the first frame to the last. A context manager.

    Raises:
        AssetError: PyAV is not installed.
        DataError: no such file, an empty one, or no video.
    """

    def __init__(self, path: str | Path) -> None:
        need_pyav()
        import av

        self.path = readable(Path(path))
        self.damaged = 0  # packets that could not be decoded
        self._read_to = 0.0  # seconds of the file, of any of its streams
        self._size: tuple[int, int] | None = None
        self._tone: ToneMap | None = None
        self._scaler: VideoReformatter | None = None
        self._turn: NDArray[np.int32] | None = None
        # By a file object: FFmpeg would take what stands before a colon in "12:30.mp4" for a protocol.
        self._file = self.path.open("rb")
        try:
            self._container: InputContainer = av.open(
                self._file, "r", options={"format_whitelist": _FORMATS}, metadata_errors="replace"
            )
            pictures = [s for s in self._container.streams.video if not s.disposition & s.disposition.attached_pic]
            self._stream = pictures[0]
            if self._stream.codec_context is None:
                raise IndexError
        except (av.FFmpegError, OSError, ValueError, IndexError, MemoryError) as error:
            self._file.close()
            raise DataError(
                f"cannot read {path}: no video of a known format, or its end with the index is missing; "
                "use MP4, MOV, MKV, WebM or AVI, and copy the file anew if it should be one"
            ) from error
        self._stream.thread_type = "AUTO"
        self._start = Fraction(max(self._container.start_time or 0, 0), 1_000_000)

    @property
    def rate(self) -> Fraction:
        """Frames a second on average; at a variable rate no more than that."""
        for rate in (self._stream.average_rate, self._stream.guessed_rate):
            if rate and 0 < rate <= _MOST_RATE:
                return Fraction(rate)
        return _USUAL_RATE

    @property
    def steps(self) -> Fraction:
        """The smallest rate, in frames a second, that hits each frame's time."""
        rate = self._stream.base_rate
        return Fraction(rate) if rate and 0 < rate <= _MOST_RATE else self.rate

    @property
    def tick(self) -> Fraction:
        """Seconds: all times are multiples of it."""
        return Fraction(self._stream.time_base or 1 / self.rate)

    @property
    def colours(self) -> Colours:
        """What a copy of this clip is to be tagged with."""
        return Colours.of(self._stream.codec_context).writable()

    @property
    def promised(self) -> int | None:
        """Frames that the file says it holds, often an estimate; None if it does not say."""
        if self._stream.frames:
            return int(self._stream.frames)
        seconds = self._promised_seconds
        return None if seconds is None else round(seconds * float(self.rate))

    @property
    def complete(self) -> bool:
        """Once all frames are read: whether they are all that the file promised, and none was damaged."""
        seconds = self._promised_seconds
        return not self.damaged and (seconds is None or self._read_to + 2 / float(self.rate) >= _WHOLE * seconds)

    @property
    def left_out(self) -> list[str]:
        """What the file holds beside the picture and sound that a copy gets: "2 subtitles"."""
        kinds = [s.type for s in self._container.streams if s is not self._stream and s.type != "audio"]
        words = {"video": "pictures", "subtitle": "subtitles", "attachment": "attachments"}
        return [f"{kinds.count(kind)} {words[kind]}" for kind in words if kind in kinds]

    def __iter__(self) -> Iterator[ClipFrame]:
        import av

        index, last = 0, None
        for packet in self._packets():
            try:
                decoded = packet.decode() if packet is not None else self._stream.codec_context.decode(None)
            except av.FFmpegError:
                self.damaged += 1
                continue
            for frame in decoded:
                time = self._time(frame, last)
                duration = frame.duration * self.tick if frame.duration else None
                self._read_to = max(self._read_to, float(time + (duration or 0)))
                yield ClipFrame(index, time, duration, frame)
                index, last = index + 1, time

    def pixels(self, frame: ClipFrame) -> NDArray[np.uint8]:
        """A frame of this clip, (H, W, 3) uint8 RGB, upright; all have the size of the first."""
        from av.video.reformatter import Interpolation
        from av.video.reformatter import VideoReformatter as Scaler

        decoded, colours = frame.decoded, Colours.of(frame.decoded)
        width, height = self._size = self._size or self._square(decoded)
        if self._scaler is None:
            # One for all frames, and the turn of the first one: a frame that is asked for these itself keeps threads and
            # memory until Python looks for circles.
            self._scaler, self._turn = Scaler(), _display_matrix(decoded)
        if colours.hdr:
            if self._tone is None:
                logger.warning("%s: high dynamic range becomes usual colours (BT.709)", self.path)
                self._tone = ToneMap(decoded)
            decoded, colours = self._tone(decoded), Colours.of(decoded).writable()
        picture = self._scaler.reformat(
            decoded, width, height, "rgb24",
            src_colorspace=colours.scaler(decoded.height), src_color_range=2 if colours.full else 1, dst_color_range=2,
            interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT,
        )  # fmt: skip
        return _upright(np.asarray(picture.to_ndarray(), np.uint8), self._turn)

    def close(self) -> None:
        """Frees the decoder; a second call does nothing."""
        self._container.close()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def _promised_seconds(self) -> float | None:
        dated = any(name in self._container.format.name.split(",") for name in _DATED)
        return self._container.duration / 1e6 if dated and self._container.duration else None

    def _packets(self) -> Iterator[Packet[Any] | None]:
        """Those of the picture; None, to empty the decoder, after a file that breaks off."""
        import av

        try:
            # All streams are read, since the file ends with the longest of them.
            for packet in self._container.demux():
                if packet.pts is not None and packet.time_base:
                    end = (packet.pts + (packet.duration or 0)) * packet.time_base - self._start
                    self._read_to = max(self._read_to, float(end))
                if packet.stream is self._stream:
                    yield packet
        except av.FFmpegError:
            self.damaged += 1
            yield None

    def _square(self, frame: VideoFrame) -> tuple[int, int]:
        """Width and height with square pixels: what is narrow gets wider, so that nothing is lost."""
        aspect = float(self._stream.sample_aspect_ratio or 1)
        if not 1 / 8 < aspect < 8:  # written by mistake
            aspect = 1.0
        return round(frame.width * max(aspect, 1.0)), round(frame.height / min(aspect, 1.0))

    def _time(self, frame: VideoFrame, last: Fraction | None) -> Fraction:
        stamp: int | None = frame.pts if frame.pts is not None else frame.dts
        if stamp is not None:
            time = stamp * self.tick - self._start
        else:
            time = Fraction(0) if last is None else last + 1 / self.rate
        return time if last is None or time > last else last + self.tick


def _display_matrix(frame: VideoFrame) -> NDArray[np.int32] | None:
    note = frame.side_data.get("DISPLAYMATRIX")
    return None if note is None else np.frombuffer(note, np.int32).copy()  # type: ignore[call-overload]  # a buffer, undeclared


def _upright(pixels: NDArray[np.uint8], turn: NDArray[np.int32] | None) -> NDArray[np.uint8]:
    """Turned and mirrored as a display matrix says: x' = a x + c y, y' = b x + d y."""
    if turn is None:
        return pixels
    a, b, _, c, d = turn[:5].tolist()
    across, down = (a, d) if abs(a) >= abs(b) else (c, b)
    if abs(a) < abs(b):
        pixels = pixels.transpose(1, 0, 2)
    return np.ascontiguousarray(pixels[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])
