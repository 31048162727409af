"""Photos in, face crops out: what all loaders of photos share. Detection runs in threads, for MediaPipe releases the GIL."""

from __future__ import annotations

import hashlib
import logging
import os
import queue
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from faceenc.core import ASSETS, Box, DataError, Face, OnNoFace, at_place
from faceenc.faces import FaceDetector, FaceSearch, Framing, crop_square, frame_face, main_face
from faceenc.media import read_image

if TYPE_CHECKING:
    from numpy.typing import NDArray


logger = logging.getLogger(__name__)

LeftOut = Literal["", "unreadable", "no face", "copy", "person"]

_RECIPE = "crops 3"  # count up when the crops change
# Small faces that the first model misses the slower second one may find.
_MODELS: tuple[Literal["short", "full"], ...] = ("short", "full")
_SURE = 0.85  # score from which MediaPipe's upright faces are taken as they are: some are lying in truth, up to 0.83
_MAX_LINES = 5
# Threads are not worth starting for fewer photos. The first ones are cut in the caller's thread also because FaceDetector
# redirects stderr in its first calls: what the caller's progress prints at its start must not get lost in there.
_SERIAL = 16
_MAX_WORKERS = 8  # a photo of 24 megapixels takes some 200 MB while it is cut


@dataclass(frozen=True, slots=True)
class LabelledPhoto:
    """A photo on disk: where, of whom ("" if nobody knows), and its id within the set."""

    path: Path
    person: str
    file: str


@dataclass(frozen=True, slots=True)
class CropResult:
    """What became of one photo.

    Attributes:
        photo: it.
        crop: how its crop was cut: a framing, "whole", or "" if it has none.
        left_out: why it is not in the set ("person": that one has too few photos), "" if it is.
        box: of the face that was taken, in pixels of the upright photo.
        sha256: of the photo's bytes; "" if it could not be read.
        reason: the reader's line about an unreadable photo.
    """

    photo: LabelledPhoto
    crop: str = ""
    left_out: LeftOut = ""

    box: Box | None = None
    sha256: str = ""
    reason: str = ""


@dataclass(slots=True)
class Complaints:
    """Warnings of one kind: the first few as they come, the rest as a count."""

    what: str
    lines: list[str] = field(default_factory=list)

    def log(self) -> None:
        for line in self.lines[:_MAX_LINES]:
            logger.warning("%s: %s", self.what, line)
        if len(self.lines) > _MAX_LINES:
            logger.warning("%s: and %d more", self.what, len(self.lines) - _MAX_LINES)


def crops_key(photos: Sequence[LabelledPhoto], size: int, framing: Framing, on_no_face: OnNoFace) -> list[object]:
    """Everything that the crops depend on, as JSON can hold it; of the photos their names, sizes and times.

    Raises:
        ValueError: an unknown framing or rule.
        OSError: a photo vanished.
    """
    if framing not in get_args(Framing):
        raise ValueError(f"framing must be one of {', '.join(get_args(Framing))}, got {framing!r}")
    if on_no_face not in get_args(OnNoFace):
        raise ValueError(f"on_no_face must be one of {', '.join(get_args(OnNoFace))}, got {on_no_face!r}")
    stats = [photo.path.stat() for photo in photos]
    states = [(p.person, p.file, s.st_size, s.st_mtime_ns) for p, s in zip(photos, stats, strict=True)]
    detectors = [ASSETS[name].sha256 for name in ("blazeface-short", "blazeface-full-sparse", "yunet")]
    return [_RECIPE, size, framing, on_no_face, detectors, states]


