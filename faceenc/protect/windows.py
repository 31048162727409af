"""The part of a photo around one face, at the scale at which recognisers look at it, and where noise may go in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from faceenc.alignment import CHIP_SIZE, Similarity, halved_pixels, key_points_similarity, pyramid_levels, unhalved
from faceenc.images import to_tensor
from faceenc.protect.surrogates import DLIB, Surrogate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceenc.types import Face

_BLOCK = 16  # windows begin where JPEG's blocks of a whole photo do
_AROUND = 25  # chip pixels around the chip that belong to the window: crops that are a little off end there
# The face in dlib's chip: an ellipse (centre, half axes, in chip pixels) whose edge fades over so many of them.
_ELLIPSE = (74.5, 78.0, 62.0, 76.0)
_FEATHER = 24.0
_SPREAD = 7  # pixels: where local contrast is measured
_FULL_CONTRAST = 0.06  # local standard deviation from which noise goes unseen
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True, eq=False)
class FaceWindow:
    """A face's part of the photo.

    Large faces are looked at by recognisers in a reduced copy; the noise is made in that copy's pixels and spread over the
    photo's. Memory and time do not grow with the photo.

    Attributes:
        place: (x0, y0, x1, y1) half-open pixels of the photo.
        scale: photo pixels a pixel of dlib's chip of this face.
        levels: how often `picture` was halved.
        pixels: (H, W, 3) uint8 RGB, the photo's own.
        picture: (1, 3, h, w) float32 in [0, 1], `pixels` halved.
        crops: for each surrogate its crops, as similarities into `pixels`.
        share: (1, 1, h, w) in [0, 1], how much of eps each pixel of `picture` may use.
    """

    place: tuple[int, int, int, int]
    scale: float
    levels: int
    pixels: NDArray[np.uint8]
    picture: torch.Tensor
    crops: tuple[tuple[Similarity, ...], ...]
    share: torch.Tensor

    def add(self, delta: torch.Tensor, eps: float) -> NDArray[np.uint8]:
        """`pixels` with a perturbation (1, 3, h, w) of `picture`, rounded to 8 bits, no level farther than eps."""
        height, width = self.pixels.shape[:2]
        spread = unhalved(delta, self.levels, size=(height, width))[0].permute(1, 2, 0).mul(255).round_()
        reach = int(eps * 255 + 1e-3)
        levels = spread.clamp_(-reach, reach).to(torch.int16).numpy() + self.pixels
        changed: NDArray[np.uint8] = levels.clip(0, 255).astype(np.uint8)
        return changed

    def on(self, pixels: NDArray[np.uint8], used: NDArray[np.float32]) -> FaceWindow:
        """The same window of a photo that earlier faces' noise has changed.

        Args:
            pixels: (H, W, 3) uint8 RGB, changed.
            used: (H, W) the share of eps that is used up, in [0, 1].
        """
        if not used.any():
            return self
        picture = to_tensor(halved_pixels(pixels, self.levels)[None])
        left = 1 - torch.from_numpy(used)[None, None]
        left = -F.max_pool2d(-left, 2 * 2**self.levels + 1, stride=1, padding=2**self.levels)  # its least, nearby
        left = F.interpolate(left, size=self.share.shape[-2:], mode="nearest")
        return replace(self, pixels=np.ascontiguousarray(pixels), picture=picture, share=torch.minimum(self.share, left))

    def spread_share(self) -> NDArray[np.float32]:
        """(H, W) in [0, 1]: the share of eps that each of the photo's pixels may have got."""
        spread: NDArray[np.float32] = unhalved(self.share, self.levels, size=self.pixels.shape[:2])[0, 0].numpy()
        return spread


