"""From a photo's own pixels to a recogniser's upright crop, in a way that carries gradients.

Convention
    A point is a complex number, x + iy, in pixel indices: 0 is the centre of the first pixel (MediaPipe and Pillow count
    from its corner, half a pixel earlier). Pictures are (N, 3, H, W) float32 in [0, 1].
"""

from __future__ import annotations

import cmath
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from faceenc.faces.templates import ARCFACE_FIVE, ARCFACE_POINTS, CHIP_POINTS, CHIP_POINTS_YUNET, CHIP_SIZE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceenc.core import Face


# dlib takes point p of a picture for p / 2 - this of its half; the middle of the blur's window lies at p / 2 - 1.
_DLIB_SHIFT = 1.25 + 0.75j
_SHIFT = 1.0
_CENTRE = 0.5 + 0.5j  # of the first pixel, where it is counted from its corner


@dataclass(frozen=True, slots=True)
class Similarity:
    """Rotation, scale and shift: crop point c lies at photo point turn * c + shift."""

    turn: complex
    shift: complex

    def __call__(self, point: complex) -> complex:
        return self.turn * point + self.shift

    @property
    def scale(self) -> float:
        """Photo pixels a crop pixel."""
        return abs(self.turn)

    def after(self, first: Similarity) -> Similarity:
        """Both, one after the other: a crop out of a crop."""
        return Similarity(self.turn * first.turn, self(first.shift))

    def jittered(self, draw: Sequence[float], *, size: int, degrees: float, zoom: float, shift: float) -> Similarity:
        """The same with the crop turned, scaled and moved a little about its centre.

        Args:
            draw: four numbers in [-1, 1] that say how much of each is done: turn, zoom, right, down.
            size: side of the crop in pixels.
            degrees: the largest turn.
            zoom: the largest change of scale, as a share.
            shift: the largest move, in crop pixels.
        """
        centre = (size - 1) / 2 * (1 + 1j)
        turn = self.turn * cmath.rect(1 + zoom * draw[1], cmath.pi / 180 * degrees * draw[0])
        return Similarity(turn, self(centre) - turn * (centre + shift * complex(draw[2], draw[3])))

    def moved(self, origin: complex, levels: int) -> Similarity:
        """The same crop of a window that starts at photo point `origin` and was halved `levels` times by `halved_pixels`."""
        turn, shift = self.turn, self.shift - origin
        for _ in range(levels):
            turn, shift = turn / 2, shift / 2 - _DLIB_SHIFT
        return Similarity(turn, shift)


def fit_similarity(crop: Sequence[complex], photo: Sequence[complex]) -> Similarity:
    """The least-squares similarity that takes the crop's points to the photo's.

    Raises:
        ValueError: the photo's points lie on one another.
    """
    crop_mean, photo_mean = sum(crop) / len(crop), sum(photo) / len(photo)
    centred = [c - crop_mean for c in crop]
    shared = sum(c.conjugate() * (p - photo_mean) for c, p in zip(centred, photo, strict=True))
    turn = shared / sum(abs(c) ** 2 for c in centred)
    if not abs(turn) > 0:
        raise ValueError(f"the points {list(photo)} lie on one another")
    return Similarity(turn, photo_mean - turn * crop_mean)


def key_points_similarity(
    face: Face, *, size: int = CHIP_SIZE, border: float = 0.0, points: Sequence[complex] | None = None
) -> Similarity:
    """The upright crop of a face by its eyes and mouth: by default dlib's chip.

    Args:
        face: as detected in the photo.
        size: side of the crop in pixels.
        border: how much more than dlib's chip is shown on each side, as a share of the chip.
        points: where right eye, left eye and mouth are to lie in the crop, instead of dlib's places.

    Raises:
        ValueError: the key points lie on one another.
    """
    chip_points = CHIP_POINTS if "mediapipe" in face.landmarks else CHIP_POINTS_YUNET
    factor = size / (CHIP_SIZE * (1 + 2 * border))
    wanted = points or [(point + border * CHIP_SIZE * (1 + 1j)) * factor for point in chip_points]
    return fit_similarity([p - _CENTRE for p in wanted], [p - _CENTRE for p in face.eyes_and_mouth])


def arcface_similarity(face: Face) -> Similarity:
    """ArcFace's crop of 112 pixels: by its five points where the detector gave them, else by eyes and mouth.

    Raises:
        ValueError: the landmarks lie on one another.
    """
    if "arcface" not in face.landmarks:
        return key_points_similarity(face, points=ARCFACE_POINTS)
    return five_points_similarity(face, ARCFACE_FIVE)


def five_points_similarity(face: Face, points: Sequence[complex]) -> Similarity:
    """The crop in which a face's five points lie at `points`; by eyes and mouth where the detector gave no more.

    Args:
        face: as detected in the photo.
        points: in ArcFace's order, in pixels from the crop's corner.

    Raises:
        ValueError: the landmarks lie on one another.
    """
    if "arcface" not in face.landmarks:
        return key_points_similarity(face, points=[*points[:2], (points[3] + points[4]) / 2])
    found = [complex(*point) - _CENTRE for point in face.landmarks["arcface"]]
    return fit_similarity([point - _CENTRE for point in points], found)


