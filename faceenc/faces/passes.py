"""A picture as detectors are shown it: in tiles, at several scales, and turned."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from faceenc.core import Box, Detector, Face

if TYPE_CHECKING:
    from numpy.typing import NDArray


_TILE = 1400  # pixels a side at most: YuNet takes 100 bytes a pixel, and is slower with larger ones
_LEAST = 12  # pixels of a picture's shorter side: no face fits into less
_OVERLAP = 96  # pixels: larger faces are found at the pyramid's next scale


@dataclass(frozen=True, eq=False)
class Tile:
    """A part of a picture, turned, for a detector to look at.

    Its point p (counted from the corner) lies at (turn * p + origin) * zoom of the photo.

    Attributes:
        picture: (H, W, 3) uint8 RGB: the photo reduced.
        size: (width, height) of what is shown.
        zoom: photo pixels a pixel of `picture`, across and down.
        turn: of length 1: the shown picture's right in `picture`.
        origin: the shown picture's left upper corner in `picture`.
    """

    picture: NDArray[np.uint8]
    size: tuple[int, int]
    zoom: tuple[float, float]
    turn: complex
    origin: complex

    def pixels(self) -> NDArray[np.uint8]:
        """What is shown, (height, width, 3) uint8 RGB; black outside of the picture."""
        import cv2

        width, height = self.size
        x, y = round(self.origin.real), round(self.origin.imag)
        if self.turn == 1:
            part = self.picture[y : y + height, x : x + width]
            if part.shape[:2] == (height, width):
                return part
        back = np.array([[self.turn.real, -self.turn.imag, 0], [self.turn.imag, self.turn.real, 0]])
        back[:, 2] = (self.origin.real, self.origin.imag)
        back[:, 2] += back[:, :2] @ (0.5, 0.5) - 0.5  # OpenCV counts from the first pixel's centre
        shown = cv2.warpAffine(self.picture, back, self.size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        return np.asarray(shown, np.uint8)

    def faces(self, detector: Detector) -> Iterator[Face]:
        """What a detector finds, in pixels of the photo; the boxes keep their sides."""
        for face in detector(self.pixels()):
            yield placed(face, self.turn, self.origin, self.zoom)


def placed(face: Face, turn: complex, origin: complex, zoom: tuple[float, float] = (1, 1)) -> Face:
    """A face of a turned part, in the whole picture: its point p lies at turn * p + origin there, times `zoom`."""

    def back(x: float, y: float) -> tuple[float, float]:
        point = turn * complex(x, y) + origin
        return point.real * zoom[0], point.imag * zoom[1]

    box, scale = face.box, abs(turn)
    x, y = back((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
    wide, high = box.width * scale * zoom[0] / 2, box.height * scale * zoom[1] / 2
    landmarks = {scheme: tuple(back(*point) for point in points) for scheme, points in face.landmarks.items()}
    head = tuple(back(*point) for point in face.head)
    return replace(face, box=Box(x - wide, y - high, x + wide, y + high), landmarks=landmarks, head=head)


def reduced(image: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    """An (H, W, 3) picture with its sides reduced to that share, by the mean of the pixels."""
    import cv2

    if share == 1:
        return image
    size = max(1, round(image.shape[1] * share)), max(1, round(image.shape[0] * share))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def pyramid(image: NDArray[np.uint8], share: float, *, step: int, coarsest: int) -> Iterator[NDArray[np.uint8]]:
    """The image with its sides reduced to a share, and each time by `step` more while the longer is above `coarsest`."""
    picture = reduced(image, share)
    yield picture
    while max(picture.shape[:2]) > step * coarsest:
        picture = reduced(picture, 1 / step)
        yield picture


def tiles_of(image: NDArray[np.uint8], pictures: Iterable[NDArray[np.uint8]], degrees: Iterable[int]) -> list[Tile]:
    """Each of the reduced pictures of an image, turned to the left by each of the angles, in overlapping parts."""
    parts = []
    for picture in pictures:
        if min(picture.shape[:2]) < _LEAST:
            continue
        zoom = image.shape[1] / picture.shape[1], image.shape[0] / picture.shape[0]
        for angle in degrees:
            parts += [Tile(picture, size, zoom, turn, origin) for size, turn, origin in _parts(picture, angle)]
    return sorted(parts, key=lambda part: part.size)  # each new size costs YuNet as much as a second look


def _parts(picture: NDArray[np.uint8], degrees: int) -> Iterator[tuple[tuple[int, int], complex, complex]]:
    """Size, turn and origin of each part of a turned picture."""
    height, width = picture.shape[:2]
    turn = complex(round(math.cos(math.radians(degrees)), 12), round(math.sin(math.radians(degrees)), 12))
    corners = [complex(x, y) / turn for x, y in ((0, 0), (width, 0), (width, height), (0, height))]
    left, right = min(c.real for c in corners), max(c.real for c in corners)
    top, bottom = min(c.imag for c in corners), max(c.imag for c in corners)
    for y, high in _spans(bottom - top):
        for x, wide in _spans(right - left):
            origin = turn * complex(left + x, top + y)
            if _shows(origin, turn, wide, high, width, height):
                yield (wide, high), turn, origin


def _shows(origin: complex, turn: complex, wide: int, high: int, width: int, height: int) -> bool:
    """Whether a part shows anything of the picture: of a narrow one turned askew most parts are empty."""
    corners = [origin + turn * complex(x, y) for x in (0, wide) for y in (0, high)]
    across, down = [c.real for c in corners], [c.imag for c in corners]
    return min(across) < width and max(across) > 0 and min(down) < height and max(down) > 0


def _spans(length: float) -> Iterator[tuple[float, int]]:
    """Equal overlapping parts of a side, as few as can be: where each starts, and how long it is."""
    length = math.ceil(length)
    count = max(1, math.ceil((length - _OVERLAP) / (_TILE - _OVERLAP)))
    part = length if count == 1 else math.ceil((length + (count - 1) * _OVERLAP) / count)
    for k in range(count):
        yield k * (length - part) / max(1, count - 1), part
