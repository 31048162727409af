"""A gallery of ORL people, as judges see it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from faceenc.core import DataError
from faceenc.faces import FaceDetector
from faceenc.media import read_image, write_png
from faceenc.recognizers import Gallery, Recognizer, load_gallery, load_recognizer
from tests.face_photos import write_blank, write_people

PEOPLE = {"s1": 3, "s2": 2, "s3": 2, "s4": 1}


@pytest.fixture(scope="module")
def detector() -> Iterator[FaceDetector]:
    with FaceDetector(model="full") as found:
        yield found


@pytest.fixture(scope="module")
def judge() -> Recognizer:
    return load_recognizer("dlib-torch")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("gallery")
    write_people(root, PEOPLE)
    return root


@pytest.fixture(scope="module")
def gallery(folder: Path, judge: Recognizer, detector: FaceDetector) -> Gallery:
    return load_gallery(folder, [judge], detector)


def test_everybodys_photos_are_embedded(gallery: Gallery, judge: Recognizer, folder: Path, detector: FaceDetector) -> None:
    assert gallery.people == ("s1", "s2", "s3", "s4")
    assert {name: found.shape for name, found in gallery.embeddings[judge.name].items()} == {
        name: (count, 128) for name, count in PEOPLE.items()
    }
    image = read_image(folder / "s1" / "2.png")
    alone = judge.embed_face(image, detector(image)[0])
    assert judge.distance(gallery.photos_of(judge, "s1")[1], alone) < 1e-4
    assert gallery.photos_of(judge, None) == []


def test_the_rank_counts_people_who_are_nearer(gallery: Gallery, judge: Recognizer) -> None:
    first, *others = gallery.photos_of(judge, "s1")
    assert gallery.rank(judge, first, others, person="s1") == 1
    assert gallery.rank(judge, first, [first]) == 1, "nobody is nearer than oneself"
    assert gallery.rank(judge, first, others[:1]) == 2, "without a name, s1 is somebody else"
    far = first + 10
    assert gallery.rank(judge, first, [far]) == 5
    assert gallery.rank(judge, first, [far], person="s1") == 4
    # Somebody with several photos counts once.
    stranger = gallery.photos_of(judge, "s2")[0]
    own = np.linalg.norm(stranger - first)
    others = ("s2", "s3", "s4")
    nearer = [name for name in others if np.linalg.norm(gallery.embeddings[judge.name][name] - stranger, axis=1).min() < own]
    assert "s2" in nearer
    assert gallery.rank(judge, stranger, [first, far], person="s1") == 1 + len(nearer)


def test_photos_in_the_folder_itself_are_people_of_their_own(
    tmp_path: Path, judge: Recognizer, detector: FaceDetector, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_png(tmp_path / "eve.png", read_image(folder / "s2" / "1.png"))
    (tmp_path / "bob").mkdir()
    write_png(tmp_path / "bob" / "1.png", read_image(folder / "s3" / "1.png"))
    write_blank(tmp_path / "wall.png")
    (tmp_path / "bob" / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("nothing")
    calls: list[tuple[str, int, int]] = []
    with caplog.at_level(logging.WARNING, logger="faceenc"):
        gallery = load_gallery(tmp_path, [judge], detector, progress=lambda *now: calls.append(now))
    assert gallery.people == ("bob", "eve.png")
    assert sorted(record.getMessage().count("left out") for record in caplog.records) == [1] * 4
    assert calls == [("gallery", done, 4) for done in range(1, 5)]


def test_galleries_that_hold_nobody(tmp_path: Path, judge: Recognizer, detector: FaceDetector) -> None:
    with pytest.raises(DataError, match="no such file"):
        load_gallery(tmp_path / "nowhere", [judge], detector)
    with pytest.raises(DataError, match="no photos"):
        load_gallery(tmp_path, [judge], detector)
    write_blank(tmp_path / "wall.png")
    with pytest.raises(DataError, match="no face") as caught:
        load_gallery(tmp_path, [judge], detector)
    assert "\n" not in str(caught.value)
