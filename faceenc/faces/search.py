"""All faces of a photo, of any angle and of many sizes: two detectors, a pyramid of scales, and the photo turned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from faceenc.core import Face, scaled
from faceenc.faces.closer import CloserLook, face_at, without_doubles
from faceenc.faces.detection import FaceDetector
from faceenc.faces.passes import pyramid, reduced, tiles_of
from faceenc.faces.yunet import YuNet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_SMALLEST = 19  # pixels: the width of the smallest face that YuNet finds at its own scale, turned by up to 27 degrees

_CANDIDATE = 0.2  # score from which YuNet's faces get a closer look
_USUAL = 0.6  # score from which OpenCV's users take what YuNet finds for a face
_LARGEST = 50e6  # pixels: larger photos are reduced to so many
_TURNED = 2.1e6  # pixels: a photo is reduced to so many before it is turned, and ...
_TURNED_SHARE = 0.42  # ... its sides to at most this share
_STEP = 4  # between two scales of the pyramid: YuNet knows faces from 20 to 300 pixels
_COARSEST = 160  # pixels: the longer side of the smallest scale
_SCREEN = 640  # pixels: the longer side of a photo in which the size of a head is told
_PREVIEW = 2000  # pixels: the longer side of what MediaPipe is shown, which looks at 192 itself


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found, and down to which size it looked.

    Attributes:
        faces: two detectors agree on them, or one is sure; highest score first.
        doubtful: what one detector weakly takes for a face and no other shares.
        left: faces that are to be left as they are.
        smallest: pixels: upright faces that are narrower were not searched for.
        smallest_turned: the same for faces turned by more than 45 degrees.
    """

    faces: list[Face]
    doubtful: list[Face]
    smallest: int
    smallest_turned: int
    left: Sequence[Face] = ()


class FaceSearch:
    """A `Detector` for whole photos. A context manager; one thread at a time may use it.

    YuNet looks at the photo at full scale in tiles, and at a quarter, a sixteenth and so on of its sides; then at a reduced
    copy turned by 45, 90, ... 315 degrees. MediaPipe looks at the whole photo. Each place that any of them names is then
    looked at closely by both, upright and at a good size (`CloserLook`), which decides and gives the landmarks.

    Raises:
        AssetError: a model file cannot be had.
    """

    def __init__(self) -> None:
        with ExitStack() as stack:
            self._mediapipe = [stack.enter_context(FaceDetector()), stack.enter_context(FaceDetector(model="full"))]
            self._yunet = YuNet(min_score=_CANDIDATE)
            self.closer = CloserLook(self._yunet, *self._mediapipe)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees MediaPipe's memory and threads."""
        self._stack.close()

    def __call__(self, image: NDArray[np.uint8]) -> list[Face]:
        """Faces in an (H, W, 3) uint8 RGB image, highest score first; boxes may reach over the border."""
        return self.search(image).faces

    def search(self, image: NDArray[np.uint8]) -> Found:
        """The same, with what is in doubt and what was not searched for."""
        height, width = image.shape[:2]
        full = min(1.0, (_LARGEST / (height * width)) ** 0.5)
        turned = min(_TURNED_SHARE, (_TURNED / (height * width)) ** 0.5)
        parts = tiles_of(image, pyramid(image, full, step=_STEP, coarsest=_COARSEST), [0])
        parts += tiles_of(image, pyramid(image, turned, step=_STEP, coarsest=_COARSEST), range(45, 360, 45))
        places = [face for part in parts for face in part.faces(self._yunet)]
        places += self.whole(image)
        faces, doubtful = self.closer.settle(image, places)
        return Found(self._with_heads(image, faces), doubtful, math.ceil(_SMALLEST / full), math.ceil(_SMALLEST / turned))

    def _with_heads(self, image: NDArray[np.uint8], faces: Sequence[Face]) -> list[Face]:
        """Heads as YuNet draws them in the photo on a screen: from near it draws them by up to a sixth larger or smaller."""
        height, width = image.shape[:2]
        picture = reduced(image, min(1.0, _SCREEN / max(height, width)))
        seen = [scaled(face, width / picture.shape[1], height / picture.shape[0]) for face in self._yunet(picture)]
        return [replace(face, head=other.head) if (other := face_at(seen, face.box)) else face for face in faces]

    def whole(self, image: NDArray[np.uint8]) -> list[Face]:
        """What MediaPipe's two detectors find in the whole image, which they look at reduced to 192 pixels and less."""
        height, width = image.shape[:2]
        picture = reduced(image, min(1.0, _PREVIEW / max(height, width)))
        across, down = width / picture.shape[1], height / picture.shape[0]
        found = [face for detector in self._mediapipe for face in detector(picture)]
        return [scaled(face, across, down) for face in without_doubles([], found)]

    def as_others_use_it(self, image: NDArray[np.uint8]) -> list[Face]:
        """What YuNet alone finds in the image as it is, and reduced, at its usual score."""
        parts = tiles_of(image, pyramid(image, 1.0, step=_STEP, coarsest=_COARSEST), [0])
        found = [face for part in parts for face in part.faces(self._yunet) if face.score >= _USUAL]
        return without_doubles([], found)
