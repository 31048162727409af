"""Noise that follows a face from frame to frame, in the frame's own pixels.

A crop that is attacked, scaled back and pasted loses much of its effect when a recogniser cuts it out again. So the noise
lives in a window of the frame (`FaceWindow`), and remembers where the face's upright chip lies in it: in the next frame it
is moved, turned and scaled as the face was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from faceenc.faces import (
    CHIP_SIZE,
    FaceWindow,
    Similarity,
    face_ellipse,
    halved_pixels,
    key_points_similarity,
    pyramid_levels,
)
from faceenc.media import to_tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceenc.core import Face


Cut = tuple[Similarity, int]  # a recogniser's crop in the frame, and its side in pixels

_AROUND = 6  # frame pixels, around what recognisers see
_CRISP = 0.35  # pixels: as long as nothing is moved by more than this beside a whole shift, noise is shifted, not resampled


@dataclass(frozen=True, eq=False)
class FaceNoise:
    """A perturbation around a face.

    Attributes:
        delta: (1, 3, h, w) float32, in shares of the pixel range.
        chip: where the face's chip of 150 pixels lies in it.
        momentum: (1, 3, h, w), the gradients that led to it, summed up; None for noise that was not made by gradients.
    """

    delta: torch.Tensor
    chip: Similarity
    momentum: torch.Tensor | None = None

    def moved_to(self, chip: Similarity, size: Sequence[int]) -> torch.Tensor:
        """The same on a picture of (height, width) `size` in which the face's chip lies at `chip`; (1, 3, height, width).

        As sharp as can be: where the face has only moved, the noise moves by whole pixels; else it is bilinear.
        """
        return self._moved(self.delta, chip, size)

    def momentum_at(self, chip: Similarity, size: Sequence[int]) -> torch.Tensor | None:
        """The momentum, moved in the same way."""
        return None if self.momentum is None else self._moved(self.momentum, chip, size)

    def _moved(self, field: torch.Tensor, chip: Similarity, size: Sequence[int]) -> torch.Tensor:
        turn = self.chip.turn / chip.turn
        shift = self.chip.shift - turn * chip.shift  # picture point p shows the noise's point turn * p + shift
        centre = complex(size[1] - 1, size[0] - 1) / 2
        straight = turn * centre + shift - centre
        steps = complex(round(straight.real), round(straight.imag))
        if abs(turn - 1) * CHIP_SIZE / 2 * chip.scale < _CRISP:
            return _shifted(field, int(steps.real), int(steps.imag), size)
        return _sampled(field, turn, shift, size)


def live_window(frame: NDArray[np.uint8], face: Face, cuts: Sequence[Cut]) -> tuple[FaceWindow, Similarity]:
    """The window of a face and where the face's chip lies in its `picture`.

    Args:
        frame: (H, W, 3) uint8 RGB.
        face: as found in this frame.
        cuts: what recognisers see; lies inside the window.

    Raises:
        ValueError: the face's key points lie on one another.
    """
    chip = key_points_similarity(face)
    levels = pyramid_levels(chip.scale)
    corners = [cut(side * corner) for cut, side in [*cuts, (chip, CHIP_SIZE)] for corner in (0, 1, 1j, 1 + 1j)]
    height, width = frame.shape[:2]
    x0, x1 = _span([c.real for c in corners], width, levels)
    y0, y1 = _span([c.imag for c in corners], height, levels)
    pixels = np.ascontiguousarray(frame[y0:y1, x0:x1])
    picture = to_tensor(halved_pixels(pixels, levels)[None])
    origin = complex(x0, y0)
    moved = chip.moved(origin, levels)
    crops = tuple((Similarity(cut.turn, cut.shift - origin),) for cut, _ in cuts)
    share = face_ellipse(moved, picture.shape[-2:])
    return FaceWindow((x0, y0, x1, y1), chip.scale, levels, pixels, picture, crops, share), moved


def _span(places: Sequence[float], length: int, levels: int) -> tuple[int, int]:
    """From the first to the last place along one axis, with room around, inside the frame and never empty."""
    reach = _AROUND * 2**levels
    least = min(length, 8 * 2**levels)
    first = min(max(0, math.floor(min(places)) - reach), length - least)
    return first, max(min(length, math.ceil(max(places)) + reach), first + least)


def _shifted(delta: torch.Tensor, x: int, y: int, size: Sequence[int]) -> torch.Tensor:
    """`out[j, i] = delta[j + y, i + x]`, zero where there is none."""
    out = torch.zeros(*delta.shape[:2], *size)
    (rows, columns), (height, width) = size, delta.shape[-2:]
    top, bottom = max(0, -y), min(rows, height - y)
    left, right = max(0, -x), min(columns, width - x)
    if top < bottom and left < right:
        out[..., top:bottom, left:right] = delta[..., top + y : bottom + y, left + x : right + x]
    return out


def _sampled(delta: torch.Tensor, turn: complex, shift: complex, size: Sequence[int]) -> torch.Tensor:
    height, width = delta.shape[-2:]
    down = torch.arange(size[0], dtype=torch.float32)[:, None]
    across = torch.arange(size[1], dtype=torch.float32)[None, :]
    columns = (turn.real * across - turn.imag * down + shift.real) * (2 / max(width - 1, 1)) - 1
    rows = (turn.imag * across + turn.real * down + shift.imag) * (2 / max(height - 1, 1)) - 1
    grid = torch.stack([columns, rows], dim=-1)[None]
    return F.grid_sample(delta, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
