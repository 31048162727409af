"""The sound of a file, laid under the pictures of another as it is."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer, OutputContainer


logger = logging.getLogger(__name__)

# Encoded anew, where a container cannot hold a file's sound as it is, or players do not play it there.
_CODECS = {"webm": "libopus", "avi": "libmp3lame"}
_LAYOUTS = {1: "mono", 2: "stereo"}


class Sound:
    """All sound tracks of a file, muxed as the pictures come.

    Args:
        source: the file; one that is no video any more gives no sound.
        output: not yet begun.
    """

    def __init__(self, source: Path, output: OutputContainer) -> None:
        import av

        self._output = output
        self._file = source.open("rb")
        self._input: InputContainer = av.open(self._file, "r", metadata_errors="replace")
        self._start = Fraction(max(self._input.start_time or 0, 0), 1_000_000)
        self._tracks: dict[int, tuple[Any, bool]] = {}
        for track in self._input.streams.audio:
            codec = track.codec_context.name if track.codec_context else ""
            as_it_is = track.codec_context is not None and _holds(output, track.codec_context.codec.canonical_name)
            if as_it_is:
                stream: Any = output.add_stream_from_template(track)
            else:
                name = _CODECS.get(output.format.name, "aac")
                layout = _LAYOUTS.get(track.channels, track.layout.name)  # AVI and WAV know a number of channels alone
                stream = output.add_stream(name, rate=48_000 if name == "libopus" else track.rate, layout=layout)
                logger.info("%s: its sound, %s, is encoded anew as %s", source, codec, name)
            self._tracks[track.index] = stream, as_it_is
        self._packets = self._read()
        self._next = next(self._packets, None)

    def until(self, time: Fraction | None) -> None:
        """Writes what is heard before this many seconds; all that is left without one."""
        while self._next is not None and (time is None or self._time(self._next) < time):
            self._write(self._next)
            self._next = next(self._packets, None)

    def finish(self) -> None:
        """Empties the encoders."""
        for stream, as_it_is in self._tracks.values():
            if not as_it_is:
                self._output.mux(stream.encode(None))

    def close(self) -> None:
        self._input.close()
        self._file.close()

    def _read(self) -> Iterator[Packet[Any]]:
        import av

        try:
            for packet in self._input.demux(self._input.streams.audio) if self._tracks else ():
                # AVI would put the pictures off by what is before the beginning.
                if packet.dts is not None and (self._output.format.name != "avi" or self._time(packet) >= 0):
                    yield packet
        except av.FFmpegError:
            return  # a file that breaks off: its pictures say so

    def _time(self, packet: Packet[Any]) -> Fraction:
        return (packet.dts or 0) * Fraction(packet.time_base) - self._start

    def _write(self, packet: Packet[Any]) -> None:
        import av

        stream, as_it_is = self._tracks[packet.stream.index]
        back = round(self._start / Fraction(packet.time_base))
        if as_it_is:
            packet.pts = None if packet.pts is None else packet.pts - back
            packet.dts = None if packet.dts is None else packet.dts - back
            packet.stream = stream
            self._output.mux(packet)
            return
        try:
            frames = packet.decode()
        except av.FFmpegError:
            return  # a moment of silence
        for frame in frames:
            if frame.pts is not None:
                frame.pts -= back
            self._output.mux(stream.encode(frame))


def _holds(output: OutputContainer, codec: str) -> bool:
    """Whether the container takes this sound, and players play it there."""
    raw = codec.startswith("pcm_") and output.format.name in ("mp4", "ipod")
    return not raw and codec in output.supported_codecs
