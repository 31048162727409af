"""Faces that keep their identity from frame to frame, detected in every n-th one and followed in between."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from faceenc.core import SAME_PLACE, Box, Detector, Face, Points, moved, overlap, scaled, turned
from faceenc.faces import without_doubles

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from faceenc.live.identifier import Reading
    from faceenc.live.noise import FaceNoise


_SIDE = 320  # pixels: the detector scales pictures down to less than that
_SURE = 0.8  # score of the detector for large faces, and of what YuNet finds in a turned picture
_NEAR = 0.6  # box sides between the centres of what may be the same face
_KEEP = 12  # frames: so long a face that is not found any more is protected where it was
# Detections tremble by a pixel, and noise that trembles with them is seen. So a face is taken to be where it was expected,
# corrected by these shares of the difference: of its place, and of its velocity (an alpha-beta filter).
_PLACE, _VELOCITY = 0.5, 0.15
_NEVER = -(10**9)
_REMEMBERED = 4  # answers about the face without noise


@dataclass(eq=False)
class Track:
    """One face through the frames.

    Attributes:
        number: of the face, counted from 1; never used again.
        face: where it is in the current frame.
        noise: of the last frame it was protected in.
        clean: the recogniser's latest answers about the face without noise, oldest first.
        before: whom it was taken for without noise, at the last reading.
        after: the same with noise.
        before_at: which of the processed frames had that reading; as is `after_at`.
    """

    number: int
    face: Face
    noise: FaceNoise | None = None
    clean: list[torch.Tensor] = field(default_factory=list)
    before: Reading | None = None
    after: Reading | None = None
    before_at: int = _NEVER
    after_at: int = _NEVER
    velocity: tuple[float, float] = (0.0, 0.0)  # pixels a frame
    seen: int = 0  # the frame in which it was last detected

    def remember(self, answer: torch.Tensor) -> None:
        """Keep an answer about the face without noise."""
        self.clean = [*self.clean[1 - _REMEMBERED :], answer]


class Tracker:
    """Finds the faces of each frame.

    Args:
        detector: finds faces.
        every: detect in every so many frames.
        most: the largest number of faces followed; the largest ones count.
        smooth: steady the key points over time.
    """

    def __init__(self, detector: Detector, *, every: int = 2, most: int = 4, smooth: bool = True) -> None:
        self.detector = detector
        self.every, self.most = every, most
        self.tracks: list[Track] = []
        self._smooth = smooth
        self._count = 0
        self._index = -1
        self._detected = _NEVER

    def update(self, index: int, frame: NDArray[np.uint8]) -> list[Track]:
        """The faces of a frame.

        Args:
            index: of the frame; gaps are frames that were dropped.
            frame: (H, W, 3) uint8 RGB.
        """
        steps, self._index = index - self._index, index
        for track in self.tracks:
            track.face = moved(track.face, track.velocity[0] * steps, track.velocity[1] * steps)
        if not self.tracks or index - self._detected >= self.every:
            self._detected = index
            self._match(index, frame_faces(self.detector, frame))
        return self.tracks

    def _match(self, index: int, faces: Sequence[Face]) -> None:
        """Greedy: the likeliest pair first."""
        free, found = list(self.tracks), []
        pairs = [(_likeness(track.face, face), n, m) for n, track in enumerate(free) for m, face in enumerate(faces)]
        taken: set[int] = set()
        used: set[int] = set()
        for likeness, n, m in sorted(pairs, reverse=True):
            if likeness > 0 and n not in taken and m not in used:
                taken.add(n)
                used.add(m)
                self._follow(free[n], faces[m], index)
                found.append(free[n])
        for face in sorted((f for m, f in enumerate(faces) if m not in used), key=lambda f: -f.box.area):
            self._count += 1
            found.append(Track(self._count, face, seen=index))
        for n, track in enumerate(free):
            if n not in taken and index - track.seen <= _KEEP:
                track.velocity = (0.0, 0.0)
                found.append(track)
        self.tracks = sorted(found, key=lambda track: -track.face.box.area)[: self.most]

    def _follow(self, track: Track, face: Face, index: int) -> None:
        here, expected, frames = _centre(face.box), _centre(track.face.box), max(1, index - track.seen)
        share = (_VELOCITY if self._smooth else 1.0) / frames
        x, y = track.velocity
        track.velocity = (x + share * (here[0] - expected[0]), y + share * (here[1] - expected[1]))
        track.seen = index
        track.face = _blended(face, track.face, 1 - _PLACE) if self._smooth else face


@dataclass
class NearOrWide:
    """A `Detector` that looks for small and for turned faces only where there is no large one for sure.

    The one for large faces doubtfully finds middling ones too, at twice their size and with key points far off, and hands or
    shirts. What it doubts counts where nothing else is found. MediaPipe doubtfully takes lying heads for upright ones, with
    the key points in wrong places. So where nothing is sure, YuNet looks at the picture turned by a quarter, a half or three
    quarters. The turn that showed a face is tried first the next time.

    Attributes:
        near: for large faces.
        wide: for small ones.
        yunet: for small ones too, and in turned pictures.
        turns: how many of the three turns are tried in a call that finds nothing at all; with one, a lying head is found by
            the third call.
    """

    near: Detector
    wide: Detector
    yunet: Detector
    turns: int = 1
    _quarters: int = field(default=1, repr=False)

    def __call__(self, image: NDArray[np.uint8]) -> list[Face]:
        faces = self.near(image)
        sure = [face for face in faces if face.score >= _SURE and not face.quarters]
        if faces and len(sure) == len(faces):
            return faces
        by_mediapipe, by_yunet = without_doubles([], [*sure, *self.wide(image)]), self.yunet(image)
        # MediaPipe's landmarks go first: noise that changed from one scheme to the other would be seen.
        found = without_doubles(by_mediapipe, by_yunet)
        if by_yunet or any(face.score >= _SURE for face in found):
            return found
        # Doubt mostly is a lying head: with a turn a call it would be taken for upright in two calls of three.
        lying = self._lying(image, 3 if faces or found else self.turns)
        return without_doubles(lying, found) or without_doubles([], faces)

    def _lying(self, image: NDArray[np.uint8], turns: int) -> list[Face]:
        for _ in range(turns):
            shown = np.ascontiguousarray(np.rot90(image, self._quarters))
            height, width = shown.shape[:2]
            found = [turned(face, -self._quarters, width, height) for face in self.yunet(shown) if face.score >= _SURE]
            if found:
                return found
            self._quarters = self._quarters % 3 + 1
        return []


def frame_faces(detector: Detector, frame: NDArray[np.uint8]) -> list[Face]:
    """The faces of a frame, looked for in a reduced copy; those with key points on one another are left out."""
    factor = max(1, max(frame.shape[:2]) // _SIDE)
    small = frame if factor == 1 else np.asarray(Image.fromarray(frame).reduce(factor))
    across, down = frame.shape[1] / small.shape[1], frame.shape[0] / small.shape[0]
    faces = [scaled(face, across, down) if factor > 1 else face for face in detector(small)]
    return [face for face in faces if face.box.area > 0 and len(set(face.eyes_and_mouth)) == 3]


def _blended(face: Face, other: Face, share: float) -> Face:
    """`share` of the other face in the first; landmarks that the other one lacks move with the box."""

    def mix(one: float, two: float) -> float:
        return one + share * (two - one)

    a, b = face.box, other.box
    box = Box(mix(a.x0, b.x0), mix(a.y0, b.y0), mix(a.x1, b.x1), mix(a.y1, b.y1))

    def along(points: Points) -> Points:
        across, down = box.width / a.width, box.height / a.height
        return tuple((box.x0 + across * (x - a.x0), box.y0 + down * (y - a.y0)) for x, y in points)

    landmarks = {
        scheme: tuple((mix(p[0], q[0]), mix(p[1], q[1])) for p, q in zip(points, other.landmarks[scheme], strict=True))
        if scheme in other.landmarks
        else along(points)
        for scheme, points in face.landmarks.items()
    }
    return replace(face, box=box, landmarks=landmarks)


def _centre(box: Box) -> tuple[float, float]:
    return (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2


def _likeness(one: Face, other: Face) -> float:
    """Above 0 if both may be one face in two frames: more than 1 for boxes that overlap, less for those that are near."""
    first, second = one.box, other.box
    shared = overlap(first, second)
    if shared >= SAME_PLACE:
        return 1 + shared
    smaller, larger = sorted((max(first.width, first.height), max(second.width, second.height)))
    (x, y), (u, v) = _centre(first), _centre(second)
    near = 1 - math.hypot(x - u, y - v) / (_NEAR * larger)
    return near if larger <= 2 * smaller else 0.0
