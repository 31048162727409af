"""How recognisers' crops are cut out of photos."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from faceenc.faces.alignment import (
    Similarity,
    arcface_similarity,
    fit_similarity,
    five_points_similarity,
    key_points_similarity,
    square_similarity,
)
from faceenc.faces.framing import SQUARE_MARGIN, align_face, frame_face
from faceenc.faces.templates import (
    ALIGNED_BORDER,
    ALIGNED_POINTS,
    ALIGNED_SIZE,
    ALIGNED_SQUARE,
    ARCFACE_FIVE,
    ARCFACE_POINTS,
    ARCFACE_SIZE,
)
from faceenc.media import Diversity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceenc.core import Face

# By how much a recogniser that finds the face anew finds it turned, larger or moved: boxes jitter more than key points.
BY_KEY_POINTS = Diversity(degrees=1, zoom=0.01, shift=0.005)
BY_BOX = Diversity(degrees=1, zoom=0.05, shift=0.02)


class CropRule(ABC):
    """Cuts one face out of a photo, in ways that agree: as pixels, and as the place where the crop lies, for gradients.

    Attributes:
        size: side of the crop in pixels.
        jitter: how differently the crop lies where the face is found anew in the next frame.
    """

    size: int
    jitter: ClassVar[Diversity] = BY_KEY_POINTS

    @abstractmethod
    def cut(self, image: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
        """(size, size, 3) uint8 RGB out of (H, W, 3), as the recogniser itself would cut it out.

        Raises:
            ValueError: the face's landmarks lie on one another.
        """

    @abstractmethod
    def similarity(self, face: Face) -> Similarity:
        """Where the crop lies in the photo, by the detector's face alone."""

    @abstractmethod
    def in_picture(self) -> Similarity:
        """Where the crop lies in an aligned picture of 224 pixels, on average over faces where that depends on the face."""

    def quick_cut(self, image: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
        """The crop at `similarity`, for a frame that must not wait."""
        return self.cut(image, face)

    def similarities(self, image: NDArray[np.uint8], face: Face) -> Sequence[Similarity]:
        """Where the crop may lie in the photo: several where the recogniser may find its own key points in several ways."""
        return [self.similarity(face)]


@dataclass(frozen=True)
class AlignedCrop(CropRule):
    """Upright by eyes and mouth, dlib's chip and as much around it as 37 of its 150 pixels."""

    size: int = ALIGNED_SIZE

    def cut(self, image: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
        return align_face(image, face, size=self.size)

    def similarity(self, face: Face) -> Similarity:
        return key_points_similarity(face, size=self.size, border=ALIGNED_BORDER)

    def in_picture(self) -> Similarity:
        zoom = ALIGNED_SIZE / self.size
        return Similarity(complex(zoom), (zoom - 1) / 2 * (1 + 1j))


@dataclass(frozen=True)
class SquareCrop(CropRule):
    """The square around the detector's box and a fifth of it, turned by the quarters that set the face upright."""

    size: int
    jitter: ClassVar[Diversity] = BY_BOX

    def cut(self, image: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
        return frame_face(image, face, size=self.size, framing="square")

    def similarity(self, face: Face) -> Similarity:
        return square_similarity(face, size=self.size, margin=SQUARE_MARGIN)

    def in_picture(self) -> Similarity:
        centre, side = ALIGNED_SQUARE
        zoom = side / self.size
        return Similarity(complex(zoom), centre - (self.size - 1) / 2 * zoom * (1 + 1j))


@dataclass(frozen=True)
class ArcFaceCrop(CropRule):
    """ArcFace's 112 pixels, by its five points or by eyes and mouth.

    Attributes:
        sampler: cuts the crop out of an image as the recogniser's own package does; None does it as OpenCV's
            FaceRecognizerSF and most programs do, bilinear and without smoothing what is reduced.
    """

    sampler: Callable[[NDArray[np.uint8], Face], NDArray[np.uint8]] | None = None
    size: int = ARCFACE_SIZE

    def cut(self, image: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
        if self.sampler is not None:
            return self.sampler(image, face)
        import cv2

        where = self.similarity(face)
        back = np.array(
            [[where.turn.real, -where.turn.imag, where.shift.real], [where.turn.imag, where.turn.real, where.shift.imag]]
        )
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(image, back, (self.size, self.size), flags=flags), np.uint8)

    def similarity(self, face: Face) -> Similarity:
        return arcface_similarity(face)

    def in_picture(self) -> Similarity:
        return fit_similarity(ARCFACE_POINTS, ALIGNED_POINTS)


@dataclass(frozen=True)
class PointsCrop(ArcFaceCrop):
    """Upright, with the five points at places of the recogniser's own.

    Attributes:
        points: right eye, left eye, nose tip, right and left corner of the mouth, each x + iy in pixels of the crop.
    """

    points: tuple[complex, ...] = ARCFACE_FIVE

    def similarity(self, face: Face) -> Similarity:
        return five_points_similarity(face, self.points)

    def in_picture(self) -> Similarity:
        return fit_similarity([*self.points[:2], (self.points[3] + self.points[4]) / 2], ALIGNED_POINTS)
