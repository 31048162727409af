"""OpenCV's YuNet behind the `Detector` protocol: upright faces of 20 pixels and more, with ArcFace's five points."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from faceenc.core import AssetError, Box, Face, Points, fetch

if TYPE_CHECKING:
    from numpy.typing import NDArray


_OVERLAP = 0.3  # IoU from which the weaker of two faces is dropped
_MOST = 5000  # faces a picture, before overlapping ones are dropped

# The square that MediaPipe draws around a face, from YuNet's points: how far its centre lies above the middle between eyes
# and mouth, in multiples of the distance between these; and its side, in multiples of that distance or of the eyes',
# whichever is longer (a face from the side shows its eyes close together). Medians over 158 faces of LFW and CelebA; the
# side spreads by a tenth.
_CENTRE_UP = -0.08
_SIDE = 2.34

_log_level = threading.Lock()


class YuNet:
    """Finds upright faces, turned by up to some 30 degrees, between about 20 and 300 pixels wide.

    YuNet (Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023, https://doi.org/10.1007/s11633-023-1423-y), run
    by OpenCV at the picture's own scale: it neither enlarges nor reduces. One thread at a time may call it.

    Args:
        min_score: faces below this confidence in [0, 1] are left out.

    Raises:
        AssetError: the model file cannot be had, or OpenCV cannot read it.
    """

    def __init__(self, *, min_score: float = 0.6) -> None:
        import cv2

        # Bytes, not a path: OpenCV cannot open every path (non-ASCII ones on Windows).
        model, none = np.frombuffer(fetch("yunet").read_bytes(), np.uint8), np.empty(0, np.uint8)
        try:
            with _quiet():
                self._net = cv2.FaceDetectorYN.create("onnx", model, none, (320, 320), min_score, _OVERLAP, _MOST)
        except cv2.error as error:
            raise AssetError(f"OpenCV {cv2.__version__} cannot read YuNet: install opencv-python>=5.0") from error

    def __call__(self, image: NDArray[np.uint8]) -> list[Face]:
        """Faces in an (H, W, 3) uint8 RGB image, highest score first; box as MediaPipe would draw it, from the points.

        Raises:
            ValueError: another shape or type.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise ValueError(f"expected (H, W, 3) uint8 RGB, got {image.shape} {image.dtype}")
        import cv2

        self._net.setInputSize((image.shape[1], image.shape[0]))
        _, found = self._net.detect(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        faces = [] if found is None else [_face(row) for row in found.tolist()]
        return sorted(faces, key=lambda face: -face.score)


def _face(row: list[float]) -> Face:
    """Of YuNet's x, y, width, height, five times x, y, and the score."""
    points: Points = tuple((row[k], row[k + 1]) for k in range(4, 14, 2))
    x, y, width, height = row[:4]
    centre = x + width / 2, y + height / 2
    head = centre, (centre[0], centre[1] + max(width, height))
    return Face(box_around(points), {"arcface": points}, min(1.0, row[14]), "yunet", head)


def box_around(points: Points) -> Box:
    """MediaPipe's box of a face with these five points of ArcFace's scheme, drawn upright in the picture."""
    right_eye, left_eye, _, right, left = (complex(*point) for point in points)
    eyes, mouth = (right_eye + left_eye) / 2, (right + left) / 2
    unit = max(abs(eyes - mouth), abs(right_eye - left_eye))
    centre = (eyes + mouth) / 2 + _CENTRE_UP * (eyes - mouth)
    reach = _SIDE * unit / 2
    return Box(centre.real - reach, centre.imag - reach, centre.real + reach, centre.imag + reach)


@contextmanager
def _quiet() -> Iterator[None]:
    """OpenCV 5.1 warns of a target that nobody set."""
    from cv2.utils import logging

    with _log_level:
        before = logging.setLogLevel(logging.LOG_LEVEL_ERROR)
        try:
            yield
        finally:
            logging.setLogLevel(before)
