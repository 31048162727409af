"""The demo set and the cache of crops, with the real detector."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from faceenc.data import FaceSet, cached, load_orl

SIZE = 64


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
    code = f"from faceenc.data import load_orl; print(load_orl({SIZE}).sha256)"
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


@pytest.fixture
def few() -> FaceSet:
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    files = ("a/1", "a/2", "b/\udcff", "b/2")
    labels, train, test = np.array([0, 0, 1, 1]), np.array([0, 2]), np.array([1, 3])
    return FaceSet("few", ("a", "b"), images, labels, files, train, test, "me", framing="aligned")


def test_what_is_stored_comes_back(few: FaceSet, cache: Path) -> None:
    assert cached("few.npz", "key", lambda: few).sha256 == few.sha256
    back = cached("few.npz", "key", lambda: pytest.fail("built again"))
    assert (back.name, back.files, back.credit, back.framing) == (few.name, few.files, "me", "aligned")
    assert back.sha256 == few.sha256
    assert cached("few.npz", "other key", lambda: replace(few, name="new")).name == "new"


@pytest.mark.parametrize("damage", ["bit", "short", "empty"])
def test_damaged_crops_are_made_anew(damage: str, few: FaceSet, cache: Path) -> None:
    cached(f"{damage}.npz", "key", lambda: few)
    stored = cache / f"{damage}.npz"
    content = bytearray(stored.read_bytes())
    content[len(content) // 2] ^= 1
    stored.write_bytes({"bit": bytes(content), "short": bytes(content[:1000]), "empty": b""}[damage])
    assert cached(f"{damage}.npz", "key", lambda: replace(few, name="anew")).name == "anew"
    assert cached(f"{damage}.npz", "key", lambda: pytest.fail("built again")).name == "anew"


def test_leftovers_of_killed_processes_go(few: FaceSet, cache: Path) -> None:
    left, other = cache / ".few.npz.01234567.tmp", cache / ".many.npz.01234567.tmp"
    for leftover in (left, other):
        leftover.write_bytes(b"half")
    cached("few.npz", "newest key", lambda: few)
    assert [leftover.exists() for leftover in (left, other)] == [False, True]


def test_cache_that_takes_no_file_only_warns(few: FaceSet, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    (cache / "taken.npz" / "in the way").mkdir(parents=True)
    assert cached("taken.npz", "key", lambda: few) is not None
    assert any("FACEENC_CACHE" in record.getMessage() for record in caplog.records)
