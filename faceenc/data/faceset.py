"""Labelled face crops: the record that every loader returns. The loaders: `demo`, `folder`, `celeba`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from faceenc.core import cached_arrays
from faceenc.faces import Framing

if TYPE_CHECKING:
    from numpy.typing import NDArray
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


TEST_SHARE = 0.222  # the student report's split: 77.8 % for training


@dataclass(frozen=True, slots=True, eq=False)
class FaceSet:
    """Face crops of known people, split into training and test images.

    Attributes:
        name: of the set.
        classes: (K,) the people, in the order of the labels.
        images: (N, S, S, 3) uint8 RGB.
        labels: (N,) int64 in [0, K).
        files: (N,) stable ids such as "s1/8".
        train: indices of the training images, int64, ascending.
        test: indices of the test images, int64, ascending; no image is in both.
        credit: whom to name wherever the set is shown; "" for a user's own photos.
        framing: how the faces were cut out of their photos.
    """

    name: str
    classes: tuple[str, ...]
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    files: tuple[str, ...]
    train: NDArray[np.int64]
    test: NDArray[np.int64]
    credit: str
    framing: Framing = "square"

    @property
    def sha256(self) -> str:
        """Fingerprint of classes, ids, labels, split and pixels; the same in every process and on every machine."""
        digest = hashlib.sha256(json.dumps([self.classes, self.files, self.images.shape]).encode())
        for numbers in (self.labels, self.train, self.test):
            digest.update(numbers.size.to_bytes(8, "little") + numbers.astype("<i8").tobytes())
        digest.update(np.ascontiguousarray(self.images).data)
        return digest.hexdigest()


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
