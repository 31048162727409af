"""Samples of every kind that Pillow hands out (grey, palette, CMYK, 16 bits, transparent) to upright 8-bit RGB and alpha."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, TiffImagePlugin

from faceenc.core import DataError

ORIENTATION = 0x0112  # the EXIF tag

_STRIP_PIXELS = 1 << 21  # converted at a time, so that a large photo lies in memory twice and not five times

_Array = NDArray[np.uint8]
# What a camera stores for an upright picture, by EXIF orientation; each is a view of the picture that it is given.
_STORED: dict[int, Callable[[_Array], _Array]] = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright),
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


class Kind(NamedTuple):
    """What a file says about its samples: bits of each, and whether it is grey (None: the pixels themselves must tell)."""

    bits: int
    grey: bool | None


class Developed(NamedTuple):
    """Pixels (H, W, 3) and alpha (H, W) or None as of `Photo`; the profile that still fits them; what was changed."""

    pixels: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    grey: bool
    icc: bytes | None
    notes: list[str]


def orientation(image: Image.Image) -> int:
    """The EXIF (or else XMP) orientation of a loaded image, 1 to 8; 1 where there is none or it makes no sense."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # Pillow raises nearly anything on a broken block, which says nothing about the pixels
        return 1
    return value if isinstance(value, int) and value in _STORED else 1


def tiff_tag(image: Image.Image, tag: int) -> Any:
    """A tag of a TIFF; None where the image is none or lacks it."""
    return image.tag_v2.get(tag) if isinstance(image, TiffImagePlugin.TiffImageFile) else None


def kind_of(image: Image.Image, head: bytes) -> Kind:
    """Of an opened image. Pillow keeps some of it to itself: 16-bit colours it reads as 8-bit ones without a word.

    Args:
        image: opened, not loaded.
        head: the file's first 4096 bytes.
    """
    grey = image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I")
    if image.format == "PNG":
        return Kind(head[24], head[25] in (0, 4))
    if image.format == "TIFF":
        return Kind(max(tiff_tag(image, 258) or (1,)), grey)
    if image.format == "PPM" and isinstance(image, ImageFile.ImageFile):
        arguments = image.tile[0].args  # (mode, largest value), or the mode alone where that is 255 or fits the mode
        wide = isinstance(arguments, tuple) and isinstance(arguments[-1], int) and arguments[-1] > 255
        return Kind(16 if wide or image.mode == "I" else 8, grey)
    # WebP and AVIF have no grey as Pillow reads them, nor HEIF with alpha: those pixels must tell.
    unsure = None if image.format in ("WEBP", "AVIF", "HEIF") and not grey else grey
    bits = int(image.info.get("bit_depth", 8)) if image.format == "HEIF" else 8
    if image.format == "AVIF" and 0 < (place := head.find(b"pixi")) < len(head) - 10:
        bits = head[place + 9]  # after the name: version and flags (4 bytes), channels (1), then the bits of each
    return Kind(bits, unsure)


def develop(image: Image.Image, kind: Kind) -> Developed:
    """Upright 8-bit pixels of a loaded image.

    Raises:
        DataError: samples without a range that is known, or colours that Pillow cannot take to RGB.
    """
    _check_samples(image, kind.bits)
    icc = image.info.get("icc_profile") or None
    notes = [f"{kind.bits}-bit samples taken to 8 bits"] if kind.bits > 8 else []
    to_rgb = None
    if image.mode == "CMYK":
        to_rgb = _cmyk_transform(icc)
        notes.append(f"CMYK taken to RGB {'by its colour profile' if to_rgb else 'without a colour profile'}")
        icc = None
    elif image.mode in ("P", "PA"):
        notes.append(f"palette taken to {'RGBA' if image.has_transparency_data else 'RGB'}")
    elif image.mode == "1":
        notes.append("black and white taken to grey")
    pixels, alpha = _upright(image, kind.bits, to_rgb)
    grey = kind.grey
    if grey is None:  # a profile for colours says that they are
        grey = (icc is None or icc[16:20] == b"GRAY") and channels_equal(pixels)
    return Developed(pixels, alpha, grey, icc, notes)


