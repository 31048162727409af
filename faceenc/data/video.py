"""Faces of one person out of video clips, into the folder layout that `faceenc.data.folder` reads.

The frames are spread evenly over the clips, taken one after the other. The crops are generous, head and shoulders: the
loader detects and aligns the face anew, and a crop is stored only if the loader's detectors find it there again. Faces that
lie on their side or stand on their head are stored upright.
"""

from __future__ import annotations

import hashlib
import logging
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from faceenc.core import Box, DataError
from faceenc.data.crops import MainFace
from faceenc.faces import FaceDetector, FaceSearch, YuNet, crop_square, reduced
from faceenc.media import Video, count_frames, write_png

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceenc.core import Face, Progress


logger = logging.getLogger(__name__)

MARGIN = 0.7  # of the box, on each side: the square is 2.4 times the box, from above the hair to the shoulders

_MAX_SIDE = 512  # pixels of a stored crop
_NEXT = (0, 1, 2, 4, 8, 16)  # frames after the chosen one that are tried in turn until one shows the face
_ROUNDS = 8
_SEARCH = 512  # frames to search where none of the first choice showed a face
# A face farther than this many box sides from the last position may be someone else's; where several people appear it is
# not taken.
_REACH = 1.5
_GLANCE = 480  # pixels: the longer side of what YuNet is shown where MediaPipe finds no face
_OFF_CENTRE = 0.25  # of the crop's side: farther from the centre the loader would take another person
_NO_NAME = re.compile(r'^[. ]|[. ]$|[\x00-\x1f/\\:*?"<>|]|^$')


@dataclass(frozen=True, slots=True)
class Clip:
    """What came of one video: how many frames it has, and how many faces of it are stored."""

    path: Path
    frames: int
    faces: int


def extract_faces(
    clips: Sequence[str | Path],
    folder: str | Path,
    name: str,
    *,
    frames: int = 40,
    margin: float = MARGIN,
    progress: Progress | None = None,
) -> list[Clip]:
    """Stores face crops of one person as FOLDER/NAME/<clip>-<frame index>.png, at the video's own resolution up to 512 px.

    In a clip's first frame with faces the largest one counts, from then on the one nearest to its last known position. Where
    a chosen frame shows no face, frames after it are tried, then others near those that do; an exact copy, as of a frozen
    picture, is not stored. The same call writes the same files. Files of the same name are replaced, others stay.

    Args:
        clips: at least one video of the person, with different names.
        folder: of all people; is made if missing.
        name: of the person, and of the sub-folder.
        frames: crops wanted of all clips together, shared by their numbers of frames; at least 1.
        margin: share of the face box' longer side that is added on each side, not negative.
        progress: called with "frames" read and "faces" stored.

    Returns:
        One record a clip, in the order of `clips`.

    Raises:
        DataError: a name that cannot be a folder's, two clips of one name, a file that is no video, no face in any frame,
            or a crop cannot be written.
        AssetError: the detector cannot be fetched.
        ValueError: `frames` or `margin` out of range.
    """
    if frames < 1 or not 0 <= margin < math.inf:
        raise ValueError(f"expected frames >= 1 and a finite margin >= 0, got {frames} and {margin}")
    paths = [Path(clip) for clip in clips]
    _check_names(paths, name)
    person = Path(folder) / name
    search = _Search(paths, _count(paths, progress))
    wanted = min(frames, search.tried.size)
    with ExitStack() as stack:
        detectors = _Detectors(stack, margin)
        for number in range(_ROUNDS):
            before = len(search.boxes)
            for clip, index, crop in search.round(wanted, detectors):
                _make(person)
                write_png(person / f"{paths[clip].stem.lstrip('.')}-{index:06d}.png", crop)
                if progress is not None:
                    progress("faces", len(search.boxes), wanted)
            if number and len(search.boxes) == before:
                break
    if not search.boxes:
        raise DataError(
            f"no face found in {', '.join(map(str, paths))}: {search.tried.sum()} of {search.tried.size} frames were tried; "
            "use a clip that shows the face from the front and not too small"
        )
    faces = np.bincount([search.clip(frame) for frame in search.boxes], minlength=len(paths)).tolist()
    results = [Clip(*record) for record in zip(paths, search.counts, faces, strict=True)]
    _warn(results, search, frames, person)
    return results


