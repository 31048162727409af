"""What a photo's file tells besides its pixels, for those who want to keep it: EXIF, XMP, PNG text, resolution.

What is kept fits the new pixels: it is upright, and without thumbnails, which would show the unprotected face.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from PIL import Image, PngImagePlugin

from faceenc.media.photos.pixels import ORIENTATION

_EXIF_IFD, _GPS_IFD, _INTEROP_IFD = 0x8769, 0x8825, 0xA005

_WIDTHS, _HEIGHTS = (0x0100, 0xA002), (0x0101, 0xA003)
# The picture's own facts among a TIFF's tags, most of which tell how its samples are stored: description, maker, model,
# software, date, artist, computer, rating, copyright, and Windows' title, comment, author, keywords, subject.
_TIFF_TAGS = (270, 271, 272, 305, 306, 315, 316, 18246, 33432, 40091, 40092, 40093, 40094, 40095)


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is kept of one photo.

    Attributes:
        exif: a block without the "Exif" in front, or None.
        xmp: an XML packet, or None.
        text: keywords and texts of a PNG; the texts may be Pillow's iTXt, with a language.
        dpi: across and down, or None.
    """

    exif: bytes | None
    xmp: bytes | None
    text: tuple[tuple[str, str], ...]
    dpi: tuple[float, float] | None

    @property
    def tells_place(self) -> bool:
        """Whether GPS coordinates are in it."""
        exif = Image.Exif()
        if self.exif:
            exif.load(b"Exif\0\0" + self.exif)
        return bool(exif.get_ifd(_GPS_IFD)) or b"GPSLatitude" in (self.xmp or b"")


def read_metadata(image: Image.Image, *, width: int, height: int) -> Metadata | None:
    """Of a loaded image, as it fits upright pixels of this width and height; None if there is nothing."""
    exif = _exif_block(image)
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    text = image.text if isinstance(image, PngImagePlugin.PngImageFile) else {}
    metadata = Metadata(
        exif=exif and clean_exif(exif, width=width, height=height),
        xmp=clean_xmp(xmp.encode() if isinstance(xmp, str) else xmp) if xmp else None,
        # ImageMagick writes EXIF and XMP as hexadecimal text.
        text=tuple((key, value) for key, value in text.items() if not key.startswith(("XML:com.adobe", "Raw profile type"))),
        dpi=_dpi(image.info.get("dpi")),
    )
    return metadata if any((metadata.exif, metadata.xmp, metadata.text, metadata.dpi)) else None


def _dpi(value: Any) -> tuple[float, float] | None:
    try:
        across, down = (float(part) for part in value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (across, down) if 1 < across < 65536 and 1 < down < 65536 else None  # Pillow says 1 where a TIFF says nothing


def _exif_block(image: Image.Image) -> bytes | None:
    try:
        if image.format == "TIFF":
            return _chosen_tags(image.getexif())
        if "exif" not in image.info and "Raw profile type exif" in image.info:
            return bytes.fromhex("".join(image.info["Raw profile type exif"].split("\n")[3:]))
    except Exception:  # a broken block: nearly anything
        return None
    return image.info.get("exif") or None


def _chosen_tags(exif: Image.Exif) -> bytes | None:
    """A new EXIF block of the tags that are not about how a TIFF stores its samples."""
    chosen = Image.Exif()
    for tag in _TIFF_TAGS:
        if tag in exif:
            chosen[tag] = exif[tag]
    for group in (_EXIF_IFD, _GPS_IFD):
        if tags := exif.get_ifd(group):
            chosen[group] = {tag: value for tag, value in tags.items() if tag != _INTEROP_IFD}
    return chosen.tobytes() if len(chosen) else None


def tiff_tags(exif: bytes) -> Image.Exif:
    """An EXIF block of `Metadata` as tags to write into a TIFF."""
    loaded = Image.Exif()
    loaded.load(exif)
    chosen = Image.Exif()
    if block := _chosen_tags(loaded):
        chosen.load(block)
    return chosen


class _Tag(NamedTuple):
    tag: int
    kind: int  # 3: 16 bits, 4: 32 bits
    length: int  # number of values
    place: int  # of its value, or of where its values lie


def _entries(block: bytearray, order: str, offset: int) -> Iterator[_Tag]:
    (number,) = struct.unpack_from(f"{order}H", block, offset)
    for start in range(offset + 2, offset + 2 + 12 * number, 12):
        tag, kind, length = struct.unpack_from(f"{order}HHI", block, start)
        yield _Tag(tag, kind, length, start + 8)


def _values(block: bytearray, order: str, entry: _Tag) -> tuple[int, ...]:
    code, size = {3: ("H", 2), 4: ("I", 4)}[entry.kind]
    place = entry.place if entry.length * size <= 4 else struct.unpack_from(f"{order}I", block, entry.place)[0]
    return struct.unpack_from(f"{order}{min(entry.length, len(block))}{code}", block, place)


def clean_exif(block: bytes, *, width: int, height: int) -> bytes | None:
    """An EXIF block for an upright picture of this size: orientation 1, no thumbnail. None if the block is broken.

    It is changed in place, because makers' notes point into it by offsets that nobody else knows.
    """
    data = bytearray(re.sub(rb"\A(Exif\0\0)+", b"", block))
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(data[:4]))
    if order is None:
        return None
    facts = {ORIENTATION: 1} | dict.fromkeys(_WIDTHS, width) | dict.fromkeys(_HEIGHTS, height)
    try:
        (first,) = struct.unpack_from(f"{order}I", data, 4)
        entries = list(_entries(data, order, first))
        for pointer in [entry for entry in entries if entry.tag == _EXIF_IFD]:
            entries += _entries(data, order, _values(data, order, pointer)[0])
        for entry in entries:
            if entry.tag in facts:
                struct.pack_into(f"{order}{ {3: 'H', 4: 'I'}[entry.kind] }", data, entry.place, facts[entry.tag])
        _drop_thumbnail(data, order, first + 2 + 12 * struct.unpack_from(f"{order}H", data, first)[0])
    except (struct.error, KeyError):
        return None
    # Makers' notes hold further previews.
    return re.sub(rb"\xff\xd8\xff.*?\xff\xd9", lambda found: bytes(len(found[0])), bytes(data), flags=re.DOTALL)


def _drop_thumbnail(data: bytearray, order: str, link: int) -> None:
    """Unlink the second directory, at whose offset `link` lies, and blank the thumbnail that it describes."""
    (second,) = struct.unpack_from(f"{order}I", data, link)
    if not second:
        return
    struct.pack_into(f"{order}I", data, link, 0)
    tags = {entry.tag: entry for entry in _entries(data, order, second)}
    for offsets, sizes in ((0x0201, 0x0202), (0x0111, 0x0117)):  # JPEG; plain samples
        if offsets in tags and sizes in tags:
            for start, size in zip(_values(data, order, tags[offsets]), _values(data, order, tags[sizes]), strict=False):
                end = min(start + size, len(data))
                data[start:end] = bytes(max(0, end - start))
                if not any(data[end:]):  # as it mostly is: the last thing in the block
                    del data[start:]


def clean_xmp(packet: bytes) -> bytes:
    """An XMP packet for an upright picture: orientation 1, no thumbnails."""
    packet = re.sub(rb"""(tiff:Orientation(?:\s*=\s*["']|>)\s*)[0-9]""", rb"\g<1>1", packet)
    return re.sub(rb"<(xmp|xap):Thumbnails\b.*?</\1:Thumbnails>", b"", packet, flags=re.DOTALL)
