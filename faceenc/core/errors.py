"""Errors that are a user's to mend: each is one line that says what, why and what to do."""

from __future__ import annotations


class FaceencError(Exception):
    """A user's error: one line that says what, why and what to do. The commands print it and exit with `exit_code`."""

    exit_code = 2


class ConfigError(FaceencError):
    """A configuration file or an option does not make sense."""


class AssetError(FaceencError):
    """A file that packages carry (faces, detector, weights) could not be fetched, checked or stored."""


class DataError(FaceencError):
    """Photos or folders of photos that cannot be used."""


class NoFaceError(DataError):
    """A photo without a face where one is needed."""


class CheckpointError(FaceencError):
    """A file of weights that cannot be read or does not fit."""


class KeyFileError(FaceencError):
    """A key file that cannot be made or opened, or does not belong to the photo."""


class ConsentError(FaceencError):
    """A consent that cannot be given, or that does not hold."""


class RunError(FaceencError):
    """A benchmark folder that is missing, foreign or already taken."""
