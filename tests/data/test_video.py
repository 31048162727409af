"""Clips of the demo people moving over a background become folders of faces, with the real detector."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image

from faceenc.cli import Group, main
from faceenc.core import DataError
from faceenc.data import Clip, enlarge, extract_faces, load_folder, read_orl
from faceenc.media import read_image
from tests.media.test_video_reading import rotated, write_clip

WIDTH, HEIGHT = 480, 272
Placing = Callable[[float], list[tuple[str, int, int]]]  # time in [0, 1) -> pictures and where their centres lie


@pytest.fixture(scope="module")
def heads() -> dict[str, NDArray[np.uint8]]:
    """Heads of five people with some room around them, 158 x 138 pixels."""
    people = ("s1/1", "s2/1", "s3/1", "s5/1", "s11/1")
    return {name: np.asarray(Image.fromarray(enlarge(read_orl()[name])).resize((138, 158))) for name in people}


@pytest.fixture(scope="module")
def background() -> NDArray[np.uint8]:
    """A smooth coloured landscape."""
    coarse = np.random.default_rng(4).integers(60, 190, (5, 8, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


@pytest.fixture
def film(heads: dict[str, NDArray[np.uint8]], background: NDArray[np.uint8], tmp_path: Path) -> Callable[..., Path]:
    """Makes clips of so many frames with people placed in them."""

    def make(name: str, count: int, placing: Placing, *, codec: str = "mp4v", fps: float = 25, turns: int = 0) -> Path:
        def frames() -> Iterator[NDArray[np.uint8]]:
            for index in range(count):
                frame = background.copy()
                for head, x, y in placing(index / count):
                    frame[y - 79 : y + 79, x - 69 : x + 69] = heads[head]
                yield np.ascontiguousarray(np.rot90(frame, turns))

        return write_clip(tmp_path / name, frames(), codec=codec, fps=fps)

    return make


def walk(time: float) -> list[tuple[str, int, int]]:
    """One person who goes from the left to the right."""
    return [("s1/1", round(80 + 320 * time), 136)]


def same_person(photo: Path, head: NDArray[np.uint8]) -> float:
    """How well a crop holds this very head: the best correlation over places, in [-1, 1]."""
    import cv2

    crop = read_image(photo)
    part = np.ascontiguousarray(head[50:120, 35:105])
    return float(cv2.matchTemplate(crop, part, cv2.TM_CCOEFF_NORMED).max())


def test_forty_faces_that_the_loader_finds(film: Callable[..., Path], tmp_path: Path) -> None:
    clips = [
        film("one.mp4", 120, walk),
        film("two.avi", 40, lambda time: [("s2/1", round(200 + 80 * time), 136)], codec="MJPG", fps=12.5),
    ]
    calls: list[tuple[str, int, int]] = []
    first = extract_faces(clips[:1], tmp_path / "faces", "ALICE", progress=lambda *call: calls.append(call))
    second = extract_faces(clips[1:], tmp_path / "faces", "BOB", frames=10)
    assert first == [Clip(clips[0], 120, 40)]
    assert second == [Clip(clips[1], 40, 10)]
    names = sorted(path.name for path in (tmp_path / "faces" / "ALICE").iterdir())
    assert names == [f"one-{3 * k + 1:06d}.png" for k in range(40)]
    assert [call for call in calls if call[0] == "frames"][-1] == ("frames", 120, 120)
    assert [call for call in calls if call[0] == "faces"] == [("faces", k, 40) for k in range(1, 41)]
    faces = load_folder(tmp_path / "faces", 64, test_share=0.3)
    assert faces.classes == ("ALICE", "BOB")
    assert len(faces.files) == 50


def test_crops_are_the_frames_own_pixels(film: Callable[..., Path], tmp_path: Path) -> None:
    clip = film("still.avi", 3, lambda time: [("s3/1", 240, 136)], codec="MJPG")
    for margin, low, high in ((0.7, 2.2, 2.6), (0.2, 1.2, 1.6)):
        extract_faces([clip], tmp_path / str(margin), "A", frames=1, margin=margin)
        (photo,) = (tmp_path / str(margin) / "A").iterdir()
        crop = read_image(photo)
        assert crop.shape[0] == crop.shape[1]
        assert low * 70 < crop.shape[0] < high * 90  # the detected box is between 70 and 90 pixels here


def test_same_call_writes_the_same_files(film: Callable[..., Path], tmp_path: Path) -> None:
    clip = film("clip.mp4", 50, walk)
    (tmp_path / "faces" / "A").mkdir(parents=True)
    (tmp_path / "faces" / "A" / "own.png").write_bytes(b"stays")
    extract_faces([clip], tmp_path / "faces", "A", frames=5)
    before = {path.name: path.read_bytes() for path in (tmp_path / "faces" / "A").iterdir()}
    assert len(before) == 6
    extract_faces([clip], tmp_path / "faces", "A", frames=5)
    assert {path.name: path.read_bytes() for path in (tmp_path / "faces" / "A").iterdir()} == before
    extract_faces([clip], tmp_path / "faces", "A", frames=3)
    assert set(before) < {path.name for path in (tmp_path / "faces" / "A").iterdir()}


def test_frames_are_shared_by_length(film: Callable[..., Path], tmp_path: Path) -> None:
    clips = [film("long.mp4", 90, walk), film("short.mp4", 30, walk, fps=0.5)]
    assert [clip.faces for clip in extract_faces(clips, tmp_path / "faces", "A", frames=12)] == [9, 3]


def test_phone_clip_is_upright(film: Callable[..., Path], tmp_path: Path) -> None:
    # Filmed lying on the side, with the note to turn it clockwise.
    lying = film("lying.mp4", 20, walk, turns=1)
    assert extract_faces([rotated(lying, 90)], tmp_path / "faces", "A", frames=5)[0].faces == 5
    for photo in (tmp_path / "faces" / "A").iterdir():
        image = read_image(photo)
        assert image[: len(image) // 2].mean() != image[len(image) // 2 :].mean()
    assert len(load_two(tmp_path / "faces")) == 10


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_who_lies_is_stored_upright(
    turns: int, film: Callable[..., Path], heads: dict[str, NDArray[np.uint8]], tmp_path: Path
) -> None:
    clip = film("lying.avi", 8, walk, codec="MJPG", turns=turns)
    assert extract_faces([clip], tmp_path / "faces", "A", frames=4)[0].faces == 4
    for photo in (tmp_path / "faces" / "A").iterdir():
        assert same_person(photo, heads["s1/1"]) > 0.8
    assert len(load_two(tmp_path / "faces")) == 8


def load_two(folder: Path) -> Sequence[str]:
    """The loader wants two people: files it finds a face in, with a mirrored copy of the first person as the second."""
    (first,) = list(folder.iterdir())
    (folder / "mirrored").mkdir()
    for photo in first.iterdir():
        Image.fromarray(read_image(photo)[:, ::-1]).save(folder / "mirrored" / photo.name)
    return load_folder(folder, 64).files


def test_stretch_without_a_face_is_made_up_for(
    film: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clip = film("gap.mp4", 100, lambda time: [] if 0.3 <= time < 0.7 else walk(time))
    with caplog.at_level(logging.WARNING):
        assert extract_faces([clip], tmp_path / "faces", "A", frames=20) == [Clip(clip, 100, 20)]
    shown = sorted(int(path.stem.split("-")[1]) for path in (tmp_path / "faces" / "A").iterdir())
    assert len(shown) == 20
    assert not any(30 <= index < 70 for index in shown)
    assert not caplog.records


def test_face_in_few_frames_only(film: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = film("glimpse.mp4", 100, lambda time: walk(time) if 0.1 <= time < 0.16 else [])
    with caplog.at_level(logging.WARNING):
        assert extract_faces([clip], tmp_path / "faces", "A", frames=8)[0].faces == 6
    (record,) = caplog.records
    assert "6 faces stored of the 8 asked for" in record.getMessage()
    assert extract_faces([clip], tmp_path / "one", "A", frames=1)[0].faces == 1


def test_short_clip_gives_every_frame(film: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = film("short.mp4", 7, walk)
    with caplog.at_level(logging.WARNING):
        assert extract_faces([clip], tmp_path / "faces", "A") == [Clip(clip, 7, 7)]
    (record,) = caplog.records
    assert "7 faces stored of the 40 asked for: of 7 frames 7 were tried" in record.getMessage()


def test_frozen_picture_is_stored_once(film: Callable[..., Path], tmp_path: Path) -> None:
    clip = film("frozen.avi", 30, lambda time: walk(max(time, 0.5)), codec="MJPG")
    assert extract_faces([clip], tmp_path / "faces", "A", frames=30)[0].faces in (15, 16)


def test_one_of_two_people_is_followed(
    film: Callable[..., Path], heads: dict[str, NDArray[np.uint8]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The person on the left is alone at first; then another comes, and for a while only the other one is there."""

    def meeting(time: float) -> list[tuple[str, int, int]]:
        first = [("s5/1", round(90 + 40 * time), 140)]
        other = [("s11/1", round(390 - 40 * time), 130)]
        return first if time < 0.2 else other if 0.5 <= time < 0.6 else first + other

    clip = film("meeting.mp4", 60, meeting)
    with caplog.at_level(logging.WARNING):
        extract_faces([clip], tmp_path / "faces", "A", frames=20)
    photos = list((tmp_path / "faces" / "A").iterdir())
    assert len(photos) == 20
    for photo in photos:
        assert same_person(photo, heads["s5/1"]) > max(0.8, same_person(photo, heads["s11/1"]))
    (record,) = caplog.records
    assert "look through" in record.getMessage()


