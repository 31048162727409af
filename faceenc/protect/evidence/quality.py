"""How much a protected photo differs from its original, on the photo's own pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from faceenc.core import window_around
from faceenc.faces import SQUARE_MARGIN
from faceenc.media import ssim, to_tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceenc.core import Box


_ROWS = 256  # compared at once
_TILE = 1024  # pixels: SSIM keeps a dozen float copies of what it looks at
_SMALLEST = 12  # pixels a side: SSIM's window is 11 wide


def photo_change(original: NDArray[np.uint8], protected: NDArray[np.uint8]) -> tuple[float, int]:
    """PSNR in dB (infinite for equal photos) and the largest change of a value, in 0 to 255.

    Args:
        original: (H, W, 3) uint8.
        protected: of the same shape.
    """
    squares, largest = 0, 0
    for row in range(0, len(original), _ROWS):
        one, other = original[row : row + _ROWS], protected[row : row + _ROWS]
        if np.array_equal(one, other):
            continue
        change = one.astype(np.int16) - other
        squares += int(np.square(change, dtype=np.int32).sum(dtype=np.int64))
        largest = max(largest, int(np.abs(change).max()))
    return (10 * math.log10(255**2 * original.size / squares) if squares else math.inf), largest


def face_change(original: NDArray[np.uint8], protected: NDArray[np.uint8], box: Box) -> tuple[float, float]:
    """SSIM and PSNR in dB of a face: its box, grown by a fifth of its longer side all around.

    Nothing is scaled down, which would hide noise: SSIM is the mean over tiles of at most 1024 x 1024 pixels, by size.

    Args:
        original: (H, W, 3) uint8 RGB.
        protected: of the same shape.
        box: of the face, in pixels of both.

    Returns:
        SSIM is nan where the photo is too small for it, under 12 pixels a side.
    """
    height, width = original.shape[:2]
    x0, y0, x1, y1 = window_around(box, width, height, margin=SQUARE_MARGIN)
    one, other = original[y0:y1, x0:x1], protected[y0:y1, x0:x1]
    psnr, largest = photo_change(one, other)
    if min(one.shape[:2]) < _SMALLEST:
        return math.nan, psnr
    if not largest:
        return 1.0, psnr
    total = sum(
        float(ssim(to_tensor(one[None, rows, columns]), to_tensor(other[None, rows, columns]))[0])
        * (rows.stop - rows.start)
        * (columns.stop - columns.start)
        for rows in _parts(one.shape[0])
        for columns in _parts(one.shape[1])
    )
    return total / (one.shape[0] * one.shape[1]), psnr


def _parts(length: int) -> Iterator[slice]:
    """Equal parts of at most `_TILE` pixels."""
    count = math.ceil(length / _TILE)
    edges = [round(part * length / count) for part in range(count + 1)]
    for start, end in pairwise(edges):
        yield slice(start, end)
