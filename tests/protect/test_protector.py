"""`Protector`: arrays and Pillow images in and out, one thread at a time, and closed for good."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from faceenc.core import NoFaceError
from faceenc.data import enlarge, read_orl
from faceenc.protect import STRENGTHS, Options, Protector

QUICK = Options(strength=replace(STRENGTHS["subtle"], steps=10))


@pytest.fixture(scope="module")
def protector() -> Iterator[Protector]:
    with Protector(QUICK) as opened:
        yield opened


@pytest.fixture(scope="module")
def face() -> Image.Image:
    return Image.fromarray(enlarge(read_orl()["s1/1"]))


def test_arrays_and_images_come_back_as_they_went_in(protector: Protector, face: Image.Image) -> None:
    pixels = np.asarray(face)
    before = pixels.copy()
    changed = protector(pixels)
    np.testing.assert_array_equal(pixels, before)
    assert (changed.image.shape, changed.image.dtype) == (pixels.shape, np.uint8)
    reach = QUICK.strength.eps * 255 + 0.5
    assert 0 < np.abs(changed.image.astype(int) - pixels).max() <= reach
    (outcome,) = changed.faces
    assert outcome.steps >= 10
    same = protector(face).image
    assert isinstance(same, Image.Image)
    np.testing.assert_array_equal(np.asarray(same), changed.image)
    clear = face.convert("RGBA")
    clear.putalpha(100)
    protected = protector(clear).image
    assert protected.mode == "RGBA"
    assert protected.getpixel((0, 0))[3] == 100  # type: ignore[index]


def test_two_threads_get_what_one_would_get(protector: Protector, face: Image.Image) -> None:
    pictures = [np.asarray(face), np.ascontiguousarray(np.asarray(face)[:, ::-1])]
    alone = [protector(picture).image for picture in pictures]
    with ThreadPoolExecutor(2) as threads:
        together = list(threads.map(lambda picture: protector(picture).image, pictures))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_face_and_a_closed_protector_are_errors(face: Image.Image) -> None:
    with Protector(QUICK) as protector:
        with pytest.raises(NoFaceError, match="on_no_face=whole"):
            protector(np.full((200, 200, 3), 90, np.uint8))
        protector(face)  # an error leaves it usable
    with pytest.raises(ValueError, match="closed"):
        protector(face)