def _check_samples(image: Image.Image, bits: int) -> None:
    if image.mode == "F" or bits > 16 or set(tiff_tag(image, 339) or ()) - {1}:
        raise DataError("its samples are signed, floating-point or of more than 16 bits; export it with 8 or 16 bits")
    if image.mode == "RGB" and bits > 8 and "transparency" in image.info:
        raise DataError("one of its 16-bit colours is marked as transparent; export it with 8 bits or an alpha channel")
    # Luma and chroma are right in a TIFF that JPEG compresses; else it depends on Pillow's release.
    if image.mode in ("LAB", "YCbCr") or (tiff_tag(image, 262) == 6 and tiff_tag(image, 259) not in (6, 7)):
        raise DataError(f"its colours are {'LAB' if image.mode == 'LAB' else 'YCbCr'}; export it as RGB")


def channels_equal(pixels: NDArray[np.uint8]) -> bool:
    strips = (pixels[top : top + 64] for top in range(0, len(pixels), 64))
    return all(bool((strip[..., 1:] == strip[..., :1]).all()) for strip in strips)


def _cmyk_transform(icc: bytes | None) -> ImageCms.ImageCmsTransform | None:
    """From CMYK to sRGB by a colour profile; None without one, or if it is broken or not for CMYK."""
    if icc is None:
        return None
    try:
        return ImageCms.buildTransform(ImageCms.ImageCmsProfile(BytesIO(icc)), ImageCms.createProfile("sRGB"), "CMYK", "RGB")
    except (ImageCms.PyCMSError, OSError, ImportError):
        return None


def _upright(
    image: Image.Image, bits: int, to_rgb: ImageCms.ImageCmsTransform | None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    turned = orientation(image)
    width, height = image.size
    shape = (width, height) if turned >= 5 else (height, width)
    # Black is 65535 in some 16-bit TIFF files, which Pillow does not heed.
    negative = image.mode.startswith("I") and tiff_tag(image, 262) == 0
    pixels = np.empty((*shape, 3), np.uint8)
    alpha = None
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        colours, opacity = _samples(to_rgb.apply(strip) if to_rgb else strip, bits)
        _STORED[turned](pixels)[top : top + rows] = 255 - colours if negative else colours
        if opacity is not None:
            alpha = np.empty(shape, np.uint8) if alpha is None else alpha
            _STORED[turned](alpha)[top : top + rows] = opacity
    return pixels, alpha


def _samples(strip: Image.Image, bits: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Colours (h, w, 1 or 3) and alpha (h, w) or None."""
    key: Any = strip.info.get("transparency")  # the one grey value or colour that is transparent, as in the file
    if strip.mode in ("1", "L") and bits < 8 and isinstance(key, int):
        # Pillow spreads such greys over 0..255, but the key not, or only of one bit.
        key = min(255, key * 255 // (2**bits - 1))
    if strip.mode in ("P", "PA", "La", "RGBa", "1", "CMYK"):
        layered = strip.mode in ("PA", "RGBa") or strip.has_transparency_data
        modes = {"La": "LA", "1": "L", "P": "RGBA" if layered else "RGB", "CMYK": "RGB"}
        strip = strip.convert(modes.get(strip.mode, "RGBA"))
    values = np.asarray(strip)
    if strip.mode in ("LA", "RGBA"):
        return values[..., :-1], values[..., -1]
    if strip.mode not in ("L", "RGB"):  # 16 bits, of which a TIFF may use 12; Pillow takes every PGM to 65535
        most = 2**bits - 1
        colours = ((values.astype(np.uint32) * 255 + most // 2) // most).astype(np.uint8)[..., None]
    else:
        colours = values.reshape(*values.shape[:2], -1)
    if not isinstance(key, (int, tuple)):
        return colours, None
    opaque = (values.reshape(colours.shape) != key).any(axis=-1)
    return colours, opaque.astype(np.uint8) * 255