def _check_names(paths: Sequence[Path], name: str) -> None:
    if _NO_NAME.search(name):
        raise DataError(f'{name!r} cannot name a folder: leave out / \\ : * ? " < > |, and dots and blanks at its ends')
    stems: dict[str, Path] = {}
    for path in paths:
        other = stems.setdefault(path.stem.lstrip(".").casefold(), path)
        if other is not path:
            raise DataError(f"{other} and {path} would give faces of the same names: rename or leave out one of them")
    if not stems:
        raise DataError("no clips: expected at least one video file")


def _count(paths: Sequence[Path], progress: Progress | None) -> list[int]:
    """Frames of each clip; a clip that does not open is refused before hours of others are decoded."""
    promised = []
    for path in paths:
        with Video(path) as video:
            promised.append(video.promised or 0)
    counts: list[int] = []

    def report(done: int) -> None:
        if progress is not None:
            before = sum(counts)
            progress("frames", before + done, before + max(done, promised[len(counts)]) + sum(promised[len(counts) + 1 :]))

    for path in paths:
        counts.append(count_frames(path, progress=report))
    return counts


def _warn(clips: Sequence[Clip], search: _Search, wanted: int, person: Path) -> None:
    for number, clip in enumerate(clips):
        # Now and then a detector sees a face in a pattern: one frame in ten says nothing.
        if search.doubtful.get(number, 0) > clip.faces / 10:
            logger.warning("%s shows several people or has cuts: look through %s for faces of others", clip.path, person)
    stored, tried = len(search.boxes), int(search.tried.sum())
    if stored < wanted:
        logger.warning(
            "%d faces stored of the %d asked for: of %d frames %d were tried, and %d show no usable face or an exact copy",
            stored, wanted, search.tried.size, tried, tried - stored,
        )  # fmt: skip


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make the folder {folder}: {error.strerror or error}; choose another") from error


