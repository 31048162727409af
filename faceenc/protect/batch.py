"""A run over photos and folders: what is to be made of what, and where that is recorded."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from faceenc.core import ConfigError, cache_dir, temporary_folder
from faceenc.media import output_path, photo_format, short_stem
from faceenc.protect.options import Options
from faceenc.protect.protector import Protector
from faceenc.recognizers import ENSEMBLE, load_ensemble
from faceenc.runs import FileResult, Task, plan_files

_LEDGER = "faceenc-run.jsonl"
_LOCKS = "encrypt.lock"


def find_ledger(photos: Sequence[Path], folder: Path | None, stack: ExitStack) -> tuple[Path, Path | None]:
    """Where the run is recorded: in the folder it is for; nowhere that lasts if only files are named.

    Returns:
        The record, and a lock file for runs whose records are not the same and whose files may be.
    """
    if folder is not None:
        return folder / _LEDGER, None
    if len(photos) == 1 and photos[0].is_dir():
        return photos[0] / _LEDGER, None
    if any(photo.is_dir() for photo in photos):
        raise ConfigError("a folder among other photos: add `output=FOLDER` as the one place to write to, or name it alone")

    locks = cache_dir() / _LOCKS
    try:
        locks.parent.mkdir(parents=True, exist_ok=True)
        locks.open("ab").close()
    except OSError:  # then nobody can know of other runs at the same files
        return Path(stack.enter_context(temporary_folder())) / _LEDGER, None
    return Path(stack.enter_context(temporary_folder())) / _LEDGER, locks


def plan_photos(
    photos: Sequence[Path], output: Path | None, *, single: Path | None, options: Options, ledger: Path
) -> tuple[list[Task], list[FileResult]]:
    """The files to make of photos and folders, and what can be said by now about the other sources (see `plan_files`).

    Args:
        photos: files and folders.
        output: a folder; None puts each beside its photo.
        single: the one photo's own file, instead of a folder.
        options: of the run.
        ledger: of the run.
    """
    folder = None if single else output

    def name(photo: Path) -> str:
        protected = output_path(photo, options.format or photo_format(photo))
        return protected.name if folder is None else f"{short_stem(photo)}{protected.suffix}"

    beside = ("-preview.png",) if options.preview else ()
    tasks, others = plan_files(photos, folder, name=name, beside=beside, ledger=ledger)
    return [replace(task, target=single or task.target) for task in tasks], others


@dataclass(frozen=True, slots=True)
class Encrypt:
    """The work of a folder run: photo -> protected photo and what is known about it; picklable.

    Attributes:
        options: how.
        device: where nets compute.
    """

    options: Options
    device: str = "cpu"

    def __call__(self, source: Path, target: Path) -> dict[str, Any]:
        return shared_protector(self.options, self.device)(source, output=target).to_json()

    def for_processes(self) -> Encrypt:
        """The same for several processes: what is missing of the ensemble is fetched, or said, here and once."""
        if self.options.surrogates:
            return self
        found = load_ensemble(device=self.device)
        if len(found) == len(ENSEMBLE):
            return self
        return replace(self, options=replace(self.options, surrogates=tuple(one.name for one in found)))

    def prepare(self) -> None:
        """Load what is needed, so that a mistake in the options shows before the first photo."""
        shared_protector(self.options, self.device)


@lru_cache(maxsize=2)  # nets take some 30 MB: a process that serves many wishes must not keep them all
def shared_protector(options: Options, device: str) -> Protector:
    """This process's own."""
    return Protector(options, device=device)
