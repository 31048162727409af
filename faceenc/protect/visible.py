"""How much people see of one face's change in a photo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faceenc.faces import Similarity, head_frame, seen_window
from faceenc.media import CUT_SIDE, SMALLEST_CUT, Visibility, face_cut, measure_visibility

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from faceenc.core import Face, Window


_SMALLEST = 8  # pixels a side of the photo


def face_visibility(original: NDArray[np.uint8], protected: NDArray[np.uint8], face: Face) -> Visibility | None:
    """How much people see of a face's change.

    Args:
        original: (H, W, 3) uint8 RGB.
        protected: of the same shape.
        face: as detected in the original.

    Returns:
        None where too little of it lies in the photo to be looked at.
    """
    head = head_frame(face)
    place = head_place(head, original.shape)
    return None if place is None else head_visibility(original, protected, head, place)


def head_place(head: Similarity, shape: tuple[int, ...]) -> Window | None:
    """Where people look at a head in a picture of that shape; None where those are few pixels, or a strip."""
    x0, y0, x1, y1 = seen_window(head, shape[1], shape[0])
    shorter, longer = sorted((x1 - x0, y1 - y0))
    return None if shorter < _SMALLEST or round(shorter * CUT_SIDE / longer) < SMALLEST_CUT else (x0, y0, x1, y1)


def head_visibility(original: NDArray[np.uint8], changed: NDArray[np.uint8], head: Similarity, place: Window) -> Visibility:
    """How much people see of a head's change, (H, W, 3) uint8 RGB before and after, at its `head_place`."""
    before, after = (face_cut(photo, place) for photo in (original, changed))
    side = head.scale * max(before.shape[:2]) / max(place[2] - place[0], place[3] - place[1])
    return measure_visibility(before, after, side=side)
