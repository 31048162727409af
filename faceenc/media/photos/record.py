"""What a photo is once it is read, and what its protected copy is called."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from faceenc.media.photos.metadata import Metadata


PhotoFormat = Literal["JPEG", "PNG", "WEBP", "TIFF", "HEIF"]

SUFFIXES: dict[PhotoFormat, str] = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "TIFF": ".tif", "HEIF": ".heic"}


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


def output_path(source: str | Path, output_format: PhotoFormat) -> Path:
    """Where the protected copy goes if nobody says: beside the source, as STEM-protected.png (or .jpg and so on)."""
    source = Path(source)
    return source.with_name(f"{source.stem}-protected{SUFFIXES[output_format]}")
