"""Butteraugli against what libjxl's own program says, and its gradient against differences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from faceenc.media import Butteraugli, to_tensor

HEIGHT, WIDTH = 90, 117  # the half resolution has a last column of its own


def picture(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """(H, W, 3) uint8 of whole numbers only: slopes, rings that become finer, two squares. The same on any machine."""
    y, x = np.mgrid[:height, :width]
    rings = (x * x + y * y) // 40 % 64
    red, green, blue = 60 + x + rings, 40 + (x + y) // 2 + rings, 200 - y - x // 4
    for row, level in ((10, 250), (50, 5)):
        green[row : row + 20, 30:50] = level
    return np.stack([red, green, blue], -1).clip(0, 255).astype(np.uint8)


def speckled(pixels: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    noise = np.stack([(5 * x + 11 * y) % 17 - 8, (7 * x + 13 * y) % 19 - 9, (3 * x + 5 * y) % 23 - 11], -1)
    return (pixels.astype(int) + noise).clip(0, 255).astype(np.uint8)


def faint(pixels: np.ndarray) -> np.ndarray:
    return np.where(speckled(pixels) > pixels, pixels + (pixels < 255), pixels).astype(np.uint8)


def shifted(pixels: np.ndarray) -> np.ndarray:
    return np.roll(pixels, 1, axis=1)


def cast(pixels: np.ndarray) -> np.ndarray:
    return (pixels * np.array([31, 32, 30]) // 32).astype(np.uint8)


def other_way(pixels: np.ndarray) -> np.ndarray:
    return 255 - pixels


# The last number that `butteraugli_main picture.png changed.png` of libjxl 0.7.0 printed, the pictures above saved as PNG.
@pytest.mark.parametrize(
    ("change", "distance"),
    [(speckled, 1.519398), (faint, 0.349124), (shifted, 10.140854), (cast, 2.509082), (other_way, 89.674564)],
)
def test_the_distance_is_that_of_libjxl(change: Callable[[np.ndarray], np.ndarray], distance: float) -> None:
    original = picture()
    measured = Butteraugli(to_tensor(original[None]))(to_tensor(change(original)[None]))
    assert measured.shape == ()
    assert float(measured) == pytest.approx(distance, rel=1e-4)


# By the same command.
@pytest.mark.parametrize(("height", "width", "distance"), [(8, 8, 1.511399), (9, 40, 1.740535), (33, 16, 1.799432)])
def test_small_pictures_too(height: int, width: int, distance: float) -> None:
    original = picture(height, width)
    measured = Butteraugli(to_tensor(original[None]))(to_tensor(speckled(original)[None]))
    assert float(measured) == pytest.approx(distance, rel=1e-4)


def test_equal_pictures_are_at_no_distance_and_the_gradient_there_is_finite() -> None:
    original = to_tensor(picture()[None])
    changed = original.clone().requires_grad_()
    distance = Butteraugli(original)(changed)
    distance.backward()
    assert float(distance.detach()) == pytest.approx(0, abs=1e-12)
    assert changed.grad is not None
    assert not changed.grad.any()


@pytest.mark.parametrize("step", [1e-6, 1e-4])
def test_the_gradient_close_to_the_original_has_a_bound(step: float) -> None:
    original = to_tensor(picture()[None])
    changed = (original + step * (original.roll(1, 3) - original).sign()).requires_grad_()
    Butteraugli(original)(changed).backward()
    assert changed.grad is not None
    assert changed.grad.isfinite().all()
    assert 0 < float(changed.grad.norm()) < 10


@pytest.mark.parametrize("change", [speckled, cast])
def test_the_gradient_is_that_of_differences(change: Callable[[np.ndarray], np.ndarray]) -> None:
    # Away from 0 and 1, so that both sides of a difference are colours.
    original, changed = (0.1 + 0.8 * to_tensor(pixels[None]) for pixels in (picture(), change(picture())))
    metric = Butteraugli(original)
    variable = changed.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(metric(variable), variable)
    direction = gradient / gradient.norm()
    step = 0.01
    difference = (metric(changed + step * direction) - metric(changed - step * direction)) / (2 * step)
    assert float(difference) == pytest.approx(float(gradient.norm()), rel=0.02)


def test_what_cannot_be_compared_is_refused() -> None:
    original = to_tensor(picture()[None])
    with pytest.raises(ValueError, match="at least 8 pixels"):
        Butteraugli(original[..., :7])
    with pytest.raises(ValueError, match="against an original"):
        Butteraugli(original)(original[..., :-1])
