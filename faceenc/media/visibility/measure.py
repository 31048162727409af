"""How much people see of a face's change: noise and shape apart, on a cut of the size at which faces are looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from faceenc.media.tensors import to_tensor
from faceenc.media.visibility.butteraugli import Butteraugli
from faceenc.media.visibility.displacement import displaced, displacement
from faceenc.media.visibility.ssimulacra2 import Ssimulacra2

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceenc.core import Window


# A large photo is not flattered by its many pixels, a small face not by what lies around it, and SSIMULACRA2 has its scales.
CUT_SIDE = 320
SMALLEST_CUT = 16  # pixels a side; narrower strips have no optical flow
_INNER = 6  # one part in so many at each edge of a cut is left out where displacements are counted
_LARGEST = 95  # per cent of displacements that are not larger than what counts


@dataclass(frozen=True, slots=True)
class Visibility:
    """How much is seen of one face's change.

    Attributes:
        noise: SSIMULACRA2 of the changed face against the original moved by `shape`: 100 is none, 90 is not seen side by
            side, 70 on a close look, 50 plainly.
        butteraugli: the 3-norm of the same two: 0 is none, 2 is hardly seen, 4 is seen, 6 plainly.
        shape: the 95th percentile of the smooth displacement, in per cent of the face's size; 0.1 is the measure's own.
    """

    noise: float
    butteraugli: float
    shape: float


def face_cut(image: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
    """A window (x0, y0, x1, y1) of an (H, W, 3) photo, scaled to 320 pixels on its longer side (Lanczos)."""
    x0, y0, x1, y1 = window
    piece = Image.fromarray(np.ascontiguousarray(image[y0:y1, x0:x1]))
    scale = CUT_SIDE / max(piece.size)
    size = (max(1, round(piece.width * scale)), max(1, round(piece.height * scale)))
    return np.asarray(piece.resize(size, Image.Resampling.LANCZOS))


def measure_visibility(original: NDArray[np.uint8], changed: NDArray[np.uint8], *, side: float) -> Visibility:
    """Of a face in two cuts of `face_cut`.

    Args:
        original: (H, W, 3) uint8 RGB, at least 16 pixels a side.
        changed: of the same shape.
        side: the face's size in pixels of the cuts.
    """
    if np.array_equal(original, changed):
        return Visibility(100.0, 0.0, 0.0)
    flow = displacement(original, changed)
    moved, after = (to_tensor(picture[None]) for picture in (displaced(original, flow), changed))
    rows, columns = (length // _INNER for length in original.shape[:2])
    lengths = np.linalg.norm(flow, axis=2)[rows:-rows, columns:-columns]
    with torch.no_grad():
        seen = float(Butteraugli(moved)(after))
    return Visibility(Ssimulacra2(moved)(after), seen, 100 * float(np.percentile(lengths, _LARGEST)) / side)