def square_similarity(face: Face, *, size: int, margin: float) -> Similarity:
    """The square around a face's box and `margin` of its side on each side, turned by the quarters that set it upright."""
    box = face.box
    side = max(box.width, box.height) * (1 + 2 * margin)
    corner = complex(box.x0 + box.x1 - side, box.y0 + box.y1 - side) / 2
    square = Similarity(complex(side / size), corner + _CENTRE * (side / size) - _CENTRE)
    return square.after(quarter_turns(face.quarters, size, size))


def quarter_turns(quarters: int, width: int, height: int) -> Similarity:
    """Where the points of a picture of that size, turned to the left as `numpy.rot90` turns, lay before."""
    back = Similarity(1 + 0j, 0j)
    for _ in range(quarters % 4):
        back = back.after(Similarity(1j, complex(width - 1)))
        width, height = height, width
    return back


def pyramid_levels(scale: float) -> int:
    """How often dlib halves a photo before it cuts out a chip whose pixels are `scale` photo pixels wide."""
    levels = 0
    while scale * CHIP_SIZE / 2 > CHIP_SIZE:
        scale, levels = scale / 2, levels + 1
    return levels


def halved_pixels(pixels: NDArray[np.uint8], levels: int = 1) -> NDArray[np.uint8]:
    """Half the size by dlib's pyramid, `levels` times: 5-tap blur in both directions, every second pixel, no padding.

    Shape
        (H, W, 3) uint8 -> ((H - 3) // 2, (W - 3) // 2, 3), H and W at least 5.
    """
    for _ in range(levels):
        blurred = _taps(_taps(pixels.astype(np.uint16), 0), 1)  # at most 255 * 256
        blurred >>= 8
        pixels = blurred.astype(np.uint8)
    return pixels


def _taps(x: NDArray[np.uint16], axis: int) -> NDArray[np.uint16]:
    """The sum of [1 4 6 4 1] times every second pixel's neighbours."""
    length = (x.shape[axis] - 3) // 2
    before = (slice(None),) * axis
    # In two arrays without gaps numpy adds up twice as fast.
    even, odd = (np.ascontiguousarray(x[(*before, slice(start, None, 2))]) for start in (0, 1))
    first, third, fifth = (even[(*before, slice(start, start + length))] for start in range(3))
    second, fourth = (odd[(*before, slice(start, start + length))] for start in range(2))
    total = second + third
    total += fourth
    total *= 4
    for part in (first, third, third, fifth):
        total += part
    return total


def unhalved(delta: torch.Tensor, levels: int, *, size: tuple[int, int]) -> torch.Tensor:
    """A perturbation of a window that was halved `levels` times, spread over the window's own pixels (bilinear).

    Shape
        (N, 3, h, w) -> (N, 3, *size); beyond its border the perturbation repeats its last row and column.
    """
    if not levels:
        return delta
    factor = 2**levels
    # Level by level p / 2 - 1, written at once.
    start = -sum(_SHIFT / 2**level for level in range(levels))
    rows, columns = ((torch.arange(n, device=delta.device) / factor + start) for n in size)
    height, width = delta.shape[-2:]
    grid = torch.stack(
        torch.broadcast_tensors(_normalised(columns, width)[None, :], _normalised(rows, height)[:, None]), dim=-1
    )
    return F.grid_sample(
        delta, grid.expand(len(delta), *grid.shape), mode="bilinear", padding_mode="border", align_corners=True
    )


def cut_out(x: torch.Tensor, similarities: Sequence[Similarity], *, size: int) -> torch.Tensor:
    """Upright crops of one picture, bilinear, black outside, as dlib cuts out its chips; gradients flow back to `x`.

    Shape
        (1, 3, H, W) and V similarities -> (V, 3, size, size).
    """
    height, width = x.shape[-2:]
    axis = torch.arange(size, device=x.device, dtype=torch.float32)
    across, down = axis[None, :], axis[:, None]
    grids = []
    for s in similarities:
        columns = s.turn.real * across - s.turn.imag * down + s.shift.real
        rows = s.turn.imag * across + s.turn.real * down + s.shift.imag
        grids.append(torch.stack([_normalised(columns, width), _normalised(rows, height)], dim=-1))
    source = x.expand(len(grids), -1, -1, -1)
    crops = F.grid_sample(source, torch.stack(grids), mode="bilinear", padding_mode="zeros", align_corners=True)
    return _floored(crops)


def _normalised(index: torch.Tensor, length: int) -> torch.Tensor:
    """Pixel indices as grid_sample counts them: -1 is the first pixel's centre, 1 the last one's."""
    return index * (2 / max(length - 1, 1)) - 1


def _floored(x: torch.Tensor) -> torch.Tensor:
    """Whole grey levels, rounded down as dlib does; the gradient passes as if nothing had been rounded."""
    return x + ((x.detach() * 255 + 1e-3).floor() / 255 - x.detach())
