"""What becomes of a saved photo on its way to a recogniser: recompressed, halved, slightly blurred. Pillow only.

Each is made of the part of the photo around a face, cut so that its pixels are those of the whole photo's variant: edges lie
on the 16-pixel grid of JPEG's blocks (which are also even, for halving) or on the photo's own border. Only within a few
pixels of an inner edge do they differ, far from the face.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from faceenc.core import SURROUNDINGS, Window, window_around
from faceenc.media.transforms import JPEG_BLOCK, Blur, Jpeg, Resize, Transform

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from faceenc.core import Box


Variant = Literal["saved", "jpeg75", "half", "blur"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)

_SHARP_WIDTH = 200  # a face of up to so many pixels is blurred by 1 px, a wider one in proportion


def copy_window(box: Box, width: int, height: int) -> Window:
    """The part of a photo of that size that `vary` wants for a face."""
    return window_around(box, width, height, margin=SURROUNDINGS, step=JPEG_BLOCK)


def vary(window: NDArray[np.uint8], variant: Variant, *, face_width: float) -> NDArray[np.uint8]:
    """One variant of the surroundings of a face.

    "saved" is the window itself; "jpeg75" is JPEG of that quality; "half" has half the width and height (Lanczos); "blur" is
    Gaussian with a sigma of 1 px for faces up to 200 px wide and a two-hundredth of the width above: recognisers scale faces
    to 100 to 220 px before they look at them.

    Args:
        window: (H, W, 3) uint8 RGB, cut out by `face_window`.
        variant: which.
        face_width: of the box, in pixels.

    Returns:
        (H, W, 3) uint8 RGB; for "half", each side halved and rounded up.
    """
    if variant == "saved":
        return window
    worn: dict[str, Transform] = {"jpeg75": Jpeg(75), "half": Resize(0.5), "blur": Blur(max(1.0, face_width / _SHARP_WIDTH))}
    return worn[variant].pixels(window)
