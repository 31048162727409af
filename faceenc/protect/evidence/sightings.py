"""Faces that a stranger's program would find in the saved file: by each detector there is, in the picture turned as well."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from faceenc.core import Face, scaled, turned
from faceenc.faces import FaceSearch, reduced
from faceenc.recognizers import has_dlib, hog_faces

if TYPE_CHECKING:
    from numpy.typing import NDArray


# Pixels: the narrowest faces that detectors find in a picture as it is. MediaPipe's depends on the picture: it looks at 192.
_SMALLEST = {"YuNet": 20, "dlib": 80}
_MEDIAPIPE_SHARE = 10  # of a picture's longer side, in a face's width
_QUICK = 2e6  # pixels, at least, of what is searched

# What is surely a face by a detector alone. dlib's detector is sparing; its own score of 0.3 is rarely wrong.
_DLIB_SURE = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """A face as a stranger's program finds it.

    Attributes:
        face: in pixels of the photo as it is saved.
        detector: "MediaPipe", "YuNet" or "dlib".
        quarters: how many quarter turns to the left the photo was turned.
    """

    face: Face
    detector: str
    quarters: int

    @property
    def sure(self) -> bool:
        """Whether the detector alone suffices."""
        return self.detector == "dlib" and self.face.score >= _DLIB_SURE


def search_as_strangers(
    image: NDArray[np.uint8], search: FaceSearch, *, narrowest: float, thorough: bool = False
) -> tuple[list[Sighting], Mapping[str, int]]:
    """Every detector's faces, in the picture as it is and turned by 90, 180 and 270 degrees.

    Args:
        image: (H, W, 3) uint8 RGB.
        search: whose detectors are asked, besides dlib's where it is installed.
        narrowest: the width of the narrowest face that is known: reduced to 80 pixels dlib's detector still finds it.
        thorough: search the picture at full size; else it is reduced, but never below two megapixels.

    Returns:
        The faces, one entry for each detector and turn; and for each detector the width in pixels of the photo below which
        it finds none.
    """
    height, width = image.shape[:2]
    share = 1.0 if thorough else min(1.0, max(_SMALLEST["dlib"] / narrowest, (_QUICK / (height * width)) ** 0.5))
    picture = reduced(image, share)
    across, down = width / picture.shape[1], height / picture.shape[0]
    asked = dict(_detectors(search))
    found = []
    for quarters in range(4):
        upright = np.ascontiguousarray(np.rot90(picture, quarters))
        for name, detector in asked.items():
            for face in detector(upright):
                back = turned(face, -quarters, upright.shape[1], upright.shape[0])
                found.append(Sighting(scaled(back, across, down), name, quarters))
    limits = {name: math.ceil(_SMALLEST.get(name, max(picture.shape[:2]) / _MEDIAPIPE_SHARE) / share) for name in asked}
    return found, limits


def _detectors(search: FaceSearch) -> Iterator[tuple[str, Callable[[NDArray[np.uint8]], list[Face]]]]:
    yield "MediaPipe", search.whole
    yield "YuNet", search.as_others_use_it
    if has_dlib():
        yield "dlib", hog_faces
