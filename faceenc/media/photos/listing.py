"""Which photos a person means who names files and folders, and why other files are none."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from faceenc.core import DataError
from faceenc.media.photos.record import PHOTO_SUFFIXES, PROTECTED, begins_like_photo, short_stem

_COPY = re.compile(rf"(.+){PROTECTED}(-\d+)?(-preview)?")
NAMED = 10  # paths in a line; of more only the number is said
_RAW = ".3fr .arw .cr2 .cr3 .crw .dng .erf .iiq .nef .nrw .orf .pef .raf .raw .rw2 .rwl .sr2 .srw .x3f".split()  # noqa: SIM905
_VIDEOS = ".3gp .avi .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .webm .wmv".split()  # noqa: SIM905


_UNREADABLE = "cannot be read"
_OURS = ".faceenc"  # hidden files that runs leave for a while


@dataclass(frozen=True, slots=True)
class Listed:
    """What `list_photos` found.

    Attributes:
        photos: each once.
        asked: of each photo, which of the paths that were asked for it is, or lies below.
        errors: folders without any photo, and whatever cannot be read -> why, in a line.
        left_out: what else lies in folders -> why it is no photo, such as "a video".
    """

    photos: list[Path] = field(default_factory=list)
    asked: dict[Path, Path] = field(default_factory=dict)
    errors: dict[Path, DataError] = field(default_factory=dict)
    left_out: dict[Path, str] = field(default_factory=dict)


def list_photos(paths: Sequence[Path], *, output: Path | None) -> Listed:
    """The photos that `paths` mean: files as they are, folders with all photos in and below them, sorted.

    In folders a file is a photo by its name or, where that says nothing, by how it begins. A photo that lies there under
    several names, by links, counts once, under its own if that is there. The output folder is passed over, for a second run
    must not take the first one's pictures for photos. Links to folders are not followed. Whether files exist is not checked.
    """
    listed = Listed()
    names: dict[str, Path] = {}  # by the true path, the one that counts
    passed_over = None if output is None else os.path.realpath(output)
    for path in paths:
        errors = len(listed.errors)
        found = _walk(path, passed_over, listed) if os.path.isdir(path) else [path]  # noqa: PTH112 - which never raises
        if not found and len(listed.errors) == errors:
            known = " ".join(sorted(suffix[1:] for suffix in PHOTO_SUFFIXES))
            listed.errors[path] = DataError(f"no photos in {path}: expected images in it or below ({known})")
        true = {photo: os.path.realpath(photo) for photo in found}
        for photo in sorted(found, key=os.path.islink):
            names.setdefault(true[photo], photo)
        for photo in found:
            first = names[true[photo]]
            if photo == first and photo not in listed.asked:
                listed.photos.append(photo)
                listed.asked[photo] = path
            elif os.path.abspath(photo) != os.path.abspath(first):  # noqa: PTH100 - which follows no link
                listed.left_out[photo] = f"the same photo as {first}"
    return listed


def look_into(folder: Path) -> tuple[list[Path], list[Path], dict[Path, str]]:
    """What lies directly in a folder, sorted: photos, folders, and whatever else -> why it is none.

    Raises:
        OSError: it cannot be read.
    """
    photos, folders, left_out = [], [], {}
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            if not entry.name.startswith(_OURS):
                left_out[entry] = "hidden"
        elif os.path.isdir(entry):  # noqa: PTH112 - which never raises
            folders.append(entry)
        elif why := why_no_photo(entry):
            left_out[entry] = why
        else:
            photos.append(entry)
    return photos, folders, left_out


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


def by_reason(left_out: Mapping[Path, str], *, place: str = "", below: Path | None = None) -> list[str]:
    """A line a reason of what is left out, with the first names.

    Args:
        left_out: what -> why.
        place: of what it is left out, such as " of the gallery".
        below: a folder that the names are told without.
    """
    groups: dict[str, list[str]] = {}
    for path, why in left_out.items():
        inside = below is not None and path.is_relative_to(below)
        name = path.relative_to(below).as_posix() if below is not None and inside else str(path)
        groups.setdefault(why.replace("`", ""), []).append(name)
    more = {why: f" and {len(names) - NAMED} more" if len(names) > NAMED else "" for why, names in groups.items()}
    return [f"left out{place} ({why}): {', '.join(names[:NAMED])}{more[why]}" for why, names in groups.items()]


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
        ends = (end for known in PHOTO_SUFFIXES for end in (known, known.upper()))
        live = any(os.path.exists(f"{file.parent / file.stem}{end}") for end in ends)  # noqa: PTH110 - which never raises
        return f"{'the video of a live photo' if live else 'a video'}: `faceenc video` takes it"
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # opening a pipe may wait for ever
            return "no file: a pipe or a device"
        with file.open("rb") as opened:
            return "" if begins_like_photo(opened.read(16)) else "no photo"
    except FileNotFoundError:
        return "no file: a broken link"
    except OSError as error:
        return f"{_UNREADABLE}: {(error.strerror or str(error)).lower()}"


def protected_copies(photos: Collection[Path]) -> set[Path]:
    """Of these photos the copies and previews that `encrypt` put beside an original that is among them, by their names.

    Whoever learns or measures people from their photos leaves these out: they show somebody else.
    """
    originals = {(photo.parent, short_stem(photo)) for photo in photos}
    named = {photo: _COPY.fullmatch(photo.stem) for photo in photos}
    return {photo for photo, name in named.items() if name and (photo.parent, name[1]) in originals}


def _walk(top: Path, passed_over: str | None, listed: Listed) -> list[Path]:
    """The photos in and below a folder; what else there is goes into `listed`."""
    found, waiting = [], [top]
    while waiting:
        folder = waiting.pop()
        try:
            photos, folders, others = look_into(folder)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            listed.errors[folder] = DataError(f"cannot read the folder {folder}: {why}; check its permissions")
            continue
        for entry, why in others.items():
            if why.startswith(_UNREADABLE):  # a photo or a folder of them, perhaps
                listed.errors[entry] = DataError(
                    f"cannot read {entry}{why.removeprefix(_UNREADABLE)}; check its permissions"
                )
            else:
                listed.left_out[entry] = why
        found += photos
        inside = [child for child in folders if os.path.realpath(child) != passed_over]
        links = [child for child in inside if os.path.islink(child)]  # noqa: PTH114 - which never raises
        listed.left_out.update(dict.fromkeys(links, "a link to a folder: name that folder itself"))
        waiting += reversed([child for child in inside if child not in links])
    return found
