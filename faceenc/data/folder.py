"""A user's own photos: one sub-folder a person, or faces of nobody in particular."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from faceenc.core import DataError, OnNoFace, cache_dir, cached_arrays
from faceenc.data.crops import Complaints, LabelledPhoto, crops_key, cut_faces, keep_rows
from faceenc.data.faceset import TEST_SHARE, FaceSet
from faceenc.data.people import Split, check_numbers, cut_people, read_split, write_manifest
from faceenc.data.tags import TAGS_FILE
from faceenc.faces import ALIGNED_SIZE, Framing
from faceenc.media import PHOTO_SUFFIXES, by_reason, look_into, look_into_person, person_of, protected_copies

if TYPE_CHECKING:
    from numpy.typing import NDArray


logger = logging.getLogger(__name__)

SPLIT_FILE = "manifest.csv"

_RECIPE = "faces 1"  # of `load_faces`; count up when the choice of photos changes


def load_folder(
    path: str | Path,
    size: int = ALIGNED_SIZE,
    *,
    framing: Framing = "aligned",
    test_share: float = TEST_SHARE,
    min_images: int = 2,
    on_no_face: OnNoFace = "skip",
    progress: Callable[[int, int], None] | None = None,
) -> FaceSet:
    """Face crops of a folder with one sub-folder a person; the sub-folders' names are the classes, in alphabetical order.

    Of several faces the largest and most central one counts (`main_face`). Unreadable photos, exact copies within a person,
    protected copies beside their originals, people with too few photos, and whatever else lies in the folder or deeper, are
    left out, with a warning in the log.

    The split is fixed by content: a person's photos are ordered by the SHA-256 of their bytes, and the first `test_share`
    of them, at least one and never all, are for testing. Neither names nor dates nor other people's photos change it.
    If the folder holds a manifest.csv, as `faceenc data celeba` writes it, with the columns file ("person/photo.jpg"), split
    ("train" or "test") and sha256, that split counts instead; photos that it does not name, or that have changed since, are
    for training.

    The crops are kept in the cache folder, with a table of all photos beside them (`photos_table`), and made anew when a
    name, size or modification time changes.

    Args:
        path: the folder.
        size: side of the crops in pixels.
        framing: how faces are cut out, see `frame_face`.
        test_share: in (0, 1).
        min_images: people with fewer usable photos are left out; at least 2.
        on_no_face: where no face is found, skip the photo, take its central square whole, or fail.
        progress: is called with (done, total) photos while the crops are made.

    Raises:
        DataError: no such folder, no photos, no faces, fewer than 2 people left, an unusable manifest.csv; with "fail", a
            photo without a face.
        AssetError: the detector cannot be fetched.
        ValueError: `test_share` or `min_images` out of range, an unknown `framing` or `on_no_face`.
    """
    check_numbers(test_share, min_images)
    root = Path(path).expanduser().absolute()
    return cut_people(
        root,
        _list(root, flat=False),
        size,
        stem=cache_stem("folder", root, size, framing),
        framing=framing,
        split=Split(test_share, read_split(root / SPLIT_FILE)),
        min_images=min_images,
        on_no_face=on_no_face,
        progress=progress,
    )


def load_faces(
    path: str | Path,
    size: int = ALIGNED_SIZE,
    *,
    framing: Framing = "aligned",
    progress: Callable[[int, int], None] | None = None,
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Faces without labels: the main face of every photo in a folder and in its sub-folders (one level).

    Unreadable photos, photos without a face and protected copies beside their originals are left out, with a warning in
    the log. Kept in the cache folder as `load_folder` keeps its crops.

    Args:
        path: the folder.
        size: side of the crops in pixels.
        framing: how faces are cut out, see `frame_face`.
        progress: is called with (done, total) photos while the crops are made.

    Returns:
        (N, S, S, 3) uint8 RGB, and the N files relative to the folder, with "/": photos of the folder itself first, then
        those of its sub-folders in alphabetical order.

    Raises:
        DataError: no such folder, no photos, no faces.
        AssetError: the detector cannot be fetched.
        ValueError: an unknown `framing`.
    """
    root = Path(path).expanduser().absolute()
    photos = _list(root, flat=True)
    stem = cache_stem("faces", root, size, framing)

    def build() -> dict[str, NDArray[Any]]:
        images, cuts = cut_faces(photos, size, framing=framing, on_no_face="skip", progress=progress)
        write_manifest(cache_dir() / f"{stem}.csv", cuts, {})
        rows = [row for row, cut in enumerate(cuts) if not cut.left_out]
        return {"images": keep_rows(images, rows), "files": np.array([cuts[row].photo.file for row in rows])}

    key = json.dumps([_RECIPE, *crops_key(photos, size, framing, "skip")])
    stored = cached_arrays(f"{stem}.npz", hashlib.sha256(key.encode()).hexdigest(), build)
    return stored["images"], tuple(stored["files"].tolist())


def photos_table(path: str | Path, size: int = ALIGNED_SIZE, *, framing: Framing = "aligned") -> Path:
    """Where `load_folder` keeps its table of a folder's photos: split, crop, box and hash, or why a photo was left out."""
    return cache_dir() / f"{cache_stem('folder', Path(path).expanduser().absolute(), size, framing)}.csv"


def list_photos(path: str | Path) -> list[LabelledPhoto]:
    """The photos of a folder with one sub-folder a person, by person and name; what is left out is named in the log.

    Raises:
        DataError: no such folder, or no photos.
    """
    return _list(Path(path).expanduser().absolute(), flat=False)


def cache_stem(kind: str, root: Path, size: int, framing: Framing) -> str:
    """The name, without ending, of what the cache folder keeps about a folder."""
    return f"{kind}-{hashlib.sha256(str(root).encode(errors='surrogateescape')).hexdigest()[:16]}-{framing}-{size}"


def _list(root: Path, *, flat: bool) -> list[LabelledPhoto]:
    """The photos in the sub-folders, ordered by folder and name; if `flat`, those of the folder itself come first."""
    try:
        loose, folders, strays = look_into(root)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"cannot read the folder {root}: {reason}; check the path and its permissions") from error
    for own in (SPLIT_FILE, TAGS_FILE):
        strays.pop(root / own, None)
    found = [LabelledPhoto(photo, "", photo.name) for photo in loose if flat]
    if not flat:
        strays |= dict.fromkeys(loose, "a photo in no person's folder")
    # Macs write accents apart (NFD), others in one (NFC): both are one person, whose photos are in a row.
    for folder in sorted(folders, key=lambda folder: (person_of(folder), folder.name)):
        photos = look_into_person(folder, strays)
        found += [LabelledPhoto(photo, person_of(folder), f"{folder.name}/{photo.name}") for photo in photos]
    for line in by_reason(dict(sorted(strays.items())), below=root):
        logger.warning("%s", line)
    if not found:
        wanted = "images" if flat else "one sub-folder a person with images in it"
        known = " ".join(sorted(suffix[1:] for suffix in PHOTO_SUFFIXES))
        raise DataError(f"no photos in {root}: expected {wanted} ({known})")
    copies = protected_copies([photo.path for photo in found])
    Complaints("protected copy, left out", [photo.file for photo in found if photo.path in copies]).log()
    return [photo for photo in found if photo.path not in copies]
