"""Faces that a stranger's program would find in the saved file: by each detector there is, in the picture turned as well."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from faceenc.core import Face, scaled, turned
from faceenc.faces import FaceSearch, Found, reduced, shared_part
from faceenc.protect.evidence.records import Seen, Stray
from faceenc.recognizers import Recognizer, has_dlib, hog_faces, operating_point

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = dict[str, NDArray[np.float64]]  # a judge's name -> its embedding of a face


# Pixels: the narrowest faces that detectors find in a picture as it is. MediaPipe's depends on the picture: it looks at 192.
_SMALLEST = {"YuNet": 20, "dlib": 80}
_MEDIAPIPE_SHARE = 10  # of a picture's longer side, in a face's width
_QUICK = 2e6  # pixels, at least, of what is searched

# What is surely a face by a detector alone. dlib's detector is sparing; its own score of 0.3 is rarely wrong.
_DLIB_SURE = 0.3

# Share of the smaller of two boxes that lies in the other one, of the same up direction and of another.
_SAME_FACE, _SAME_FACE_TURNED = 0.5, 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
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
) -> tuple[list[Detection], Mapping[str, int]]:
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
                found.append(Detection(scaled(back, across, down), name, quarters))
    limits = {name: math.ceil(_SMALLEST.get(name, max(picture.shape[:2]) / _MEDIAPIPE_SHARE) / share) for name in asked}
    return found, limits


def _detectors(search: FaceSearch) -> Iterator[tuple[str, Callable[[NDArray[np.uint8]], list[Face]]]]:
    yield "MediaPipe", search.whole
    yield "YuNet", search.as_others_use_it
    if has_dlib():
        yield "dlib", hog_faces


@dataclass(frozen=True, slots=True, eq=False)
class Judging:
    """Judges, asked about single detections.

    Attributes:
        original: (H, W, 3) uint8 RGB.
        protected: the same photo, decoded from the saved file.
        judges: with different names.
    """

    original: NDArray[np.uint8]
    protected: NDArray[np.uint8]
    judges: Sequence[Recognizer]

    def seen(self, detection: Detection, own: Vectors) -> Seen:
        """What those judges say who match the untouched face, embedded as `own`, where the detector cuts it out."""
        distances = {}
        for judge in self.judges:
            threshold = operating_point(judge).threshold
            crops = [judge.cut(image, detection.face) for image in (self.original, self.protected)]
            before, after = (judge.distance(own[judge.name], vector) for vector in judge.embed_crops(np.stack(crops)))
            if before <= threshold:
                distances[judge.name] = after, threshold
        return Seen(detection.detector, detection.quarters, distances)

    def stray(self, detection: Detection, *, sure: bool) -> Stray:
        """A face that nobody expected there; no judge is asked about what is hardly one."""
        if not (sure or detection.sure):
            return Stray(detection.face, Seen(detection.detector, detection.quarters, {}), False)
        own = {judge.name: judge.embed_face(self.original, detection.face) for judge in self.judges}
        return Stray(detection.face, self.seen(detection, own), True)


def compare_detections(
    judging: Judging, found: Found, references: Sequence[Vectors], detections: Sequence[Detection], search: FaceSearch
) -> tuple[list[list[tuple[Seen, Face]]], list[Stray]]:
    """What judges say of each known face where strangers find it, and of faces that only strangers find.

    Args:
        judging: the photo and the judges.
        found: in the original.
        references: the judges' embeddings of each of its faces.
        detections: in the saved file.
        search: looks closely at what is new.
    """
    best: dict[tuple[int, str], Detection] = {}
    strays: list[Stray] = []
    known = [*found.faces, *found.left, *found.doubtful]
    for detection in sorted(detections, key=lambda one: -one.face.score):
        place = _place(detection.face, known)
        if place is None:
            sure, doubtful = search.closer.settle(judging.protected, [detection.face])
            for face in sure or doubtful or ([detection.face] if detection.sure else []):
                if _place(face, [*known, *(stray.face for stray in strays)]) is None:
                    strays.append(judging.stray(replace(detection, face=face), sure=bool(sure)))
        elif place < len(found.faces):
            best.setdefault((place, detection.detector), detection)
    seen: list[list[tuple[Seen, Face]]] = [[] for _ in references]
    for (index, _), detection in best.items():
        seen[index].append((judging.seen(detection, references[index]), detection.face))
    return seen, strays


def _place(face: Face, known: Sequence[Face]) -> int | None:
    """Which of the known faces it is; None if none. A face seen from the wrong side may lie beside its own place."""
    shares = [shared_part(face.box, other.box) for other in known]
    index = max(range(len(known)), key=shares.__getitem__, default=None)
    if index is None:
        return None
    wrong_side = abs(cmath.phase(face.up / known[index].up)) > math.pi / 3
    return index if shares[index] > (_SAME_FACE_TURNED if wrong_side else _SAME_FACE) else None
