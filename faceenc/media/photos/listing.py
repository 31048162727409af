"""Which photos a person means who names files and folders, and why other files are none."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from faceenc.core import DataError
from faceenc.media.photos.record import PHOTO_SUFFIXES, PROTECTED, begins_like_photo

_COPY = re.compile(rf"(.+){PROTECTED}(-\d+)?(-preview)?")
_RAW = ".3fr .arw .cr2 .cr3 .crw .dng .erf .iiq .nef .nrw .orf .pef .raf .raw .rw2 .rwl .sr2 .srw .x3f".split()  # noqa: SIM905
_VIDEOS = ".3gp .avi .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .webm .wmv".split()  # noqa: SIM905


@dataclass(frozen=True, slots=True)
class Listed:
    """What `list_photos` found.

    Attributes:
        photos: each once.
        errors: folders without any photo or that cannot be read -> why, in a line.
        left_out: what else lies in folders -> why it is no photo, such as "a video".
    """

    photos: list[Path] = field(default_factory=list)
    errors: dict[Path, DataError] = field(default_factory=dict)
    left_out: dict[Path, str] = field(default_factory=dict)


def list_photos(paths: Sequence[Path], *, output: Path | None) -> Listed:
    """The photos that `paths` mean: files as they are, folders with all photos in and below them, sorted.

    In folders a file is a photo by its name or, where that says nothing, by how it begins. A photo that is named twice
    counts once. Hidden files and folders are passed over, and so is the output folder, for a second run must not take the
    first one's pictures for photos. Links to folders are not followed. Whether files exist is not checked.
    """
    listed = Listed()
    photos: dict[Path, Path] = {}
    for path in paths:
        errors = len(listed.errors)
        found = _walk(path, output and output.resolve(), listed) if path.is_dir() else [path]
        if not found and len(listed.errors) == errors:
            known = " ".join(sorted(suffix[1:] for suffix in PHOTO_SUFFIXES))
            listed.errors[path] = DataError(f"no photos in {path}: expected images in it or below ({known})")
        for photo in found:
            photos.setdefault(photo.resolve(), photo)
    listed.photos.extend(photos.values())
    return listed


def look_into(folder: Path) -> tuple[list[Path], list[Path], dict[Path, str]]:
    """What lies directly in a folder, sorted, without what is hidden: photos, folders, and other files -> why they are none.

    Raises:
        OSError: it cannot be read.
    """
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    reasons = {entry: why_no_photo(entry) for entry in entries if not entry.is_dir()}
    photos = [entry for entry, why in reasons.items() if not why]
    return photos, [entry for entry in entries if entry.is_dir()], {entry: why for entry, why in reasons.items() if why}


def look_into_person(folder: Path, left_out: dict[Path, str]) -> list[Path]:
    """The photos of one person's folder; what else lies there is added to `left_out`, with the reason."""
    try:
        photos, deeper, others = look_into(folder)
    except OSError as error:
        left_out[folder] = f"a folder that cannot be read: {(error.strerror or str(error)).lower()}"
        return []
    left_out |= others | dict.fromkeys(deeper, "a folder within: move its photos up")
    if not photos:
        left_out[folder] = "a folder without photos"
    return photos


def person_of(folder: str | Path) -> str:
    """Whose photos a folder holds, by its name: the same however the system that wrote it puts accents."""
    return unicodedata.normalize("NFC", Path(folder).name)


def why_no_photo(file: Path) -> str:
    """Why a file in a folder is not taken for a photo, to be said of it; empty if it is."""
    suffix = file.suffix.lower()
    if suffix in PHOTO_SUFFIXES:
        return ""
    if suffix in _RAW:
        return "a camera's raw file: export it as JPEG or TIFF"
    if suffix in _VIDEOS:
        live = any(file.with_suffix(end).exists() for known in PHOTO_SUFFIXES for end in (known, known.upper()))
        return f"{'the video of a live photo' if live else 'a video'}: `faceenc video` takes it"
    if not file.is_file():  # opening a pipe may wait for ever
        return "no file: a pipe, a device or a broken link"
    try:
        with file.open("rb") as opened:
            return "" if begins_like_photo(opened.read(16)) else "no photo"
    except OSError as error:
        return f"cannot be read: {(error.strerror or str(error)).lower()}"


def protected_copies(photos: Collection[Path]) -> set[Path]:
    """Of these photos the copies and previews that `encrypt` put beside an original that is among them, by their names.

    Whoever learns or measures people from their photos leaves these out: they show somebody else.
    """
    originals = {(photo.parent, photo.stem) for photo in photos}
    named = {photo: _COPY.fullmatch(photo.stem) for photo in photos}
    return {photo for photo, name in named.items() if name and (photo.parent, name[1]) in originals}


def _walk(top: Path, output: Path | None, listed: Listed) -> list[Path]:
    """The photos in and below a folder; what else there is goes into `listed`."""

    def fail(error: OSError) -> None:
        folder = Path(error.filename)
        why = (error.strerror or str(error)).lower()
        listed.errors[folder] = DataError(f"cannot read the folder {folder}: {why}; check its permissions")

    photos = []
    for where, folders, files in os.walk(top, onerror=fail):
        place = Path(where)
        folders[:] = sorted(child for child in folders if not child.startswith(".") and (place / child).resolve() != output)
        for link in (place / child for child in folders if os.path.islink(place / child)):  # noqa: PTH114 - which never raises
            listed.left_out[link] = "a link to a folder: name that folder itself"
        for file in sorted(place / name for name in files if not name.startswith(".")):
            if why := why_no_photo(file):
                listed.left_out[file] = why
            else:
                photos.append(file)
    return photos
