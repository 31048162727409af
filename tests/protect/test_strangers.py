"""Faces that lie, stand on their heads or are small are protected, and what was not looked at is said: real detectors."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image

import faceenc
from faceenc.cli import main
from faceenc.core import Box, Face, turned
from faceenc.data import enlarge, read_orl
from faceenc.faces import FaceSearch, Found
from faceenc.media import write_png
from faceenc.protect import Evidence, gather_evidence, search_as_strangers, summary_line
from faceenc.recognizers import Recognizer, has_dlib
from tests.encrypting import DLIB

QUICK = [*DLIB, "--eps", "16/255", "--steps", "6"]


def portrait(name: str, size: int, shade: int = 110) -> NDArray[np.uint8]:
    """An ORL picture of that width in the middle of a square twice as wide."""
    face = Image.fromarray(enlarge(read_orl()[name])).resize((size, size * 112 // 92), Image.Resampling.LANCZOS)
    around = Image.new("RGB", (2 * size, 2 * size), (shade,) * 3)
    around.paste(face, (size // 2, size // 3))
    return np.array(around)


def encrypt(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["encrypt", *map(str, words), "--json"])


def record(done: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def shared(one: list[float], other: list[float]) -> bool:
    """Whether the middle of the first box lies in the second."""
    x, y = (one[0] + one[2]) / 2, (one[1] + one[3]) / 2
    return other[0] < x < other[2] and other[1] < y < other[3]


@pytest.mark.parametrize("quarters", [1, 2])
def test_a_turned_face_is_no_longer_matched_once_it_is_turned_back(
    quarters: int, tmp_path: Path, search: FaceSearch, judges: list[Recognizer]
) -> None:
    upright = portrait("s5/1", 240)
    write_png(tmp_path / "a.png", np.rot90(upright, quarters))
    done = encrypt(tmp_path / "a.png", *QUICK)
    assert done.exit_code == 0, done.output
    (face,) = record(done)["faces"]
    assert {entry["match"] for entry in face["judges"]} == {False}
    seen = {one["detector"]: one["turned"] for one in face["seen"]}
    assert seen["YuNet"] == (-quarters * 90) % 360, "as it stands upright"
    after = np.rot90(np.array(Image.open(tmp_path / "a-protected.png")), -quarters)
    evidence = gather_evidence(upright, np.ascontiguousarray(after), judges=judges, search=search)
    assert evidence.matches() == 0
    assert all(verdict.distance > verdict.threshold for verdict in evidence.faces[0].verdicts)


def test_small_faces_in_a_large_picture_are_protected(tmp_path: Path) -> None:
    picture = np.full((1300, 2000, 3), 120, np.uint8)
    corners = [(300, 300), (1700, 1000)]
    for number, (x, y) in enumerate(corners, start=1):
        small = portrait(f"s{number}/1", 60, 120)
        picture[y : y + 120, x : x + 120] = small
    write_png(tmp_path / "a.png", picture)
    done = encrypt(tmp_path / "a.png", *QUICK)
    assert done.exit_code == 0, done.output
    boxes = [face["box"] for face in record(done)["faces"]]
    assert len(boxes) == 2
    for x, y in corners:
        assert any(shared(box, [x, y, x + 120, y + 120]) for box in boxes)


def test_equal_photos_are_matched_by_every_stranger(search: FaceSearch, judges: list[Recognizer]) -> None:
    picture = portrait("s1/1", 240)
    evidence = gather_evidence(picture, picture.copy(), judges=judges, search=search)
    (face,) = evidence.faces
    assert {seen.detector for seen in face.seen} == {"MediaPipe", "YuNet", *(["dlib"] if has_dlib() else [])}
    assert all(seen.match(evidence.networks) and seen.quarters == 0 for seen in face.seen)
    assert evidence.strays == ()


@pytest.fixture(scope="module")
def overlooked(search: FaceSearch, judges: list[Recognizer]) -> Evidence:
    """Of two faces the search found one, and that one is grey now."""
    picture = np.concatenate([portrait("s1/1", 240), portrait("s2/1", 240)], axis=1)
    after = picture.copy()
    after[:, :480] = 128
    known = [face for face in search(picture) if face.box.x0 < 480]
    return gather_evidence(picture, after, judges=judges, search=search, found=Found(known, [], 19, 60))


def test_a_face_that_only_a_stranger_finds_is_reported_as_matched(overlooked: Evidence) -> None:
    (stray,) = overlooked.strays
    assert stray.sure
    assert stray.face.box.x0 > 480
    assert stray.seen.match(overlooked.networks)
    assert overlooked.matched_faces() == []
    assert overlooked.matches() == 1
    assert "finds a face at (" in summary_line(overlooked)
    assert "that is not protected" in summary_line(overlooked)
    assert overlooked.to_json()["strays"][0]["sure"] is True


def test_a_face_that_only_a_stranger_finds_is_protected_in_a_second_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search is made to overlook the right face: what strangers' detectors find is real."""
    write_png(tmp_path / "a.png", np.concatenate([portrait("s1/1", 240), portrait("s2/1", 240)], axis=1))
    whole = FaceSearch.search

    def half_blind(self: FaceSearch, image: NDArray[np.uint8]) -> Found:
        found = whole(self, image)
        return replace(found, faces=[face for face in found.faces if face.box.x0 < 480])

    monkeypatch.setattr(FaceSearch, "search", half_blind)
    done = encrypt(tmp_path / "a.png", *QUICK)
    assert done.exit_code == 0, done.output
    faces = record(done)["faces"]
    assert sorted(face["box"][0] > 480 for face in faces) == [False, True]
    assert record(done)["strays"] == []
    monkeypatch.undo()
    done = encrypt(tmp_path / "a.png", *QUICK, "--faces", "largest", "--force")
    assert done.exit_code == 0, done.output
    assert len(record(done)["faces"]) == len(record(done)["left"]) == 1
    assert "1 more face is left as in the original" in record(done)["summary"]


