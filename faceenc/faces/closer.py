"""A closer look at a place where there may be a face: upright, at a good size, and by two detectors."""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from faceenc.core import Box, Detector, Face, at_place, shared_area, window_around
from faceenc.faces.alignment import Similarity
from faceenc.faces.passes import placed, reduced

if TYPE_CHECKING:
    from numpy.typing import NDArray


_SIDE = 320  # pixels: what detectors are shown
_SHARE = 3  # of which a face takes a third

_SMALLEST = 20  # pixels: smaller ones are what blossoms and pebbles look like
_DROPPED = 0.5  # a place of YuNet's below this score is none if YuNet itself does not see it any more from near
_CLEAR = 0.9  # score at which no other place of a group is tried
_SURE = 0.8  # score of one detector from which the other need not agree: hands, toys and bags reach 0.78
_SURE_TOGETHER = 1.3  # both scores' sum from which they agree
_NAMED = 0.6  # score from which what is not sure is named: what other programs take for a face
_OTHER_SIZE = 1.6  # of two boxes, from which they are looked at apart
_SAME_FACE = 0.5  # share of the smaller box that lies in the other one


@dataclass(frozen=True, eq=False)
class CloserLook:
    """Both detectors, asked about single places.

    Attributes:
        yunet: for ArcFace's points.
        near: MediaPipe's short range ...
        wide: ... and its full range, asked where the other is not sure.
    """

    yunet: Detector
    near: Detector
    wide: Detector

    def settle(self, image: NDArray[np.uint8], places: Sequence[Face]) -> tuple[list[Face], list[Face]]:
        """Which of the places hold faces, each once, and which are in doubt.

        Args:
            image: (H, W, 3) uint8 RGB.
            places: what detectors took for faces, in any order and any number of times.

        Returns:
            Faces and doubtful ones, highest score first, with their boxes and landmarks from the closer look.
        """
        sure: list[Face] = []
        doubtful: list[Face] = []
        for group in _groups(places):
            best: Look | None = None
            for place in _distinct(group):
                look = self._look_twice(image, place)
                if look is not None and (best is None or (look.sure, look.face.score) > (best.sure, best.face.score)):
                    best = look
                if best is not None and best.face.score >= _CLEAR:
                    break
            if best is not None and best.sure and best.face.box.width >= _SMALLEST:
                sure.append(best.face)
            elif (best is not None and best.face.score >= _NAMED) or group[0].score >= _NAMED:
                doubtful.append(group[0] if best is None else best.face)
        faces = without_doubles([], sure)
        return faces, without_doubles(faces, doubtful)[len(faces) :]

    def _look_twice(self, image: NDArray[np.uint8], place: Face) -> Look | None:
        """What is a face stays one when it is looked at again, from where the first look puts it."""
        look = self.look(image, place)
        if look is None or look.face.score >= _CLEAR:
            return look
        return self.look(image, look.face)

    def look(self, image: NDArray[np.uint8], place: Face) -> Look | None:
        """The face at a place, by its own up direction; None if neither detector sees one there."""
        view, where = _view(image, place)
        middle, reach = _SIDE / 2, _SIDE / _SHARE / 2
        here = Box(middle - reach, middle - reach, middle + reach, middle + reach)
        five = face_at(self.yunet(view), here)
        if five is None and place.detector == "yunet" and place.score < _DROPPED:
            return None  # most of these places; MediaPipe need not be asked, which takes twice as long
        six = face_at(self.near(view), here)
        if six is None or six.score < _SURE:
            six = max(
                (face for face in (six, face_at(self.wide(view), here)) if face), key=lambda face: face.score, default=None
            )
        found = [placed(face, where.turn, where.shift) for face in (six, five) if face is not None]
        if not found:
            return None
        face = replace(
            found[0],
            landmarks={scheme: points for face in found for scheme, points in face.landmarks.items()},
            score=max(face.score for face in found),
            detector="+".join(face.detector for face in found),
            head=found[-1].head,
        )
        return Look(face, face.score >= _SURE or sum(one.score for one in found) >= _SURE_TOGETHER)


@dataclass(frozen=True)
class Look:
    """What was seen: a face, by one detector or by both, and whether that suffices to call it one."""

    face: Face
    sure: bool


def face_at(faces: Sequence[Face], place: Box) -> Face | None:
    box = at_place([face.box for face in faces], place)
    return None if box is None else next(face for face in faces if face.box is box)


def _view(image: NDArray[np.uint8], place: Face) -> tuple[NDArray[np.uint8], Similarity]:
    """The surroundings of a face, turned upright, and where the view lies in the image (both counted from the corner)."""
    import cv2

    box, up = place.box, place.up
    side = max(box.width, box.height)
    height, width = image.shape[:2]
    x0, y0, x1, y1 = window_around(box, width, height, margin=(_SHARE - 1) / 2 * 1.5)
    share = min(1.0, _SIDE / _SHARE / side)
    window = reduced(np.ascontiguousarray(image[y0:y1, x0:x1]), share)
    across, down = window.shape[1] / (x1 - x0), window.shape[0] / (y1 - y0)
    turn = up * 1j * side * _SHARE / _SIDE  # image pixels a view pixel
    centre = complex(box.x0 + box.x1, box.y0 + box.y1) / 2
    where = Similarity(turn, centre - turn * complex(_SIDE, _SIDE) / 2)
    # From the view's pixels to the window's.
    back = np.array(
        [
            [turn.real * across, -turn.imag * across, (where.shift.real - x0) * across],
            [turn.imag * down, turn.real * down, (where.shift.imag - y0) * down],
        ]
    )
    back[:, 2] += back[:, :2] @ (0.5, 0.5) - 0.5  # OpenCV counts from the first pixel's centre
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    view: NDArray[np.uint8] = cv2.warpAffine(window, back, (_SIDE, _SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[assignment]
    return view, where


def _groups(places: Sequence[Face]) -> Iterator[list[Face]]:
    """Places that overlap so much that they mean one face, best first."""
    groups: list[list[Face]] = []
    for place in sorted(places, key=lambda face: -face.score):
        for group in groups:
            if shared_part(group[0].box, place.box) > _SAME_FACE:
                group.append(place)
                break
        else:
            groups.append([place])
    return iter(groups)


def _distinct(group: Sequence[Face]) -> list[Face]:
    """The places of a group that differ in direction or size, best first."""
    found: list[Face] = []
    for place in group:
        if all(abs(cmath.phase(place.up / other.up)) > math.pi / 4 or _sizes(place, other) > _OTHER_SIZE for other in found):
            found.append(place)
    return found


def _sizes(one: Face, other: Face) -> float:
    """How much larger the larger of two boxes is."""
    ratio = one.box.width / other.box.width
    return max(ratio, 1 / ratio)


def without_doubles(kept: Sequence[Face], new: Sequence[Face]) -> list[Face]:
    """`kept` and those of `new`, best first, that are not the same face as one before.

    The overlap is measured against the smaller box: a nose in a face counts as that face, which IoU would not notice.
    """
    faces = list(kept)
    for face in sorted(new, key=lambda face: -face.score):
        if all(shared_part(face.box, other.box) <= _SAME_FACE for other in faces):
            faces.append(face)
    return faces


def shared_part(one: Box, other: Box) -> float:
    """Share of the smaller box that lies in the other one, in [0, 1]."""
    shared = shared_area(one, other)
    return shared / min(one.area, other.area) if shared else 0.0
