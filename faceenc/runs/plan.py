"""Which file is to be made of which photo: sub-folders are kept, no two meet, and what was made before is no photo."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from faceenc.core import DataError
from faceenc.media import list_photos
from faceenc.runs.ledger import Ledger, digest


@dataclass(frozen=True, slots=True)
class Task:
    """A photo, and the file to be made of it."""

    source: Path
    target: Path


@dataclass(frozen=True, slots=True)
class FileResult:
    """What became of a file.

    Attributes:
        source: the photo, or a folder that holds none, or what else lies in a folder.
        target: None if there is none.
        status: "skipped": done already, or (`files.BUSY`) being done by another run; "left out": no photo.
        message: why it was skipped or failed, in one line; empty if it is done.
        seconds: spent on it now.
        details: what the work returned; of a skipped file, what it returned at that time.
    """

    source: Path
    target: Path | None
    status: Literal["done", "skipped", "failed", "left out"]
    message: str = ""
    seconds: float = 0.0
    details: dict[str, Any] = field(default_factory=dict)


def plan_files(
    sources: Sequence[Path],
    output: Path | None,
    *,
    name: Callable[[Path], str],
    beside: Sequence[str] = (),
    ledger: Path | None = None,
) -> tuple[list[Task], list[FileResult]]:
    """The files to make of photos, and of all photos in and below folders, whose sub-folders are kept.

    What earlier runs made is not taken for a photo: files that the ledger holds, and those with a name that another photo
    of the plan would be given, unless it is just that photo's with another ending. No two targets are the same, nor is one a
    photo of the plan, also where upper and lower case are not distinguished: a number is added.

    Args:
        sources: files and folders.
        output: where the targets go; None puts each beside its photo.
        name: the target's file name for a photo.
        beside: what the names of files beside a target add to its stem: no two of all these meet.
        ledger: of `run_files`.

    Returns:
        The tasks, and what can be said by now about everything else: folders without photos, with outputs alone or that
        cannot be read have failed, earlier outputs that were named themselves are skipped, what is no photo is left out.
    """
    listed = list_photos(sources, output=output)
    others = [FileResult(folder, None, "failed", str(error)) for folder, error in listed.errors.items()]
    left_out = listed.left_out
    below: dict[Path, list[Path]] = {source: [] for source in sources}
    found: dict[Path, Path] = {}  # of each photo, the target that it would have alone
    for photo, source in listed.asked.items():
        below[source].append(photo)
        inside = photo.relative_to(source).parent if photo != source else Path()
        found[photo] = (photo.parent if output is None else output / inside) / name(photo)
    named_so = {_key(target): photo for photo, target in found.items() if target.stem != photo.stem}
    made: set[str] = set()
    for record in _records(ledger, below):
        left_out = {file: why for file, why in left_out.items() if file.name != record.path.name and not record.knows(file)}
        made |= {_key(photo) for photo in found if record.knows(photo) and record.knows(photo, digest(photo))}
    named = set(sources)
    for photo in found:
        if (key := _key(photo)) in named_so and key not in made:
            made.add(key)
            if photo not in named:
                left_out[photo] = f"named as the copy of {named_so[key]}: rename it if it is a photo"
    others += [FileResult(file, None, "left out", why) for file, why in left_out.items()]
    others += [
        FileResult(photo, None, "skipped", "made by an earlier run")
        for photo in found
        if photo in named and _key(photo) in made
    ]
    others += [
        FileResult(source, None, "failed", f"all photos in {source} were made by faceenc: name the folder of the originals")
        for source, photos in below.items()
        if photos and source not in photos and all(_key(photo) in made for photo in photos)
    ]
    kept = {photo: target for photo, target in found.items() if _key(photo) not in made}
    taken = {_key(path) for photo in kept for path in (photo, Path(os.path.realpath(photo)))}
    return [Task(photo, _free(target, beside, taken)) for photo, target in kept.items()], others


def _records(ledger: Path | None, below: Mapping[Path, Sequence[Path]]) -> list[Ledger]:
    """This run's record, and those of runs that wrote into the folders that are read."""
    if ledger is None:
        return []
    folders = {
        folder
        for source, photos in below.items()
        for photo in photos
        for folder in photo.parents
        if folder.is_relative_to(source)
    }
    records = {path: Ledger(path) for path in {ledger, *(folder / ledger.name for folder in folders)}}
    for path, record in records.items():
        with suppress(DataError) if path != ledger else nullcontext():  # a folder may say what is in it and nothing else
            record.refresh()
    return [*records.values()]


def _key(path: Path) -> str:
    """The same for paths that some file system takes for the same."""
    return unicodedata.normalize("NFC", str(Path(os.path.realpath(path.parent)) / path.name)).casefold()


def _free(target: Path, beside: Sequence[str], taken: set[str]) -> Path:
    """`target`, with a number if it or a file beside it is taken; they are afterwards."""
    free, number = target, 1
    while not taken.isdisjoint(names := _names(free, beside)):
        number += 1
        free = target.with_stem(f"{target.stem}-{number}")
    taken |= names
    return free


def _names(target: Path, beside: Sequence[str]) -> set[str]:
    return {_key(target), *(_key(target.with_name(f"{target.stem}{ending}")) for ending in beside)}
