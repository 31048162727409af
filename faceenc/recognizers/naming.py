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
from PIL import Image

from faceenc.core import Detector, Face
from faceenc.faces import ALIGNED_SIZE, frame_face
from faceenc.media import Mark, draw_marks, short_stem, to_tensor
from faceenc.recognizers.predictions import ask
from faceenc.recognizers.resnet import FaceResNet

if TYPE_CHECKING:
    from numpy.typing import NDArray


logger = logging.getLogger(__name__)

_TOP = 3
# Detail finer than a 56th of an aligned crop's side, over all there is. Of 30 people of CelebA, dlib's net matched 93 %
# where it was 0.15 to 0.28 (as they are), 83 % at 0.07 to 0.11 (faces of 30 pixels), 57 % at 0.04 to 0.06 (20 pixels).
_BLURRED, _FINE = 0.05, 56
_KNOWN_COLOUR, _UNKNOWN_COLOUR, _DOUBTFUL_COLOUR = (20, 110, 50), (160, 60, 20), (130, 95, 0)


@dataclass(frozen=True, slots=True)
class Recognized:
    """A face and who it is.

    Attributes:
        face: as detected, in pixels of the photo.
        name: of the person; None if nobody is likely enough.
        top: the (up to three) likeliest people with their softmax probabilities in [0, 1], likeliest first.
        blurred: it shows too little detail, blurred or small as it is, to rely on the name.
    """

    face: Face
    name: str | None
    top: tuple[tuple[str, float], ...]
    blurred: bool = False

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
    faces, crops, blurred = [], [], []
    for face in detector(image):
        try:
            crops.append(frame_face(image, face, size=model.input_size, framing=model.framing))
            blurred.append(_blurred(image, face))
            faces.append(face)
        except ValueError as error:  # key points on one another, or an empty box: no face after all
            logger.debug("face left out: %s", error)
    if not faces:
        return []
    device = next(model.parameters()).device
    probabilities = ask(model, to_tensor(np.stack(crops)).to(device)).float().softmax(1)  # (faces, people)
    values, people = probabilities.topk(min(_TOP, len(model.classes)), dim=1)
    found = []
    for face, row, indices, faint in zip(faces, values.tolist(), people.tolist(), blurred, strict=True):
        top = tuple((model.classes[k], value) for k, value in zip(indices, row, strict=True))
        found.append(Recognized(face, top[0][0] if top[0][1] >= limit else None, top, faint))
    return found


def _blurred(image: NDArray[np.uint8], face: Face) -> bool:
    grey = frame_face(image, face, size=ALIGNED_SIZE, framing="aligned").mean(2, dtype=np.float32)
    whole = Image.fromarray(grey)
    coarse = whole.resize((_FINE, _FINE), Image.Resampling.BOX).resize(whole.size, Image.Resampling.BICUBIC)
    middle = slice(ALIGNED_SIZE // 4, 3 * ALIGNED_SIZE // 4)
    fine = (grey - np.asarray(coarse))[middle, middle]
    return bool(fine.std() < _BLURRED * grey[middle, middle].std())


def annotate(image: NDArray[np.uint8], found: Sequence[Recognized], *, sure: bool = True) -> NDArray[np.uint8]:
    """A copy of the photo with a box around each face, and its name and probability, or "unknown".

    Names of blurred faces, and all unless the threshold is `sure`, get a question mark, in another colour.
    """
    return draw_marks(image, [_mark(person, sure) for person in found])


def name_outputs(photos: Sequence[Path], output: Path) -> list[Path]:
    """A file of its own for each photo's picture: STEM-recognized.png, with the folder's name where stems are the same.

    Where such a file exists, or two photos would still share one, a number is added: nothing is ever overwritten.
    """
    stems = Counter(photo.stem.casefold() for photo in photos)
    taken: set[str] = set()
    files = []
    for photo in photos:
        alone = stems[photo.stem.casefold()] == 1
        parent = os.path.basename(os.path.dirname(os.path.abspath(photo)))  # noqa: PTH100, PTH119, PTH120 - follows no link
        stem = short_stem(photo if alone else Path(f"{parent}-{photo.stem}.png"))
        number = 1
        while True:
            file = output / f"{stem}-recognized{f'-{number}' if number > 1 else ''}.png"
            if file.name.casefold() not in taken and not os.path.lexists(file):
                break
            number += 1
        taken.add(file.name.casefold())
        files.append(file)
    return files


def _mark(person: Recognized, sure: bool) -> Mark:
    known = person.name is not None
    text = f"{person.name} {person.probability:.0%}" if known else "unknown"
    if not sure or (known and person.blurred):
        return Mark(person.face.box, f"{text} ?", _DOUBTFUL_COLOUR)
    return Mark(person.face.box, text, _KNOWN_COLOUR if known else _UNKNOWN_COLOUR)
