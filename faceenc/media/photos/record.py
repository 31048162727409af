"""What a photo is once it is read, and what its protected copy is called."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from faceenc.media.photos.metadata import Metadata


PhotoFormat = Literal["JPEG", "PNG", "WEBP", "TIFF", "HEIF"]

# Of the files that are read, by Pillow's name of their format; a new file gets the first. HEIF needs the extra `heic`.
READ_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "HEIF": (".heic", ".heif", ".hif"),
    "AVIF": (".avif",),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}
SUFFIXES: dict[PhotoFormat, str] = {name: READ_SUFFIXES[name][0] for name in get_args(PhotoFormat)}
PROTECTED = "-protected"  # what a protected copy's name adds to the photo's
_LONGEST = 255 - len(f"{PROTECTED}-9999-preview.heic")  # bytes of a stem
PHOTO_SUFFIXES = frozenset(suffix for suffixes in READ_SUFFIXES.values() for suffix in suffixes)
# How files begin that are photos whatever they are called; TIFF is not among them, for raw files begin so too.
_SURE = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n|GIF8|RIFF.{4}WEBP|.{4}ftyp(?:hei[cxms]|hev[cx]|mif1|msf1|avif)", re.DOTALL)


def begins_like_photo(head: bytes) -> bool:
    """Whether a file that begins so is a photo, whatever its name: 16 bytes suffice."""
    return _SURE.match(head) is not None


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """One photo, upright.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, under transparency too as the file has it; the three are equal if the photo is grey.
        alpha: (H, W) uint8, 0 is transparent; None where the file has no transparency.
        grey: the file has one channel, and gets one again where its format has such files.
        format: the file's own, by its content; PNG for formats that are read only (BMP, PGM, GIF, AVIF).
        icc: the colour profile that the pixels are meant in, byte for byte; None is sRGB.
        metadata: what the file tells besides, for those who want to keep it; None if nothing.
        notes: what reading changed, in plain words, such as "16-bit samples taken to 8 bits".
    """

    pixels: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    grey: bool
    format: PhotoFormat
    icc: bytes | None
    metadata: Metadata | None
    notes: tuple[str, ...]

    @property
    def over_white(self) -> NDArray[np.uint8]:
        """The pixels (H, W, 3), transparent ones laid over white: what a viewer shows on a page."""
        if self.alpha is None:
            return self.pixels
        import numpy as np
        from PIL import Image

        layer = Image.fromarray(np.dstack([self.pixels, self.alpha]))
        return np.array(Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB"))


def short_stem(path: Path) -> str:
    """A file's stem, cut where the names of what is made of it would be longer than file systems take."""
    stem = path.stem
    while len(os.fsencode(stem)) > _LONGEST:
        stem = stem[:-1]
    return stem


def output_path(source: str | Path, output_format: PhotoFormat) -> Path:
    """Where the protected copy goes if nobody says: beside the source, as STEM-protected.png (or .jpg and so on)."""
    source = Path(source)
    return source.with_name(f"{short_stem(source)}{PROTECTED}{SUFFIXES[output_format]}")


def format_named(path: Path) -> PhotoFormat | None:
    """The format of a photo that is written under this name; None if none is written so."""
    return next((name for name in SUFFIXES if path.suffix.lower() in READ_SUFFIXES[name]), None)