def cut_faces(
    photos: Sequence[LabelledPhoto],
    size: int,
    *,
    framing: Framing,
    on_no_face: OnNoFace,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> tuple[NDArray[np.uint8], list[CropResult]]:
    """The crop of each photo's main face; the result depends on neither the number nor the order of the workers.

    Of several faces the largest and most central one counts (`main_face`). Unreadable photos and photos without a face are
    logged.

    Args:
        photos: at least one.
        size: side of the crops in pixels.
        framing: see `frame_face`.
        on_no_face: where no face is found, skip the photo, take its central square whole, or fail.
        progress: is called with (done, total) photos, in this thread.
        workers: threads; None takes one a processor core, at most 8.

    Returns:
        (N, S, S, 3) uint8 RGB, one row a photo (undefined where there is no crop: see `keep_rows`), and what became of each.

    Raises:
        DataError: no crop at all; with "fail", a photo without a face.
        AssetError: the detector cannot be fetched.
    """
    images = np.empty((len(photos), size, size, 3), np.uint8)
    cuts: list[CropResult] = []

    def cut(detectors: MainFace, index: int) -> CropResult:
        return _cut(photos[index], images[index], detectors, framing, on_no_face)

    with _in_order(cut, len(photos), workers or min(_MAX_WORKERS, os.cpu_count() or 1)) as results:
        for result in results:
            if result.left_out == "no face" and on_no_face == "fail":
                raise DataError(
                    f"no face found in {result.photo.path}: remove the photo, or let such photos be skipped or taken whole"
                )
            cuts.append(result)
            if progress is not None:
                progress(len(cuts), len(photos))
    unreadable = Complaints("photo skipped", [cut.reason for cut in cuts if cut.left_out == "unreadable"])
    faceless = Complaints("no face found, photo skipped", [str(cut.photo.path) for cut in cuts if cut.left_out == "no face"])
    unreadable.log()
    faceless.log()
    if all(cut.left_out for cut in cuts):
        raise DataError(
            f"none of the {len(photos)} photos in {os.path.commonpath([photo.path.parent for photo in photos])} is usable: "
            f"{len(unreadable.lines)} unreadable, {len(faceless.lines)} without a detected face; "
            "tight face crops can be taken whole (on_no_face)"
        )
    return images, cuts


def keep_rows(images: NDArray[np.uint8], rows: Sequence[int]) -> NDArray[np.uint8]:
    """The given rows, moved to the front of the same memory: thousands of crops must not be held twice.

    Args:
        images: (N, S, S, 3); is overwritten.
        rows: strictly ascending.

    Returns:
        (len(rows), S, S, 3), a view of `images`.
    """
    for new, old in enumerate(rows):
        if new != old:
            images[new] = images[old]
    return images[: len(rows)]


class MainFace:
    """The detectors of one thread; slower ones are started when they are first needed."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._detectors: list[FaceDetector] = []
        self._search: FaceSearch | None = None

    def __call__(self, image: NDArray[np.uint8]) -> Face | None:
        """The main face: MediaPipe's if it is upright for sure, else what the search in all directions and sizes finds."""
        height, width = image.shape[:2]
        face = self._by_mediapipe(image)
        if face is not None and not face.quarters and face.score >= _SURE:
            return face
        if self._search is None:
            self._search = self._stack.enter_context(FaceSearch())
        found = self._search(image)
        if not found or (face is not None and not face.quarters and _upright_there(face, found)):
            return face
        return main_face(found, width, height)

    def _by_mediapipe(self, image: NDArray[np.uint8]) -> Face | None:
        for number, model in enumerate(_MODELS):
            if number == len(self._detectors):
                self._detectors.append(self._stack.enter_context(FaceDetector(model=model)))
            if faces := self._detectors[number](image):
                return main_face(faces, image.shape[1], image.shape[0])
        return None


def _upright_there(face: Face, found: Sequence[Face]) -> bool:
    """Whether others found an upright face at that place."""
    box = at_place([other.box for other in found], face.box)
    return any(other.box is box and not other.quarters for other in found)


@contextmanager
def _in_order(cut: Callable[[MainFace, int], CropResult], count: int, workers: int) -> Iterator[Iterator[CropResult]]:
    """The results of `cut` for 0 .. count-1, in this order; leaving the block stops the work that is still to do."""
    # The inner block ends first: no thread is left when the detectors are closed.
    with ExitStack() as opened, ExitStack() as stack:
        idle: queue.SimpleQueue[MainFace] = queue.SimpleQueue()
        idle.put(MainFace(opened))

        def work(index: int) -> CropResult:
            detectors = idle.get()
            try:
                return cut(detectors, index)
            finally:
                idle.put(detectors)

        def results() -> Iterator[CropResult]:
            serial = count if workers == 1 else min(count, _SERIAL)
            yield from map(work, range(serial))
            if serial == count:
                return
            for _ in range(workers - 1):
                idle.put(MainFace(opened))
            pool = ThreadPoolExecutor(workers, thread_name_prefix="faceenc-crops")
            stack.callback(pool.shutdown, cancel_futures=True)
            yield from pool.map(work, range(serial, count))

        # Reading silences Pillow's warnings with `catch_warnings`, which threads undo for one another in any order: with
        # the same filter set around them all, what they restore is what is wanted.
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        yield results()


def _cut(
    photo: LabelledPhoto, out: NDArray[np.uint8], detectors: MainFace, framing: Framing, on_no_face: OnNoFace
) -> CropResult:
    """Writes the crop of `photo` to `out`, (S, S, 3)."""
    size = len(out)
    try:
        image = read_image(photo.path)
        sha256 = hashlib.sha256(photo.path.read_bytes()).hexdigest()
    except (DataError, OSError) as error:
        return CropResult(photo, left_out="unreadable", reason=str(error))
    face = detectors(image)
    try:
        if face is not None:
            out[:] = frame_face(image, face, size=size, framing=framing)
            return CropResult(photo, crop=framing, box=face.box, sha256=sha256)
    except ValueError as error:  # key points on one another, or an empty box: no face after all
        logger.debug("%s: %s", photo.path, error)
    if on_no_face != "whole":
        return CropResult(photo, left_out="no face", sha256=sha256)
    height, width = image.shape[:2]
    half = min(height, width) / 2
    box = Box(width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half)
    out[:] = crop_square(image, box, size=size, margin=0)
    return CropResult(photo, crop="whole", box=box, sha256=sha256)
