"""`Photo` to the bytes of a file, and bytes to a file that is whole or not there."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from faceenc.core import DataError, atomic_file

if TYPE_CHECKING:
    from numpy.typing import NDArray
import os
from io import BytesIO
from typing import Any

from PIL import PngImagePlugin

from faceenc.media.photos.metadata import Metadata, tiff_tags
from faceenc.media.photos.reading import enable_heif
from faceenc.media.photos.record import Photo, PhotoFormat


def write_png(path: str | Path, image: NDArray[np.uint8]) -> None:
    """Writes an (H, W, 3) uint8 RGB image losslessly and without metadata; the file appears in one piece or not at all.

    Raises:
        DataError: the folder is missing or not writable, or the disk is full.
    """
    try:
        with atomic_file(Path(path)) as file:
            Image.fromarray(image).save(file, format="PNG")
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}; check the folder and the free space") from error


_LONGEST_SIDE: dict[PhotoFormat, int] = {"JPEG": 65500, "WEBP": 16383}
_DEFAULT_QUALITY = 95
_PREDICTOR, _XMP = 317, 700  # TIFF tags


def encode_photo(photo: Photo, *, format: PhotoFormat, quality: int | None = None, keep_metadata: bool = False) -> bytes:  # noqa: A002
    """A photo as the bytes of a file: pixels, transparency and colour profile, nothing else unless the metadata is kept.

    PNG, TIFF and (without a quality) WebP are lossless. JPEG and HEIF keep colours at full resolution, so noise survives.
    Grey photos are written with one channel, but for WebP, which has none.

    Args:
        photo: to encode.
        format: of the file.
        quality: 1 to 100 for JPEG, HEIF (default 95) and lossy WebP; PNG and TIFF do not heed it.
        keep_metadata: EXIF, XMP and resolution where the format has them, and a PNG's texts into a PNG.

    Raises:
        DataError: it does not fit the format: transparent into JPEG, too long a side, too much metadata, no HEIC here.
        ValueError: quality outside 1 to 100.
    """
    if quality is not None and not 1 <= quality <= 100:
        raise ValueError(f"quality must be from 1 to 100, not {quality}")
    check_format(photo, format)
    options = _options(format, quality)
    if photo.icc is not None:
        options["icc_profile"] = photo.icc
    buffer = BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow, about single broken EXIF tags
            if keep_metadata and photo.metadata is not None:
                options |= _metadata_options(photo.metadata, format)
            _image(photo, format).save(buffer, format, **options)
    except Exception as error:  # Pillow's writers raise nearly anything, mostly on metadata
        why = " ".join(str(error).split()) or type(error).__name__
        remedy = "leave its metadata out or use PNG" if keep_metadata else "use PNG"
        raise DataError(f"the photo cannot be saved as {format}: {why}; {remedy}") from error
    return buffer.getvalue()


def save_photo(path: str | Path, data: bytes, *, force: bool, private: bool = False) -> None:
    """Write an encoded photo so that its file is whole or not there; also of two processes at one name, one wins.

    Args:
        path: of the file.
        data: its content.
        force: overwrite what is there.
        private: nobody else may read it, as with a key.

    Raises:
        DataError: something is there and `force` is False; the folder is missing or not writable; the disk is full.
    """
    try:
        with atomic_file(Path(path), overwrite=force, private=private) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # what is named must be on the disk: the original may be deleted next
    except FileExistsError as error:
        raise DataError(f"{path} exists already: choose another name, or `force` to overwrite it") from error
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise DataError(f"cannot write {path}: {why}; check the folder and the free space") from error


def check_format(photo: Photo, file_format: PhotoFormat) -> None:
    """Whether a photo fits a format, before anything is done for it.

    Raises:
        DataError: as of `encode_photo`, but for metadata.
    """
    longest, limit = max(photo.pixels.shape[:2]), _LONGEST_SIDE.get(file_format)
    if limit is not None and longest > limit:
        raise DataError(f"{file_format} ends at {limit} pixels a side and the photo has {longest}: save it as PNG")
    if file_format == "JPEG" and _transparent(photo):
        raise DataError("the photo is transparent in places, which JPEG cannot be: save it as PNG, WebP or TIFF")
    if file_format == "HEIF" and not (enable_heif() and "HEIF" in Image.SAVE):
        raise DataError("saving as HEIC needs pillow-heif: pip install 'faceenc[heic]', or save it as PNG")


def _transparent(photo: Photo) -> bool:
    return photo.alpha is not None and bool(photo.alpha.min() < 255)


def _image(photo: Photo, file_format: PhotoFormat) -> Image.Image:
    colours = photo.pixels[..., :1] if photo.grey else photo.pixels
    if photo.alpha is not None and file_format != "JPEG":
        colours = np.concatenate([colours, photo.alpha[..., None]], axis=-1)
    return Image.fromarray(np.ascontiguousarray(colours if colours.shape[-1] > 1 else colours[..., 0]))


def _options(file_format: PhotoFormat, quality: int | None) -> dict[str, Any]:
    if file_format == "PNG":
        # Runs only, of zlib's fastest: on 12 megapixels of a photo 1.2 s and 13.1 MB; zlib's usual search takes 6.8 s for
        # 13.8 MB at level 6, and 1.9 s for 15.8 MB at level 1.
        return {"compress_level": 1, "compress_type": 3}
    if file_format == "TIFF":
        # LZW of differences: 0.6 s and 16.9 MB on the same photo; deflate takes 4 s for 16.6 MB.
        return {"compression": "tiff_lzw", "tiffinfo": {_PREDICTOR: 2}}
    if file_format == "WEBP" and quality is None:
        # 1.4 s and 12.3 MB; one step more effort takes 2.5 s for 11.2 MB. Exact: colours stay under transparency.
        return {"lossless": True, "exact": True, "method": 0, "quality": 0}
    if file_format == "WEBP":
        return {"quality": quality, "exact": True}
    # x265's fastest of a 0.75-megapixel photo: 0.7 s and 713 kB; its usual preset takes 4.2 s for 608 kB and loses more.
    own = {"subsampling": 0} if file_format == "JPEG" else {"chroma": 444, "enc_params": {"preset": "ultrafast"}}
    return {"quality": quality or _DEFAULT_QUALITY} | own


def _metadata_options(metadata: Metadata, file_format: PhotoFormat) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if metadata.dpi is not None and file_format in ("JPEG", "PNG", "TIFF"):
        options["dpi"] = metadata.dpi
    if file_format == "TIFF":
        tags = tiff_tags(metadata.exif or b"")
        if metadata.xmp:
            tags[_XMP] = metadata.xmp
        # Pillow writes the EXIF directory only into TIFF files that it does not compress.
        return options | {"compression": "raw", "tiffinfo": tags}
    if metadata.exif:
        options["exif"] = b"Exif\0\0" + metadata.exif
    if file_format == "PNG":
        options["pnginfo"] = info = PngImagePlugin.PngInfo()
        for key, text in metadata.text:
            info.add_text(key, text)
        if metadata.xmp:
            info.add_itxt("XML:com.adobe.xmp", metadata.xmp)
    elif metadata.xmp:
        options["xmp"] = metadata.xmp
    return options
