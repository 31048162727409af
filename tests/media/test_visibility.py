"""What people see of a change: SSIMULACRA2 against another's code, displacement against known warps, and both together."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from ssimulacra2 import compute_ssimulacra2

from faceenc.media import CUT_SIDE, Ssimulacra2, Visibility, displaced, displacement, face_cut, measure_visibility, to_tensor

SIDE = 200.0  # pixels: a face in a cut
ORIGINAL = (CUT_SIDE, CUT_SIDE - 24)


def picture(height: int = ORIGINAL[0], width: int = ORIGINAL[1]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 with something to see at every scale: slopes, waves of several lengths, a bright disc."""
    y, x = np.mgrid[:height, :width].astype(float)
    waves = sum(12 * np.sin(x / length) * np.cos(y / (1.3 * length) + length) for length in (3, 7, 17, 40))
    disc = 60 * ((x - 150) ** 2 + (y - 170) ** 2 < 70**2)
    red = 90 + x / 8 + waves + disc
    return np.stack([red, 80 + y / 6 + waves + disc * 0.7, 140 - x / 10 - waves * 0.5], -1).clip(0, 255).astype(np.uint8)


def noisy(pixels: NDArray[np.uint8], size: int = 5) -> NDArray[np.uint8]:
    noise = np.random.default_rng(1).integers(-size, size + 1, pixels.shape)
    return (pixels + noise).clip(0, 255).astype(np.uint8)


def compressed(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=40)
    return np.asarray(Image.open(file))


def darker(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return (pixels * np.array([0.9, 0.92, 0.95])).astype(np.uint8)


def warp(percent: float) -> NDArray[np.float32]:
    """A smooth displacement of at most so many per cent of the face."""
    y, x = np.mgrid[: ORIGINAL[0], : ORIGINAL[1]] / SIDE
    flow = np.stack([np.sin(3 * y + 1) * np.cos(2 * x), np.cos(3 * x) * np.sin(2 * y + 2)], -1)
    return (flow * percent / 100 * SIDE / np.linalg.norm(flow, axis=2).max()).astype(np.float32)


def file_of(pixels: NDArray[np.uint8]) -> io.BytesIO:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file


@pytest.mark.parametrize("change", [noisy, compressed, darker])
def test_ssimulacra2_is_what_another_says(change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> None:
    original, changed = picture(), change(picture())
    found = Ssimulacra2(to_tensor(original[None]))(to_tensor(changed[None]))
    assert found == pytest.approx(compute_ssimulacra2(file_of(original), file_of(changed)), abs=0.05)
    assert found < 90


def test_equal_pictures_have_ssimulacra2_100() -> None:
    original = to_tensor(picture()[None])
    assert Ssimulacra2(original)(original.clone()) == pytest.approx(100, abs=0.02)


def test_the_gradient_of_ssimulacra2_is_that_of_differences() -> None:
    original, changed = (0.1 + 0.8 * to_tensor(pixels[None]) for pixels in (picture(160, 160), noisy(picture(160, 160))))
    measure = Ssimulacra2(original)
    variable = changed.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(measure.error(variable).sum(), variable)
    direction, step = gradient / gradient.norm(), 0.05
    with torch.no_grad():
        difference = (measure.error(changed + step * direction) - measure.error(changed - step * direction)) / (2 * step)
    assert float(difference) == pytest.approx(float(gradient.norm()), rel=0.02)


def test_a_known_warp_is_found() -> None:
    flow = warp(1)
    found = displacement(picture(), displaced(picture(), flow))
    middle = (slice(50, -50), slice(50, -50))
    assert np.abs(found - flow)[middle].max() < 0.35 < np.abs(flow)[middle].max()


def test_noise_is_no_displacement() -> None:
    lengths = np.linalg.norm(displacement(picture(), noisy(picture())), axis=2)
    assert 100 * np.percentile(lengths, 95) / SIDE < 0.2


def test_noise_and_shape_are_told_apart() -> None:
    original = picture()
    noise = measure_visibility(original, noisy(original), side=SIDE)
    shape = measure_visibility(original, displaced(original, warp(1)), side=SIDE)
    both = measure_visibility(original, noisy(displaced(original, warp(1))), side=SIDE)
    assert noise.shape < 0.2
    assert 0.7 < shape.shape < 1.1
    assert both.shape == pytest.approx(shape.shape, abs=0.15)
    assert noise.noise < shape.noise - 10
    assert shape.butteraugli < noise.butteraugli
    assert both.noise == pytest.approx(noise.noise, abs=6)


def test_nothing_is_seen_of_no_change() -> None:
    assert measure_visibility(picture(), picture(), side=SIDE) == Visibility(noise=100, butteraugli=0, shape=0)


@pytest.mark.parametrize(("height", "width", "size"), [(64, 40, (320, 200)), (90, 900, (32, 320))])
def test_a_cut_has_320_pixels_on_its_longer_side(height: int, width: int, size: tuple[int, int]) -> None:
    around = picture(height + 10, width + 6)
    cut = face_cut(around, (6, 10, width + 6, height + 10))
    assert cut.shape == (*size, 3)
    assert cut.mean() == pytest.approx(around[10:, 6:].mean(), abs=1)
