"""Crops that carry gradients, against Pillow's and dlib's own."""

from __future__ import annotations

import cmath
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from faceenc.core import Face, scaled, turned
from faceenc.data import enlarge, read_orl
from faceenc.faces import (
    ALIGNED_BORDER,
    CHIP_SIZE,
    SQUARE_MARGIN,
    FaceDetector,
    Similarity,
    align_face,
    crop_square,
    cut_out,
    fit_similarity,
    halved_pixels,
    key_points_similarity,
    pyramid_levels,
    quarter_turns,
    square_similarity,
    unhalved,
)
from faceenc.media import to_tensor, to_uint8
from faceenc.recognizers import dlib_chip, dlib_similarities, has_dlib, load_dlibnet
from tests.conftest import smooth_images
from tests.pictures import halved

needs_dlib = pytest.mark.skipif(not has_dlib(), reason="dlib-bin is not installed")


@pytest.fixture(scope="module")
def photo() -> tuple[NDArray[np.uint8], Face]:
    image = enlarge(read_orl()["s5/1"])
    with FaceDetector() as detector:
        return image, detector(image)[0]


def test_a_fitted_similarity_is_found_again() -> None:
    wanted = Similarity(cmath.rect(1.7, 0.3), 12 - 5j)
    points = [0j, 10 + 1j, 3 + 8j]
    found = fit_similarity(points, [wanted(point) for point in points])
    assert found.turn == pytest.approx(wanted.turn)
    assert found.shift == pytest.approx(wanted.shift)
    with pytest.raises(ValueError, match="lie on one another"):
        fit_similarity(points, [1 + 1j] * 3)


def test_jitter_turns_about_the_middle() -> None:
    crop = Similarity(2 + 0.5j, 30 + 40j)
    middle = (CHIP_SIZE - 1) / 2 * (1 + 1j)
    jittered = crop.jittered([1, 1, 0, 0], size=CHIP_SIZE, degrees=10, zoom=0.1, shift=5)
    assert jittered(middle) == pytest.approx(crop(middle))
    assert jittered.turn / crop.turn == pytest.approx(cmath.rect(1.1, cmath.pi / 18))
    moved = crop.jittered([0, 0, 1, 0], size=CHIP_SIZE, degrees=10, zoom=0.1, shift=5)
    assert moved(middle + 5) == pytest.approx(crop(middle))


def test_crops_are_those_of_pillow(photo: tuple[NDArray[np.uint8], Face]) -> None:
    """Bilinear there, bicubic here: on a smooth picture they differ by less than three levels on average."""
    image, face = photo
    pairs = [
        (key_points_similarity(face, size=224, border=ALIGNED_BORDER), align_face(image, face, size=224)),
        (square_similarity(face, size=224, margin=SQUARE_MARGIN), crop_square(image, face.box, size=224, margin=0.2)),
    ]
    for similarity, wanted in pairs:
        crop = cut_out(to_tensor(image[None]), [similarity], size=224)
        inside = slice(8, -8)  # beyond the photo's border one is black, the other repeats it
        difference = (crop - to_tensor(wanted[None])).abs()[..., inside, inside]
        assert float(difference.mean()) < 3 / 255


@needs_dlib
@pytest.mark.parametrize(("zoom", "halvings"), [(0.5, 0), (1, 1), (3, 2)])
def test_dlibs_own_chip(photo: tuple[NDArray[np.uint8], Face], zoom: float, halvings: int) -> None:
    """The same chip as dlib cuts out, also where it halves the photo before; its embedding moves by little."""
    image, face = photo
    height, width = image.shape[:2]
    size = (round(width * zoom), round(height * zoom))
    large = np.array(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    there = scaled(face, zoom, zoom)
    similarity = dlib_similarities(large, there)[0]
    levels = pyramid_levels(similarity.scale)
    assert levels == halvings
    picture = to_tensor(large[None])
    for _ in range(levels):
        picture = halved(picture)
    chip = cut_out(picture, [similarity.moved(0, levels)], size=CHIP_SIZE)
    wanted = to_tensor(dlib_chip(large, there)[None])
    net = load_dlibnet()
    with torch.no_grad():
        distance = float((net(chip) - net(wanted)).norm())
    # dlib halves only the surroundings of the face, which may begin a pixel off ours.
    assert distance < (0.06 if halvings else 0.002)


@needs_dlib
def test_dlibs_chip_of_a_face_on_its_side_is_the_upright_one(photo: tuple[NDArray[np.uint8], Face]) -> None:
    image, face = photo
    (upright,) = dlib_similarities(image, face)
    height, width = image.shape[:2]
    (lying,) = dlib_similarities(np.ascontiguousarray(np.rot90(image)), turned(face, 1, width, height))
    back = quarter_turns(1, width, height)
    for corner in (0j, CHIP_SIZE * (1 + 1j)):
        assert abs(back(lying(corner)) - upright(corner)) < 0.02 * CHIP_SIZE * upright.scale


@needs_dlib
def test_a_face_that_is_wrongly_taken_for_upright_may_be_cut_out_in_several_ways(
    photo: tuple[NDArray[np.uint8], Face],
) -> None:
    """Dlib's landmarks are for upright faces: elsewhere they hang on where exactly the box lies."""
    image, face = photo
    side = image.shape[0]
    lying = replace(face, box=turned(face, 1, image.shape[1], side).box)
    chips = dlib_similarities(np.ascontiguousarray(np.rot90(image)), lying)
    assert len(chips) > 1
    assert all(0 < chip(75 + 75j).real < side for chip in chips)


def test_noise_of_a_reduced_picture_is_found_in_the_reduced_photo() -> None:
    """What `unhalved` spreads over a photo, `halved` sees again, a little blurred."""
    noise = (smooth_images(1, 64, seed=3) - 0.5) / 4
    spread = unhalved(noise, 2, size=(64 * 4 + 9, 64 * 4 + 9))
    grey = torch.full_like(spread, 0.5)
    again = halved(halved(grey + spread)) - 0.5
    inside = slice(4, 60)
    assert again.shape == noise.shape
    assert float((again - noise)[..., inside, inside].abs().max()) < 0.02
    assert float(noise.abs().max()) > 0.1


def test_pixels_at_rest_are_halved_alike() -> None:
    pixels = (smooth_images(1, 61, seed=7)[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    assert np.array_equal(halved_pixels(pixels), to_uint8(halved(to_tensor(pixels[None])))[0])
    assert halved_pixels(pixels, 2).shape == (13, 13, 3)


def test_gradients_reach_the_photos_pixels() -> None:
    x = smooth_images(1, 80, seed=4).requires_grad_(True)
    crop = cut_out(halved(x), [Similarity(cmath.rect(0.8, 0.2), 4 + 4j)], size=20)
    (gradient,) = torch.autograd.grad(crop.sum(), x)
    assert gradient.shape == x.shape
    assert float(gradient[..., 20:28, 20:28].min()) > 0
    levels = crop.detach() * 255
    assert torch.allclose(levels, levels.round(), atol=1e-3)  # whole grey levels
