"""A window's variants against those of the whole photo, and the geometry of windows."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from faceenc.core import Box, Face, at_place, moved, overlap, scaled, window_around
from faceenc.media import VARIANTS, copy_window, vary

WIDTH, HEIGHT = 501, 403
# In the middle, at the right and lower border, and over the left and upper one.
BOXES = [Box(201.5, 150.2, 280.1, 230.9), Box(400, 300, 480, 390), Box(-20, -10, 60, 75)]


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    """Soft shapes with colour noise, of odd size."""
    rng = np.random.default_rng(1)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 15, 3), np.uint8)).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    return (np.asarray(coarse) + rng.integers(-12, 13, (HEIGHT, WIDTH, 3))).clip(0, 255).astype(np.uint8)


def whole(photo: NDArray[np.uint8], variant: str, width: float) -> NDArray[np.uint8]:
    picture = Image.fromarray(photo)
    if variant == "jpeg75":
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=75)
        return np.array(Image.open(file))
    if variant == "blur":
        return np.array(picture.filter(ImageFilter.GaussianBlur(max(1.0, width / 200))))
    return photo


@pytest.mark.parametrize("box", BOXES, ids=["middle", "corner", "over the border"])
@pytest.mark.parametrize("variant", ["saved", "jpeg75", "blur"])
def test_the_face_looks_as_in_the_whole_photos_variant(variant: str, box: Box, photo: NDArray[np.uint8]) -> None:
    x0, y0, x1, y1 = copy_window(box, WIDTH, HEIGHT)
    found = vary(photo[y0:y1, x0:x1], variant, face_width=box.width)  # type: ignore[arg-type]
    inside = slice(max(0, round(box.y0)), round(box.y1)), slice(max(0, round(box.x0)), round(box.x1))
    wanted = whole(photo, variant, box.width)[inside]
    here = found[inside[0].start - y0 : inside[0].stop - y0, inside[1].start - x0 : inside[1].stop - x0]
    np.testing.assert_array_equal(here, wanted)


@pytest.mark.parametrize("box", BOXES, ids=["middle", "corner", "over the border"])
def test_halving_takes_two_pixels_for_one(box: Box, photo: NDArray[np.uint8]) -> None:
    even = photo[:402, :500]
    x0, y0, x1, y1 = copy_window(box, 500, 402)
    found = vary(even[y0:y1, x0:x1], "half", face_width=box.width)
    wanted = np.array(Image.fromarray(even).resize((250, 201), Image.Resampling.LANCZOS))
    inside = slice(max(0, round(box.y0 / 2)), round(box.y1 / 2)), slice(max(0, round(box.x0 / 2)), round(box.x1 / 2))
    here = found[inside[0].start - y0 // 2 : inside[0].stop - y0 // 2, inside[1].start - x0 // 2 : inside[1].stop - x0 // 2]
    assert np.abs(here.astype(int) - wanted[inside]).max() <= 1
    assert vary(photo[:5, :7], "half", face_width=3).shape == (3, 4, 3)


def test_wide_faces_are_blurred_in_proportion(photo: NDArray[np.uint8]) -> None:
    blurs = [vary(photo, "blur", face_width=width).astype(float).std() for width in (50, 200, 400, 800)]
    assert blurs[0] == blurs[1] > blurs[2] > blurs[3]
    assert VARIANTS == ("saved", "jpeg75", "half", "blur")


@pytest.mark.parametrize("box", [*BOXES, Box(-90, -90, -50, -40), Box(900, 900, 990, 990), Box(5.2, 5.2, 5.4, 5.4)])
@pytest.mark.parametrize("step", [1, 16])
def test_windows_lie_inside_and_on_the_grid(box: Box, step: int) -> None:
    x0, y0, x1, y1 = window_around(box, WIDTH, HEIGHT, margin=0.5, step=step)
    assert 0 <= x0 < x1 <= WIDTH
    assert 0 <= y0 < y1 <= HEIGHT
    assert (x0 % step, y0 % step) == (0, 0)
    assert x1 % step == 0 or x1 == WIDTH
    assert y1 % step == 0 or y1 == HEIGHT
    reach = 0.5 * max(box.width, box.height)
    if box.x0 - reach >= 0 and box.x1 + reach <= WIDTH:
        assert x0 <= box.x0 - reach < x0 + step
        assert x1 - step < box.x1 + reach <= x1


def test_overlap_is_intersection_over_union() -> None:
    assert overlap(Box(0, 0, 10, 10), Box(0, 0, 10, 10)) == 1
    assert overlap(Box(0, 0, 10, 10), Box(5, 0, 15, 10)) == pytest.approx(50 / 150)
    assert overlap(Box(0, 0, 10, 10), Box(10, 0, 20, 10)) == 0
    assert overlap(Box(3, 3, 3, 3), Box(3, 3, 3, 3)) == 0
    place = Box(0, 0, 10, 10)
    assert at_place([Box(4, 4, 6, 6), Box(1, 1, 11, 11), Box(30, 30, 40, 40)], place) == Box(1, 1, 11, 11)
    assert at_place([Box(4, 4, 6, 6)], place) is None, "a nose is not the face"
    assert at_place([], place) is None


def test_faces_move_and_grow_with_their_image() -> None:
    face = Face(Box(1, 2, 5, 8), {"mediapipe": ((2.0, 3.0), (4.0, 5.0))}, 0.9)
    assert moved(face, 10, 20) == Face(Box(11, 22, 15, 28), {"mediapipe": ((12.0, 23.0), (14.0, 25.0))}, 0.9)
    assert scaled(face, 2, 0.5) == Face(Box(2, 1, 10, 4), {"mediapipe": ((4.0, 1.5), (8.0, 2.5))}, 0.9)
