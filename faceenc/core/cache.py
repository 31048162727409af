"""The cache folder, and arrays kept in it: what takes minutes to compute is read back in a blink."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import platformdirs

from faceenc.core.files import atomic_file, open_file

if TYPE_CHECKING:
    from numpy.typing import NDArray


def cache_dir() -> Path:
    """The cache folder, absolute: `FACEENC_CACHE`, else the user's cache folder of this platform. It need not exist yet."""
    chosen = os.environ.get("FACEENC_CACHE") or platformdirs.user_cache_dir("faceenc", appauthor=False)
    return Path(chosen).expanduser().absolute()


logger = logging.getLogger(__name__)


def cached_arrays(filename: str, key: str, build: Callable[[], Mapping[str, NDArray[Any]]]) -> Mapping[str, NDArray[Any]]:
    """As `cached`, for arrays by name; always the same names under one `key`."""
    path = cache_dir() / filename
    stored = _read(path, key)
    if stored is not None:
        return stored
    arrays = build()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            # Not compressed: reading is what must be quick. The zip format around it holds checksums.
            np.savez(file, allow_pickle=False, key=np.array(key), **arrays)
    except OSError as error:
        logger.warning("crops not kept in %s: %s; set FACEENC_CACHE to a writable folder", path, error.strerror or error)
    return arrays


def _read(path: Path, key: str) -> Mapping[str, NDArray[Any]] | None:
    try:
        # Opened here: np.load would leave a damaged file open.
        with open_file(path) as file, np.load(file, allow_pickle=False) as stored:
            if str(stored["key"]) != key:
                return None
            return {name: stored[name] for name in stored.files if name != "key"}
    except FileNotFoundError:
        return None
    except Exception as error:  # a damaged zip file can make numpy raise nearly anything
        logger.info("rebuilding %s: %s", path, error)
        return None
