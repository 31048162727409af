"""Before, the change, after: a protected photo beside its original, for the eye."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from faceenc.core import window_around

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceenc.core import Face


_PANEL = 800  # pixels, the longest side of each of the three
_AROUND = 0.6  # box sides around the largest face
_GAP = 8
_LOUD = 100  # what the largest change is made to, of 127


def draw_preview(original: NDArray[np.uint8], protected: NDArray[np.uint8], faces: Sequence[Face]) -> NDArray[np.uint8]:
    """Three pictures side by side: the largest face before, the change (grey where there is none, made loud), and after.

    Args:
        original: (H, W, 3) uint8 RGB.
        protected: of the same shape.
        faces: as detected, at least one.

    Returns:
        (h, w, 3) uint8 RGB, each picture at most 800 pixels a side.
    """
    face = max(faces, key=lambda face: face.box.area)
    x0, y0, x1, y1 = window_around(face.box, original.shape[1], original.shape[0], margin=_AROUND)
    before, after = original[y0:y1, x0:x1], protected[y0:y1, x0:x1]
    change = after.astype(np.int16) - before
    noise = 127 + change * (_LOUD / max(1, int(np.abs(change).max())))
    panels = [_fitted(panel) for panel in (before, noise.round().astype(np.uint8), after)]
    gap = np.full((panels[0].shape[0], _GAP, 3), 255, np.uint8)
    return np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=1)


def _fitted(panel: NDArray[np.uint8]) -> NDArray[np.uint8]:
    picture = Image.fromarray(np.ascontiguousarray(panel))
    picture.thumbnail((_PANEL, _PANEL), Image.Resampling.LANCZOS)
    return np.array(picture)
