"""The key that `faceenc encrypt --keep-key` writes along with a protected photo."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from faceenc.core import ConfigError

if TYPE_CHECKING:
    from faceenc.media import Photo
    from faceenc.runs import Task


@dataclass
class Key:
    """A key to be written: called with two photos and the bytes of their files, just before the protected one is saved.

    Attributes:
        path: of the key.
        passphrase: that locks it.
        force: overwrite what is there.
        made: it is written.
    """

    path: Path
    passphrase: str = field(repr=False)
    force: bool
    made: bool = False

    def __call__(self, original: Photo, protected: Photo, before: bytes, after: bytes) -> None:
        import hashlib

        from faceenc.media import save_photo
        from faceenc.protect import make_key

        hashes = [hashlib.sha256(data).hexdigest() for data in (before, after)]
        key = make_key(original, protected, passphrase=self.passphrase, original_file_sha256=hashes[0],
                       protected_file_sha256=hashes[1])  # fmt: skip
        save_photo(self.path, key, force=self.force, private=True)
        self.made = True

    def withdraw(self) -> None:
        """Remove a key that was made, where the protected photo did not come to be: it would open nothing."""
        if self.made:
            self.path.unlink(missing_ok=True)


def new_key(path: Path, task: Task, passphrase_file: Path | None, *, force: bool) -> Key:
    """Ask for the passphrase, after all that can be checked without it.

    Raises:
        ConfigError: the key's name is taken, there is no passphrase, or the extra is not installed.
    """
    from faceenc.cli.passphrase import get_passphrase
    from faceenc.protect import need_cryptography

    need_cryptography()
    for photo in task.source, task.target:
        if path.resolve() == photo.resolve():
            raise ConfigError(f"--keep-key {path} is the name of the photo: choose another one for the key")
    if os.path.lexists(path) and not force:
        raise ConfigError(f"{path} exists already: choose another name for the key, or --force to overwrite it")
    return Key(path, get_passphrase(passphrase_file, confirm=True), force)
