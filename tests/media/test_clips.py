"""Clips as cameras, phones and programs make them, through `Clip` and `VideoFile`: what a copy keeps."""

from __future__ import annotations

import gc
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from faceenc.core import DataError
from faceenc.media import Clip, VideoFile

RATE = Fraction(30)
PATCHES = np.array([(250, 20, 20), (20, 250, 20), (20, 20, 250), (128, 128, 128), (230, 230, 40), (255, 255, 255)], np.uint8)
# Names, and the numbers of ITU-T H.273 and of FFmpeg's scaler: HD, PAL, NTSC, a file that does not say (small: BT.601).
MATRICES = {"bt709": (1, 1), "bt470bg": (5, 5), "smpte170m": (6, 5), "unsaid": (2, 5)}


def card(height: int = 96, width: int = 192) -> NDArray[np.uint8]:
    """Six stripes of colour."""
    return np.repeat(np.repeat(PATCHES[None], height, 0), width // 6, 1)


def write_clip(
    path: Path,
    times: Sequence[Fraction],
    *,
    matrix: tuple[int, int] = (1, 1),
    full: bool = False,
    transfer: int = 2,
    aspect: Fraction = Fraction(1),
    size: tuple[int, int] = (96, 192),
    codec: str = "libx264",
    pixels: str = "yuv420p",
) -> Path:
    """The card at each time, coded as asked."""
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream(codec, rate=RATE, options={"crf": "4"} if codec == "libx264" else {})
        stream.height, stream.width, stream.pix_fmt = *size, pixels
        stream.sample_aspect_ratio = aspect
        context = stream.codec_context
        context.time_base = Fraction(1, 90_000)
        context.colorspace, context.color_range, context.color_trc = matrix[0], 2 if full else 1, transfer
        for time in times:
            frame = av.VideoFrame.from_ndarray(card(*size)).reformat(
                format=pixels, dst_colorspace=matrix[1], dst_color_range=2 if full else 1
            )
            frame.colorspace, frame.color_range, frame.color_trc = matrix[0], 2 if full else 1, transfer
            frame.pts, frame.time_base = round(time * 90_000), Fraction(1, 90_000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def copied(source: Path, copy: Path) -> bool:
    """The clip read and written; whether it was complete."""
    with Clip(source) as clip:
        rate = clip.steps if copy.suffix == ".avi" else clip.rate
        with VideoFile(copy, rate=rate, tick=clip.tick, colours=clip.colours) as out:
            for frame in clip:
                out.write(clip.pixels(frame), frame.time, frame.duration)
        return clip.complete


def tagged(path: Path) -> tuple[int, int, int, int]:
    """Matrix, range, transfer and primaries that a file names."""
    with av.open(str(path)) as file:
        context = file.streams.video[0].codec_context
        return context.colorspace, context.color_range, context.color_trc, context.color_primaries


def stripes(path: Path, matrix: int) -> NDArray[np.float64]:
    """The colours of the card, as a player with this matrix shows the clip's first frame."""
    with av.open(str(path)) as file:
        shown = next(file.decode(video=0)).reformat(format="rgb24", src_colorspace=matrix).to_ndarray()
    return np.array([shown[20:76, 32 * k + 10 : 32 * k + 22].mean((0, 1)) for k in range(6)])


def even(count: int) -> list[Fraction]:
    return [k / RATE for k in range(count)]


def times_of(path: Path) -> list[float]:
    with av.open(str(path)) as file:
        return [float(frame.time or 0) for frame in file.decode(video=0)]


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv", ".webm"])
def test_times_are_kept_at_a_variable_rate(ending: str, tmp_path: Path) -> None:
    times = [*even(15), *(Fraction(1, 2) + k / Fraction(10) for k in range(5)), Fraction(11, 10), Fraction(9, 5)]
    source = write_clip(tmp_path / "in.mp4", times)
    assert copied(source, tmp_path / f"out{ending}")
    np.testing.assert_allclose(times_of(tmp_path / f"out{ending}"), [float(time) for time in times], atol=0.001)


def test_avi_counts_frames_at_the_rate_that_hits_them(tmp_path: Path) -> None:
    times = [k / RATE for k in (0, 1, 2, 3, 6, 9, 10, 11)]
    copied(write_clip(tmp_path / "in.mp4", times), tmp_path / "out.avi")
    with av.open(str(tmp_path / "out.avi")) as file:
        shown = [float(p.pts * p.time_base) for p in file.demux(video=0) if p.size and p.pts is not None and p.time_base]
    np.testing.assert_allclose(shown, [float(time) for time in times], atol=0.001)


@pytest.mark.parametrize("full", [False, True], ids=["tv", "full"])
@pytest.mark.parametrize("name", MATRICES)
def test_colours_are_kept_and_tagged(name: str, full: bool, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", even(4), matrix=MATRICES[name], full=full)
    copied(source, tmp_path / "out.mp4")
    tags = [tagged(path) for path in (source, tmp_path / "out.mp4")]
    assert tags[0] == tags[1]
    assert tags[0][0] == MATRICES[name][0]
    shown = [stripes(path, MATRICES[name][1]) for path in (source, tmp_path / "out.mp4")]
    assert np.abs(shown[1] - shown[0]).max() <= 3
    assert np.abs(shown[1] - PATCHES).max() <= 5  # what a scaler rounds


def test_high_dynamic_range_becomes_bt709_and_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write_clip(tmp_path / "in.mkv", even(3), matrix=(9, 9), transfer=18, codec="ffv1", pixels="yuv420p10le")
    copied(source, tmp_path / "out.mp4")
    assert "high dynamic range becomes usual colours (BT.709)" in caplog.text
    assert tagged(tmp_path / "out.mp4") == (1, 1, 1, 1)
    with av.open(str(tmp_path / "out.mp4")) as file:
        shown = next(file.decode(video=0)).to_ndarray(format="rgb24").astype(float)
    grey, white = shown[40:56, 108:116].mean(), shown[40:56, 172:180].mean()
    # Half of HLG's signal is a twelfth of its light: 0.5 of the numbers here, give or take; its peak is white.
    assert 95 < grey < 150
    assert white > 245


def test_narrow_pixels_become_square_ones(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", even(3), aspect=Fraction(4, 3))
    copied(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as file:
        stream = file.streams.video[0]
        assert (stream.width, stream.height, stream.sample_aspect_ratio or 1) == (256, 96, 1)


@pytest.mark.parametrize(
    ("matrix", "turn"),
    [
        ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
        ((-1, 0, 0, -1), lambda p: np.rot90(p, 2)),
        ((0, -1, 1, 0), lambda p: np.rot90(p, 1)),
        ((-1, 0, 0, 1), np.fliplr),
    ],
    ids=["90", "180", "270", "mirrored"],
)
def test_turned_and_mirrored_clips_are_upright(matrix: tuple[int, ...], turn: Any, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mp4", even(2))
    content = bytearray(source.read_bytes())
    place = content.index(b"tkhd") + 44
    a, b, c, d = (value << 16 for value in matrix)
    struct.pack_into(">9i", content, place, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    source.write_bytes(content)
    with Clip(source) as clip:
        shown = clip.pixels(next(iter(clip)))
    assert np.abs(shown.astype(int) - turn(card())).mean() < 12  # stripes are soft at their edges


def test_what_is_cut_short_is_read_as_far_as_it_goes_and_said(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mkv", even(60), codec="mjpeg", pixels="yuvj420p")
    content = whole.read_bytes()
    (tmp_path / "short.mkv").write_bytes(content[: len(content) // 3])
    assert copied(whole, tmp_path / "a.mp4")
    assert not copied(tmp_path / "short.mkv", tmp_path / "b.mp4")
    assert 10 < len(times_of(tmp_path / "b.mp4")) < 25
    damaged = bytearray(content)
    damaged[len(content) // 2 : len(content) // 2 + 4000] = bytes(4000)
    (tmp_path / "damaged.mkv").write_bytes(damaged)
    assert not copied(tmp_path / "damaged.mkv", tmp_path / "c.mp4")
    # What comes after the damage is shown when it was.
    assert times_of(tmp_path / "c.mp4")[-1] == pytest.approx(59 / 30, abs=0.002)


@pytest.mark.parametrize(
    "name", ["9:41.mp4", "file:a.mp4", "-i.mp4", "%03d.mp4", "a\nb.mp4", "été\u2028.mp4", f"{240 * 'n'}.mp4"]
)
def test_any_name(name: str, tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", even(3)).rename(tmp_path / name)
    copied(tmp_path / name, tmp_path / f"2{name}")
    assert len(times_of(tmp_path / f"2{name}")) == 3


def test_no_video_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    (tmp_path / "text.mp4").write_text("no video at all\n" * 50)
    (tmp_path / "empty.mp4").touch()
    for name, why in (("list.m3u8", "no video"), ("text.mp4", "no video"), ("empty.mp4", "is empty"), ("no.mp4", "no such")):
        with pytest.raises(DataError, match=why) as caught:
            Clip(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts threads by /proc")
def test_frames_keep_no_threads(tmp_path: Path) -> None:
    """Each frame that scales itself has threads of its own, until Python looks for circles."""
    path = tmp_path / "clip.mp4"
    with VideoFile(path, rate=RATE) as file:
        for _ in range(30):
            file.write(card())

    def threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    gc.collect()
    gc.disable()
    try:
        with Clip(path) as clip:
            pictures = (clip.pixels(frame) for frame in clip)
            next(pictures)
            before = threads()
            assert sum(1 for _ in pictures) == 29
            assert threads() <= before
    finally:
        gc.enable()


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".mov", ".avi"])
def test_cut_anywhere_it_is_read_or_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"clip{suffix}"
    with VideoFile(path, rate=RATE) as file:
        for _ in range(3):
            file.write(card())
    data = path.read_bytes()
    for cut in range(1, len(data), max(1, len(data) // 40)):
        path.write_bytes(data[:cut])
        with suppress(DataError), Clip(path) as clip:
            for frame in clip:
                clip.pixels(frame)
