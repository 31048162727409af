"""What a video's numbers mean: matrix, range, transfer and primaries, and the way from high dynamic range to BT.709.

The numbers are those of ITU-T H.273, which containers, codecs and FFmpeg share; 2 is "not said".
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.codeccontext import VideoCodecContext


_BT709, _NOT_SAID, _BT601 = 1, 2, 6
_PQ, _HLG = 16, 18  # transfers of high dynamic range: SMPTE ST 2084, ARIB STD-B67
_HD = 720  # lines from which on players take a clip that does not say for BT.709, else for BT.601
# Matrices that FFmpeg's scaler knows, in its own numbers.
_SCALER = {_BT709: 1, 4: 4, 5: 5, _BT601: 5, 7: 7, 9: 9}
_FULL = 2


@dataclass(frozen=True, slots=True)
class Colours:
    """How the numbers of a clip are meant.

    Attributes:
        matrix: between RGB and luma with two differences.
        full: the numbers go from 0 to 255, not from 16 to 235.
        transfer: between light and numbers.
        primaries: the colours of red, green and blue.
    """

    matrix: int = _NOT_SAID
    full: bool = False
    transfer: int = _NOT_SAID
    primaries: int = _NOT_SAID

    @classmethod
    def of(cls, tagged: VideoFrame | VideoCodecContext) -> Colours:
        """Those that a decoded frame, or a stream, is tagged with."""
        full = tagged.color_range == _FULL or (tagged.format is not None and tagged.format.name.startswith("yuvj"))
        return cls(int(tagged.colorspace), full, int(tagged.color_trc), int(tagged.color_primaries))

    @property
    def hdr(self) -> bool:
        """Whether the light goes beyond what a usual screen shows."""
        return self.transfer in (_PQ, _HLG)

    def writable(self) -> Colours:
        """The same where 8 bits of YCbCr can hold it, else BT.709."""
        if self.hdr or self.matrix not in (*_SCALER, _NOT_SAID):
            return BT709
        return self

    def scaler(self, height: int) -> int:
        """The matrix in the numbers of FFmpeg's scaler; of a clip that does not say, the one that players take."""
        return _SCALER.get(self.matrix, _SCALER[_BT709 if height >= _HD else _BT601])


BT709 = Colours(_BT709, full=False, transfer=_BT709, primaries=_BT709)
JPEG = Colours(_BT601, full=True)  # what Motion JPEG is, whatever it says


class ToneMap:
    """High dynamic range to BT.709, by FFmpeg's perceptual mapping: highlights are pressed together, not cut off."""

    def __init__(self, frame: VideoFrame) -> None:
        from av.filter import Graph

        self._graph = Graph()
        source = self._graph.add(
            "buffer",
            f"width={frame.width}:height={frame.height}:pix_fmt={frame.format.name}:time_base=1/1"
            f":colorspace={int(frame.colorspace)}:range={int(frame.color_range)}",
        )
        how = "out_color_matrix=bt709:out_primaries=bt709:out_transfer=bt709:out_range=tv:intent=perceptual"
        mapping = self._graph.add("scale", f"{how}:flags=accurate_rnd")
        # 4:4:4, so that colours are not halved twice.
        steps = [source, mapping, self._graph.add("format", "yuv444p"), self._graph.add("buffersink")]
        for one, other in pairwise(steps):
            one.link_to(other)
        self._graph.configure()

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        from av import VideoFrame

        self._graph.push(frame)
        mapped = self._graph.pull()
        assert isinstance(mapped, VideoFrame)
        return mapped
