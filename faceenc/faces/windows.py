"""The part of a photo around one face, at the scale at which recognisers see it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from faceenc.faces.alignment import Similarity, halved_pixels, unhalved
from faceenc.media import to_tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceenc.core import Face


# The face in dlib's chip: an ellipse (centre, half axes, in chip pixels) whose edge fades over so many of them.
_ELLIPSE = (74.5, 78.0, 62.0, 76.0)
_FEATHER = 24.0

# The head's square as YuNet draws it, from a face's box where YuNet did not look: its side, and how far its centre lies
# above (medians over LFW and CelebA; the side spreads by 6 %). Hair and neck lie within so many sides of its centre: across
# and below, and above.
_HEAD_SIDE, _HEAD_UP = 1.176, 0.0985
_HEAD_REACH, _HEAD_REACH_UP, _HEAD_FEATHER = 0.85, 0.95, 0.16
_SEEN = 1.6  # sides of the square in which people look at a face


@dataclass(frozen=True, eq=False)
class FaceWindow:
    """A face's part of the photo.

    Large faces are seen by recognisers in a reduced copy; the noise is made in that copy's pixels and spread over the
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


def head_frame(face: Face) -> Similarity:
    """Where a head lies: 0 is its centre, 1 its side to the right, 1j its side downwards in the upright face."""
    if face.head:
        centre, beside = (complex(*point) for point in face.head)
        return Similarity(abs(beside - centre) * face.up * 1j, centre)
    box = face.box
    side = max(box.width, box.height)
    centre = complex(box.x0 + box.x1, box.y0 + box.y1) / 2 + _HEAD_UP * side * face.up
    return Similarity(_HEAD_SIDE * side * face.up * 1j, centre)


def head_corners(head: Similarity) -> list[complex]:
    """What a head's mask reaches to."""
    across, up = _HEAD_REACH + _HEAD_FEATHER / 2, _HEAD_REACH_UP + _HEAD_FEATHER / 2
    return [head(complex(x, y)) for x in (-across, across) for y in (-up, across)]


def head_points(head: Similarity, size: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """(h, w) each: every pixel's place in the head's frame, right and down."""
    rows, columns = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in size), indexing="ij")
    back = 1 / head.turn
    across, down = columns - head.shift.real, rows - head.shift.imag
    return across * back.real - down * back.imag, across * back.imag + down * back.real


def head_mask(head: Similarity, size: tuple[int, ...]) -> torch.Tensor:
    """(1, 1, *size): 1 on the head with hair and neck, 0 off it, smooth between."""
    x, y = head_points(head, size)
    reach = torch.maximum(x.abs() / _HEAD_REACH, torch.where(y < 0, -y / _HEAD_REACH_UP, y / _HEAD_REACH))
    return ((1 + _HEAD_FEATHER / 2 - reach) / _HEAD_FEATHER).clamp(0, 1)[None, None]


def seen_window(head: Similarity, width: int, height: int) -> tuple[int, int, int, int]:
    """(x0, y0, x1, y1) half-open: the part of a picture of that size in which people look at a head."""
    reach, centre = head.scale * _SEEN / 2, head.shift
    x0, y0 = max(0, round(centre.real - reach)), max(0, round(centre.imag - reach))
    return x0, y0, min(width, round(centre.real + reach)), min(height, round(centre.imag + reach))
