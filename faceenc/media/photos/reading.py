"""Photo files, or their bytes, to `Photo`; every reason against is one line."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from PIL import Image, PngImagePlugin, UnidentifiedImageError

from faceenc.core import DataError
from faceenc.media.photos.jpegs import behind_jpeg, complete_jpeg, jpeg_end
from faceenc.media.photos.metadata import read_metadata
from faceenc.media.photos.pixels import develop, kind_of, tiff_tag
from faceenc.media.photos.quiet import silence_readers
from faceenc.media.photos.record import READ_SUFFIXES, Photo, PhotoFormat

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_Read = TypeVar("_Read")

# Cameras that are sold with 50 megapixels take up to 8192 x 6144 or 8256 x 6192.
MAX_PIXELS = 50 * 1024 * 1024

# What Pillow may try, and the format in which such a photo goes back to a file.
_FORMATS: dict[str, PhotoFormat] = {
    "JPEG": "JPEG",
    "MPO": "JPEG",  # phones' JPEG with a second picture behind the first
    "PNG": "PNG",
    "WEBP": "WEBP",
    "TIFF": "TIFF",
    "HEIF": "HEIF",
    "AVIF": "PNG",
    "BMP": "PNG",
    "GIF": "PNG",
    "PPM": "PNG",
}
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"II*\0", b"MM\0*", b"RIFF", b"GIF8", b"BM", b"P5", b"P6")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_DNG_VERSION, _SUBFILE_TYPE = 50706, 254


def read_photo(path: str | Path) -> Photo:
    """A photo from a file, upright, in 8 bits, with its transparency and colour profile.

    The content decides the format, not the name. More than 50 megapixels (52,428,800 pixels) are refused from the header.

    Raises:
        DataError: no such file, not a photo, damaged, animated, too large, or of a kind that has no place in 8-bit RGB.
    """
    path = Path(path)

    def read() -> Photo:
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # opening a pipe may wait for ever
            raise DataError("it is a pipe or a device; give a file")
        with path.open("rb") as file:
            return _read(file, path.suffix.lower())

    return _with_reason(read, path, str(path))


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """The (H, W, 3) uint8 RGB pixels of `read_photo`, transparent ones laid over white, for those who only look.

    Raises:
        DataError: as of `read_photo`.
    """
    return read_photo(path).over_white


def photo_format(path: str | Path) -> PhotoFormat:
    """What `Photo.format` of a file will be, by its header; PNG if it cannot be read, which `read_photo` will say."""
    if not os.path.isfile(path):  # noqa: PTH113 - which never raises; opening a pipe may wait for ever
        return "PNG"
    try:
        with warnings.catch_warnings(), Path(path).open("rb") as file:
            warnings.simplefilter("ignore")  # as in `_with_reason`
            with _open(file, file.read(4096)) as image:
                return _FORMATS[str(image.format)]
    except Exception:  # Pillow's readers raise nearly anything on a hostile file
        return "PNG"


def decode_photo(data: bytes) -> Photo:
    """A photo from the bytes of a file, as `read_photo`.

    Raises:
        DataError: as of `read_photo`.
    """
    return _with_reason(lambda: _read(BytesIO(data), ""), data, "the photo's bytes")


def photo_size(data: bytes) -> tuple[int, int]:
    """Width and height as a photo file's header says them; no pixel is read, and no limit asked for.

    Raises:
        DataError: not a photo.
    """

    def read() -> tuple[int, int]:
        with _open(BytesIO(data), data[:4096]) as image:
            return image.size

    return _with_reason(read, data, "the photo's bytes")


def enable_heif() -> bool:
    """Teach Pillow HEIC if the extra `heic` is installed; tells whether it can now."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    _once(register_heif_opener)
    return True


@cache
def _once(register: Callable[..., None]) -> None:
    register(thumbnails=False)


def _with_reason(read: Callable[[], _Read], source: Path | bytes, name: str) -> _Read:
    try:
        # Pillow warns about broken EXIF blocks and about half of its pixel limit: neither keeps us from the picture.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read()
    except DataError as error:
        raise DataError(f"cannot read {name}: {error}") from error
    except Exception as error:  # Pillow's readers raise nearly anything on a hostile file
        raise DataError(f"cannot read {name}: {_why(error, source)}") from error


