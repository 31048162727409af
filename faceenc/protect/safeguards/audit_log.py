"""The audit log: one line of JSON for each photo changed or restored and each consent made.

It lies in the user's log folder of this platform, as audit.jsonl; `FACEENC_LOG` names another folder, or is "off".
Lines are only ever added, and nothing here reads them or sends them anywhere.
"""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, date, datetime
from pathlib import Path

import platformdirs

from faceenc import __version__

logger = logging.getLogger(__name__)

_NAME = "audit.jsonl"
_WAITS_NOT = getattr(os, "O_NONBLOCK", 0)  # for whoever reads, where the log is a pipe
OFF = "off"
_warned = False  # once a process: a folder of a thousand photos needs no thousand warnings


def log_dir() -> Path:
    """The log's folder, absolute: `FACEENC_LOG`, else the user's log folder of this platform. It need not exist yet."""
    chosen = os.environ.get("FACEENC_LOG") or platformdirs.user_log_dir("faceenc", appauthor=False)
    return Path(chosen).expanduser().absolute()


def audit(action: str, **fields: object) -> None:
    """Appends one line: time (UTC), faceenc's version, the action, and the fields given.

    The line is written in one call to a file open for appending, so that lines of several processes do not mix. A log that
    cannot be written is warned about once and stops nothing.

    Args:
        action: what was done, in one word: "encrypt", "decrypt", "consent".
        fields: what JSON can hold, paths and dates. Hashes, goals and fingerprints belong here; contents of files and
            passphrases never do, which is why bytes are refused.

    Raises:
        TypeError: a field of another type, or named like one of the fixed ones.
    """
    if os.environ.get("FACEENC_LOG") == OFF:
        return
    # dict(), not {...}: a field named "time" is an error, not a replacement.
    record = dict(time=datetime.now(UTC).isoformat(timespec="milliseconds"), faceenc=__version__, action=action, **fields)
    line = json.dumps(record, default=_plain).encode() + b"\n"
    try:
        _append(log_dir() / _NAME, line)
    except OSError as error:
        _warn(error)


def _append(path: Path, line: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _WAITS_NOT, 0o600)
    try:
        if os.write(descriptor, line) < len(line):
            raise OSError("the disk is full")
    finally:
        os.close(descriptor)


def _warn(error: OSError) -> None:
    global _warned
    if not _warned:
        _warned = True
        reason = (error.strerror or str(error)).lower()
        logger.warning("no audit log in %s: %s; set FACEENC_LOG to a writable folder", log_dir(), reason)


def _plain(value: object) -> str:
    if isinstance(value, Path | date):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in the audit log")
