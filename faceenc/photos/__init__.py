"""Photos as people have them, in and out: pixels, transparency, colour profile, and no metadata unless it is asked for."""

from __future__ import annotations

from faceenc.photos.metadata import Metadata
from faceenc.photos.reading import MAX_PIXELS, decode_photo, photo_format, read_photo
from faceenc.photos.record import SUFFIXES, Photo, PhotoFormat, output_path
from faceenc.photos.writing import check_format, encode_photo, save_photo

__all__ = [
    "MAX_PIXELS",
    "SUFFIXES",
    "Metadata",
    "Photo",
    "PhotoFormat",
    "check_format",
    "decode_photo",
    "encode_photo",
    "output_path",
    "photo_format",
    "read_photo",
    "save_photo",
]
