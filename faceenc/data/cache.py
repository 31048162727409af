"""Face crops kept on disk: detecting thousands of faces takes minutes, reading the crops back takes a blink."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from faceenc.assets import cache_dir
from faceenc.data import FaceSet
from faceenc.files import atomic_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

_STALE = 3600  # seconds after which an unfinished file is taken for the left-over of a killed process


def cached(filename: str, key: str, build: Callable[[], FaceSet]) -> FaceSet:
    """The set stored under `filename` if it was stored with this very key, else a new one, which is then stored.

    A missing, damaged or outdated file is rebuilt. If the cache folder takes no file, that is logged and the set is still
    returned.

    Args:
        filename: in the cache folder.
        key: everything that the crops depend on.
        build: makes the set.
    """
    return _face_set(cached_arrays(filename, key, lambda: _arrays(build())))


def cached_arrays(filename: str, key: str, build: Callable[[], Mapping[str, NDArray[Any]]]) -> Mapping[str, NDArray[Any]]:
    """As `cached`, for arrays by name; always the same names under one `key`."""
    path = cache_dir() / filename
    stored = _read(path, key)
    if stored is not None:
        return stored
    arrays = build()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        with atomic_file(path) as file:
            # Not compressed: reading is what must be quick. The zip format around it holds checksums.
            np.savez(file, allow_pickle=False, key=np.array(key), **arrays)
    except OSError as error:
        logger.warning("crops not kept in %s: %s; set FACEENC_CACHE to a writable folder", path, error.strerror or error)
    return arrays


def _read(path: Path, key: str) -> Mapping[str, NDArray[Any]] | None:
    try:
        # Opened here: np.load would leave a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if str(stored["key"]) != key:
                return None
            return {name: stored[name] for name in stored.files if name != "key"}
    except FileNotFoundError:
        return None
    except Exception as error:  # a damaged zip file can make numpy raise nearly anything
        logger.info("rebuilding %s: %s", path, error)
        return None


def _sweep(path: Path) -> None:
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):
        try:
            if time.time() - leftover.stat().st_mtime > _STALE:
                leftover.unlink()
        except OSError:  # another process was quicker, or it is not ours to remove
            continue


def _arrays(faces: FaceSet) -> dict[str, NDArray[Any]]:
    return {
        "name": np.array(faces.name),
        "classes": np.array(faces.classes),
        "images": faces.images,
        "labels": faces.labels,
        "files": np.array(faces.files),
        "train": faces.train,
        "test": faces.test,
        "credit": np.array(faces.credit),
        "framing": np.array(faces.framing),
    }


def _face_set(stored: Mapping[str, NDArray[Any]]) -> FaceSet:
    return FaceSet(
        name=str(stored["name"]),
        classes=tuple(stored["classes"].tolist()),
        images=stored["images"],
        labels=stored["labels"],
        files=tuple(stored["files"].tolist()),
        train=stored["train"],
        test=stored["test"],
        credit=str(stored["credit"]),
        # Earlier versions knew squares only and stored no framing.
        framing="aligned" if "framing" in stored and str(stored["framing"]) == "aligned" else "square",
    )
