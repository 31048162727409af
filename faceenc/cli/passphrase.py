"""Where a key's passphrase comes from: a file, the environment, or the person at the keyboard."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

import click

from faceenc.core import ConfigError

_VARIABLE = "FACEENC_PASSPHRASE"
_MAX_BYTES = 4096  # of a file; longer ones are hardly meant


def get_passphrase(file: Path | None, *, confirm: bool = False) -> str:
    """The passphrase of `file` (its first line; "-" is standard input), else of the variable, else as typed unseen or piped.

    Args:
        file: as given by --passphrase-file.
        confirm: ask twice, where a new key is made.

    Raises:
        ConfigError: the file cannot be read, the passphrase is empty, or there is no one to ask.
    """
    if file is not None:
        return _checked(_read(file), f"the first line of {file}")
    if _VARIABLE in os.environ:
        return _checked(os.environ[_VARIABLE], _VARIABLE)
    if not sys.stdin.isatty():  # getpass would warn there that it cannot hide what is typed
        return _checked(_piped(confirm), "the passphrase")
    typed: str = click.prompt("Passphrase of the key", hide_input=True, confirmation_prompt=confirm, err=True)
    return _checked(typed, "the passphrase")


def _piped(confirm: bool) -> str:
    """What programs type: a line, or the first one that comes twice in a row, without being asked."""
    while line := sys.stdin.readline():
        word = line.removesuffix("\n").removesuffix("\r")
        if not confirm or sys.stdin.readline().rstrip("\r\n") == word:
            return word
    raise ConfigError(f"no passphrase: set {_VARIABLE}, or give --passphrase-file FILE")


def _read(file: Path) -> str:
    try:
        if str(file) == "-":
            text = sys.stdin.buffer.read(_MAX_BYTES).decode("utf-8-sig")
        else:
            text = _content(file).decode("utf-8-sig")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"cannot read {file}: {reason}; check --passphrase-file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"cannot read {file}: it is not UTF-8 text; save it as such") from error
    return str(text).partition("\n")[0].removesuffix("\r")


def _content(file: Path) -> bytes:
    """What a file holds, or what a program writes into a pipe, as the shell's `<(pass show photos)`.

    Raises:
        OSError: nobody writes into the pipe: whoever waited for that might wait for ever.
    """
    handle = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(handle, "rb") as opened:
        if stat.S_ISFIFO(os.fstat(handle).st_mode):
            try:
                if not (begin := os.read(handle, 1)):
                    raise OSError(errno.EPIPE, "it is a pipe into which nothing is written")
            except BlockingIOError:  # somebody will
                begin = b""
            os.set_blocking(handle, True)
            return begin + opened.read(_MAX_BYTES)
        return opened.read(_MAX_BYTES)


def _checked(passphrase: str, source: str) -> str:
    if not passphrase.strip():
        raise ConfigError(f"{source} is empty: a key needs a passphrase")
    return passphrase
