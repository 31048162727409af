"""Video files that are written, with real encoders."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from faceenc.core import ConfigError, DataError
from faceenc.media import PngFolder, Video, VideoFile, ffmpeg, frames_to, read_image
from tests.live_clips import read_frames

SHAPE = (96, 160, 3)


def shades(count: int = 10, shape: tuple[int, ...] = SHAPE) -> list[NDArray[np.uint8]]:
    """Frames whose shade says which one it is, with a light corner."""
    frames = []
    for k in range(count):
        frame = np.full(shape, 20 * k, np.uint8)
        frame[:32, :32] = (250, 100, 60)
        frames.append(frame)
    return frames


@pytest.mark.parametrize("program", [True, False], ids=["ffmpeg", "opencv"])
@pytest.mark.parametrize("name", ["a b.mp4", "ü.mkv", "x.mov", "x.avi", "x.webm"])
def test_what_is_written_can_be_read(name: str, program: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not program:
        monkeypatch.setattr("faceenc.media.video.encoders._has_x264", lambda: False)
    else:
        assert ffmpeg(), "the extra `video` brings one"
    path = tmp_path / name
    with VideoFile(path, rate=12.5) as out:
        for frame in shades():
            out.write(frame)
        assert not path.exists()
    frames = read_frames(path)
    with Video(path) as video:
        assert video.rate == pytest.approx(12.5, abs=0.01)
    assert [frame.shape for frame in frames] == [SHAPE] * 10
    for k, frame in enumerate(frames):
        assert abs(float(frame[40:, 40:].mean()) - 20 * k) < 6
        assert np.abs(frame[4:28, 4:28].mean((0, 1)) - (250, 100, 60)).max() < 25
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_odd_sizes_are_kept(tmp_path: Path) -> None:
    with VideoFile(tmp_path / "odd.mp4", rate=25) as out:
        out.write(np.full((95, 161, 3), 90, np.uint8))
    frames = read_frames(tmp_path / "odd.mp4")
    assert frames[0].shape == (95, 161, 3)


def test_an_error_leaves_no_file_and_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with VideoFile(path, rate=25) as out:
            out.write(shades()[0])
            raise RuntimeError("interrupted by me")

    with pytest.raises(RuntimeError, match="by me"):
        interrupted()
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]


def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "taken.mp4").write_bytes(b"old")
    with pytest.raises(DataError, match=r"exists already.*`overwrite`"):
        VideoFile(tmp_path / "taken.mp4", rate=25, overwrite=False)
    with pytest.raises(DataError, match="there is no folder"):
        VideoFile(tmp_path / "missing" / "a.mp4", rate=25)
    with pytest.raises(ConfigError, match=r"ending '\.xyz'; use \.mp4"):
        frames_to(tmp_path / "a.xyz", rate=25)
    with VideoFile(tmp_path / "sizes.avi", rate=25) as out:
        out.write(shades()[0])
        with pytest.raises(ValueError, match="frames of this file"):
            out.write(shades(1, (50, 50, 3))[0])
    (tmp_path / "sizes.avi").unlink()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["taken.mp4"]


def test_a_size_that_no_encoder_takes_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot write") as caught, VideoFile(tmp_path / "flat.webm", rate=25) as out:
        out.write(np.zeros((1, 40_000, 3), np.uint8))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_pngs(tmp_path: Path) -> None:
    with frames_to(tmp_path / "shown", rate=25) as out:
        assert isinstance(out, PngFolder)
        for frame in shades(3):
            out.write(frame)
    for k, frame in enumerate(shades(3)):
        np.testing.assert_array_equal(read_image(tmp_path / "shown" / f"{k:06d}.png"), frame)


@pytest.mark.parametrize(("source", "codec"), [("a.mkv", "aac"), ("b.avi", "pcm_s16le"), ("c.mkv", "flac")])
def test_the_sound_of_a_file_is_kept(source: str, codec: str, tmp_path: Path) -> None:
    tone = ["-f", "lavfi", "-i", "sine=440:duration=0.4", "-f", "lavfi", "-i", "color=red:s=64x64:d=0.4:r=25"]
    program = ffmpeg()
    assert program
    words = [program, "-loglevel", "error", *tone, "-c:a", codec, "-c:v", "mpeg4", str(tmp_path / source)]
    subprocess.run(words, check=True)
    with VideoFile(tmp_path / "out.mp4", rate=25, sound=tmp_path / source) as out:
        for frame in shades():
            out.write(frame)
    printed = subprocess.run(
        [program, "-hide_banner", "-i", str(tmp_path / "out.mp4")], capture_output=True, text=True
    ).stderr
    assert [kind for kind in ("Video:", "Audio:") if kind in printed] == ["Video:", "Audio:"]
    assert len(read_frames(tmp_path / "out.mp4")) == 10


def test_without_the_program_the_sound_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("faceenc.media.video.encoders.ffmpeg", lambda: None)
    monkeypatch.setattr("faceenc.media.video.encoders._has_x264", lambda: False)
    with caplog.at_level("INFO"), VideoFile(tmp_path / "out.avi", rate=25, sound=tmp_path / "in.avi") as out:
        out.write(shades()[0])
    assert "there is no ffmpeg program" in caplog.text
    assert (tmp_path / "out.avi").is_file()
