"""The part of a photo around one face, at the scale at which recognisers see it, and where noise may go in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from faceenc.faces import (
    CHIP_SIZE,
    FaceWindow,
    Similarity,
    halved_pixels,
    head_corners,
    head_frame,
    head_mask,
    key_points_similarity,
    pyramid_levels,
)
from faceenc.media import JPEG_BLOCK, to_tensor
from faceenc.recognizers import Recognizer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceenc.core import Face


_AROUND = 25  # chip pixels around the chip that belong to the window: crops that are a little off end there


def face_window(
    image: NDArray[np.uint8],
    face: Face,
    surrogates: Sequence[Recognizer],
    *,
    mask: bool = True,
    more: Sequence[Sequence[Similarity]] = (),
) -> FaceWindow:
    """The window of a face.

    Args:
        image: (H, W, 3) uint8 RGB.
        face: as detected in this very image.
        surrogates: whose crops are to lie in it.
        mask: keep the change on the head; else it may go anywhere in the window.
        more: for each surrogate, crops of the image that are attacked as well.

    Raises:
        ValueError: the face's key points lie on one another.
    """
    chip = key_points_similarity(face)
    crops = tuple(tuple(surrogate.align(image, face)) for surrogate in surrogates)
    if more:
        crops = tuple((*own, *others) for own, others in zip(crops, more, strict=True))
    levels = pyramid_levels(chip.scale)
    head = head_frame(face)
    place = _place(image, [*_corners(chip, CHIP_SIZE, crops, surrogates), *head_corners(head)], levels, chip.scale)
    x0, y0, x1, y1 = place
    pixels = np.ascontiguousarray(image[y0:y1, x0:x1])
    picture = to_tensor(halved_pixels(pixels, levels)[None])
    size = picture.shape[-2:]
    share = head_mask(head.moved(complex(x0, y0), levels), size) if mask else torch.ones(1, 1, *size)
    moved = tuple(tuple(Similarity(s.turn, s.shift - complex(x0, y0)) for s in own) for own in crops)
    return FaceWindow(place, chip.scale, levels, pixels, picture, moved, share)


def _corners(
    chip: Similarity, size: int, crops: Sequence[Sequence[Similarity]], surrogates: Sequence[Recognizer]
) -> list[complex]:
    sized = [(chip, size), *((crop, s.size) for own, s in zip(crops, surrogates, strict=True) for crop in own)]
    return [crop(side * corner) for crop, side in sized for corner in (0, 1, 1j, 1 + 1j)]


def _place(image: NDArray[np.uint8], corners: Sequence[complex], levels: int, scale: float) -> tuple[int, int, int, int]:
    """The photo's part that holds all these points, what their pyramid takes from the border, and room for crops nearby."""
    reach = _AROUND * scale + 4 * 2**levels
    height, width = image.shape[:2]
    # Windows begin where JPEG's blocks of a whole photo do.
    x0 = max(0, math.floor((min(c.real for c in corners) - reach) / JPEG_BLOCK) * JPEG_BLOCK)
    y0 = max(0, math.floor((min(c.imag for c in corners) - reach) / JPEG_BLOCK) * JPEG_BLOCK)
    x1 = min(width, math.ceil(max(c.real for c in corners) + reach))
    y1 = min(height, math.ceil(max(c.imag for c in corners) + reach))
    return min(x0, width - 1), min(y0, height - 1), max(x1, 1), max(y1, 1)