def test_truncated_clip_is_used(film: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = film("clip.avi", 40, walk, codec="MJPG")
    content = clip.read_bytes()
    clip.write_bytes(content[: len(content) // 2])
    with caplog.at_level(logging.WARNING):
        (result,) = extract_faces([clip], tmp_path / "faces", "A", frames=6)
    assert result.faces == 6
    assert 15 < result.frames < 25
    (record,) = caplog.records
    assert "cut short" in record.getMessage()


def test_nothing_is_written_in_vain(film: Callable[..., Path], tmp_path: Path) -> None:
    good, empty = film("good.mp4", 10, walk), film("empty.mp4", 10, lambda time: [])
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    (tmp_path / "copy").mkdir()
    other = tmp_path / "copy" / "Good.avi"
    other.write_bytes(good.read_bytes())
    folder = tmp_path / "faces"
    for clips, name, part in (
        ([good, broken], "A", "broken.mp4"),
        ([empty], "A", "no face found in .*empty.mp4: 10 of 10 frames"),
        ([good, other], "A", "same names"),
        ([good], "../A", "cannot name a folder"),
        ([good], "", "cannot name a folder"),
        ([good], ".A", "cannot name a folder"),
        ([], "A", "no clips"),
    ):
        with pytest.raises(DataError, match=part) as caught:
            extract_faces(clips, folder, name)
        assert "\n" not in str(caught.value)
        assert not folder.exists()
    folder.write_text("in the way")
    with pytest.raises(DataError, match="cannot make the folder"):
        extract_faces([good], folder, "A")


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"margin": -0.1}, {"margin": float("nan")}])
def test_senseless_numbers(wrong: dict[str, float], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="margin"):
        extract_faces([tmp_path / "clip.mp4"], tmp_path, "A", **wrong)  # type: ignore[arg-type]


def command(*words: object) -> Result:
    return CliRunner().invoke(
        Group(commands={"video": main.commands["data"].commands["video"]}), ["video", *map(str, words)]
    )


def test_command_says_what_came_of_each_clip(film: Callable[..., Path], tmp_path: Path) -> None:
    clips, folder = [film("a.mp4", 20, walk), film("b.mp4", 20, walk)], tmp_path / "my faces"
    done = command(*clips, "--name", "ALICE", "--frames", 4, "--output", folder)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[:3] == [
        f"{clips[0]}: 20 frames read, 2 faces stored",
        f"{clips[1]}: 20 frames read, 2 faces stored",
        f"4 faces of ALICE in {folder / 'ALICE'}",
    ]
    assert "second person" in done.stdout.splitlines()[3]
    done = command(clips[0], "--name", "BOB", "--frames", 2, "--output", folder)
    assert done.stdout.splitlines()[-1] == f"Next: faceenc train '{folder}'"


def test_command_tells_errors_in_one_line(tmp_path: Path) -> None:
    done = command(tmp_path / "missing.mp4", "--name", "ALICE")
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1
    assert "no such file" in done.stderr
