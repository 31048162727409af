"""The part of a photo around one face, at the scale at which recognisers see it, and where noise may go in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
from faceenc.media import JPEG_BLOCK, to_tensor
from faceenc.recognizers import DLIB, Recognizer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceenc.core import Face


_AROUND = 25  # chip pixels around the chip that belong to the window: crops that are a little off end there

_SPREAD = 7  # pixels: where local contrast is measured
_FULL_CONTRAST = 0.06  # local standard deviation from which noise goes unseen
_LUMA = (0.299, 0.587, 0.114)


def face_window(
    image: NDArray[np.uint8],
    face: Face,
    surrogates: Sequence[Recognizer],
    *,
    flat: float,
    mask: bool = True,
    more: Sequence[Sequence[Similarity]] = (),
) -> FaceWindow:
    """The window of a face.

    Args:
        image: (H, W, 3) uint8 RGB.
        face: as detected in this very image.
        surrogates: whose crops are to lie in it.
        flat: the share of eps that flat skin gets; where there is contrast, up to all of it.
        mask: keep the noise on the face; else it may go anywhere in the window.
        more: for each surrogate, crops of the image that are attacked as well.

    Raises:
        ValueError: the face's key points lie on one another.
    """
    chip = key_points_similarity(face)
    crops = tuple(tuple(surrogate.align(image, face)) for surrogate in surrogates)
    if more:
        crops = tuple((*own, *others) for own, others in zip(crops, more, strict=True))
    levels = pyramid_levels(chip.scale)
    place = _place(image, [(chip, CHIP_SIZE), *_sized(crops, surrogates)], levels, chip.scale)
    x0, y0, x1, y1 = place
    pixels = np.ascontiguousarray(image[y0:y1, x0:x1])
    picture = to_tensor(halved_pixels(pixels, levels)[None])
    share = _contrast_share(picture, flat)
    if mask:
        # The chips of a face seen from the side lie far apart, and only where there is noise can it change what they show.
        chips = [chip, *(crop for own, s in zip(crops, surrogates, strict=True) if s.network == DLIB for crop in own)]
        ellipses = [face_ellipse(chip.moved(complex(x0, y0), levels), picture.shape[-2:]) for chip in chips]
        share = share * torch.cat(ellipses).amax(0, keepdim=True)
    moved = tuple(tuple(Similarity(s.turn, s.shift - complex(x0, y0)) for s in own) for own in crops)
    return FaceWindow(place, chip.scale, levels, pixels, picture, moved, share)


def _sized(crops: Sequence[Sequence[Similarity]], surrogates: Sequence[Recognizer]) -> list[tuple[Similarity, int]]:
    return [(crop, s.size) for own, s in zip(crops, surrogates, strict=True) for crop in own]


def _place(
    image: NDArray[np.uint8], crops: Sequence[tuple[Similarity, int]], levels: int, scale: float
) -> tuple[int, int, int, int]:
    """The photo's part that holds all crops, what their pyramid takes from the border, and room for the noise to fade."""
    corners = [crop(side * corner) for crop, side in crops for corner in (0, 1, 1j, 1 + 1j)]
    reach = _AROUND * scale + 4 * 2**levels
    height, width = image.shape[:2]
    # Windows begin where JPEG's blocks of a whole photo do.
    x0 = max(0, math.floor((min(c.real for c in corners) - reach) / JPEG_BLOCK) * JPEG_BLOCK)
    y0 = max(0, math.floor((min(c.imag for c in corners) - reach) / JPEG_BLOCK) * JPEG_BLOCK)
    x1 = min(width, math.ceil(max(c.real for c in corners) + reach))
    y1 = min(height, math.ceil(max(c.imag for c in corners) + reach))
    return min(x0, width - 1), min(y0, height - 1), max(x1, 1), max(y1, 1)


def _contrast_share(x: torch.Tensor, flat: float) -> torch.Tensor:
    """(1, 1, h, w): `flat` where the picture is smooth, 1 where it is busy."""
    grey = (x * torch.tensor(_LUMA, device=x.device).view(1, 3, 1, 1)).sum(1, keepdim=True)
    deviation = (_mean(grey.square()) - _mean(grey).square()).clamp(min=0).sqrt()
    return flat + (1 - flat) * (deviation / _FULL_CONTRAST).clamp(max=1)


def _mean(x: torch.Tensor) -> torch.Tensor:
    padded = F.pad(x, (_SPREAD // 2,) * 4, mode="replicate")
    return F.avg_pool2d(padded, _SPREAD, 1)
