"""Who is in a photo: all faces found, each named by a recogniser or called unknown, and drawn on the photo."""

from __future__ import annotations

import logging
import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from faceenc.attacks.harness import ask
from faceenc.drawing import Mark, draw_marks
from faceenc.images import PHOTO_SUFFIXES, frame_face, to_tensor
from faceenc.models.resnet import FaceResNet
from faceenc.types import Box, DataError, Detector, Face

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

_TOP = 3
_KNOWN_COLOUR, _UNKNOWN_COLOUR = (20, 110, 50), (160, 60, 20)

_SAME_FACE = 0.5  # share of the smaller box that lies in the other one
_TILES = (1, 2)  # tiles a shorter side
_MIN_TILE = 192  # pixels: what the full-range model looks at; smaller tiles would show it nothing new
_MIN_TILE_SCORE = 0.7  # in tiles, hands, letters and patterns score up to 0.69


@dataclass(frozen=True, slots=True)
class GroupDetector:
    """A `Detector` for photos of many people, made of two that see a photo scaled down to their small input.

    Both look at the whole photo, `wide` also at overlapping square tiles, as large as the photo's shorter side and half of
    it, where small faces look larger. Tiles only add faces that nothing found before; there a face must be surer, because a
    tile of a large face or of the background looks like many things. Faces that a tile's edge cuts are left to the next one.

    Attributes:
        near: for large faces (MediaPipe's "short" range).
        wide: for smaller ones (its "full" range); takes some 15 to 25 looks of about 5 ms a photo.
    """

    near: Detector
    wide: Detector

    def __call__(self, image: NDArray[np.uint8]) -> list[Face]:
        """Faces in an (H, W, 3) uint8 RGB image, highest score first; boxes may reach over the border."""
        height, width = image.shape[:2]
        faces = _without_doubles([], [*self.near(image), *self.wide(image)])
        for count in _TILES:
            side = math.ceil(min(height, width) / count)
            if side >= _MIN_TILE and side < max(height, width):
                faces = _without_doubles(faces, list(_in_tiles(image, self.wide, side)))
        return sorted(faces, key=lambda face: -face.score)


@dataclass(frozen=True, slots=True)
class Recognized:
    """A face and who it is.

    Attributes:
        face: as detected, in pixels of the photo.
        name: of the person; None if nobody is likely enough.
        top: the (up to three) likeliest people with their softmax probabilities in [0, 1], likeliest first.
    """

    face: Face
    name: str | None
    top: tuple[tuple[str, float], ...]

    @property
    def best(self) -> str:
        """The likeliest person, also of an unknown face."""
        return self.top[0][0]

    @property
    def probability(self) -> float:
        """Of the likeliest person, in [0, 1]."""
        return self.top[0][1]


def recognize(
    image: NDArray[np.uint8], model: FaceResNet, detector: Detector, *, threshold: float | None = None
) -> list[Recognized]:
    """All faces of a photo with their names; the recogniser is asked once, about all faces together.

    Args:
        image: (H, W, 3) uint8 RGB.
        model: in evaluation mode.
        detector: finds the faces.
        threshold: a face whose highest probability lies below is unknown; None takes the recogniser's own.

    Returns:
        One entry a face, in the detector's order.

    Raises:
        ValueError: the threshold lies outside [0, 1].
    """
    limit = model.threshold if threshold is None else threshold
    if not 0 <= limit <= 1:
        raise ValueError(f"the threshold is a probability in [0, 1], got {limit}")
    faces, crops = [], []
    for face in detector(image):
        try:
            crops.append(frame_face(image, face, size=model.input_size, framing=model.framing))
            faces.append(face)
        except ValueError as error:  # key points on one another, or an empty box: no face after all
            logger.debug("face left out: %s", error)
    if not faces:
        return []
    device = next(model.parameters()).device
    probabilities = ask(model, to_tensor(np.stack(crops)).to(device)).float().softmax(1)  # (faces, people)
    values, people = probabilities.topk(min(_TOP, len(model.classes)), dim=1)
    found = []
    for face, row, indices in zip(faces, values.tolist(), people.tolist(), strict=True):
        top = tuple((model.classes[k], value) for k, value in zip(indices, row, strict=True))
        found.append(Recognized(face, top[0][0] if top[0][1] >= limit else None, top))
    return found


