"""What the tests of `faceenc encrypt` share: portraits, the command run in this process, and what every run has to leave."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image

from faceenc.cli import main
from faceenc.data import enlarge, read_orl

# Much noise in a few steps against one recogniser, where the noise itself is not what is tested.
LOUD = 48  # the largest change of it
DLIB = ("--surrogate", "dlib")
QUICK = (*DLIB, "--eps", f"{LOUD}/255", "--steps", "2")


@cache
def _orl() -> dict[str, NDArray[np.uint8]]:
    return read_orl()


def portrait(name: str = "s5/1", step: int = 4) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 of one ORL picture, enlarged and then reduced: a face of 70 pixels at step 4, of 140 at step 2."""
    return np.ascontiguousarray(enlarge(_orl()[name])[::step, ::step])


def tinted(name: str = "s5/1", step: int = 4) -> NDArray[np.uint8]:
    """The same in colour."""
    return np.ascontiguousarray((portrait(name, step) * np.array([1, 0.9, 0.8])).astype(np.uint8))


def run(*words: object, command: str = "encrypt", **options: Any) -> Result:
    """The command in this process."""
    return CliRunner().invoke(main, [command, *map(str, words)], **options)


def records(done: Result) -> list[dict[str, Any]]:
    """Of a run with --json."""
    return [json.loads(line) for line in done.stdout.splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def photos(folder: Path) -> dict[str, bytes]:
    """All visible files below a folder but the record of its run; nothing half-written may lie among them."""
    found = contents(folder)
    assert not [name for name in found if name.endswith(".tmp")]
    assert not list(folder.rglob("*.tmp"))
    assert not [name for name in found if name.endswith(".lock")]
    return {name: data for name, data in found.items() if not name.split("/")[-1].startswith((".faceenc", "faceenc-run"))}


def check_refused(done: Result, *parts: str, code: int = 2, word: str = "error") -> None:
    """One line on standard error, nothing else."""
    assert done.exit_code == code, done.output
    assert done.stderr.startswith(f"{word}: ")
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith("\n")
    assert done.stdout == ""
    for part in parts:
        assert part in done.stderr


def save(path: Path, picture: NDArray[Any] | Image.Image, **options: Any) -> Path:
    """A photo file; the format is by its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    picture.save(path, **options)
    return path
