"""A user's own photos: one sub-folder a person."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from faceenc.assets import ASSETS
from faceenc.data import FaceSet
from faceenc.data.cache import cached
from faceenc.detect import FaceDetector, main_face
from faceenc.images import crop_square, read_image
from faceenc.types import Box, DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

OnNoFace = Literal["skip", "whole", "fail"]

_RECIPE = "folder 1"  # count up when the crops or the split change
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".pgm", ".bmp", ".tif", ".tiff"})
_MARGIN = 0.2  # as in the demo set
_MAX_LINES = 5


def load_folder(
    path: str | Path,
    size: int = 224,
    *,
    test_share: float = 0.3,
    min_images: int = 2,
    on_no_face: OnNoFace = "skip",
    progress: Callable[[int, int], None] | None = None,
) -> FaceSet:
    """Face crops of a folder with one sub-folder a person; the sub-folders' names are the classes, in alphabetical order.

    Of several faces the largest and most central one counts (`main_face`). Unreadable photos, exact copies within a person
    and people with too few photos are left out, with a warning in the log.

    The split is fixed by content: a person's photos are ordered by the SHA-256 of their bytes, and the first `test_share`
    of them, at least one and never all, are for testing. Neither names nor dates nor other people's photos change it.

    The crops are kept in the cache folder and made anew when a name, size or modification time changes.

    Args:
        path: the folder.
        size: side of the crops in pixels.
        test_share: in (0, 1).
        min_images: people with fewer usable photos are left out; at least 2.
        on_no_face: where no face is found, skip the photo, take its central square whole, or fail.
        progress: is called with (done, total) photos while the crops are made.

    Raises:
        DataError: no such folder, no photos, no faces, fewer than 2 people left; with "fail", a photo without a face.
        AssetError: the detector cannot be fetched.
        ValueError: `test_share` or `min_images` out of range.
    """
    if not 0 < test_share < 1 or min_images < 2:
        raise ValueError(f"test_share must lie in (0, 1) and min_images be at least 2, got {test_share} and {min_images}")
    root = Path(path).expanduser().absolute()
    photos = _list(root)
    states = [(_id(photo), photo.stat().st_size, photo.stat().st_mtime_ns) for photo in photos]
    detectors = [ASSETS[name].sha256 for name in ("blazeface-short", "blazeface-full-sparse")]
    key = json.dumps([_RECIPE, size, test_share, min_images, on_no_face, detectors, states])
    place = hashlib.sha256(str(root).encode(errors="surrogateescape")).hexdigest()[:16]
    return cached(
        f"folder-{place}-{size}.npz",
        hashlib.sha256(key.encode()).hexdigest(),
        lambda: _build(root, _crop_all(photos, size, on_no_face, progress), test_share, min_images),
    )


@dataclass(frozen=True, slots=True)
class _Crop:
    person: str
    file: str
    sha256: str  # of the photo's bytes
    image: NDArray[np.uint8]


@dataclass(slots=True)
class _Complaints:
    """Warnings of one kind: the first few as they come, the rest as a count."""

    what: str
    lines: list[str] = field(default_factory=list)

    def log(self) -> None:
        for line in self.lines[:_MAX_LINES]:
            logger.warning("%s: %s", self.what, line)
        if len(self.lines) > _MAX_LINES:
            logger.warning("%s: and %d more", self.what, len(self.lines) - _MAX_LINES)


def _id(photo: Path) -> str:
    return f"{photo.parent.name}/{photo.name}"


def _list(root: Path) -> list[Path]:
    """The photos of all people, ordered by person and name."""
    try:
        people = sorted(folder for folder in root.iterdir() if folder.is_dir() and not folder.name.startswith("."))
        found = [
            photo
            for person in people
            for photo in sorted(person.iterdir())
            if photo.suffix.lower() in _SUFFIXES and not photo.name.startswith(".") and photo.is_file()
        ]
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"cannot read the folder {error.filename}: {reason}; check the path and its permissions") from error
    if not found:
        known = " ".join(sorted(suffix[1:] for suffix in _SUFFIXES))
        raise DataError(f"no photos in {root}: expected one sub-folder a person with images in it ({known})")
    return found


def _crop_all(
    photos: Sequence[Path], size: int, on_no_face: OnNoFace, progress: Callable[[int, int], None] | None
) -> list[_Crop]:
    crops: list[_Crop] = []
    unreadable, faceless = _Complaints("photo skipped"), _Complaints("no face found, photo skipped")
    with ExitStack() as stack:
        # What the short-range model overlooks (small faces) the slower full-range one may find.
        detectors = [stack.enter_context(FaceDetector(model=model)) for model in ("short", "full")]
        for done, photo in enumerate(photos, start=1):
            try:
                image = read_image(photo)
            except DataError as error:
                unreadable.lines.append(str(error))
            else:
                box = _face_box(image, detectors)
                if box is None and on_no_face == "fail":
                    raise DataError(
                        f"no face found in {photo}: remove the photo, or let such photos be skipped or taken whole"
                    )
                if box is None and on_no_face == "skip":
                    faceless.lines.append(str(photo))
                else:
                    crop = _central(image, size) if box is None else crop_square(image, box, size=size, margin=_MARGIN)
                    crops.append(_Crop(photo.parent.name, _id(photo), hashlib.sha256(photo.read_bytes()).hexdigest(), crop))
            if progress is not None:
                progress(done, len(photos))
    unreadable.log()
    faceless.log()
    if not crops:
        raise DataError(
            f"none of the {len(photos)} photos in {photos[0].parent.parent} is usable: {len(unreadable.lines)} unreadable, "
            f"{len(faceless.lines)} without a detected face; tight face crops can be taken whole (on_no_face)"
        )
    return crops


def _face_box(image: NDArray[np.uint8], detectors: Sequence[FaceDetector]) -> Box | None:
    for detector in detectors:
        if faces := detector(image):
            return main_face(faces, image.shape[1], image.shape[0]).box
    return None


def _central(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    half = min(height, width) / 2
    return crop_square(
        image, Box(width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half), size=size, margin=0
    )


def _build(root: Path, crops: Sequence[_Crop], test_share: float, min_images: int) -> FaceSet:
    people: dict[str, list[_Crop]] = {}
    copies, few = _Complaints("exact copy skipped"), _Complaints("person left out")
    for crop in crops:
        own = people.setdefault(crop.person, [])
        if any(crop.sha256 == other.sha256 for other in own):
            copies.lines.append(crop.file)
        else:
            own.append(crop)
    for person in [person for person, own in people.items() if len(own) < min_images]:
        few.lines.append(f"{person} has {len(people.pop(person))} usable photo(s), needs {min_images}")
    copies.log()
    few.log()
    if len(people) < 2:
        raise DataError(
            f"{len(people)} person(s) with at least {min_images} usable photos in {root}, 2 are needed: add photos"
        )
    tested = {crop.file for own in people.values() for crop in _test_part(own, test_share)}
    kept = [crop for own in people.values() for crop in own]
    classes = tuple(people)
    in_test = np.array([crop.file in tested for crop in kept])
    return FaceSet(
        name=root.name,
        classes=classes,
        images=np.stack([crop.image for crop in kept]),
        labels=np.array([classes.index(crop.person) for crop in kept], np.int64),
        files=tuple(crop.file for crop in kept),
        train=np.flatnonzero(~in_test).astype(np.int64),
        test=np.flatnonzero(in_test).astype(np.int64),
        credit="",
    )


def _test_part(own: Sequence[_Crop], share: float) -> list[_Crop]:
    count = min(len(own) - 1, max(1, round(share * len(own))))
    return sorted(own, key=lambda crop: crop.sha256)[:count]
