"""Where a copy of another size lies in its original: what messengers scale down, recompress or crop a little.

The original is brought to the copy's pixels, never the copy to the original's: what is judged is the copy as it is. Faces of
both say where it may lie, pixels where it does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from faceenc.core import Box, Face, moved, scaled
from faceenc.faces import FaceSearch, Found
from faceenc.protect.evidence.records import Copy

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SIDE = 160  # pixels: the longer side of what is compared
_ALIKE = 0.9  # correlation of a photo and its copy, at least; other photos of a person in the same pose stay below
_MOST = 4  # faces of each photo that are tried
_OUTSIDE = 0.03  # share of its side by which a place may reach over the original: what faces do not say more exactly
_SAME = 0.005  # of correlation: no better than the whole photo


@dataclass(frozen=True, eq=False)
class Aligned:
    """An original as its copy shows it.

    Attributes:
        picture: (H, W, 3) uint8 RGB, of the copy's shape.
        found: the original's faces in pixels of the copy.
        copy: what it is of the original.
    """

    picture: NDArray[np.uint8]
    found: Found
    copy: Copy


def align_original(original: NDArray[np.uint8], copy: NDArray[np.uint8], search: FaceSearch) -> Aligned | None:
    """The original as a scaled, recompressed or cropped copy shows it; None where it is no such copy.

    Args:
        original: (H, W, 3) uint8 RGB.
        copy: of any other shape.
        search: finds the faces of both.
    """
    found = search.search(original)
    whole = Box(0, 0, original.shape[1], original.shape[0])
    places = [whole, *_places(found.faces, search(copy), copy.shape)]
    rated = [(_likeness(original, copy, place), place) for place in places]
    rated.append(_polished(original, copy, max(rated, key=lambda one: one[0])[1]))
    alike, part = max(rated, key=lambda one: one[0])
    if rated[0][0] >= alike - _SAME:
        alike, part = rated[0]
    if alike < _ALIKE:
        return None
    part = _inside(part, copy.shape, original.shape)
    shown = Image.fromarray(original).resize(
        (copy.shape[1], copy.shape[0]), Image.Resampling.LANCZOS, box=(part.x0, part.y0, part.x1, part.y1)
    )
    return Aligned(np.array(shown), *_moved(found, part, original.shape, copy.shape))


def _moved(found: Found, part: Box, shape: tuple[int, ...], size: tuple[int, ...]) -> tuple[Found, Copy]:
    across, down = size[1] / part.width, size[0] / part.height

    def shown(faces: list[Face]) -> list[Face]:
        there = [scaled(moved(face, -part.x0, -part.y0), across, down) for face in faces]
        middles = [((one.box.x0 + one.box.x1) / 2, (one.box.y0 + one.box.y1) / 2) for one in there]
        return [one for one, (x, y) in zip(there, middles, strict=True) if 0 < x < size[1] and 0 < y < size[0]]

    faces = sorted(shown(found.faces), key=lambda face: -face.box.area)
    here = replace(
        found, faces=faces, doubtful=shown(found.doubtful), smallest=math.ceil(found.smallest * across),
        smallest_turned=math.ceil(found.smallest_turned * across),
    )  # fmt: skip
    outside = len(found.faces) - len(faces)
    return here, Copy((shape[1], shape[0]), (size[1], size[0]), part, outside)


def _places(before: list[Face], after: list[Face], size: tuple[int, ...]) -> Iterator[Box]:
    """The part of the original that the copy shows if one face is the other."""
    largest = [sorted(faces, key=lambda face: -face.box.area)[:_MOST] for faces in (before, after)]
    for one in largest[0]:
        for other in largest[1]:
            z, w = np.array(one.eyes_and_mouth), np.array(other.eyes_and_mouth)
            spread = z - z.mean()
            scale = complex(np.vdot(spread, w - w.mean()) / np.vdot(spread, spread))
            if scale.real > 0 and abs(scale.imag) < scale.real / 4:
                corner = z.mean() - w.mean() / scale.real
                wide, high = size[1] / scale.real, size[0] / scale.real
                yield Box(corner.real, corner.imag, corner.real + wide, corner.imag + high)


def _inside(part: Box, size: tuple[int, ...], shape: tuple[int, ...]) -> Box:
    """What of it lies in the original; in whole pixels if it was not scaled."""
    if abs(part.width / size[1] - 1) < _SAME and abs(part.height / size[0] - 1) < _SAME:
        x, y = (min(max(0, round(v)), most) for v, most in ((part.x0, shape[1] - size[1]), (part.y0, shape[0] - size[0])))
        if x >= 0 <= y:
            return Box(x, y, x + size[1], y + size[0])
    return Box(max(0.0, part.x0), max(0.0, part.y0), min(shape[1], part.x1), min(shape[0], part.y1))


def _reduced(picture: NDArray[np.uint8], width: int, height: int, part: Box | None = None) -> NDArray[np.float32]:
    """(height, width) grey."""
    box = None if part is None else (part.x0, part.y0, part.x1, part.y1)
    small = Image.fromarray(picture).resize((width, height), Image.Resampling.BOX, box=box, reducing_gap=2.0)
    return np.asarray(small.convert("L"), np.float32)


def _small(copy: NDArray[np.uint8]) -> NDArray[np.float32]:
    share = min(1.0, _SIDE / max(copy.shape[:2]))
    return _reduced(copy, max(8, round(copy.shape[1] * share)), max(8, round(copy.shape[0] * share)))


def _likeness(original: NDArray[np.uint8], copy: NDArray[np.uint8], part: Box) -> float:
    """The correlation of the copy with that part of the original, -1 where that is none."""
    inside = _inside(part, copy.shape, original.shape)
    over = max(abs(a - b) / side for a, b, side in (
        (part.x0, inside.x0, part.width), (part.x1, inside.x1, part.width),
        (part.y0, inside.y0, part.height), (part.y1, inside.y1, part.height),
    ))  # fmt: skip
    if over > _OUTSIDE or min(inside.width, inside.height) < 8:
        return -1.0
    there = _small(copy)
    here = _reduced(original, there.shape[1], there.shape[0], inside)
    one, other = here - here.mean(), there - there.mean()
    return float((one * other).sum() / max(1.0, float(np.linalg.norm(one) * np.linalg.norm(other))))


def _polished(original: NDArray[np.uint8], copy: NDArray[np.uint8], part: Box) -> tuple[float, Box]:
    """A place made exact by pixels (Evangelidis and Psarakis, https://doi.org/10.1109/TPAMI.2008.113), and its likeness."""
    import cv2

    there = _small(copy)
    across, down = there.shape[1] / part.width, there.shape[0] / part.height
    here = _reduced(original, max(8, round(original.shape[1] * across)), max(8, round(original.shape[0] * down)))
    across, down = here.shape[1] / original.shape[1], here.shape[0] / original.shape[0]
    sx, sy = part.width * across / there.shape[1], part.height * down / there.shape[0]
    start = np.array([[sx, 0, part.x0 * across + (sx - 1) / 2], [0, sy, part.y0 * down + (sy - 1) / 2]], np.float32)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-5)
    try:
        _, warp = cv2.findTransformECC(there, here, start, cv2.MOTION_AFFINE, stop)
    except cv2.error:  # no way leads up from there
        return -1.0, part
    (sx, _, x), (_, sy, y) = warp.tolist()
    x0, y0 = (x - (sx - 1) / 2) / across, (y - (sy - 1) / 2) / down
    place = Box(x0, y0, x0 + sx * there.shape[1] / across, y0 + sy * there.shape[0] / down)
    return _likeness(original, copy, place), place
