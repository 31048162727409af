"""Proof from files: in how many frames is a person still recognised, in a protected video and after H.264?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from faceenc.core import Detector, Face, Progress, at_place, temporary_folder
from faceenc.live.identifier import Identifier
from faceenc.live.tracking import frame_faces
from faceenc.media import USUAL, Clip, VideoFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_FRAMES = 40  # that are looked at, spread evenly


@dataclass(frozen=True, slots=True)
class Recognition:
    """Of the faces in the original frames that were looked at, how many are recognised.

    Attributes:
        faces: in the original frames.
        original: recognised there: a classifier names somebody; an embedder matches the face of a frame near by.
        saved: recognised as that same person in the file that was written, found and cut out anew.
        h264: the same after H.264 at its usual quality.
    """

    faces: int
    original: int
    saved: int
    h264: int


@dataclass(frozen=True, eq=False)
class _Seen:
    """A face of an original frame, and the recogniser's answer."""

    sample: int
    face: Face
    answer: torch.Tensor


def prove(
    source: Path,
    saved: Path,
    identifier: Identifier,
    detector: Detector,
    *,
    frames: int,
    progress: Progress | None = None,
) -> Recognition:
    """Reads the same of so many frames of both files; every face is detected and cut out anew in each.

    Raises:
        DataError: a file that cannot be read.
    """
    indices = _spread(frames)
    seen = []
    for sample, pixels in enumerate(_frames(source, indices)):
        for face in frame_faces(detector, pixels):
            seen.append(_Seen(sample, face, identifier.answers(identifier.crop(pixels, face)[None])[0]))
        if progress is not None:
            progress("proof", sample + 1, len(indices))
    original = sum(_own_reading(one, seen, identifier, itself=False) is not None for one in seen)
    after = _recognised(saved, indices, seen, identifier, detector)
    with temporary_folder() as folder:
        coded = Path(folder) / "coded.mp4"
        _encode(saved, coded)
        h264 = _recognised(coded, indices, seen, identifier, detector)
    return Recognition(len(seen), original, after, h264)


def _spread(count: int) -> list[int]:
    wanted = min(_FRAMES, count)
    return [(2 * k + 1) * count // (2 * wanted) for k in range(wanted)]


def _frames(path: Path, indices: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
    wanted = set(indices)
    with Clip(path) as clip:
        for frame in clip:
            if frame.index in wanted:
                yield clip.pixels(frame)


def _recognised(
    path: Path, indices: Sequence[int], seen: Sequence[_Seen], identifier: Identifier, detector: Detector
) -> int:
    count = 0
    for sample, pixels in enumerate(_frames(path, indices)):
        here = [one for one in seen if one.sample == sample]
        faces = frame_faces(detector, pixels) if here else []
        for one in here:
            box = at_place([face.box for face in faces], one.face.box)
            found = next((face for face in faces if face.box is box), None)
            if found is None:
                continue  # what is not found is not recognised
            answer = identifier.answers(identifier.crop(pixels, found)[None])[0]
            own = _own_reading(one, seen, identifier, itself=True)
            count += own is not None and identifier.reading(answer, _clean(one, seen, itself=True)).name == own
    return count


def _own_reading(one: _Seen, seen: Sequence[_Seen], identifier: Identifier, *, itself: bool) -> str | None:
    return identifier.reading(one.answer, _clean(one, seen, itself=itself)).name


def _clean(one: _Seen, seen: Sequence[_Seen], *, itself: bool) -> list[torch.Tensor]:
    """Answers about the same face in the samples before and after, and, last, about itself."""
    near = []
    for sample in (one.sample - 1, one.sample + 1):
        others = [other for other in seen if other.sample == sample]
        box = at_place([other.face.box for other in others], one.face.box)
        near += [other.answer for other in others if other.face.box is box]
    return [*near, one.answer] if itself else near


def _encode(path: Path, coded: Path) -> None:
    with Clip(path) as clip, VideoFile(coded, rate=clip.rate, tick=clip.tick, colours=clip.colours, factor=USUAL) as out:
        for frame in clip:
            out.write(clip.pixels(frame), frame.time, frame.duration)
