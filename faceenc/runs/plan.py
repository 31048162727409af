"""Which file is to be made of which photo: sub-folders are kept, no two meet, and what was made before is no photo."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

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
        source: the photo, or a folder that holds none.
        target: None if there is none.
        status: "skipped": done already, or (`files.BUSY`) being done by another run.
        message: why it was skipped or failed, in one line; empty if it is done.
        seconds: spent on it now.
        details: what the work returned; of a skipped file, what it returned at that time.
    """

    source: Path
    target: Path | None
    status: Literal["done", "skipped", "failed"]
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
        The tasks, and what can be said by now about the other sources: folders without photos have failed, earlier outputs
        that were named themselves are skipped.
    """
    found: dict[Path, tuple[Path, Path]] = {}  # by the true path: the photo, and the target that it would have alone
    others = []
    for source in sources:
        photos, errors = list_photos([source], output=output)
        others += [FileResult(source, None, "failed", str(error)) for error in errors]
        for photo in photos:
            below = photo.relative_to(source).parent if photo != source else Path()
            place = photo.parent if output is None else output / below
            found.setdefault(photo.resolve(), (photo, place / name(photo)))
    made = {_key(target) for photo, target in found.values() if target.stem != photo.stem}
    if ledger is not None:
        record = Ledger(ledger)
        record.refresh()
        made |= {_key(photo) for photo, _ in found.values() if record.knows(photo) and record.knows(photo, digest(photo))}
    named = set(sources)
    others += [
        FileResult(photo, None, "skipped", "made by an earlier run")
        for photo, _ in found.values()
        if photo in named and _key(photo) in made
    ]
    kept = {path: pair for path, pair in found.items() if _key(pair[0]) not in made}
    taken = {_key(path) for path in kept} | {_key(photo) for photo, _ in kept.values()}
    return [Task(photo, _free(target, beside, taken)) for photo, target in kept.values()], others


def _key(path: Path) -> str:
    """The same for paths that some file system takes for the same."""
    return unicodedata.normalize("NFC", str(path.parent.resolve() / path.name)).casefold()


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
