"""The record of a folder run: a line of JSON a finished file, for processes and runs that work at the same time; and one for
each source of which no file is made, which says why.

A line is written before its file is put in place. So whatever stands under a target's name was either recorded here before,
or is somebody else's; and a kill at any moment leaves nothing of ours that the next run would take for a stranger's.

Locks are bytes of one lock file, a byte a target: the system frees them when their process ends, however it ends, so that
no lock is ever stale. They keep processes apart, not the threads of one process.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from faceenc.core import DataError, lock_byte, open_file, remove_unlocked, stands, unlock_byte

_APPENDING = 0  # the byte of the lock file that whoever adds a line holds


class LedgerEntry(NamedTuple):
    """What is remembered of a line: SHA-256 of the source, the settings, SHA-256 of the target, and where it stands."""

    source: str
    settings: Any
    target: str
    start: int
    size: int


class Ledger:
    """The record in the file `path`; pickled, it opens the same file elsewhere and reads it anew.

    Paths in it are relative to its folder, so that the folder may be moved.

    Args:
        path: of the record.
        locks: the lock file, for records that do not last and yet must not meet; None puts it beside the record.
    """

    _identity: tuple[int, int]  # of the file that was read

    def __init__(self, path: Path, locks: Path | None = None) -> None:
        self.path = path
        self.locks = locks
        self._forget()
        self._locks: int | None = None  # the lock file while a target is held

    def __reduce__(self) -> tuple[type[Ledger], tuple[Path, Path | None]]:
        return Ledger, (self.path, self.locks)

    def prepare(self) -> None:
        """Make the folder if need be, and see whether it can be written.

        Raises:
            DataError: it cannot.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+"):  # a pipe would be waited for if it were only written to
                locks = self._open_locks()
            try:
                lock_byte(locks, _APPENDING, wait=True)  # a few network drives know no locks
                unlock_byte(locks, _APPENDING)
            finally:
                os.close(locks)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise DataError(f"cannot write into {self.path.parent}: {reason}; choose another `output`") from error

    @contextmanager
    def hold(self, target: Path) -> Iterator[None]:
        """No other process holds the same target meanwhile.

        Raises:
            BusyError: another one does.
        """
        byte = 1 + int(self.key(target)[:14], 16)
        # Closing any handle of a file frees all POSIX locks that the process has on it: there is only this one.
        while True:
            locks = self._locks = self._open_locks()
            try:
                lock_byte(locks, byte, wait=False)
                try:
                    if stands(locks, self._lock_file):  # else another run has just tidied up: nobody would see this lock
                        yield
                        return
                finally:
                    unlock_byte(locks, byte)
            finally:
                self._locks = None
                os.close(locks)

    def tidy(self) -> None:
        """Remove the lock file beside the record, unless another run is using it."""
        if self.locks is None:
            remove_unlocked(self._lock_file)

    def add(self, record: Mapping[str, Any], source: Path, target: Path, files: Mapping[str, str]) -> None:
        """Write a line, while the target is held; it is on the disk when this returns.

        Args:
            record: JSON-like: source_sha256, settings, and whatever else is to be kept.
            source: of the file.
            target: in whose folder `files` are.
            files: SHA-256 of every file that is about to be put in place, by name; the target's among them.

        Raises:
            OSError: the disk is full or write-protected; what was written of the line will be passed over.
        """
        if self._locks is None:
            raise RuntimeError("a line is only added while its target is held")
        made = {self.name(target.with_name(name)): sha256 for name, sha256 in files.items()}
        paths = {"source": self.name(source), "target": self.name(target), "files": made}
        self._append(json.dumps(paths | dict(record)).encode() + b"\n", self._locks)

    def remark(self, remarks: Mapping[Path, tuple[str, str]]) -> None:
        """Write lines about sources of which nothing is made, while no target is held; each says so until it changes.

        Args:
            remarks: of each source, its status ("failed", "left out") and the reason.

        Raises:
            OSError: as of `add`.
            DataError: as of `refresh`.
        """
        self.refresh()
        named = {self.name(source): said for source, said in remarks.items()}
        new = [
            json.dumps({"source": source, "status": status, "reason": reason}).encode() + b"\n"
            for source, (status, reason) in named.items()
            if self._remarks.get(source) != (status, reason)
        ]
        if new:
            locks = self._open_locks()
            try:
                self._append(b"".join(new), locks)
            finally:
                os.close(locks)

    def _append(self, line: bytes, locks: int) -> None:
        lock_byte(locks, _APPENDING, wait=True)
        try:
            with self.path.open("ab+") as file:
                if file.tell():
                    file.seek(-1, os.SEEK_END)
                    if file.read() != b"\n":  # a killed process tore its line
                        line = b"\n" + line
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        finally:
            unlock_byte(locks, _APPENDING)

    def refresh(self) -> None:
        """Take note of the lines that were added since the last time; torn and foreign ones are passed over.

        Raises:
            DataError: it cannot be read.
        """
        try:
            with open_file(self.path) as file:
                identity = os.fstat(file.fileno())
                if file.seek(0, os.SEEK_END) < self._read or (identity.st_dev, identity.st_ino) != self._identity:
                    self._forget()  # somebody removed it and began anew, or rewrote it
                    self._identity = (identity.st_dev, identity.st_ino)
                file.seek(self._read)
                block = file.read()
        except (FileNotFoundError, NotADirectoryError):
            self._forget()
            return
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise DataError(f"cannot read {self.path}: {reason}; check its permissions, or move it away") from error
        for line in block[: block.rfind(b"\n") + 1].splitlines(keepends=True):
            self._note(line)
            self._read += len(line)

    def latest(self, target: Path) -> LedgerEntry | None:
        """The last line about a target, as of the last `refresh`."""
        return self._latest.get(self.name(target))

    def knows(self, file: Path, sha256: str | None = None) -> bool:
        """Whether any line is about this file (with this very content), as of the last `refresh`."""
        made = self._made.get(self.name(file), ())
        return sha256 in made if sha256 else bool(made)

    def details(self, entry: LedgerEntry) -> dict[str, Any]:
        """The details that a line holds; none if another run has rewritten the record since the last `refresh`."""
        with suppress(ValueError, KeyError, TypeError, RecursionError), open_file(self.path) as file:
            file.seek(entry.start)
            return _Line(json.loads(file.read(entry.size))).mapping("details")
        return {}

    def name(self, path: Path) -> str:
        """What a path is called here: relative to the ledger's folder."""
        try:
            return Path(os.path.relpath(path, self.path.parent)).as_posix()
        except ValueError:  # another drive of Windows
            return path.absolute().as_posix()

    def key(self, target: Path) -> str:
        """SHA-256 (hexadecimal) of a target's name: the same in all runs that have the lock file in common."""
        name = self.name(target) if self.locks is None else os.path.normcase(target.parent.resolve() / target.name)
        return hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()

    def _forget(self) -> None:
        self._read = 0
        self._identity = 0, 0
        self._latest: dict[str, LedgerEntry] = {}
        self._made: dict[str, set[str]] = {}
        self._remarks: dict[str, tuple[str, str]] = {}  # of each source, unless it was done since

    def _note(self, line: bytes) -> None:
        with suppress(ValueError, KeyError, TypeError, RecursionError):  # torn, or none of ours
            record = _Line(json.loads(line))
            if "status" in record:
                self._remarks[record.text("source")] = record.text("status"), record.text("reason")
                return
            files, target = record.mapping("files"), record.text("target")
            record.mapping("details")
            made = {name: _Line(files).text(name) for name in files}
            entry = LedgerEntry(record.text("source_sha256"), record["settings"], made[target], self._read, len(line))
            self._latest[target] = entry
            self._remarks.pop(record.text("source"), None)
            for name, sha256 in made.items():
                self._made.setdefault(name, set()).add(sha256)

    def _open_locks(self) -> int:
        return os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o666)

    @property
    def _lock_file(self) -> Path:
        return self.locks or self.path.with_name(f".{self.path.name}.lock")


class _Line(dict[str, Any]):
    """A line of a record, whoever wrote it."""

    def text(self, key: str) -> str:
        if not isinstance(self[key], str):
            raise TypeError(f"{key} is no text")
        return str(self[key])

    def mapping(self, key: str) -> dict[str, Any]:
        if not isinstance(self[key], dict):
            raise TypeError(f"{key} is no table")
        return dict(self[key])


def digest(path: Path) -> str | None:
    """SHA-256 of a file's content; None if it cannot be read, or is a pipe, which may keep one waiting for ever."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
