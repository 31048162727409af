"""What becomes of a saved photo on its way to a recogniser: recompressed, halved, slightly blurred. Pillow only.

Each is made of the part of the photo around a face, cut so that its pixels are those of the whole photo's variant: edges lie
on the 16-pixel grid of JPEG's blocks (which are also even, for halving) or on the photo's own border. Only within a few
pixels of an inner edge do they differ, far from the face.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from PIL import Image, ImageFilter

from faceenc.core import SURROUNDINGS, Window, window_around

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceenc.core import Box


Variant = Literal["saved", "jpeg75", "half", "blur"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)

_QUALITY = 75
JPEG_BLOCK = 16  # JPEG with halved colour works on blocks of 16 x 16 pixels

_SHARP_WIDTH = 200  # a face of up to so many pixels is blurred by 1 px, a wider one in proportion


def copy_window(box: Box, width: int, height: int) -> Window:
    """The part of a photo of that size that `vary` wants for a face."""
    return window_around(box, width, height, margin=SURROUNDINGS, step=JPEG_BLOCK)


def jpeg_copy(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB after JPEG at quality 75 with colour at half the resolution, as Pillow and most web sites save."""
    with io.BytesIO() as file:
        Image.fromarray(np.ascontiguousarray(pixels)).save(file, format="JPEG", quality=_QUALITY)
        with Image.open(file) as again:
            return np.array(again)


def vary(window: NDArray[np.uint8], variant: Variant, *, face_width: float) -> NDArray[np.uint8]:
    """One variant of the surroundings of a face.

    "saved" is the window itself; "jpeg75" is `jpeg_copy`; "half" has half the width and height (Lanczos); "blur" is Gaussian
    with a sigma of 1 px for faces up to 200 px wide and a two-hundredth of the width above: recognisers scale a face to 100
    to 220 px before they look at it.

    Args:
        window: (H, W, 3) uint8 RGB, cut out by `face_window`.
        variant: which.
        face_width: of the box, in pixels.

    Returns:
        (H, W, 3) uint8 RGB; for "half", each side halved and rounded up.
    """
    if variant == "saved":
        return window
    if variant == "jpeg75":
        return jpeg_copy(window)
    picture = Image.fromarray(np.ascontiguousarray(window))
    if variant == "half":
        return np.array(picture.resize(((picture.width + 1) // 2, (picture.height + 1) // 2), Image.Resampling.LANCZOS))
    return np.array(picture.filter(ImageFilter.GaussianBlur(max(1.0, face_width / _SHARP_WIDTH))))
