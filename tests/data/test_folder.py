"""Folders of photos, with the real detector."""

from __future__ import annotations

import csv
import hashlib
import logging
import shutil
import threading
import unicodedata
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from faceenc.core import DataError
from faceenc.data import LabelledPhoto, cut_faces, enlarge, load_faces, load_folder, photos_table, read_orl
from faceenc.faces import FaceDetector, Framing, crop_square, frame_face
from faceenc.media import read_image, write_png
from faceenc.recognizers import list_people
from tests.face_photos import write_blank, write_jpegs, write_people

SIZE = 64


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people with four photos each."""
    root = tmp_path_factory.mktemp("album") / "photos"
    write_people(root, {"s1": 4, "s2": 4, "s3": 4})
    return root


@pytest.fixture
def photos(cache: Path, album: Path, tmp_path: Path) -> Path:
    """A copy of the album, to be changed."""
    return Path(shutil.copytree(album, tmp_path / "photos"))


def table(path: Path) -> dict[str, dict[str, str]]:
    """Rows of a CSV file by the photo's file."""
    with path.open(encoding="utf-8", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def test_folder_of_photos(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[tuple[int, int]] = []
    (photos / "s1" / "notes.txt").write_text("no photo")
    (photos / "s1" / ".hidden.png").write_bytes(b"no photo")
    (photos / "loose.png").write_bytes(b"no person")
    (photos / "s2" / "2019").mkdir()
    (photos / "s4" / "2019").mkdir(parents=True)
    for copy in ("1-protected", "1-protected-2", "1-protected-preview"):
        shutil.copy(photos / "s2" / "1.png", photos / "s1" / f"{copy}.png")
    (photos / "s3" / "4.png").rename(photos / "s3" / "4-protected.png")  # without its original beside it
    faces = load_folder(photos, SIZE, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 12) for done in range(1, 13)]
    assert faces.name == "photos"
    assert faces.classes == ("s1", "s2", "s3")
    numbers = [f"s{person}/{number}" for person in (1, 2, 3) for number in (1, 2, 3, 4)]
    assert faces.files == tuple(f"{name}.png" for name in [*numbers[:-1], "s3/4-protected"])
    assert [line for line in caplog.messages if "protected" in line] == [
        f"protected copy, left out: s1/1-protected{end}.png" for end in ("-2", "-preview", "")
    ]
    assert [line for line in caplog.messages if line.startswith("left out (")] == [
        "left out (a photo in no person's folder): loose.png",
        "left out (hidden): s1/.hidden.png",
        "left out (no photo): s1/notes.txt",
        "left out (a folder within: move its photos up): s2/2019, s4/2019",
        "left out (a folder without photos): s4",
    ]
    assert list_people(photos)["s1"] == [photos / "s1" / f"{number}.png" for number in (1, 2, 3, 4)]
    assert faces.images.shape == (12, SIZE, SIZE, 3)
    assert faces.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert sorted([*faces.train, *faces.test]) == list(range(12))
    assert np.bincount(faces.labels[faces.test]).tolist() == [1, 1, 1]
    assert load_folder(photos, SIZE, progress=lambda done, total: calls.append((done, total))).sha256 == faces.sha256
    assert len(calls) == 12
    assert load_folder(photos, SIZE, test_share=0.99).train.size == 3


def test_one_name_with_its_accents_written_in_two_ways_is_one_person(photos: Path) -> None:
    for number, form in ((1, "NFC"), (2, "NFD")):
        (photos / f"s{number}").rename(photos / unicodedata.normalize(form, "s3é"))
    faces = load_folder(photos, SIZE)
    assert faces.classes == ("s3", "s3é")
    assert faces.labels.tolist() == [0] * 4 + [1] * 8
    people = list_people(photos)
    assert {name: len(files) for name, files in people.items()} == {"s3": 4, "s3é": 8}


def test_framing_decides_the_crops(photos: Path) -> None:
    picture = enlarge(read_orl()["s2/1"])
    with FaceDetector() as detector:
        (face,) = detector(picture)
    sets = [load_folder(photos, SIZE), load_folder(photos, SIZE, framing="square"), load_folder(photos, SIZE)]
    assert [faces.framing for faces in sets] == ["aligned", "square", "aligned"]
    for faces in sets:
        np.testing.assert_array_equal(faces.images[4], frame_face(picture, face, size=SIZE, framing=faces.framing))


def test_any_mix_of_formats(photos: Path) -> None:
    picture = Image.open(photos / "s1" / "1.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    picture.transpose(Image.Transpose.ROTATE_90).save(photos / "s1" / "turned.jpg", quality=95, exif=turned)
    picture.save(photos / "s1" / "web.webp", quality=95)
    picture.convert("L").save(photos / "s1" / "grey.PGM")
    picture.convert("RGBA").save(photos / "s1" / "alpha.png")
    faces = load_folder(photos, SIZE)
    crops = {name: image.astype(float) for name, image in zip(faces.files, faces.images, strict=True)}
    for name in ("turned.jpg", "web.webp", "grey.PGM", "alpha.png"):
        assert np.abs(crops[f"s1/{name}"] - crops["s1/1.png"]).mean() < 4


@pytest.mark.parametrize("framing", ["aligned", "square"])
def test_photos_lying_on_their_sides_show_upright_faces(framing: Framing, photos: Path) -> None:
    upright = {person: read_image(photos / person / "1.png") for person in ("s1", "s2", "s3")}
    for person, picture in upright.items():
        for quarters in (1, 2, 3):
            write_png(photos / person / f"lying{quarters}.png", np.ascontiguousarray(np.rot90(picture, quarters)))
    faces = load_folder(photos, SIZE, framing=framing)
    crops = {name: image.astype(float) for name, image in zip(faces.files, faces.images, strict=True)}
    for person in upright:
        for quarters in (1, 2, 3):
            lying = crops[f"{person}/lying{quarters}.png"]
            unlike = [np.abs(np.rot90(lying, k) - crops[f"{person}/1.png"]).mean() for k in range(4)]
            assert unlike[0] < 0.8 * min(unlike[1:])


def test_a_small_face_in_a_large_photo_is_cut_out(photos: Path) -> None:
    picture = np.full((1500, 2000, 3), 110, np.uint8)
    picture[200:264, 1500:1554] = np.asarray(Image.fromarray(enlarge(read_orl()["s1/1"])).resize((54, 64)))
    write_png(photos / "s1" / "far.png", picture)
    faces = load_folder(photos, SIZE)
    assert faces.images[faces.files.index("s1/far.png")].std() > 20


def test_split_follows_the_content_and_the_cache_sees_changes(photos: Path) -> None:
    faces = load_folder(photos, SIZE, test_share=0.5)
    tested = {name for name in faces.files if name.startswith("s1/")} & {faces.files[index] for index in faces.test}
    assert len(tested) == 2
    for photo in (photos / "s1").iterdir():
        photo.rename(photo.with_name(f"x{photo.name}"))
    shutil.rmtree(photos / "s3")
    renamed = load_folder(photos, SIZE, test_share=0.5)
    assert renamed.classes == ("s1", "s2")
    assert {renamed.files[index].replace("/x", "/") for index in renamed.test if renamed.labels[index] == 0} == tested
    write_png(photos / "s2" / "1.png", enlarge(read_orl()["s2/9"]))
    changed = load_folder(photos, SIZE, test_share=0.5)
    assert not np.array_equal(changed.images[4], renamed.images[4])
    np.testing.assert_array_equal(changed.images[5], renamed.images[5])


def test_a_written_split_counts(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = ["identity,file,split,sha256"]
    for photo in sorted(photos.glob("s[12]/*.png")):
        split = "test" if photo.stem in ("2", "3", "4") else "train"
        lines.append(f"x,{photo.parent.name}/{photo.name},{split},{hashlib.sha256(photo.read_bytes()).hexdigest()}")
    (photos / "manifest.csv").write_text("\n".join(lines))
    write_png(photos / "s2" / "3.png", enlarge(read_orl()["s2/9"]))
    write_png(photos / "s2" / "5.png", enlarge(read_orl()["s2/5"]))
    faces = load_folder(photos, SIZE)
    assert [faces.files[index] for index in faces.test] == [f"s1/{n}.png" for n in (2, 3, 4)] + ["s2/2.png", "s2/4.png"]
    assert [faces.files[index] for index in faces.train] == ["s1/1.png", *(f"s2/{n}.png" for n in (1, 3, 5))]
    assert any("s3 has 0 of 4 photos for testing" in record.getMessage() for record in caplog.records)
    (photos / "manifest.csv").write_text("\n".join(lines).replace(",train", ",valid"))
    with pytest.raises(DataError, match="'valid', not train or test"):
        load_folder(photos, SIZE)
    (photos / "manifest.csv").write_text("name,size\nsong.mp3,3")
    with pytest.raises(DataError, match="columns file, split and sha256"):
        load_folder(photos, SIZE)


def test_unusable_photos_are_left_out_with_few_lines(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(7):
        (photos / "s1" / f"broken{number}.jpg").write_bytes(b"rot")
    write_blank(photos / "s2" / "blank.png")
    shutil.copy(photos / "s3" / "1.png", photos / "s3" / "copy.png")
    (photos / "lone").mkdir()
    shutil.copy(photos / "s1" / "1.png", photos / "lone" / "only.png")
    (photos / "nobody").mkdir()
    (photos / "nobody" / "phone.heic").write_bytes(b"rot")
    with caplog.at_level(logging.WARNING):
        faces = load_folder(photos, SIZE)
    lines = [record.getMessage() for record in caplog.records]
    assert faces.classes == ("s1", "s2", "s3")
    assert len(faces.files) == 12
    for part in ("photo skipped: and 3 more", "blank.png", "s3/copy.png", "lone has 1 usable", "nobody has 0 usable"):
        assert any(part in line for line in lines)
    assert len(lines) == 10
    rows = table(photos_table(photos, SIZE))
    assert len(rows) == 12 + 11
    left_out = {name: row["left_out"] for name, row in rows.items() if row["left_out"]}
    assert left_out == {
        **{f"s1/broken{number}.jpg": "unreadable" for number in range(7)},
        **{"nobody/phone.heic": "unreadable", "s2/blank.png": "no face", "s3/copy.png": "copy", "lone/only.png": "person"},
    }
    assert rows["s1/1.png"]["sha256"] == hashlib.sha256((photos / "s1" / "1.png").read_bytes()).hexdigest()
    assert rows["s1/1.png"]["crop"] == "aligned"
    assert float(rows["s1/1.png"]["x0"]) < float(rows["s1/1.png"]["x1"])
    assert [name for name, row in rows.items() if row["split"] == "test"] == [faces.files[index] for index in faces.test]


def test_photos_without_a_face(photos: Path) -> None:
    for number, person in enumerate(("s1", "s2")):
        write_blank(photos / person / "blank.png", 100 + number)
    with pytest.raises(DataError, match=r"no face found in .*s1.blank\.png"):
        load_folder(photos, SIZE, on_no_face="fail")
    whole = load_folder(photos, SIZE, on_no_face="whole")
    assert len(whole.files) == 14
    assert (whole.images[whole.files.index("s2/blank.png")] == 101).all()
    assert table(photos_table(photos, SIZE))["s2/blank.png"]["crop"] == "whole"


def test_faces_of_nobody_in_particular(photos: Path) -> None:
    write_blank(photos / "s2" / "blank.png")
    (photos / "s3" / "broken.jpg").write_bytes(b"rot")
    shutil.copy(photos / "s3" / "1.png", photos / "loose.png")
    calls: list[int] = []
    images, files = load_faces(photos, SIZE, progress=lambda done, total: calls.append(done))
    assert files == ("loose.png", *(f"s{person}/{number}.png" for person in (1, 2, 3) for number in (1, 2, 3, 4)))
    np.testing.assert_array_equal(images[1:], load_folder(photos, SIZE).images)
    again, _ = load_faces(photos, SIZE, progress=lambda done, total: calls.append(done))
    np.testing.assert_array_equal(again, images)
    assert calls == list(range(1, 16))
    flat, names = load_faces(photos / "s1", SIZE, framing="square")
    assert names == ("1.png", "2.png", "3.png", "4.png")
    np.testing.assert_array_equal(flat, load_folder(photos, SIZE, framing="square").images[:4])


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> list[LabelledPhoto]:
    """Enough photos for threads, two of them of no use."""
    root = tmp_path_factory.mktemp("crowd")
    files = {f"s{person}/{number}": root / f"{person}-{number}.jpg" for person in range(1, 8) for number in range(1, 7)}
    write_jpegs(files)
    write_blank(root / "7-9.png")
    (root / "5-9.jpg").write_bytes(b"rot")
    return [LabelledPhoto(path, "", path.name) for path in sorted(root.iterdir())]


def test_threads_change_nothing(crowd: list[LabelledPhoto], cache: Path) -> None:
    filters = list(warnings.filters)
    expected, cuts = cut_faces(crowd, SIZE, framing="aligned", on_no_face="skip", workers=1)
    rows = [row for row, cut in enumerate(cuts) if not cut.left_out]
    assert len(rows) == 42
    images, same = cut_faces(crowd, SIZE, framing="aligned", on_no_face="skip", workers=3)
    assert same == cuts
    np.testing.assert_array_equal(images[rows], expected[rows])
    assert warnings.filters == filters


@pytest.mark.parametrize("moment", [3, 30])
def test_an_interrupt_leaves_nothing_behind(moment: int, crowd: list[LabelledPhoto], cache: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == moment:
            raise KeyboardInterrupt

    before = set(cache.iterdir())
    with pytest.raises(KeyboardInterrupt):
        load_faces(crowd[0].path.parent, SIZE, progress=interrupt)
    assert set(cache.iterdir()) == before
    assert not any(thread.name.startswith("faceenc-crops") for thread in threading.enumerate())


def _empty(root: Path) -> None:
    (root / "s1").mkdir(parents=True)


def _file(root: Path) -> None:
    root.write_text("no folder")


def _faceless(root: Path) -> None:
    _empty(root)
    write_blank(root / "s1" / "blank.png")


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda root: None, "no such file"),
        (_file, "not a directory"),
        (_empty, "no photos"),
        (_faceless, "1 without a detected face"),
        (lambda root: write_people(root, {"s1": 2}), "2 are needed"),
    ],
    ids=["missing", "file", "empty", "faceless", "one"],
)
def test_unusable_folders(make: Callable[[Path], None], part: str, cache: Path, tmp_path: Path) -> None:
    root = tmp_path / "photos"
    make(root)
    with pytest.raises(DataError) as caught:
        load_folder(root, SIZE)
    assert part in str(caught.value)
    assert str(root) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        ({"test_share": 0.0}, "test_share"),
        ({"test_share": 1.0}, "test_share"),
        ({"min_images": 1}, "min_images"),
        ({"on_no_face": "ignore"}, "skip, whole, fail, got 'ignore'"),
        ({"framing": "round"}, "square, aligned, got 'round'"),
    ],
)
def test_senseless_arguments(wrong: dict[str, Any], part: str, photos: Path) -> None:
    with pytest.raises(ValueError, match=part):
        load_folder(photos, SIZE, **wrong)


def test_the_middle_of_a_wide_photo_is_taken_whole(cache: Path, tmp_path: Path) -> None:
    wide = np.zeros((40, 120, 3), np.uint8)
    wide[:, 40:80] = 200
    write_png(tmp_path / "wide.png", wide)
    photo = LabelledPhoto(tmp_path / "wide.png", "", "wide.png")
    images, (cut,) = cut_faces([photo], 40, framing="aligned", on_no_face="whole")
    assert cut.box is not None
    np.testing.assert_array_equal(images[0], crop_square(wide, cut.box, size=40, margin=0))
    assert (images[0] == 200).all()
