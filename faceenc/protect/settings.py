"""What a protected photo depends on besides the photo, as the ledger of a folder run keeps it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from faceenc.core import fields_of_repr
from faceenc.protect.options import Options

# Raised with every change that makes better noise of the same options: photos protected before are then done anew.
ALGORITHM = 1

_OLD = re.compile(r"(Options\(.*\))(?: ([0-9a-f]{16}))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Settings:
    """Named fields, compared one by one: a new option with its default leaves what was done before done.

    Attributes:
        options: how photos are protected; presets are recorded by the values that they stand for.
        algorithm: the version of how noise is made.
        key: of a photo with a key file, which is made anew each time: something that no other run has.
    """

    options: Options
    # No default, or a record without it would count as one of whatever version is current.
    algorithm: int
    key: str | None = None


def current_settings(options: Options, *, key: str | None = None) -> Settings:
    """The settings of a run of this version."""
    return Settings(options, ALGORITHM, key)


def settings_of_0_1(text: str) -> dict[str, Any] | None:
    """The named fields of `Settings` in the repr of options that version 0.1 recorded; None if it is no such text.

    The noise of 0.1 is that of algorithm 1.
    """
    found = _OLD.fullmatch(text)
    options = fields_of_repr(found[1]) if found else None
    if found is None or options is None:
        return None
    if "models" in options:  # as judges were called
        options["judges"] = options.pop("models")
    return {"options": options, "algorithm": 1, "key": found[2]}
