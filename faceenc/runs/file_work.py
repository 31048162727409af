"""One file out of one photo, in one piece and recorded.

Work is done in a hidden folder beside its target, recorded in the `Ledger`, and only then put in place. So a target is there
with all that belongs to it, or not at all.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faceenc.core import BusyError, DataError, FaceencError, means, named_fields, put_new
from faceenc.runs.ledger import Ledger, digest
from faceenc.runs.plan import FileResult, Task

BUSY = "being done by another run"

# Makes the target (second) out of the source (first) and describes it: JSON-like. What else it writes beside the target is
# put in place with it. Where the target lies meanwhile, nothing else does: there is nothing to overwrite.
Work = Callable[[Path, Path], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class FileWork:
    """Does one task; picklable."""

    work: Work
    settings: object
    force: bool
    ledger: Ledger

    def __call__(self, task: Task) -> FileResult:
        """The task, under its lock; whatever goes wrong is that file's failure."""
        began = time.monotonic()
        details: dict[str, Any] = {}
        try:
            with self.ledger.hold(task.target):
                if (result := self.settled(task)) is not None:  # another run was quicker
                    return result
                details = self._make(task, began)
            return FileResult(task.source, task.target, "done", "", time.monotonic() - began, details)
        except BusyError:
            return FileResult(task.source, task.target, "skipped", BUSY)
        except FaceencError as error:
            why = str(error)
            details = {"error": type(error).__name__}
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            why = f"cannot write {task.target}: {reason}; check the folder and the free space"
        except MemoryError:
            why = f"cannot do {task.source}: the memory does not suffice; try fewer `jobs`, or a smaller photo"
        except Exception as error:  # one strange photo must not cost the others their turn
            what = " ".join(str(error).split())
            why = f"cannot do {task.source}: unexpected {type(error).__name__}: {what}; `debug` shows the trace"
            details = {"traceback": traceback.format_exc()}
        why = _replaced(why, self._workplace(task.target), task.target.parent)
        return FileResult(task.source, task.target, "failed", why, time.monotonic() - began, details)

    def settled(self, task: Task) -> FileResult | None:
        """The result of a task that needs no work, or gets none; None if it is to be done.

        Needs no lock: every target of ours is recorded before it is put in place, so the record is read after the target.
        """
        try:
            if not stat.S_ISREG(task.source.stat().st_mode):  # opening a pipe may wait for ever
                why = f"cannot read {task.source}: it is a folder, a pipe or a device; give a file"
                return FileResult(task.source, task.target, "failed", why)
            with task.source.open("rb"):
                pass
            if task.target.exists() and not task.target.is_symlink() and task.target.samefile(task.source):
                why = f"{task.target} is the photo itself, which is left as it is: choose another name"
                return FileResult(task.source, task.target, "failed", why)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            return FileResult(task.source, task.target, "failed", f"cannot read {task.source}: {reason}; check the path")
        if self.force or not os.path.lexists(task.target):
            return None
        stands = digest(task.target)
        self.ledger.refresh()
        if stands is None or not self.ledger.knows(task.target, stands):
            return FileResult(task.source, task.target, "failed", str(self._foreign(task.source, task.target)))
        entry = self.ledger.latest(task.target)
        if entry is None or entry.target != stands or not means(entry.settings, self.settings):
            return None
        if entry.source != digest(task.source):
            return None
        return FileResult(task.source, task.target, "skipped", "done already", 0.0, self.ledger.details(entry))

    def sweep(self, task: Task) -> None:
        """Remove what a killed process left, unless one is at work there."""
        place = self._workplace(task.target)
        with suppress(BusyError, OSError):
            if place.exists():
                with self.ledger.hold(task.target):
                    shutil.rmtree(place, ignore_errors=True)

    def _workplace(self, target: Path) -> Path:
        """The hidden folder where a target is made: the same in each run with this ledger, so that remains are found."""
        return target.with_name(f".faceenc-{self.ledger.key(target)[:12]}.tmp")

    def _make(self, task: Task, began: float) -> dict[str, Any]:
        source = digest(task.source)  # before: what changes from now on is done anew next time
        place = self._workplace(task.target)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        try:
            described = self.work(task.source, place / task.target.name)
            details: dict[str, Any] = _replaced(described, place, task.target.parent)
            files = {file.name: _sealed(file) for file in sorted(place.iterdir())}
            new = {name: self._is_new(task.source, task.target.with_name(name)) for name in files}
            record = {"source_sha256": source, "settings": named_fields(self.settings)}
            record |= {"seconds": round(time.monotonic() - began, 3), "details": details}
            self.ledger.add(record, task.source, task.target, files)
            for name in sorted(files, key=lambda name: name == task.target.name):  # whoever sees the target sees the others
                _put(place / name, task.target.with_name(name), task.source, new=new[name])
        finally:
            shutil.rmtree(place, ignore_errors=True)
        return details

    def _is_new(self, source: Path, file: Path) -> bool:
        """Whether nothing is in the way; what is must be ours."""
        if self.force:
            return False
        if not os.path.lexists(file):
            return True
        self.ledger.refresh()
        stands = digest(file)
        if stands is None or not self.ledger.knows(file, stands):
            raise self._foreign(source, file)
        return False

    def _foreign(self, source: Path, file: Path) -> DataError:
        what = "was changed since it was made" if self.ledger.knows(file) else "exists already"
        return DataError(f"cannot do {source}: {file} {what}: move it away, or overwrite it with `force`")


def _sealed(file: Path) -> str:
    """SHA-256 of a file that is on the disk when this returns."""
    with file.open("rb+") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        os.fsync(stream.fileno())
    return sha256


def _put(file: Path, target: Path, source: Path, *, new: bool) -> None:
    """Move a file into place; a new one never over another, even if that came there in this very moment."""
    if not new:
        file.replace(target)
        return
    try:
        put_new(file, target)
    except FileExistsError as error:
        raise DataError(
            f"cannot do {source}: {target} exists already: move it away, or overwrite it with `force`"
        ) from error


def _replaced(value: Any, place: Path, folder: Path) -> Any:
    """`value` with the final paths wherever it names those of the hidden folder."""
    if isinstance(value, str):
        return value.replace(f"{place}{os.sep}", f"{folder}{os.sep}" if folder != Path() else "")
    if isinstance(value, dict):
        return {key: _replaced(item, place, folder) for key, item in value.items()}
    return [_replaced(item, place, folder) for item in value] if isinstance(value, list | tuple) else value
