"""Labelled face crops: the record that every loader returns. The loaders: `demo`, `folder`, `celeba`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from faceenc.images import Framing

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
