"""From a change that was found to pixels: as much of it as may be seen, and no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from faceenc.faces import FaceWindow, Similarity, unhalved
from faceenc.media import Visibility, to_tensor, to_uint8
from faceenc.protect.optimiser import HeadChange, Shaping, moved
from faceenc.protect.strength import Strength
from faceenc.protect.visible import head_place, head_visibility

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Encode = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


_ROUNDS = 6
_NEAR = 0.97  # of what may be seen, from which more is not tried
_AIM = 0.99  # of what may be seen
_MOST = 4.0  # times what was found
# Where stark edges next to the head move, no flow follows them, and the change of shape alone is seen as noise. Where it
# takes more than this share of what may be seen, there is less of it.
_SHAPE_SHARE, _LESS_SHAPE = 0.75, 0.6
_SPARE_NOISE, _SPARE_BUTTERAUGLI, _SPARE_SHAPE = 0.2, 0.99, 0.97  # is left free: others measure a little differently


def levelled(
    window: FaceWindow, frame: Similarity, change: HeadChange, strength: Strength, encode: Encode | None
) -> tuple[NDArray[np.uint8], Visibility | None]:
    """The window's own pixels with the change, scaled by one factor so that it shows what it may.

    Args:
        window: of the face.
        frame: where the head lies in the window's own pixels.
        change: of the window's picture.
        strength: how much may be seen.
        encode: what saving does to pixels; both sides are compared as saved. None saves without loss.

    Returns:
        (H, W, 3) uint8 RGB in the place of `window.pixels`, and what is seen of it where the strength asks for
        that and there is enough of the head to be looked at.
    """
    pixels = _Pixels(window, frame.moved(0, window.levels), change, strength)
    place = head_place(frame, window.pixels.shape) if strength.sees else None
    if place is None:
        return pixels(1.0), None
    strength = replace(
        strength,
        noise=strength.noise + _SPARE_NOISE,
        butteraugli=strength.butteraugli * _SPARE_BUTTERAUGLI,
        shape=strength.shape * _SPARE_SHAPE,
    )
    # The whole window is saved, as JPEG's blocks lie on it; its middle is looked at.
    original = encode(window.pixels) if encode else window.pixels

    def look(candidate: NDArray[np.uint8]) -> Visibility:
        return head_visibility(original, encode(candidate) if encode else candidate, frame, place)

    def used(seen: Visibility) -> float:
        return max((100 - seen.noise) / (100 - strength.noise), seen.butteraugli / strength.butteraugli)

    for _ in range(_ROUNDS):
        if not pixels.points.any() or used(look(pixels(0.0))) <= _SHAPE_SHARE:
            break
        pixels.reshape(_LESS_SHAPE)
    factor, best = 1.0, None
    for _ in range(_ROUNDS):
        candidate = pixels(factor)
        seen = look(candidate)
        if strength.kept(seen) and (best is None or factor > best[0]):
            best = factor, candidate, seen
        if strength.shape and seen.shape > strength.shape:
            pixels.reshape(_AIM * strength.shape / seen.shape)
            continue
        share = used(seen)
        if best is not None and (_NEAR <= share <= 1 or factor >= _MOST):
            break
        factor = min(factor * _AIM / max(share, 1e-3), _MOST)
    while best is None:
        factor *= 0.8
        candidate = pixels(factor)
        seen = look(candidate)
        if strength.kept(seen) or factor < 0.05:
            best = factor, candidate, seen
    return best[1], best[2]


class _Pixels:
    """The window's own pixels, changed."""

    def __init__(self, window: FaceWindow, head: Similarity, change: HeadChange, strength: Strength) -> None:
        self.window, self.points = window, change.points
        self.size = window.pixels.shape[:2]
        self.shaping = Shaping(head, window.share)
        self.noise = unhalved(change.noise, window.levels, size=self.size)
        self.eps = strength.eps
        self.reshape(1.0)

    def reshape(self, factor: float) -> None:
        """So much of the displacement."""
        self.points = self.points * factor
        displacement = self.shaping.displacement(self.points)
        self.base = to_tensor(self.window.pixels[None])
        if self.points.any():
            levels = self.window.levels
            self.base = moved(self.base, unhalved(displacement, levels, size=self.size) * 2**levels)

    def __call__(self, factor: float) -> NDArray[np.uint8]:
        changed: NDArray[np.uint8] = to_uint8((self.base + (factor * self.noise).clamp(-self.eps, self.eps)).clamp(0, 1))[0]
        return changed
