"""Kinds of input for `fuzz.py`: whole files to begin with, how they are damaged, and what reads them.

Each kind is a function of a scratch folder that returns `try_one(rng)`: it writes one damaged input there and reads it as a
command does. Formats with checksums, signatures or lengths are damaged behind them: what is parsed is changed, and the file
is put together anew, so that the damage gets past the header.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fuzz_changes import Try
from fuzz_media import checkpoints, clips, models, photos
from fuzz_records import configurations, consents, keys, ledgers, run_folders

KINDS: dict[str, tuple[Callable[[Path], Try], int]] = {
    "photos": (photos, 10_000),
    "checkpoints": (checkpoints, 1000),
    "configurations": (configurations, 1000),
    "keys": (keys, 1000),
    "consents": (consents, 1000),
    "run-folders": (run_folders, 1000),
    "ledgers": (ledgers, 1000),
    "clips": (clips, 1000),
    "models": (models, 1000),
}  # fmt: skip
