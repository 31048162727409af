"""What a protected photo depends on besides the photo, as the ledger of a folder run keeps it."""

from __future__ import annotations

from dataclasses import dataclass

from faceenc.protect.options import Options

# Raised with every change that makes better noise of the same options: photos protected before are then done anew.
# 1 overlooked small and turned faces; 2 attacked dlib's net alone, and spread its noise whatever was seen of it.
ALGORITHM = 3


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
