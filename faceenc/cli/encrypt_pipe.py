"""`faceenc encrypt` with `-` for the photo, the output or both: standard input and standard output."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from faceenc.core import ConfigError, DataError, NoFaceError

if TYPE_CHECKING:
    from faceenc.protect import Options

_DASH = Path("-")


def is_piped(photos: tuple[Path, ...], output: Path | None) -> bool:
    """Whether `-` is among what was named."""
    return _DASH in (*photos, output)


def check_pipe(photos: tuple[Path, ...], output: Path | None, *, beside: bool) -> None:
    """Refuse what a pipe cannot do, before anything is loaded.

    Args:
        photos: as named.
        output: as named.
        beside: a key or a preview is wanted too.

    Raises:
        ConfigError: there are other photos or files, or a terminal where the photo is to be read or written.
    """
    if len(photos) > 1 or photos[0].is_dir():
        raise ConfigError("- takes one photo at a time: name no other photo or folder with it")
    if beside:
        raise ConfigError("--keep-key and --preview go with files: leave them out with -")
    if output not in (None, _DASH) and output.is_dir():
        raise ConfigError(f"--output {output} is a folder, and the photo has no name: name a file, or -")
    if photos[0] == _DASH and _no_pipe(sys.stdin):
        raise ConfigError("standard input is a terminal or closed: send a photo into it (faceenc encrypt - < photo.jpg)")
    if output in (None, _DASH) and _no_pipe(sys.stdout):
        raise ConfigError("standard output is a terminal or closed: send the photo on (> protected.jpg)")


def _no_pipe(stream: TextIO | None) -> bool:
    return stream is None or stream.isatty()  # Python has none where a shell closed it


def encrypt_piped(photo: Path, output: Path | None, options: Options, *, device: str, force: bool, as_json: bool) -> int:
    """Protect the one photo; what is said goes to standard error where the photo goes to standard output.

    Returns:
        The exit code.

    Raises:
        DataError: the photo cannot be read, or the output not be written.
    """
    from faceenc.cli.encrypt_results import conclude, print_result
    from faceenc.cli.progress import progress_bars
    from faceenc.media import save_photo
    from faceenc.protect import Protector
    from faceenc.runs import FileResult

    if output not in (None, _DASH) and os.path.lexists(output) and not force:
        raise DataError(f"{output} exists already: move it away, or overwrite it with `force`")
    target = output or _DASH
    began = time.monotonic()
    picture = sys.stdin.buffer.read() if photo == _DASH else photo
    with _standard_output(target) as write:
        try:
            with progress_bars(silent=True, as_json=as_json) as progress, Protector(options, device=device) as protector:
                made = protector(picture, progress=progress)
            if write is None:
                save_photo(target, made.image, force=force)
            else:
                write(made.image)
            result = FileResult(photo, target, "done", "", time.monotonic() - began, made.to_json())
        except NoFaceError as error:
            result = FileResult(photo, target, "failed", str(error), details={"error": type(error).__name__})
        print_result(result, options, as_json=as_json, alone=True)
        return conclude([result], options, as_json=as_json)


@contextmanager
def _standard_output(target: Path) -> Iterator[Callable[[bytes], object] | None]:
    """How the photo is written to standard output, everything else going to standard error; None if it is not meant."""
    if target != _DASH:
        yield None
        return
    binary = sys.stdout.buffer

    def write(data: bytes) -> None:
        try:
            binary.write(data)
            binary.flush()
        except BrokenPipeError:  # nobody reads any more, nor a message
            raise
        except OSError as error:
            raise DataError(f"cannot write to standard output: {(error.strerror or str(error)).lower()}") from error

    with redirect_stdout(sys.stderr):
        yield write