def _why(error: Exception, source: Path | bytes) -> str:
    """Why Pillow could not read a file (or its bytes), and what to do: the end of one line."""
    if isinstance(error, Image.DecompressionBombError):
        return "it has more than 50 megapixels; scale it down first"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror.lower()}; check the path"
    if isinstance(error, UnidentifiedImageError):
        if not (source if isinstance(source, bytes) else source.stat().st_size):
            return "the file is empty; copy it anew"
        return "not an image of a known format; use JPEG, PNG, WebP, TIFF, HEIC, BMP or PGM"
    return f"{' '.join(str(error).split()) or type(error).__name__}; the file may be damaged, copy or export it anew"


def _read(file: BinaryIO, suffix: str, *, mended: bool = False) -> Photo:
    head = file.read(4096)
    with _open(file, head) as image:
        notes = _check(image, head)
        kind = kind_of(image, head)
        real = "JPEG" if image.format == "MPO" else str(image.format)
        data = _whole(file) if real == "JPEG" and not mended else b""
        end = jpeg_end(data)
        if data and end is None:  # some of these Pillow would read, and fill up with grey
            photo = _read(BytesIO(complete_jpeg(data)), suffix, mended=True)
            return replace(photo, notes=("its end marker is missing, the picture is whole", *photo.notes))
        if image.format == "JPEG":
            notes += behind_jpeg(data[end:], image.info.get("xmp", b""))
        image.load()
        pixels, alpha, grey, icc, changes = develop(image, kind)
        metadata = read_metadata(image, width=pixels.shape[1], height=pixels.shape[0])
    named = [name for name, suffixes in READ_SUFFIXES.items() if suffix in suffixes]
    if named and real not in named:
        notes.append(f"named {suffix}, but by its content {real}")
    if icc is None and metadata is not None and b"R03\0" in (metadata.exif or b""):
        notes.append("its EXIF block, not a colour profile, says Adobe RGB: that is lost unless the metadata is kept")
    return Photo(pixels, alpha, grey, _FORMATS[real], icc, metadata, (*notes, *changes))


def _whole(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()


def _open(file: BinaryIO, head: bytes) -> Image.Image:
    """The header is read, no pixel yet."""
    silence_readers()
    # Profiles above 1 MB, as some scanners' are, come back from the PNGs that hold them.
    PngImagePlugin.MAX_TEXT_CHUNK = max(PngImagePlugin.MAX_TEXT_CHUNK, 17 << 20)
    heic = head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS
    able = heic and enable_heif()
    file.seek(0)
    try:
        return Image.open(file, formats=[name for name in _FORMATS if name != "MPO" and (able or name != "HEIF")])
    except UnidentifiedImageError as error:
        if heic and not able:
            raise DataError("it is HEIC, which needs pillow-heif: pip install 'faceenc[heic]'") from error
        if heic or head[4:12] == b"ftypavif" or head.startswith(_MAGIC):
            raise DataError("damaged or of a kind that Pillow cannot read; copy or export it anew as 8-bit PNG") from error
        raise


def _check(image: Image.Image, head: bytes) -> list[str]:
    """Refuse what the header tells against; returns notes about pictures that are left out."""
    if image.width * image.height > MAX_PIXELS:
        raise DataError(f"it has {image.width * image.height / 1e6:.1f} megapixels, more than 50; scale it down first")
    preview = tiff_tag(image, _DNG_VERSION) or (tiff_tag(image, _SUBFILE_TYPE) or 0) & 1 or head[8:10] == b"CR"
    if image.format == "TIFF" and preview:
        raise DataError("it is a camera's raw file, of which only a preview could be read; export it as JPEG or TIFF")
    pictures = int(getattr(image, "n_frames", 1))
    if pictures == 1:
        return _beside_heic(image) if image.format == "HEIF" else []
    if image.format in ("MPO", "TIFF", "HEIF"):
        return [f"of its {pictures} pictures only the {'main' if image.format == 'HEIF' else 'first'} one taken"]
    raise DataError("it is animated; save one of its pictures, or take `faceenc video` for moving ones")


def _beside_heic(image: Image.Image) -> list[str]:
    kinds = [kind for kind in image.info.get("aux", ()) if "auxid" not in kind]  # those are transparency and depth
    if any("gainmap" in kind for kind in kinds):
        return ["its gain map for HDR screens is left out"]
    return ["pictures that belong to it (depth, masks) are left out"] if kinds or image.info.get("depth_images") else []
