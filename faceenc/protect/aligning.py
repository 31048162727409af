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
from faceenc.media import inside, likeness, polished
from faceenc.protect.evidence.records import Copy

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ALIKE = 0.9  # correlation of a photo and its copy, at least; other photos of a person in the same pose stay below
_MOST = 4  # faces of each photo that are tried
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
    rated = [(likeness(original, copy, place), place) for place in places]
    rated.append(polished(original, copy, max(rated, key=lambda one: one[0])[1]))
    alike, part = max(rated, key=lambda one: one[0])
    if rated[0][0] >= alike - _SAME:
        alike, part = rated[0]
    if alike < _ALIKE:
        return None
    part = inside(part, copy.shape, original.shape)
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
