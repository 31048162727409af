"""Files that appear in one piece or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_LEFTOVER = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


@contextlib.contextmanager
def atomic_file(path: Path, *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """A file to write that appears at `path` in one piece when the block ends well, and not at all otherwise.

    Args:
        path: where the file shall appear.
        overwrite: replace what is there. If not, whatever is or comes there first stays: of two writers at once one wins.

    Raises:
        FileExistsError: something is at `path`, and `overwrite` is False.
        OSError: the folder is missing or not writable, or the disk is full.
    """
    name = path.name.encode(errors="ignore")[:200].decode(errors="ignore")  # 255 bytes are what disks take
    temporary = path.with_name(f".{name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
        if overwrite:
            os.replace(temporary, path)  # noqa: PTH105  # the documented atomic call
        else:
            put_new(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


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


def write_atomically(path: Path, data: bytes | str) -> None:
    """Replace `path` by `data` in one step; text is written as UTF-8.

    Raises:
        OSError: as of `atomic_file`.
    """
    with atomic_file(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)


def sweep(folder: Path) -> None:
    """Remove what killed processes left of `atomic_file` in a folder, which nobody else may be writing into."""
    for file in folder.glob(".*.tmp"):
        if _LEFTOVER.fullmatch(file.name):
            with contextlib.suppress(OSError):  # not ours to remove
                file.unlink()
