"""dlib's own landmarks and chip, where the extra `judge` (dlib-bin) is installed. The only user of dlib."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from faceenc.assets import fetch
from faceenc.models.dlibfile import INPUT_SIZE
from faceenc.types import AssetError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceenc.types import Face

_PADDING = 0.25  # around the face, as the face net was trained with


def landmarks_chip(image: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
    """The chip of a face by dlib's 5-point landmarks, found inside MediaPipe's box.

    Args:
        image: (H, W, 3) uint8 RGB.
        face: as detected in this very image.

    Returns:
        (150, 150, 3) uint8 RGB.

    Raises:
        AssetError: dlib is not installed, or the landmarks' file cannot be had.
    """
    dlib, predictor = _predictor()
    box = face.box
    corners = [round(v) for v in (box.x0, box.y0, box.x1 - 1, box.y1 - 1)]
    landmarks = predictor(image, dlib.rectangle(*corners))
    chip: NDArray[np.uint8] = dlib.get_face_chip(image, landmarks, size=INPUT_SIZE, padding=_PADDING)
    return chip


@cache
def _predictor() -> tuple[Any, Any]:
    try:
        import dlib
    except ImportError as error:
        raise AssetError(f"dlib cannot be loaded ({error}): pip install 'faceenc[judge]'") from error
    return dlib, dlib.shape_predictor(str(fetch("dlib-landmarks-5")))