def annotate(image: NDArray[np.uint8], found: Sequence[Recognized]) -> NDArray[np.uint8]:
    """A copy of the photo with a box around each face, and its name and probability, or "unknown"."""
    return draw_marks(image, [_mark(person) for person in found])


def list_photos(paths: Sequence[Path], *, output: Path) -> tuple[list[Path], list[DataError]]:
    """The photos that `paths` mean: files as they are, folders with all photos in and below them, sorted.

    A photo that is named twice counts once. Hidden files and folders are passed over, and so is the output folder, for a
    second run must not take the first one's pictures for photos.

    Returns:
        The photos, and an error for each folder without any or that cannot be read. Whether files exist is not checked.
    """
    photos: dict[Path, Path] = {}
    errors = []
    for path in paths:
        try:
            found = list(_walk(path, output.resolve())) if path.is_dir() else [path]
        except OSError as error:
            errors.append(DataError(f"cannot read the folder {path}: {error.strerror or error}; check its permissions"))
            continue
        if not found:
            known = " ".join(sorted(suffix[1:] for suffix in PHOTO_SUFFIXES))
            errors.append(DataError(f"no photos in {path}: expected images in it or below ({known})"))
        for photo in found:
            photos.setdefault(photo.resolve(), photo)
    return list(photos.values()), errors


def name_outputs(photos: Sequence[Path], output: Path) -> list[Path]:
    """A file of its own for each photo's picture: STEM-recognized.png, with the folder's name where stems are the same.

    Where such a file exists, or two photos would still share one, a number is added: nothing is ever overwritten.
    """
    stems = Counter(photo.stem.casefold() for photo in photos)
    taken: set[str] = set()
    files = []
    for photo in photos:
        alone = stems[photo.stem.casefold()] == 1
        stem = photo.stem if alone else f"{photo.resolve().parent.name}-{photo.stem}"
        number = 1
        while True:
            file = output / f"{stem}-recognized{f'-{number}' if number > 1 else ''}.png"
            if file.name.casefold() not in taken and not os.path.lexists(file):
                break
            number += 1
        taken.add(file.name.casefold())
        files.append(file)
    return files


def _mark(person: Recognized) -> Mark:
    if person.name is None:
        return Mark(person.face.box, "unknown", _UNKNOWN_COLOUR)
    return Mark(person.face.box, f"{person.name} {person.probability:.0%}", _KNOWN_COLOUR)


def _walk(folder: Path, output: Path) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise error

    for name, folders, files in os.walk(folder, onerror=fail):
        place = Path(name)
        folders[:] = sorted(child for child in folders if not child.startswith(".") and (place / child).resolve() != output)
        for file in sorted(files):
            if Path(file).suffix.lower() in PHOTO_SUFFIXES and not file.startswith("."):
                yield place / file


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
                    yield _moved(face, x, y)


def _starts(length: int, side: int) -> list[int]:
    """Where tiles begin along one side of the image: evenly spread, at most half a tile apart, the last one at the end."""
    steps = math.ceil((length - side) / (side / 2))
    return [round(step * (length - side) / steps) for step in range(steps + 1)] if steps > 0 else [0]


def _moved(face: Face, x: int, y: int) -> Face:
    box = Box(face.box.x0 + x, face.box.y0 + y, face.box.x1 + x, face.box.y1 + y)
    return replace(face, box=box, key_points=tuple((px + x, py + y) for px, py in face.key_points))


def _without_doubles(kept: Sequence[Face], new: Sequence[Face]) -> list[Face]:
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
    wide = min(one.x1, other.x1) - max(one.x0, other.x0)
    high = min(one.y1, other.y1) - max(one.y0, other.y0)
    return wide * high / min(one.area, other.area) if wide > 0 and high > 0 else 0.0
