"""Pictures as programs have them (a path, a file's bytes, a Pillow image, an array) to `Photo`, and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from faceenc.core import DataError
from faceenc.media.photos.pixels import channels_equal
from faceenc.media.photos.reading import decode_photo, read_photo
from faceenc.media.photos.record import Photo

Picture = str | Path | bytes | Image.Image | NDArray[np.uint8]

_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK")  # of 8 bits a sample and known colours


def take_photo(picture: Picture) -> Photo:
    """A picture of any form as a photo, which holds a copy.

    Args:
        picture: path of a photo; a photo file's bytes; (H, W, 3) uint8 RGB; or a Pillow image, upright, of 8 bits.

    Raises:
        DataError: it cannot be read, or is no such array or image.
    """
    if isinstance(picture, str | Path):
        return read_photo(picture)
    if isinstance(picture, bytes):
        return decode_photo(picture)
    alpha = None
    if isinstance(picture, Image.Image):
        if picture.mode not in _MODES:
            raise DataError(f"a Pillow image of mode {picture.mode} is not of 8 bits: convert it to RGB or L")
        if picture.has_transparency_data:
            alpha = np.array(picture.convert("RGBA").getchannel("A"))
        pixels = np.array(picture.convert("RGB"))
    else:
        pixels = np.array(picture)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            what = f"{type(picture).__name__} ({pixels.shape}, {pixels.dtype})"
            raise DataError(f"{what} is no picture: give a path, a file's bytes, a Pillow image, or (H, W, 3) uint8 RGB")
    return Photo(pixels, alpha, channels_equal(pixels), "PNG", None, None, ())


def in_form_of(picture: Picture, photo: Photo, data: bytes) -> bytes | Image.Image | NDArray[np.uint8]:
    """A photo as the picture that it came from: grey images stay grey, transparent ones transparent; `data` for files."""
    if isinstance(picture, str | Path | bytes):
        return data
    if not isinstance(picture, Image.Image):
        return photo.pixels
    image = Image.fromarray(photo.pixels)
    if photo.alpha is not None:
        image.putalpha(Image.fromarray(photo.alpha))
    return image.convert(picture.mode) if picture.mode in ("L", "LA") else image
