"""All faces of a photo, of many people too: two detectors, and tiles of the photo, put together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from faceenc.core import SURROUNDINGS, Box, Detector, Face, at_place, moved, scaled, shared_area, window_around

if TYPE_CHECKING:
    from numpy.typing import NDArray


_SHOWN = 320  # pixels: what detectors are shown; they look at 128 to 192 themselves, and a face fills two fifths of a window

_SAME_FACE = 0.5  # share of the smaller box that lies in the other one
_TILES = (1, 2)  # tiles a shorter side
_MIN_TILE = 192  # pixels: what the full-range model looks at; smaller tiles would show it nothing new
_LARGEST = 2000  # pixels
_MIN_TILE_SCORE = 0.7  # in tiles, hands, letters and patterns score up to 0.69


@dataclass(frozen=True, slots=True)
class GroupDetector:
    """A `Detector` for photos of many people, made of two that see a photo scaled down to their small input.

    Both look at the whole photo, `wide` also at overlapping square tiles, as large as the photo's shorter side and half of
    it, where small faces look larger. Tiles only add faces that nothing found before; there a face must be surer, because a
    tile of a large face or of the background looks like many things. Faces that a tile's edge cuts are left to the next one.

    Attributes:
        near: for large faces (MediaPipe's "short" range).
        wide: for smaller ones (its "full" range); takes some 15 to 25 detections of about 5 ms a photo.
    """

    near: Detector
    wide: Detector

    def __call__(self, image: NDArray[np.uint8]) -> list[Face]:
        """Faces in an (H, W, 3) uint8 RGB image, highest score first; boxes may reach over the border."""
        height, width = image.shape[:2]
        faces = without_doubles([], [*self.near(image), *self.wide(image)])
        for count in _TILES:
            side = math.ceil(min(height, width) / count)
            if side >= _MIN_TILE and side < max(height, width):
                faces = without_doubles(faces, list(_in_tiles(image, self.wide, side)))
        return sorted(faces, key=lambda face: -face.score)


def detect_reduced(image: NDArray[np.uint8], detector: Detector) -> list[Face]:
    """Faces of a photo of any size, found in a copy of at most 2,000 pixels a side; in pixels of the photo itself."""
    height, width = image.shape[:2]
    factor = min(1.0, _LARGEST / max(height, width))
    if factor == 1:
        return detector(image)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    copy = np.array(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0))
    return [scaled(face, width / size[0], height / size[1]) for face in detector(copy)]


def detect_at(window: NDArray[np.uint8], place: Face, detector: Detector) -> tuple[Face, bool]:
    """The face at a place in an (H, W, 3) uint8 RGB picture of its surroundings, and whether one was found; else `place`."""
    height, width = window.shape[:2]
    factor = min(1.0, _SHOWN / max(width, height))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    picture = Image.fromarray(np.ascontiguousarray(window)).resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    faces = [scaled(face, width / size[0], height / size[1]) for face in detector(np.array(picture))]
    box = at_place([face.box for face in faces], place.box)
    return (place, False) if box is None else (next(face for face in faces if face.box == box), True)


def detect_closely(image: NDArray[np.uint8], detector: Detector) -> list[Face]:
    """As `detect_reduced`, with each face where a second detection in its surroundings alone finds it.

    In a whole photo the box of a face seen from the side is off by up to a third, and all key points with it.
    """
    height, width = image.shape[:2]
    faces = detect_reduced(image, detector)
    closely = []
    for face in faces:
        x0, y0, x1, y1 = window_around(face.box, width, height, margin=SURROUNDINGS)
        found, _ = detect_at(image[y0:y1, x0:x1], moved(face, -x0, -y0), detector)
        better = moved(found, x0, y0)
        # Of two faces cheek by cheek, a second detection must not find one twice.
        doubled = any(_shared(better.box, other.box) > _SAME_FACE for other in faces if other is not face)
        closely.append(face if doubled else better)
    return closely


def _in_tiles(image: NDArray[np.uint8], detector: Detector, side: int) -> Iterator[Face]:
    """Faces of tiles (side, side, 3) that overlap by at least a half, in pixels of the whole image."""
    height, width = image.shape[:2]
    for y in _starts(height, side):
        for x in _starts(width, side):
            tile = image[y : y + side, x : x + side]
            for face in detector(tile):
                box = face.box
                cut = (
                    (box.x0 < 0 < x)
                    or (box.y0 < 0 < y)
                    or (box.x1 > side and x + side < width)
                    or (box.y1 > side and y + side < height)
                )
                if face.score >= _MIN_TILE_SCORE and not cut:
                    yield moved(face, x, y)


def _starts(length: int, side: int) -> list[int]:
    """Where tiles begin along one side of the image: evenly spread, at most half a tile apart, the last one at the end."""
    steps = math.ceil((length - side) / (side / 2))
    return [round(step * (length - side) / steps) for step in range(steps + 1)] if steps > 0 else [0]


def without_doubles(kept: Sequence[Face], new: Sequence[Face]) -> list[Face]:
    """`kept` and those of `new`, best first, that are not the same face as one before.

    The overlap is measured against the smaller box: a nose in a face counts as that face, which IoU would not notice.
    """
    faces = list(kept)
    for face in sorted(new, key=lambda face: -face.score):
        if all(_shared(face.box, other.box) <= _SAME_FACE for other in faces):
            faces.append(face)
    return faces


def _shared(one: Box, other: Box) -> float:
    """Share of the smaller box that lies in the other one, in [0, 1]."""
    shared = shared_area(one, other)
    return shared / min(one.area, other.area) if shared else 0.0