def face_window(
    image: NDArray[np.uint8], face: Face, surrogates: Sequence[Surrogate], *, flat: float, mask: bool = True
) -> FaceWindow:
    """The window of a face.

    Args:
        image: (H, W, 3) uint8 RGB.
        face: as detected in this very image.
        surrogates: whose crops are to lie in it.
        flat: the share of eps that flat skin gets; where there is contrast, up to all of it.
        mask: keep the noise on the face; else it may go anywhere in the window.

    Raises:
        ValueError: the face's key points lie on one another.
    """
    chip = key_points_similarity(face)
    crops = tuple(tuple(surrogate.align(image, face)) for surrogate in surrogates)
    levels = pyramid_levels(chip.scale)
    place = _place(image, [(chip, CHIP_SIZE), *_sized(crops, surrogates)], levels, chip.scale)
    x0, y0, x1, y1 = place
    pixels = np.ascontiguousarray(image[y0:y1, x0:x1])
    picture = to_tensor(halved_pixels(pixels, levels)[None])
    share = _contrast_share(picture, flat)
    if mask:
        # The chips of a face seen from the side lie far apart, and only where there is noise can it change what they show.
        chips = [chip, *(crop for own, s in zip(crops, surrogates, strict=True) if s.name == DLIB for crop in own)]
        ellipses = [face_ellipse(chip.moved(complex(x0, y0), levels), picture.shape[-2:]) for chip in chips]
        share = share * torch.cat(ellipses).amax(0, keepdim=True)
    moved = tuple(tuple(Similarity(s.turn, s.shift - complex(x0, y0)) for s in own) for own in crops)
    return FaceWindow(place, chip.scale, levels, pixels, picture, moved, share)


def _sized(crops: Sequence[Sequence[Similarity]], surrogates: Sequence[Surrogate]) -> list[tuple[Similarity, int]]:
    return [(crop, s.size) for own, s in zip(crops, surrogates, strict=True) for crop in own]


def _place(
    image: NDArray[np.uint8], crops: Sequence[tuple[Similarity, int]], levels: int, scale: float
) -> tuple[int, int, int, int]:
    """The photo's part that holds all crops, what their pyramid takes from the border, and room for the noise to fade."""
    corners = [crop(side * corner) for crop, side in crops for corner in (0, 1, 1j, 1 + 1j)]
    reach = _AROUND * scale + 4 * 2**levels
    height, width = image.shape[:2]
    x0 = max(0, math.floor((min(c.real for c in corners) - reach) / _BLOCK) * _BLOCK)
    y0 = max(0, math.floor((min(c.imag for c in corners) - reach) / _BLOCK) * _BLOCK)
    x1 = min(width, math.ceil(max(c.real for c in corners) + reach))
    y1 = min(height, math.ceil(max(c.imag for c in corners) + reach))
    return min(x0, width - 1), min(y0, height - 1), max(x1, 1), max(y1, 1)


def face_ellipse(chip: Similarity, size: tuple[int, ...]) -> torch.Tensor:
    """(1, 1, *size): 1 on the face, 0 off it, smooth between; `chip` is where the face's chip lies in the picture."""
    rows, columns = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in size), indexing="ij")
    back = 1 / chip.turn
    across, down = columns - chip.shift.real, rows - chip.shift.imag
    x, y, wide, high = _ELLIPSE
    u = (across * back.real - down * back.imag - x) / wide
    v = (across * back.imag + down * back.real - y) / high
    inside = ((1 - torch.hypot(u, v)) * min(wide, high) / _FEATHER + 0.5).clamp(0, 1)
    return (inside.square() * (3 - 2 * inside))[None, None]


def _contrast_share(x: torch.Tensor, flat: float) -> torch.Tensor:
    """(1, 1, h, w): `flat` where the picture is smooth, 1 where it is busy."""
    grey = (x * torch.tensor(_LUMA, device=x.device).view(1, 3, 1, 1)).sum(1, keepdim=True)
    deviation = (_mean(grey.square()) - _mean(grey).square()).clamp(min=0).sqrt()
    return flat + (1 - flat) * (deviation / _FULL_CONTRAST).clamp(max=1)


def _mean(x: torch.Tensor) -> torch.Tensor:
    padded = F.pad(x, (_SPREAD // 2,) * 4, mode="replicate")
    return F.avg_pool2d(padded, _SPREAD, 1)
