"""Pictures without faces, drawn here: what a face detector must not see faces in."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

_SIDE = 640


def faceless_pictures() -> dict[str, Pixels]:
    """Sixty of them: blurred noise, textures, foliage, cats, clouds and text. A name -> (640, 640, 3) uint8 RGB."""
    made: dict[str, Pixels] = {}
    for k in range(20):
        made[f"blurred-noise-{k}"] = _noise(np.random.default_rng(k), sigma=2.0 * 1.2**k)
    for name, draw in (("texture", _texture), ("foliage", _foliage), ("cat", _cat), ("clouds", _clouds)):
        for k in range(10):
            made[f"{name}-{k}"] = draw(np.random.default_rng(100 + k), k)
    return made


def _noise(rng: np.random.Generator, sigma: float) -> Pixels:
    """White noise, blurred, with its contrast stretched again."""
    x = cv2.GaussianBlur(rng.normal(size=(_SIDE, _SIDE, 3)).astype(np.float32), (0, 0), sigma)
    return _pixels(0.5 + 0.2 * (x - x.mean()) / x.std())


def _texture(rng: np.random.Generator, k: int) -> Pixels:
    """Stripes, checks, rings and bricks, a little blurred and noisy."""
    y, x = np.mgrid[:_SIDE, :_SIDE].astype(np.float32)
    period = float(rng.uniform(12, 90))
    patterns = (
        np.sin(x * math.cos(k) * 6 / period + y * math.sin(k) * 6 / period),
        np.sign(np.sin(x * 3 / period) * np.sin(y * 3 / period)),
        np.sin(np.hypot(x - 300, y - 340) * 6 / period),
        np.minimum((y % period) / 4, ((x + (y // period % 2) * period) % (2 * period)) / 4).clip(0, 1) * 2 - 1,
        np.sin(x * 6 / period) * np.sin(y * 6 / period),
    )
    grey = 0.5 + 0.3 * patterns[k % len(patterns)]
    tint = rng.uniform(0.6, 1.2, 3).astype(np.float32)
    return _pixels(cv2.GaussianBlur(grey, (0, 0), 1.2)[..., None] * tint + rng.normal(0, 0.03, (_SIDE, _SIDE, 3)))


def _foliage(rng: np.random.Generator, k: int) -> Pixels:
    """Thousands of leaves over one another."""
    picture = np.full((_SIDE, _SIDE, 3), (20, 45, 15), np.uint8)
    for _ in range(2500):
        centre = tuple(int(v) for v in rng.integers(0, _SIDE, 2))
        length = int(rng.integers(5, 14 + 4 * k))
        colour = [int(v) for v in rng.uniform(0.3, 1.0) * np.array([90, 170, 60]) * rng.uniform(0.8, 1.2, 3)]
        axes = (length, max(2, length // 3))
        cv2.ellipse(picture, centre, axes, float(rng.uniform(0, 360)), 0, 360, colour, -1, cv2.LINE_AA)
    return cv2.GaussianBlur(picture, (0, 0), 0.8).astype(np.uint8)


def _cat(rng: np.random.Generator, k: int) -> Pixels:
    """A cat's head with fur, seen from the front."""
    picture = _clouds(rng, k)
    fur = [int(v) for v in rng.choice([(120, 110, 100), (200, 140, 80), (60, 55, 55), (230, 220, 210)])]
    middle, size = (320, 340), int(rng.integers(90, 190))
    for side in (-1, 1):
        ear = np.array([(320 + side * size, 340 - size // 3), (320 + side * int(size * 0.85), 340 - int(size * 1.35)),
                        (320 + side * size // 4, 340 - int(size * 0.8))], np.int32)  # fmt: skip
        cv2.fillPoly(picture, [ear], fur, cv2.LINE_AA)
    cv2.ellipse(picture, middle, (size, int(size * 0.85)), 0, 0, 360, fur, -1, cv2.LINE_AA)
    for _ in range(3000):
        angle, far = rng.uniform(0, 2 * math.pi), size * rng.uniform(0, 1) ** 0.5
        x, y = 320 + far * math.cos(angle), 340 + 0.85 * far * math.sin(angle)
        end = (int(x + 10 * math.cos(angle)), int(y + 10 * math.sin(angle)))
        cv2.line(picture, (int(x), int(y)), end, [int(v * rng.uniform(0.7, 1.2)) % 256 for v in fur], 1, cv2.LINE_AA)
    for side in (-1, 1):
        eye = (320 + side * int(size * 0.45), 340 - size // 6)
        cv2.ellipse(picture, eye, (size // 5, size // 6), 0, 0, 360, (190, 200, 60), -1, cv2.LINE_AA)
        cv2.ellipse(picture, eye, (size // 18, size // 7), 0, 0, 360, (10, 10, 10), -1, cv2.LINE_AA)
    nose = np.array(
        [(320 - size // 9, 340 + size // 5), (320 + size // 9, 340 + size // 5), (320, 340 + size // 3)], np.int32
    )
    cv2.fillPoly(picture, [nose], (200, 120, 120), cv2.LINE_AA)
    for side in (-1, 1):
        cv2.ellipse(
            picture,
            (320 + side * size // 6, 340 + size // 3),
            (size // 6, size // 9),
            0,
            0,
            180,
            (40, 30, 30),
            2,
            cv2.LINE_AA,
        )
    return cv2.GaussianBlur(picture, (0, 0), 1.0).astype(np.uint8)


def _clouds(rng: np.random.Generator, k: int) -> Pixels:
    """Noise of many scales at once, as skies, stone and carpets have it."""
    x = np.zeros((_SIDE, _SIDE, 3), np.float32)
    for octave in range(1, 7):
        coarse = rng.normal(size=(2**octave + 1, 2**octave + 1, 3)).astype(np.float32)
        x += cv2.resize(coarse, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC) * (0.5 + 0.04 * k) ** octave
    return _pixels(0.5 + 0.2 * (x - x.mean()) / x.std())


def _pixels(x: NDArray[np.floating]) -> Pixels:
    return (x * 255).clip(0, 255).round().astype(np.uint8)
