"""Video files that are written, with real encoders."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from faceenc.core import AssetError, ConfigError, DataError
from faceenc.media import Clip, PngFolder, Video, VideoFile, frames_to, read_image
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


@pytest.mark.parametrize("pyav", [True, False], ids=["pyav", "opencv"])
@pytest.mark.parametrize("name", ["a b.mp4", "ü.mkv", "x.mov", "x.avi", "x.webm"])
def test_what_is_written_can_be_read(name: str, pyav: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not pyav:
        monkeypatch.setitem(sys.modules, "av", None)  # as where it is not installed
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


def test_odd_sides_become_even_for_phones_and_browsers(tmp_path: Path) -> None:
    with VideoFile(tmp_path / "odd.mp4", rate=25) as out:
        out.write(np.full((95, 161, 3), 90, np.uint8))
    (frame,) = read_frames(tmp_path / "odd.mp4")
    assert frame.shape == (96, 162, 3)
    assert np.abs(frame.astype(int) - 90).max() <= 3
    with av.open(str(tmp_path / "odd.mp4")) as file:
        assert (file.streams.video[0].codec_context.profile, file.streams.video[0].pix_fmt) == ("High", "yuv420p")


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
    with pytest.raises(DataError, match=r"cannot write") as caught, VideoFile(tmp_path / "flat.mp4", rate=25) as out:
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


def write_sound(path: Path, codec: str) -> Path:
    """A clip of ten black frames and 0.4 s of sound."""
    with av.open(str(path), "w") as file:
        pictures = file.add_stream("mpeg4", rate=25)
        pictures.width, pictures.height = 64, 64
        sound = file.add_stream(codec, rate=44_100, layout="mono")
        for k in range(10):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))
            frame.pts, frame.time_base = k, Fraction(1, 25)
            file.mux(pictures.encode(frame))
        tone = (8000 * np.sin(np.arange(17_640) * 0.06)).astype(np.int16)
        heard = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        heard.sample_rate, heard.pts, heard.time_base = 44_100, 0, Fraction(1, 44_100)
        file.mux(sound.encode(heard))
        file.mux(pictures.encode(None))
        file.mux(sound.encode(None))
    return path


def sound_of(path: Path) -> tuple[str, list[bytes], float]:
    """Codec, packets, and seconds of a file's first sound track."""
    with av.open(str(path)) as file:
        track = file.streams.audio[0]
        packets = [packet for packet in file.demux(track) if packet.dts is not None]
        seconds = sum(float((packet.duration or 0) * track.time_base) for packet in packets)
        return track.codec_context.name, [bytes(packet) for packet in packets], seconds


@pytest.mark.parametrize(
    ("source", "codec", "copy", "kept"),
    [
        ("a.mkv", "aac", "o.mp4", True),
        ("b.avi", "pcm_s16le", "o.mp4", False),  # browsers do not play raw sound in MP4
        ("b.avi", "pcm_s16le", "o.mov", True),
        ("c.mkv", "flac", "o.mkv", True),
        ("d.mkv", "aac", "o.webm", False),
    ],
)
def test_the_sound_of_a_file_is_kept(source: str, codec: str, copy: str, kept: bool, tmp_path: Path) -> None:
    write_sound(tmp_path / source, codec)
    with VideoFile(tmp_path / copy, rate=25, sound=tmp_path / source, whole=True) as out:
        for frame in shades():
            out.write(frame)
    before, after = sound_of(tmp_path / source), sound_of(tmp_path / copy)
    assert (before[:2] == after[:2]) is kept
    assert after[2] == pytest.approx(before[2], abs=0.06)
    assert len(read_frames(tmp_path / copy)) == 10


def test_sound_ends_with_pictures_that_were_stopped(tmp_path: Path) -> None:
    write_sound(tmp_path / "in.mkv", "aac")
    with VideoFile(tmp_path / "out.mp4", rate=25, sound=tmp_path / "in.mkv") as out:
        for frame in shades(3):
            out.write(frame)
    assert sound_of(tmp_path / "out.mp4")[2] == pytest.approx(0.12, abs=0.05)


def test_without_pyav_the_sound_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with caplog.at_level("INFO"), VideoFile(tmp_path / "out.avi", rate=25, sound=tmp_path / "in.avi") as out:
        out.write(shades()[0])
    assert "no sound is kept without PyAV" in caplog.text
    assert (tmp_path / "out.avi").is_file()
    with pytest.raises(AssetError, match=r"pip install 'faceenc\[video\]'"):
        Clip(tmp_path / "out.avi")


@pytest.mark.skipif(sys.platform != "linux", reason="a limit that only Linux has")
def test_a_full_disk_is_one_line_with_its_cause(tmp_path: Path) -> None:
    code = """
import resource, signal, sys
import numpy as np
from pathlib import Path
from faceenc.core import DataError
from faceenc.media import VideoFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
rng = np.random.default_rng(0)
try:
    with VideoFile(Path(sys.argv[1]), rate=25) as out:
        for _ in range(60):
            out.write(rng.integers(0, 255, (96, 160, 3), dtype=np.uint8))
except DataError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "o.mp4"], capture_output=True, text=True, check=False)
    assert "File too large; check the folder and the free space" in done.stdout, done.stderr
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
    assert not list(tmp_path.iterdir())
