"""Boxes and faces moved, scaled and compared; windows around them.

Convention
    Boxes are half-open pixels, windows are whole pixels inside the image: (x0, y0, x1, y1), columns x0 to x1 - 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from faceenc.core.types import Box, Face

Window = tuple[int, int, int, int]

# Box sides on each side of a face: room for detectors to find it again, and for the aligned crops of tilted heads.
SURROUNDINGS = 0.75

SAME_PLACE = 0.3  # IoU from which two boxes hold one face; two detectors' boxes of a face share 0.5 to 0.8


def moved(face: Face, x: float, y: float) -> Face:
    """The face after its image was moved to (x, y) of a larger one."""
    return _mapped(face, lambda px, py: (px + x, py + y))


def scaled(face: Face, x: float, y: float) -> Face:
    """The face after its image was made x times as wide and y times as high."""
    return _mapped(face, lambda px, py: (px * x, py * y))


def turned(face: Face, quarters: int, width: float, height: float) -> Face:
    """The face after its image of that size was turned to the left by so many quarters, as `numpy.rot90` turns."""
    for _ in range(quarters % 4):
        face = _mapped(face, partial(_turned_left, width))
        width, height = height, width
    return face


def _turned_left(width: float, x: float, y: float) -> tuple[float, float]:
    return y, width - x


def _mapped(face: Face, place: Callable[[float, float], tuple[float, float]]) -> Face:
    corners = place(face.box.x0, face.box.y0), place(face.box.x1, face.box.y1)
    (x0, x1), (y0, y1) = (sorted(values) for values in zip(*corners, strict=True))
    landmarks = {scheme: tuple(place(*point) for point in points) for scheme, points in face.landmarks.items()}
    head = tuple(place(*point) for point in face.head)
    return replace(face, box=Box(x0, y0, x1, y1), landmarks=landmarks, head=head)


def overlap(one: Box, other: Box) -> float:
    """Intersection over union, in [0, 1]."""
    shared = shared_area(one, other)
    return shared / (one.area + other.area - shared) if shared else 0.0


def shared_area(one: Box, other: Box) -> float:
    """Square pixels of the intersection."""
    wide = min(one.x1, other.x1) - max(one.x0, other.x0)
    high = min(one.y1, other.y1) - max(one.y0, other.y0)
    return wide * high if wide > 0 and high > 0 else 0.0


def at_place(boxes: Iterable[Box], place: Box) -> Box | None:
    """The box that overlaps most with `place`; None if none shares enough with it to be the same face."""
    best = max(boxes, key=lambda box: overlap(box, place), default=None)
    return best if best is not None and overlap(best, place) >= SAME_PLACE else None


def window_around(box: Box, width: int, height: int, *, margin: float, step: int = 1) -> Window:
    """The part of an image around a box.

    Args:
        box: in pixels of the image.
        width: of the image, in pixels.
        height: of the image, in pixels.
        margin: share of the box' longer side that is added on each side.
        step: the window's edges are multiples of it, unless they are the image's own.

    Returns:
        At least one pixel, also where the box lies outside.
    """
    reach = margin * max(box.width, box.height)
    x0, x1 = _span(box.x0 - reach, box.x1 + reach, width, step)
    y0, y1 = _span(box.y0 - reach, box.y1 + reach, height, step)
    return x0, y0, x1, y1


def _span(start: float, end: float, length: int, step: int) -> tuple[int, int]:
    first = min(max(0, math.floor(start / step) * step), (length - 1) // step * step)
    return first, min(max(math.ceil(end / step) * step, first + step), length)
