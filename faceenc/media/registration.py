"""Where a smaller or cropped copy of a picture lies in it, by pixels alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from faceenc.core import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SIDE = 160  # pixels: the longer side of what is compared
_OUTSIDE = 0.03  # share of its side by which a place may reach over the picture: what faces do not say more exactly
_UNSCALED = 0.005  # of its size, by which a place may differ from the copy's own
_LARGEST = 4000  # pixels a side: a copy that shows less of the picture is not looked for


def inside(part: Box, size: tuple[int, ...], shape: tuple[int, ...]) -> Box:
    """What of a place lies in the picture; in whole pixels if the copy was not scaled.

    Args:
        part: the place, in pixels of the picture.
        size: the copy's shape.
        shape: the picture's.
    """
    if abs(part.width / size[1] - 1) < _UNSCALED and abs(part.height / size[0] - 1) < _UNSCALED:
        x, y = (min(max(0, round(v)), most) for v, most in ((part.x0, shape[1] - size[1]), (part.y0, shape[0] - size[0])))
        if x >= 0 <= y:
            return Box(x, y, x + size[1], y + size[0])
    return Box(max(0.0, part.x0), max(0.0, part.y0), min(shape[1], part.x1), min(shape[0], part.y1))


def _grey(picture: NDArray[np.uint8], width: int, height: int, part: Box | None = None) -> NDArray[np.float32]:
    """(height, width) grey."""
    box = None if part is None else (part.x0, part.y0, part.x1, part.y1)
    small = Image.fromarray(picture).resize((width, height), Image.Resampling.BOX, box=box, reducing_gap=2.0)
    return np.asarray(small.convert("L"), np.float32)


def _small(copy: NDArray[np.uint8]) -> NDArray[np.float32]:
    share = min(1.0, _SIDE / max(copy.shape[:2]))
    return _grey(copy, max(8, round(copy.shape[1] * share)), max(8, round(copy.shape[0] * share)))


def likeness(original: NDArray[np.uint8], copy: NDArray[np.uint8], part: Box) -> float:
    """The correlation of the copy with that part of the original, both (H, W, 3) uint8 RGB; -1 where that is none."""
    shown = inside(part, copy.shape, original.shape)
    over = max(abs(a - b) / side for a, b, side in (
        (part.x0, shown.x0, part.width), (part.x1, shown.x1, part.width),
        (part.y0, shown.y0, part.height), (part.y1, shown.y1, part.height),
    ))  # fmt: skip
    if over > _OUTSIDE or min(shown.width, shown.height) < 8:
        return -1.0
    there = _small(copy)
    here = _grey(original, there.shape[1], there.shape[0], shown)
    one, other = here - here.mean(), there - there.mean()
    return float((one * other).sum() / max(1.0, float(np.linalg.norm(one) * np.linalg.norm(other))))


def polished(original: NDArray[np.uint8], copy: NDArray[np.uint8], part: Box) -> tuple[float, Box]:
    """A place made exact by pixels (Evangelidis and Psarakis, https://doi.org/10.1109/TPAMI.2008.113), and its likeness."""
    import cv2

    there = _small(copy)
    across, down = there.shape[1] / part.width, there.shape[0] / part.height
    if max(original.shape[0] * down, original.shape[1] * across) > _LARGEST:
        return -1.0, part
    here = _grey(original, max(8, round(original.shape[1] * across)), max(8, round(original.shape[0] * down)))
    across, down = here.shape[1] / original.shape[1], here.shape[0] / original.shape[0]
    sx, sy = part.width * across / there.shape[1], part.height * down / there.shape[0]
    start = np.array([[sx, 0, part.x0 * across + (sx - 1) / 2], [0, sy, part.y0 * down + (sy - 1) / 2]], np.float32)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-5)
    try:
        _, warp = cv2.findTransformECC(there, here, start, cv2.MOTION_AFFINE, stop)
    except cv2.error:  # no way leads up from there
        return -1.0, part
    if not np.isfinite(warp).all():
        return -1.0, part
    (sx, _, x), (_, sy, y) = warp.tolist()
    x0, y0 = (x - (sx - 1) / 2) / across, (y - (sy - 1) / 2) / down
    place = Box(x0, y0, x0 + sx * there.shape[1] / across, y0 + sy * there.shape[0] / down)
    return likeness(original, copy, place), place
