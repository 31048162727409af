"""Who is in a photo: all faces found, each named by a recogniser or called unknown, and drawn on the photo."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from faceenc.core import Detector, Face
from faceenc.faces import frame_face
from faceenc.media import Mark, draw_marks, to_tensor
from faceenc.recognizers.predictions import ask
from faceenc.recognizers.resnet import FaceResNet

if TYPE_CHECKING:
    from numpy.typing import NDArray


logger = logging.getLogger(__name__)

_TOP = 3
_KNOWN_COLOUR, _UNKNOWN_COLOUR = (20, 110, 50), (160, 60, 20)


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
