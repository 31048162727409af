"""Frames of real video files, among them damaged and lying ones."""

from __future__ import annotations

import itertools
import logging
import os
import struct
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from faceenc.core import DataError
from faceenc.media import Video, count_frames

WIDTH, HEIGHT = 160, 96
_STEP = 30
TURNED = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


def write_clip(path: Path, frames: Iterable[NDArray[np.uint8]], *, codec: str = "mp4v", fps: float = 25) -> Path:
    """A video of (H, W, 3) uint8 RGB frames."""
    first = next(frames := iter(frames))
    size = (first.shape[1], first.shape[0])
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), fps, size)
    assert writer.isOpened()
    for frame in itertools.chain([first], frames):
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def rotated(clip: Path, degrees: int) -> Path:
    """The same MP4 with the note of a phone that was held otherwise: show it turned clockwise."""
    content = bytearray(clip.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40  # version 0: 4 bytes of flags, 36 of other fields
    assert struct.unpack_from(">9i", content, matrix) == (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    a, b, c, d = (value << 16 for value in TURNED[degrees])
    struct.pack_into(">9i", content, matrix, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    turned = clip.with_name(f"turned{degrees}.mp4")
    turned.write_bytes(content)
    return turned


def shades(count: int) -> list[NDArray[np.uint8]]:
    """Frames that carry their index as two digits to base 8, in shades of grey, and a light red upper left corner."""
    frames = []
    for index in range(count):
        frame = np.full((HEIGHT, WIDTH, 3), _STEP * (index % 8), np.uint8)
        frame[:, : WIDTH // 2] = _STEP * (index // 8)
        frame[:32, :32] = (250, 100, 60)
        frames.append(frame)
    return frames


def index_of(frame: NDArray[np.uint8] | None) -> int:
    """What `shades` wrote into the frame."""
    assert frame is not None
    assert frame.dtype == np.uint8
    eights, ones = (
        round(float(part.mean()) / _STEP) for part in (frame[40:, : WIDTH // 2 - 8], frame[40:, WIDTH // 2 + 8 :])
    )
    return 8 * eights + ones


def indices(path: Path) -> list[int]:
    """The frames' own numbers, read off their colour."""
    found = []
    with Video(path) as video:
        while video.grab():
            found.append(index_of(video.retrieve()))
    return found


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", shades(40))


@pytest.mark.parametrize("fps", [0.5, 12.5, 29.97, 240])
@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "mp4v"), ("avi", "MJPG"), ("mkv", "mp4v"), ("mov", "MJPG")])
def test_every_frame_in_order(suffix: str, codec: str, fps: float, tmp_path: Path) -> None:
    path = write_clip(tmp_path / f"a:b %03d ü.{suffix}", shades(20), codec=codec, fps=fps)
    assert indices(path) == list(range(20))
    assert count_frames(path) == 20


def test_skipping_lands_on_the_very_frame(clip: Path) -> None:
    with Video(clip) as video:
        assert video.index == -1
        for index in (0, 7, 8, 30):
            assert video.skip_to(index)
            frame = video.retrieve()
            assert frame is not None
            assert index_of(frame) == index
            np.testing.assert_allclose(frame[16, 16], (250, 100, 60), atol=12)
        assert not video.skip_to(5)
        assert not video.skip_to(40)
        assert video.index == 39


@pytest.mark.parametrize(("degrees", "corner"), [(90, (0, -1)), (180, (-1, -1)), (270, (-1, 0))])
def test_rotation_notes_are_applied_once(clip: Path, degrees: int, corner: tuple[int, int]) -> None:
    with Video(rotated(clip, degrees)) as video:
        assert video.grab()
        frame = video.retrieve()
    assert frame is not None
    assert frame.shape == ((HEIGHT, WIDTH, 3) if degrees == 180 else (WIDTH, HEIGHT, 3))
    bright = {(y, x) for y, x in itertools.product((0, -1), repeat=2) if frame[y, x, 0] > 200}
    assert bright == {corner}


@pytest.mark.parametrize("count", [0, 3, 45, 2**31 - 1])
def test_stated_frame_counts_are_not_believed(count: int, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.avi", shades(40), codec="MJPG")
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"avih") + 8 + 16, count)  # dwTotalFrames
    struct.pack_into("<I", content, content.index(b"strh") + 8 + 32, count)  # dwLength
    path.write_bytes(content)
    assert count_frames(path) == 40
    assert indices(path) == list(range(40))


def test_no_frame_rate_at_all(clip: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = bytearray(clip.read_bytes())
    table = content.index(b"stts")
    assert struct.unpack_from(">2I", content, table + 8) == (1, 40)
    struct.pack_into(">I", content, table + 16, 0)  # every frame lasts no time
    path = tmp_path / "timeless.mp4"
    path.write_bytes(content)
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) < 1
    assert count_frames(path) == 40
    assert not caplog.records


def test_variable_frame_rate_is_no_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_clip(tmp_path / "clip.mkv", shades(40))
    content = bytearray(path.read_bytes())
    field = content.index(b"\x23\xe3\x83\x84")  # DefaultDuration, 4 bytes of nanoseconds
    struct.pack_into(">I", content, field + 4, 10_000_000)  # 100 frames a second, of which most are left out
    path.write_bytes(content)
    with Video(path) as video:
        assert video.promised == 160
    assert count_frames(path) == 40
    assert not caplog.records


@pytest.mark.parametrize(("suffix", "codec"), [("avi", "MJPG"), ("mkv", "mp4v")])
def test_truncated_file_gives_what_is_there(
    suffix: str, codec: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_clip(tmp_path / f"clip.{suffix}", shades(40), codec=codec)
    assert count_frames(path) == 40
    assert not caplog.records
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    with caplog.at_level(logging.WARNING):
        count = count_frames(path)
    assert 10 < count < 35
    assert indices(path) == list(range(count))
    (record,) = caplog.records
    assert f"cut short or damaged: {count} frames can be read of about 40" in record.getMessage()


def test_progress_counts_up(clip: Path) -> None:
    calls: list[int] = []
    assert count_frames(clip, progress=calls.append) == 40
    assert calls == list(range(1, 41))


def test_files_that_are_no_video(clip: Path, tmp_path: Path) -> None:
    contents = {
        "empty.mp4": (b"", "is empty"),
        "text.mp4": (b"hello\n" * 100, "no video"),
        "text.txt": (b"hello\n" * 100, "no video"),
        "noise.avi": (np.random.default_rng(0).bytes(10_000), "no video"),
        "cut.mp4": (clip.read_bytes()[: clip.stat().st_size // 2], "index is missing"),
    }
    for name, (content, _) in contents.items():
        (tmp_path / name).write_bytes(content)
    parts = {name: part for name, (_, part) in contents.items()} | {"missing.mp4": "no such file", "": "directory"}
    for name, part in parts.items():
        with pytest.raises(DataError, match=part) as caught:
            count_frames(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_video_without_a_frame(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.avi", shades(4), codec="MJPG")
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"movi") + 4])
    with pytest.raises(DataError, match=r"cannot read .*clip\.avi"):
        count_frames(path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_name_that_is_not_utf8(clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "\udcff.mp4"
    try:
        path.write_bytes(clip.read_bytes())
    except OSError:
        pytest.skip("this file system has no such names")
    with pytest.raises(DataError, match="not valid UTF-8"):
        count_frames(path)


def test_damaged_files_leave_the_terminal_quiet(clip: Path, tmp_path: Path) -> None:
    content = bytearray(clip.read_bytes())
    middle = len(content) // 3
    content[middle : middle + 2000] = b"\x55" * 2000
    (tmp_path / "damaged.mp4").write_bytes(content)
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) // 2])
    script = """
import os, sys
from faceenc.media import Video, count_frames
from faceenc.core import DataError
print(count_frames(sys.argv[1]))
with Video(sys.argv[1]) as video:
    while video.grab():
        video.retrieve()
try:
    count_frames(sys.argv[2])
except DataError:
    print("refused", "OPENCV_FFMPEG_LOGLEVEL" in os.environ)
"""
    words = [sys.executable, "-c", script, str(tmp_path / "damaged.mp4"), str(tmp_path / "cut.mp4")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    (line,) = done.stderr.splitlines()
    assert "damaged.mp4 is cut short or damaged" in line
    assert done.stdout.split()[1:] == ["refused", "False"]
