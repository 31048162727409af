"""Which photos a person means who names files and folders."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from faceenc.core import DataError
from faceenc.media.photos.record import PHOTO_SUFFIXES, PROTECTED

_COPY = re.compile(rf"(.+){PROTECTED}(-\d+)?(-preview)?")


def list_photos(paths: Sequence[Path], *, output: Path | None) -> tuple[list[Path], list[DataError]]:
    """The photos that `paths` mean: files as they are, folders with all photos in and below them, sorted.

    A photo that is named twice counts once. Hidden files and folders are passed over, and so is the output folder, for a
    second run must not take the first one's pictures for photos.

    Returns:
        The photos, and an error for each folder without any or that cannot be read. Whether files exist is not checked.
    """
    photos: dict[Path, Path] = {}
    errors = []
    for path in paths:
        try:
            found = list(_walk(path, output and output.resolve())) if path.is_dir() else [path]
        except OSError as error:
            errors.append(DataError(f"cannot read the folder {path}: {error.strerror or error}; check its permissions"))
            continue
        if not found:
            known = " ".join(sorted(suffix[1:] for suffix in PHOTO_SUFFIXES))
            errors.append(DataError(f"no photos in {path}: expected images in it or below ({known})"))
        for photo in found:
            photos.setdefault(photo.resolve(), photo)
    return list(photos.values()), errors


def protected_copies(photos: Collection[Path]) -> set[Path]:
    """Of these photos the copies and previews that `encrypt` put beside an original that is among them, by their names.

    Whoever learns or measures people from their photos leaves these out: they show somebody else.
    """
    originals = {(photo.parent, photo.stem) for photo in photos}
    named = {photo: _COPY.fullmatch(photo.stem) for photo in photos}
    return {photo for photo, name in named.items() if name and (photo.parent, name[1]) in originals}


def _walk(folder: Path, output: Path | None) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise error

    for name, folders, files in os.walk(folder, onerror=fail):
        place = Path(name)
        folders[:] = sorted(child for child in folders if not child.startswith(".") and (place / child).resolve() != output)
        for file in sorted(files):
            if Path(file).suffix.lower() in PHOTO_SUFFIXES and not file.startswith("."):
                yield place / file