class _Search:
    """Which frames to search, and which showed the face. Frames are numbered through all clips.

    Attributes:
        counts: frames of each clip.
        tried: (N,) bool.
        boxes: of the faces found, by frame.
        doubtful: by clip, how many of its frames with a face show several, or one that is far from its last position.
    """

    def __init__(self, paths: Sequence[Path], counts: list[int]) -> None:
        self.counts = counts
        self.boxes: dict[int, Box] = {}
        self._paths = paths
        self._starts = np.cumsum([0, *counts])
        self.tried = np.zeros(self._starts[-1], bool)
        self._fruitful = np.zeros_like(self.tried)
        self.doubtful: dict[int, int] = {}
        self._crowded: set[int] = set()  # clips with several people
        self._seen: set[bytes] = set()  # crops: the loader has no use for the same one twice

    def clip(self, frame: int) -> int:
        return int(np.searchsorted(self._starts, frame, "right")) - 1

    def round(self, wanted: int, detectors: _Detectors) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
        """Searches for the faces that are missing, once through the clips: (clip, frame index in it, crop)."""
        missing = wanted - len(self.boxes)
        # At first anywhere; later around the faces that are known, as long as there are untried frames.
        pool = np.flatnonzero(~self.tried & self._fruitful)
        if not pool.size:
            pool = np.flatnonzero(~self.tried)
        if not missing or not pool.size:
            return
        around = math.ceil(self.tried.size / wanted)
        again = bool(self.tried.any()) and not self.boxes
        parts = np.array_split(pool, min(pool.size, max(missing, _SEARCH) if again else missing))
        with ExitStack() as stack:
            video, opened = None, -1
            for part in parts:
                clip = self.clip(part[part.size // 2])
                if clip != opened:
                    stack.close()
                    video, opened = stack.enter_context(Video(self._paths[clip])), clip
                for frame in self._run(part, clip):
                    self.tried[frame] = True
                    index = frame - int(self._starts[clip])
                    image = video.retrieve() if video is not None and video.skip_to(index) else None
                    crop = None if image is None else self._detect(image, frame, clip, detectors)
                    if crop is not None:
                        self._fruitful[max(0, frame - around) : frame + around + 1] = True
                        yield clip, index, crop
                        break
                if len(self.boxes) == wanted:
                    return

    def _run(self, part: NDArray[np.intp], clip: int) -> list[int]:
        """The middle of a stretch of frames, then some after it: video is decoded forwards."""
        places = (part.size // 2 + step for step in _NEXT)
        frames = [int(part[place]) for place in places if place < part.size]
        return [frame for frame in frames if frame < self._starts[clip + 1]]

    def _detect(self, image: NDArray[np.uint8], frame: int, clip: int, detectors: _Detectors) -> NDArray[np.uint8] | None:
        known = [other for other in self.boxes if self.clip(other) == clip]
        last = self.boxes[min(known, key=lambda other: abs(other - frame))] if known else None
        for faces in detectors.faces(image):
            if len(faces) > 1:
                self._crowded.add(clip)
            face, jumps = _pick(faces, last)
            crop = None if jumps and clip in self._crowded else detectors.crop(image, face)
            if crop is not None:
                digest = hashlib.sha256(crop.tobytes()).digest()
                if digest in self._seen:
                    return None
                self._seen.add(digest)
                self.boxes[frame] = face.box
                self.doubtful[clip] = self.doubtful.get(clip, 0) + (jumps or len(faces) > 1)
                return crop
        return None


class _Detectors:
    """The detectors for frames. MediaPipe's for small faces comes first: it is fast, and sees fewer where there are none."""

    def __init__(self, stack: ExitStack, margin: float) -> None:
        self._margin = margin
        self._stack = stack
        self._full = stack.enter_context(FaceDetector(model="full"))
        self._short = stack.enter_context(FaceDetector(model="short"))
        self._yunet = YuNet()
        self._search: FaceSearch | None = None
        self._loader = MainFace(stack)

    def faces(self, image: NDArray[np.uint8]) -> Iterator[list[Face]]:
        """What each detector sees in an (H, W, 3) image, if anything."""
        for detector in (self._full, self._short):
            if faces := detector(image):
                yield faces
        # The whole search takes half a second for a large frame: not where YuNet's glance from four sides shows nothing.
        small = reduced(image, min(1.0, _GLANCE / max(image.shape[:2])))
        if any(self._yunet(np.ascontiguousarray(np.rot90(small, quarters))) for quarters in range(4)):
            if self._search is None:
                self._search = self._stack.enter_context(FaceSearch())
            if faces := self._search(image):
                yield faces

    def crop(self, image: NDArray[np.uint8], face: Face) -> NDArray[np.uint8] | None:
        """The square around a face, upright, (S, S, 3); None if the loader would not find this face in it, and upright."""
        box = face.box
        # Whole pixels: a crop that is not reduced is then an exact copy.
        side = max(1, round(max(box.width, box.height) * (1 + 2 * self._margin)))
        left, top = round((box.x0 + box.x1 - side) / 2), round((box.y0 + box.y1 - side) / 2)
        size = min(side, _MAX_SIDE)
        crop = crop_square(image, Box(left, top, left + side, top + side), size=size, margin=0)
        crop = np.ascontiguousarray(np.rot90(crop, face.quarters))
        found = self._loader(crop)
        if found is None or found.quarters:
            return None
        away = math.hypot(found.box.x0 + found.box.x1 - size, found.box.y0 + found.box.y1 - size) / 2
        return crop if away < _OFF_CENTRE * size else None


def _pick(faces: Sequence[Face], last: Box | None) -> tuple[Face, bool]:
    """The face nearest to the last known position, or the largest, and whether it is too far away to be surely the same."""
    if last is None:
        return max(faces, key=lambda face: face.box.area), False

    def distance(face: Face) -> float:
        box = face.box
        return math.hypot(box.x0 + box.x1 - last.x0 - last.x1, box.y0 + box.y1 - last.y0 - last.y1) / 2

    nearest = min(faces, key=distance)
    return nearest, distance(nearest) > _REACH * max(last.width, last.height)
