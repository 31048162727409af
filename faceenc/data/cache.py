"""Face crops kept on disk: detecting thousands of faces takes minutes, reading the crops back takes a blink."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from faceenc.assets import cache_dir
from faceenc.data import FaceSet
from faceenc.files import atomic_file

logger = logging.getLogger(__name__)


def cached(filename: str, key: str, build: Callable[[], FaceSet]) -> FaceSet:
    """The set stored under `filename` if it was stored with this very key, else a new one, which is then stored.

    A missing, damaged or outdated file is rebuilt. If the cache folder takes no file, that is logged and the set is still
    returned.

    Args:
        filename: in the cache folder.
        key: everything that the crops depend on.
        build: makes the set.
    """
    path = cache_dir() / filename
    stored = _read(path, key)
    if stored is not None:
        return stored
    faces = build()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            # Not compressed: reading is what must be quick. The zip format around it holds checksums.
            np.savez(
                file,
                key=key,
                name=faces.name,
                classes=np.array(faces.classes),
                images=faces.images,
                labels=faces.labels,
                files=np.array(faces.files),
                train=faces.train,
                test=faces.test,
                credit=faces.credit,
            )
    except OSError as error:
        logger.warning("crops not kept in %s: %s; set FACEENC_CACHE to a writable folder", path, error.strerror or error)
    return faces


def _read(path: Path, key: str) -> FaceSet | None:
    try:
        # Opened here: np.load would leave a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if str(stored["key"]) != key:
                return None
            return FaceSet(
                name=str(stored["name"]),
                classes=tuple(stored["classes"].tolist()),
                images=stored["images"],
                labels=stored["labels"],
                files=tuple(stored["files"].tolist()),
                train=stored["train"],
                test=stored["test"],
                credit=str(stored["credit"]),
            )
    except FileNotFoundError:
        return None
    except Exception as error:  # a damaged zip file can make numpy raise nearly anything
        logger.info("rebuilding %s: %s", path, error)
        return None