def test_a_photo_that_is_still_matched_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", portrait("s1/1", 240))
    done = encrypt(tmp_path / "a.png", *DLIB, "--eps", "1/255", "--steps", "1")
    assert done.exit_code == 4, done.output
    assert record(done)["matched"] == 1
    assert (tmp_path / "a-protected.png").is_file()


def test_a_blurred_face_cannot_be_judged(search: FaceSearch, judges: list[Recognizer]) -> None:
    """Of such a face a judge does not even know the untouched copy again."""
    tiny = Image.fromarray(portrait("s1/1", 240)).resize((42, 42), Image.Resampling.BOX)
    picture = np.array(tiny.resize((480, 480), Image.Resampling.BICUBIC))
    known = search(portrait("s1/1", 240))
    small = Image.fromarray(picture).resize((40, 40), Image.Resampling.BOX)
    picture = np.full((480, 480, 3), 110, np.uint8)
    picture[200:240, 200:240] = np.array(small)
    box = known[0].box
    points = {scheme: tuple((200 + x / 12, 200 + y / 12) for x, y in those) for scheme, those in known[0].landmarks.items()}
    face = Face(Box(200 + box.x0 / 12, 200 + box.y0 / 12, 200 + box.x1 / 12, 200 + box.y1 / 12), points, 1.0)
    noisy = picture.copy()
    noisy[::2, ::2] ^= 8
    evidence = gather_evidence(picture, noisy, judges=judges, search=search, found=Found([face], [], 19, 60))
    assert not evidence.faces[0].judged_by(judges[0].name)
    line = summary_line(evidence)
    assert "cannot judge face 1 at (2" in line
    assert "no longer match" not in line
    assert {entry["able"] for entry in evidence.to_json()["faces"][0]["judges"]} == {False}


def test_what_was_not_done_is_said(search: FaceSearch, judges: list[Recognizer]) -> None:
    picture = portrait("s1/1", 240)
    noisy = picture ^ 4
    found = search.search(picture)
    doubtful = Face(Box(10, 20, 50, 60), {"arcface": ((20, 30), (40, 30), (30, 40), (24, 50), (36, 50))}, 0.65, "yunet")
    evidence = gather_evidence(picture, noisy, judges=judges, search=search, found=replace(found, doubtful=[doubtful]))
    line = summary_line(evidence)
    assert "a place that one detector weakly takes for a face got no noise: (30, 40)" in line
    assert "faces narrower than 19 pixels, turned ones than 46, were not searched for" in line
    assert evidence.to_json()["doubtful"] == [{"box": [10, 20, 50, 60], "score": 0.65, "detector": "yunet"}]


def test_strangers_search_large_photos_reduced_unless_asked_otherwise(search: FaceSearch) -> None:
    picture = np.full((1500, 1500, 3), 120, np.uint8)
    picture[1000:1480, 1000:1480] = portrait("s1/1", 240, 120)
    found, quick = search_as_strangers(picture, search, narrowest=400)
    assert {one.detector for one in found} >= {"YuNet"}
    assert quick["YuNet"] == 22, "two of 2.25 megapixels: sides of 0.94"
    _, thorough = search_as_strangers(picture, search, narrowest=400, thorough=True)
    assert thorough["YuNet"] == 20
    _, small = search_as_strangers(picture, search, narrowest=82)
    assert small["YuNet"] == 21, "the narrowest face is 80 pixels wide then"


def test_turned_faces_are_seen_as_they_stand_upright(search: FaceSearch) -> None:
    picture = portrait("s1/1", 240)
    (own,) = search(picture)
    lying = np.ascontiguousarray(np.rot90(picture, 1))
    found, _ = search_as_strangers(lying, search, narrowest=80)
    upright = [one for one in found if one.quarters == 3 and one.detector == "YuNet"]
    assert len(upright) == 1
    back = turned(upright[0].face, 3, 480, 480)
    assert back.box.x0 == pytest.approx(own.box.x0, abs=15)
    assert back.quarters == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (2, 2)])
def test_pictures_of_next_to_nothing_show_nobody(size: tuple[int, int]) -> None:
    file = io.BytesIO()
    Image.new("RGB", size).save(file, "PNG")
    with pytest.raises(faceenc.DataError, match="no face found"):
        faceenc.verify(file.getvalue(), file.getvalue())
