"""Locks between processes: the system frees them when their process ends, however it ends, so that no lock is ever stale.

They keep processes apart, not the threads of one process.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from faceenc.core.errors import RunError
from faceenc.core.files import stands, sweep

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_NAME = ".faceenc.lock"


class BusyError(Exception):
    """Another process holds the lock."""


def lock_byte(handle: int, byte: int, *, wait: bool, whole: bool = False) -> None:
    """Lock one byte of an open file, or with POSIX locks all from there on (`whole`).

    Closing any handle of that file in this process frees it.

    Raises:
        BusyError: another process holds it, and `wait` is off.
        OSError: the drive knows no locks.
    """
    try:
        if sys.platform == "win32":
            os.lseek(handle, byte, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        else:
            fcntl.lockf(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 0 if whole else 1, byte)
    except (BlockingIOError, PermissionError) as error:  # systems differ in which
        raise BusyError from error


def remove_unlocked(path: Path) -> None:
    """Remove a lock file in which no other process holds a byte; whoever takes a lock has to see that its file `stands`."""
    with suppress(BusyError, OSError):
        if sys.platform == "win32":
            path.unlink()  # refused while anybody has it open
            return
        handle = os.open(path, os.O_RDWR)
        try:
            lock_byte(handle, 0, wait=False, whole=True)
            if stands(handle, path):
                path.unlink()
        finally:
            os.close(handle)


def unlock_byte(handle: int, byte: int) -> None:
    """Free what `lock_byte` locked."""
    if sys.platform == "win32":
        os.lseek(handle, byte, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)
    else:
        fcntl.lockf(handle, fcntl.LOCK_UN, 1, byte)


def check_writable(folder: Path) -> None:
    """Whether a folder can be made and written, asked before long work; nothing is made.

    Raises:
        RunError: it cannot.
    """
    there = folder.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    reason = "may not be written" if there.is_dir() else "is no folder"
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise RunError(f"folder {folder} cannot be made ({there} {reason}): choose another `output`")


class FolderLock:
    """Held by the one process that writes into a folder; nothing but a hidden file shows it meanwhile."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / _NAME
        self._handle: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object has it."""
        return self._handle is not None

    def acquire(self) -> None:
        """Take the lock, unless it is held here already, and remove what killed writers left half-written in the folder.

        The folder is made if need be.

        Raises:
            RunError: another process writes into the folder, or nobody can.
        """
        folder = self.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock()
        except BusyError:
            raise RunError(f"{folder} is being written by another run: wait for it, or choose another `output`") from None
        except OSError as error:
            raise RunError(f"folder {folder} cannot be made ({error.strerror}): choose another `output`") from error
        sweep(folder)

    def _lock(self) -> None:
        while self._handle is None:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                lock_byte(handle, 0, wait=False)
                if not stands(handle, self.path):  # whoever had it has just removed it: a lock that nobody else would see
                    continue
                self._handle = handle
            finally:
                if self._handle != handle:
                    os.close(handle)

    def release(self) -> None:
        """Give the lock back, if it is held."""
        if self._handle is not None:
            with suppress(OSError):  # Windows keeps open files
                self.path.unlink()
            os.close(self._handle)
            self._handle = None
