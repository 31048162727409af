"""Quality of a protected photo, against the plain formulas; and where what people see of a face is measured."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from faceenc.core import Box, Face
from faceenc.media import Visibility, psnr, ssim, to_tensor
from faceenc.protect import face_change, face_visibility, photo_change
from tests.conftest import smooth_images


def picture(height: int, width: int) -> NDArray[np.uint8]:
    large = smooth_images(1, max(height, width), seed=4)[0].mul(255).byte().permute(1, 2, 0).numpy()
    return np.ascontiguousarray(large[:height, :width])


def noisy(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(2).integers(-size, size + 1, image.shape)
    return (image + noise).clip(0, 255).astype(np.uint8)


def test_the_whole_photo() -> None:
    image = picture(700, 300)
    changed = image.copy()
    changed[400:500, 50:90] = noisy(image[400:500, 50:90], 9)
    changed[3, 4] = 255 - image[3, 4]
    found, largest = photo_change(image, changed)
    assert found == pytest.approx(float(psnr(to_tensor(image[None]), to_tensor(changed[None]))[0]), abs=1e-3)
    assert largest == np.abs(image.astype(int) - changed).max() > 9
    assert photo_change(image, image.copy()) == (math.inf, 0)


def test_a_face_and_a_fifth_around_it() -> None:
    image = picture(200, 260)
    changed = noisy(image, 8)
    found = face_change(image, changed, Box(100, 60, 160, 110))
    one, other = (to_tensor(picture[None, 48:122, 88:172]) for picture in (image, changed))
    assert found == pytest.approx((float(ssim(one, other)[0]), float(psnr(one, other)[0])), abs=1e-3)
    assert 0.2 < found[0] < 0.95
    still = changed.copy()
    still[48:122, 88:172] = image[48:122, 88:172]
    assert face_change(image, still, Box(100, 60, 160, 110)) == (1, math.inf)


def test_large_faces_are_looked_at_in_tiles() -> None:
    image = picture(1100, 1300)
    changed = noisy(image, 8)
    found, _ = face_change(image, changed, Box(100, 100, 1200, 1000))
    assert found == pytest.approx(float(ssim(to_tensor(image[None]), to_tensor(changed[None]))[0]), abs=2e-3)


def test_a_few_pixels_have_no_ssim() -> None:
    image = picture(9, 40)
    similarity, ratio = face_change(image, noisy(image, 4), Box(10, 0, 20, 9))
    assert math.isnan(similarity)
    assert 30 < ratio < 50


def face(x: float, y: float, side: float) -> Face:
    points = ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.5, 0.8))
    placed = tuple((x + across * side, y + down * side) for across, down in points)
    return Face(Box(x, y, x + side, y + side), {"mediapipe": placed}, 1.0)


def test_what_people_see_is_measured_on_the_head() -> None:
    image = picture(200, 260)
    one = face(90, 70, 60)
    far, near = image.copy(), image.copy()
    far[:, 190:] = noisy(image[:, 190:], 20)
    near[70:130, 90:150] = noisy(image[70:130, 90:150], 20)
    assert face_visibility(image, far, one) == Visibility(noise=100, butteraugli=0, shape=0)
    seen = face_visibility(image, near, one)
    assert seen is not None
    assert seen.noise < 60
    assert seen.butteraugli > 2


@pytest.mark.parametrize(
    ("shape", "place"), [((30, 7), (0, 5, 20)), ((200, 200), (-110, 60, 80)), ((200, 200), (100, 100, 3))], ids=str
)
def test_of_a_few_pixels_nothing_is_measured(shape: tuple[int, int], place: tuple[int, int, int]) -> None:
    """A narrow photo, a head of which a strip is left, a tiny one."""
    image = picture(*shape)
    assert face_visibility(image, noisy(image, 4), face(*place)) is None
