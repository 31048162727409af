"""Scenes with faces at known places, made of portraits: ovals with soft edges, scaled and turned, on noise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faceenc.core import Box, Detector
from faceenc.data import enlarge, read_orl
from faceenc.faces import main_face, reduced
from faceenc.media import PHOTO_SUFFIXES, read_photo

Pixels = NDArray[np.uint8]

SIZES = {2: (1632, 1224), 12: (4000, 3000), 48: (8000, 6000)}  # megapixels -> width, height

_YUNET_WIDTH = 0.88  # of MediaPipe's box: YuNet's own is narrower; face sizes here mean that one
_REACH = 1.1  # from the face's middle to the oval's edge, in widths of the face
_FEATHER = 0.12  # of that, over which the face fades into the scene


@dataclass(frozen=True, eq=False)
class Portrait:
    """A photo and the MediaPipe box of its face."""

    pixels: Pixels
    box: Box


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture and the MediaPipe boxes of the faces that were set into it."""

    pixels: Pixels
    places: list[Box]


def portraits(folder: Path | None, count: int, *, seed: int, detector: Detector) -> list[Portrait]:
    """One photo each of so many people, drawn by a seed; photos in which the detector finds no face are passed over.

    Args:
        folder: of people, one folder each; None for ORL.
        count: of people.
        seed: of the draw.
        detector: what says where a portrait's face is.
    """
    drawn: list[Portrait] = []
    for photo in _photos(folder, np.random.default_rng(seed)):
        if faces := detector(photo):
            drawn.append(Portrait(photo, main_face(faces, photo.shape[1], photo.shape[0]).box))
        if len(drawn) == count:
            return drawn
    raise SystemExit(f"only {len(drawn)} of {count} people with a face in {folder or 'ORL'}")


def _photos(folder: Path | None, rng: np.random.Generator) -> Iterator[Pixels]:
    if folder is None:
        pictures = read_orl()
        people = sorted({name.split("/")[0] for name in pictures})
        for k in rng.permutation(len(people)):
            yield enlarge(pictures[f"{people[k]}/{rng.integers(1, 11)}"])
        return
    rooms = sorted(path for path in folder.iterdir() if path.is_dir())
    for k in rng.permutation(len(rooms)):
        if files := sorted(path for path in rooms[k].iterdir() if path.suffix.lower() in PHOTO_SUFFIXES):
            yield read_photo(files[0]).pixels


def make_scene(megapixels: int, faces: Sequence[Portrait], *, size: float, degrees: float = 0) -> Scene:
    """The faces in cells of a grid, each `size` pixels wide as YuNet draws its box, turned to the left."""
    pixels = background(megapixels).copy()
    width, height = SIZES[megapixels]
    columns = math.ceil((len(faces) * width / height) ** 0.5)
    rows = math.ceil(len(faces) / columns)
    rng = np.random.default_rng(0)  # off the grid: on it all faces would lie alike to YuNet's cells of 8 pixels
    places = []
    for k, face in enumerate(faces):
        row, column = divmod(k, columns)
        reach = math.ceil(_REACH * size)
        x = _somewhere(rng, width / columns, column, reach, width)
        y = _somewhere(rng, height / rows, row, reach, height)
        _set_in(pixels, face, (x, y), size, degrees)
        half = size / _YUNET_WIDTH / 2
        places.append(Box(x - half, y - half, x + half, y + half))
    return Scene(pixels, places)


def _somewhere(rng: np.random.Generator, cell: float, number: int, reach: int, length: int) -> int:
    """A place in a row or column that leaves the neighbours' cells free, where the cells are so large."""
    spare = max(0.0, cell / 2 - reach)
    place = round(cell * (number + 0.5) + rng.uniform(-spare, spare))
    return min(max(place, reach), length - reach)


@cache
def background(megapixels: int) -> Pixels:
    """Smooth noise of several scales."""
    width, height = SIZES[megapixels]
    rng = np.random.default_rng(megapixels)
    channels = []
    for _ in range(3):
        x = np.zeros((height, width), np.float32)
        for cells, weight in ((4, 0.5), (16, 0.25), (64, 0.25), (200, 0.25)):
            coarse = rng.random((cells, cells * width // height)).astype(np.float32)
            x += weight * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        x -= x.min()
        channels.append((x * (255 / x.max())).astype(np.uint8))
    return np.stack(channels, axis=-1)


def _set_in(scene: Pixels, face: Portrait, middle: tuple[int, int], size: float, degrees: float) -> None:
    share = size / (_YUNET_WIDTH * face.box.width)
    small = reduced(face.pixels, min(1.0, share))  # with antialiasing; what is enlarged is so while it is turned
    zoom = small.shape[1] / face.pixels.shape[1]
    reach = math.ceil(_REACH * size)
    x, y = ((low + high) / 2 * zoom for low, high in ((face.box.x0, face.box.x1), (face.box.y0, face.box.y1)))
    matrix = cv2.getRotationMatrix2D((x, y), degrees, max(1.0, share))
    matrix[:, 2] += reach - np.array((x, y))
    patch = cv2.warpAffine(small, matrix, (2 * reach, 2 * reach), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    down, across = np.mgrid[-reach:reach, -reach:reach] + 0.5
    there = ((1 - np.hypot(across, down) / reach) / _FEATHER).clip(0, 1)[..., None]
    rows, columns = slice(middle[1] - reach, middle[1] + reach), slice(middle[0] - reach, middle[0] + reach)
    scene[rows, columns] = (there * patch + (1 - there) * scene[rows, columns]).round().astype(np.uint8)
