"""dlib's chip, by its own detector and landmarks where dlib is installed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faceenc.faces import ALIGNED_SIZE, CHIP_SIZE, CropRule, Similarity, key_points_similarity
from faceenc.recognizers.dlib.network import chip
from faceenc.recognizers.dlib.original import dlib_chip, dlib_similarities

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from faceenc.core import Face


@dataclass(frozen=True)
class DlibCrop(CropRule):
    """150 pixels around eyes and mouth.

    Attributes:
        original: by dlib's own detector and landmarks; else by MediaPipe's eyes and mouth.
    """

    original: bool
    size: int = CHIP_SIZE

    def cut(self, image: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
        return dlib_chip(image, face) if self.original else chip(image, face)

    def quick_cut(self, image: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
        return chip(image, face)

    def similarity(self, face: Face) -> Similarity:
        return key_points_similarity(face)

    def similarities(self, image: NDArray[np.uint8], face: Face) -> Sequence[Similarity]:
        own = dlib_similarities(image, face) if self.original else []
        return [*own, self.similarity(face)]

    def in_picture(self) -> Similarity:
        return Similarity(1 + 0j, (ALIGNED_SIZE - CHIP_SIZE) // 2 * (1 + 1j))
