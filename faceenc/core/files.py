"""Files that appear in one piece or not at all, and are read without waiting for anybody."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

if sys.platform != "win32":
    import fcntl

_WAITS_NOT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_MADE = re.compile("[a-z0-9_]{8}")  # how names of temporary folders end
_LEFTOVER = re.compile(r"\..+\.[0-9a-f]{8}\.tmp(\.\w+)?")


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """An OSError in the block that names no path, as one of a write to a full disk, names this one."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


@contextlib.contextmanager
def temporary_beside(path: Path, *, suffix: str = "", private: bool = False) -> Iterator[Path]:
    """A hidden, empty file beside `path`, gone at the end of the block unless it was moved.

    What killed processes left of such files for the same path is removed: theirs is locked by nobody.

    Args:
        path: for what the file is meant.
        suffix: what its name shall end in.
        private: nobody else may read it, not even for a moment.

    Raises:
        OSError: the folder is missing or not writable; it names `path`.
    """
    name = path.name.encode(errors="ignore")[:200].decode(errors="ignore")  # 255 bytes are what disks take
    for remains in path.parent.glob(f".{glob.escape(name)}.????????.tmp{glob.escape(suffix)}"):
        if _LEFTOVER.fullmatch(remains.name):
            _remove_unlocked(remains)
    while True:
        temporary = path.with_name(f".{name}.{secrets.token_hex(4)}.tmp{suffix}")
        try:
            handle = os.open(temporary, _NEW, 0o600 if private else 0o666)
        except OSError as error:
            error.filename = str(path)
            raise
        try:
            _lock(handle, wait=True)
            if not stands(handle, temporary):  # another process took it for remains before it was locked
                continue
            try:
                yield temporary
            finally:
                with contextlib.suppress(OSError):
                    temporary.unlink()
            return
        finally:
            os.close(handle)


@contextlib.contextmanager
def atomic_file(path: Path, *, overwrite: bool = True, private: bool = False) -> Iterator[BinaryIO]:
    """A file to write that appears at `path` in one piece when the block ends well, and not at all otherwise.

    Args:
        path: where the file shall appear.
        overwrite: replace what is there. If not, whatever is or comes there first stays: of two writers at once one wins.
        private: nobody else may read it, not even for a moment.

    Raises:
        FileExistsError: something is at `path`, and `overwrite` is False.
        OSError: the folder is missing or not writable, or the disk is full; it names the path.
    """
    with temporary_beside(path, private=private) as temporary:
        with naming(path), temporary.open("wb") as file:
            yield file
        if overwrite:
            os.replace(temporary, path)  # noqa: PTH105  # the documented atomic call
        else:
            put_new(temporary, path)


def open_file(path: Path) -> BufferedReader:
    """A file to read. What is none is refused: whoever opens a pipe may wait for ever, and a device may never end.

    Raises:
        OSError: as of `open`, and for a folder, a pipe or a device.
    """
    handle = os.open(path, os.O_RDONLY | _WAITS_NOT)
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is a pipe or a device", str(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_file(path: Path) -> bytes:
    """The content of a file.

    Raises:
        OSError: as of `open_file`.
    """
    with open_file(path) as file:
        return file.read()


def read_text(path: Path, encoding: str = "utf-8", errors: str = "strict") -> str:
    """The text of a file; ends of lines become line feeds.

    Raises:
        OSError: as of `open_file`.
        UnicodeDecodeError: it is no such text.
    """
    return read_file(path).decode(encoding, errors).replace("\r\n", "\n").replace("\r", "\n")


def put_new(temporary: Path, path: Path) -> None:
    """Put a finished file at `path` unless something is there; its old name may stay as well.

    Raises:
        FileExistsError: something is.
        OSError: the folder is not writable, or the disk is full.
    """
    try:
        # The one POSIX call that names a finished file and leaves alone what has the name.
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # no links on FAT and on some network drives
        # An empty file, made only if there is none, holds the name until the finished one takes its place.
        path.open("xb").close()
        try:
            os.replace(temporary, path)  # noqa: PTH105
        except BaseException:
            path.unlink()
            raise


def write_atomically(path: Path, data: bytes | memoryview | str) -> None:
    """Replace `path` by `data` in one step; text is written as UTF-8.

    Raises:
        OSError: as of `atomic_file`.
    """
    with atomic_file(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)


def sweep(folder: Path) -> None:
    """Remove what killed processes left of `atomic_file` in a folder, which nobody else may be writing into."""
    for file in folder.glob(".*.tmp*"):
        if _LEFTOVER.fullmatch(file.name):
            with contextlib.suppress(OSError):  # not ours to remove
                file.unlink()


def _remove_unlocked(file: Path) -> None:
    """Remove what a killed process left; a file that is being written is locked."""
    if sys.platform == "win32":  # where files that are open cannot be removed
        with contextlib.suppress(OSError):
            file.unlink()
        return
    with contextlib.suppress(OSError):
        handle = os.open(file, os.O_RDONLY | _WAITS_NOT)
        try:
            if _lock(handle, wait=False) and stands(handle, file):
                file.unlink()
        finally:
            os.close(handle)


def _lock(handle: int, *, wait: bool) -> bool:
    """Whether an open file is locked by this handle now, until it is closed; other handles of the process do not matter."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # held by another process, or a drive that knows no locks
        return False
    return True


def stands(handle: int, path: Path) -> bool:
    """Whether an open file is the one that a path names now."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def temporary_folder(parent: Path | None = None, *, prefix: str = "faceenc-scratch-") -> Iterator[Path]:
    """A folder that is gone at the end of the block; those of killed processes, which are locked by nobody, go now.

    Args:
        parent: where it is made; the system's folder for temporary files by default.
        prefix: how its name begins; eight characters of Python's choice follow.

    Raises:
        OSError: it cannot be made.
    """
    parent = parent or Path(tempfile.gettempdir())
    for remains in parent.glob(f"{prefix}????????"):
        if _MADE.fullmatch(remains.name[len(prefix) :]):
            _remove_folder(remains)
    while True:
        with tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True) as made:
            folder = Path(made)
            if sys.platform == "win32":  # where a folder in use cannot be removed
                yield folder
                return
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                _lock(handle, wait=True)
                if stands(handle, folder):  # else another process took it for remains before it was locked
                    yield folder
                    return
            finally:
                os.close(handle)


def _remove_folder(folder: Path) -> None:
    """Remove what a killed process of this user left."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if os.fstat(handle).st_uid == os.geteuid() and _lock(handle, wait=False) and stands(handle, folder):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(handle)
