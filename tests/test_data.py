"""The demo set and folders of photos, with the real detector."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from faceenc.assets import ASSETS, fetch
from faceenc.data import FaceSet
from faceenc.data.demo import enlarge, load_orl, read_orl
from faceenc.data.folder import load_folder
from faceenc.images import write_png
from faceenc.types import DataError

SIZE = 64


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of its own that holds the fetched files but, at first, no crops."""
    folder = tmp_path_factory.mktemp("cache")
    for name in ASSETS:
        shutil.copy(fetch(name), folder)
    return folder


@pytest.fixture
def cache(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACEENC_CACHE", str(own_cache))
    return own_cache


@pytest.fixture(scope="module")
def orl(own_cache: Path) -> FaceSet:
    """The demo set, made once and read back once."""
    calls: list[tuple[int, int]] = []
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("FACEENC_CACHE", str(own_cache))
        made = load_orl(SIZE, progress=lambda done, total: calls.append((done, total)))
        began = time.monotonic()
        read = load_orl(SIZE, progress=lambda done, total: calls.append((done, total)))
    assert time.monotonic() - began < 1
    assert calls == [(done, 400) for done in range(1, 401)]
    assert read.sha256 == made.sha256
    return read


@pytest.fixture
def photos(cache: Path, tmp_path: Path) -> Path:
    """Three people with four photos each."""
    root = tmp_path / "photos"
    for name, picture in read_orl().items():
        person, number = name.split("/")
        if person in ("s1", "s2", "s3") and int(number) <= 4:
            (root / person).mkdir(parents=True, exist_ok=True)
            write_png(root / person / f"{number}.png", enlarge(picture))
    return root


def _blank(path: Path, seed: int = 0) -> None:
    write_png(path, np.full((90, 120, 3), 100 + seed, np.uint8))


def test_orl_is_whole_and_split_by_person(orl: FaceSet) -> None:
    assert orl.classes == tuple(f"s{person}" for person in range(1, 41))
    assert orl.files[:3] == ("s1/1", "s1/2", "s1/3")
    assert orl.images.shape == (400, SIZE, SIZE, 3)
    assert orl.images.dtype == np.uint8
    assert orl.labels.dtype == orl.train.dtype == orl.test.dtype == np.int64
    assert [orl.classes[label] for label in orl.labels] == [name.split("/")[0] for name in orl.files]
    assert sorted([*orl.train, *orl.test]) == list(range(400))
    assert np.bincount(orl.labels[orl.train]).tolist() == [7] * 40
    assert {orl.files[index].split("/")[1] for index in orl.test} == {"8", "9", "10"}
    assert "AT&T" in orl.credit


def test_fingerprint_is_the_same_elsewhere_and_sees_everything(orl: FaceSet, cache: Path) -> None:
    code = f"from faceenc.data.demo import load_orl; print(load_orl({SIZE}).sha256)"
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == orl.sha256
    pixels = orl.images.copy()
    pixels[-1, -1, -1, -1] ^= 1
    changed: list[FaceSet] = [
        replace(orl, images=pixels),
        replace(orl, labels=orl.labels[::-1]),
        replace(orl, classes=("other", *orl.classes[1:])),
        replace(orl, files=("other", *orl.files[1:])),
        replace(orl, train=orl.train[1:], test=np.sort([*orl.test, orl.train[0]])),
    ]
    assert len({orl.sha256, *(other.sha256 for other in changed)}) == 6


@pytest.mark.parametrize("damage", ["bit", "short", "empty"])
def test_damaged_crops_are_made_anew(damage: str, photos: Path, cache: Path) -> None:
    before = set(cache.iterdir())
    first = load_folder(photos, SIZE)
    (stored,) = set(cache.iterdir()) - before
    content = bytearray(stored.read_bytes())
    content[len(content) // 2] ^= 1
    stored.write_bytes({"bit": bytes(content), "short": bytes(content[:1000]), "empty": b""}[damage])
    calls: list[int] = []
    assert load_folder(photos, SIZE, progress=lambda done, total: calls.append(done)).sha256 == first.sha256
    assert load_folder(photos, SIZE, progress=lambda done, total: calls.append(done)).sha256 == first.sha256
    assert calls == list(range(1, 13))


def test_folder_of_photos(photos: Path, orl: FaceSet) -> None:
    calls: list[tuple[int, int]] = []
    (photos / "s1" / "notes.txt").write_text("no photo")
    (photos / "s1" / ".hidden.png").write_bytes(b"no photo")
    (photos / "loose.png").write_bytes(b"no person")
    faces = load_folder(photos, SIZE, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 12) for done in range(1, 13)]
    assert faces.name == "photos"
    assert faces.classes == ("s1", "s2", "s3")
    assert faces.files == tuple(f"s{person}/{number}.png" for person in (1, 2, 3) for number in (1, 2, 3, 4))
    assert faces.images.shape == (12, SIZE, SIZE, 3)
    assert sorted([*faces.train, *faces.test]) == list(range(12))
    assert np.bincount(faces.labels[faces.test]).tolist() == [1, 1, 1]
    np.testing.assert_array_equal(faces.images[4], orl.images[orl.files.index("s2/1")])
    assert load_folder(photos, SIZE, test_share=0.99).train.size == 3


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


def test_unusable_photos_are_left_out_with_few_lines(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(7):
        (photos / "s1" / f"broken{number}.jpg").write_bytes(b"rot")
    _blank(photos / "s2" / "blank.png")
    shutil.copy(photos / "s3" / "1.png", photos / "s3" / "copy.png")
    (photos / "lone").mkdir()
    shutil.copy(photos / "s1" / "1.png", photos / "lone" / "only.png")
    with caplog.at_level(logging.WARNING):
        faces = load_folder(photos, SIZE)
    lines = [record.getMessage() for record in caplog.records]
    assert faces.classes == ("s1", "s2", "s3")
    assert len(faces.files) == 12
    assert sum("broken" in line for line in lines) == 5
    for part in ("photo skipped: and 2 more", "blank.png", "s3/copy.png", "lone has 1 usable"):
        assert any(part in line for line in lines)
    assert len(lines) == 9


def test_photos_without_a_face(photos: Path) -> None:
    for number, person in enumerate(("s1", "s2")):
        _blank(photos / person / "blank.png", number)
    with pytest.raises(DataError, match=r"no face found in .*blank\.png"):
        load_folder(photos, SIZE, on_no_face="fail")
    whole = load_folder(photos, SIZE, on_no_face="whole")
    assert len(whole.files) == 14
    assert (whole.images[whole.files.index("s2/blank.png")] == 101).all()


def _empty(root: Path) -> None:
    (root / "s1").mkdir(parents=True)


def _file(root: Path) -> None:
    root.write_text("no folder")


def _faceless(root: Path) -> None:
    _empty(root)
    _blank(root / "s1" / "blank.png")


def _one_person(root: Path) -> None:
    _empty(root)
    for name in ("s1/1", "s1/2"):
        write_png(root / f"{name}.png", enlarge(read_orl()[name]))


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda root: None, "no such file"),
        (_file, "not a directory"),
        (_empty, "no photos"),
        (_faceless, "1 without a detected face"),
        (_one_person, "2 are needed"),
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


def test_cache_that_takes_no_file_only_warns(photos: Path, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = set(cache.iterdir())
    load_folder(photos, SIZE)
    (stored,) = set(cache.iterdir()) - before
    stored.unlink()
    (stored / "in the way").mkdir(parents=True)
    assert len(load_folder(photos, SIZE).files) == 12
    assert any("FACEENC_CACHE" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("wrong", [{"test_share": 0.0}, {"test_share": 1.0}, {"min_images": 1}])
def test_senseless_numbers(wrong: dict[str, float], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="test_share"):
        load_folder(tmp_path, SIZE, **wrong)  # type: ignore[arg-type]
