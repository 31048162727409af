"""What a photo's file tells besides its pixels, for those who want to keep it: EXIF, XMP, PNG text, resolution.

What is kept fits the new pixels: it is upright, and without thumbnails and previews, which would show the unprotected face.
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

_MAKER_NOTE = 0x927C
_TEXTS = (0x9286, *range(0x9C9B, 0x9CA0))  # not by their kind: a user's comment; Windows' title, comment, author and so on
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}  # bytes a value of each kind
_ASCII = 2
_LONGEST = 256  # bytes of what is kept and no text: no face is seen in so few

# A JPEG, or so much without a blank, or in such long lines, that it is no text but a picture in base64 or hexadecimal.
_PICTURE = re.compile(
    rb"\xff\xd8\xff.*?\xff\xd9"
    rb"|(?:[A-Za-z0-9+/_-]{160,}|(?:[A-Za-z0-9+/]{40,}(?:\s|&#x?[0-9A-Fa-f]+;)+){3,}[A-Za-z0-9+/]*)={0,2}",
    re.DOTALL,
)
# XMP's word of a gain map, of a motion photo's video and of a further packet, none of which is kept.
_OTHERS = re.compile(
    rb"""\s(?:(?:hdrgm|HDRGainMap|Item):\w+|GCamera:(?:MicroVideo|MotionPhoto)\w*|xmpNote:HasExtendedXMP)"""
    rb"""\s*=\s*(?:"[^"]*"|'[^']*')"""
)

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
        text=tuple((key, value) for key, value in text.items() if _is_text(key, value)),
        dpi=_dpi(image.info.get("dpi")),
    )
    return metadata if any((metadata.exif, metadata.xmp, metadata.text, metadata.dpi)) else None


def _is_text(key: str, value: str) -> bool:
    picture = _PICTURE.search(value.encode("latin-1", errors="replace"))
    return picture is None and not key.startswith(("XML:com.adobe", "Raw profile type"))


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
    kind: int
    place: int  # of its value, or of where its values lie
    size: int  # of its values, in bytes


def _entries(block: bytearray, order: str, offset: int) -> Iterator[_Tag]:
    (number,) = struct.unpack_from(f"{order}H", block, offset)
    for start in range(offset + 2, offset + 2 + 12 * number, 12):
        tag, kind, length = struct.unpack_from(f"{order}HHI", block, start)
        yield _Tag(tag, kind, start + 8, length * _SIZES.get(kind, 0))


def clean_exif(block: bytes, *, width: int, height: int) -> bytes | None:
    """An EXIF block for an upright picture of this size: orientation 1, no pictures. None if the block is broken.

    Nothing moves in it. What is not a text or a short value of the four known directories becomes zeros: thumbnails, other
    directories, makers' notes, which hold previews in ways that nobody else knows.
    """
    data = bytearray(re.sub(rb"\A(Exif\0\0)+", b"", block))
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(data[:4]))
    if order is None:
        return None
    facts = {ORIENTATION: 1} | dict.fromkeys(_WIDTHS, width) | dict.fromkeys(_HEIGHTS, height)
    kept = [(0, 8)]
    end = 0
    try:
        directories = list(struct.unpack_from(f"{order}I", data, 4))
        for start in directories:  # which grows meanwhile
            entries = list(_entries(data, order, start))
            kept.append((start, start + 2 + 12 * len(entries)))
            end = max(end, kept[-1][1] + 4)
            for entry in entries:
                (value,) = struct.unpack_from(f"{order}I", data, entry.place)
                if entry.tag in facts:
                    struct.pack_into(f"{order}{ {3: 'H', 4: 'I'}[entry.kind] }", data, entry.place, facts[entry.tag])
                elif entry.tag in (_EXIF_IFD, _GPS_IFD, _INTEROP_IFD) and value not in directories:
                    directories.append(value)
                elif entry.size > 4:
                    end = max(end, value + entry.size)
                    if _is_short_or_text(entry):
                        kept.append((value, value + entry.size))
    except (struct.error, KeyError):
        return None
    clean = bytearray(len(data))
    for first, last in kept:
        clean[first:last] = data[first:last]
    return _PICTURE.sub(lambda found: bytes(len(found[0])), bytes(clean[:end]))


def _is_short_or_text(entry: _Tag) -> bool:
    return entry.tag != _MAKER_NOTE and (entry.kind == _ASCII or entry.tag in _TEXTS or entry.size <= _LONGEST)


def clean_xmp(packet: bytes) -> bytes | None:
    """An XMP packet for an upright picture: orientation 1, no pictures, nor word of others. None if unreadable."""
    packet = packet.rstrip(b"\0")
    if b"\0" in packet:  # UTF-16
        return None
    packet = re.sub(rb"""(tiff:Orientation(?:\s*=\s*["']|>)\s*)[0-9]""", rb"\g<1>1", packet)
    packet = re.sub(rb"<((?:xmp|xap):Thumbnails|Container:Directory|(?:hdrgm|HDRGainMap):\w+)\b[^>]*?"
                    rb"(?:/>|>.*?</\1>)", b"", packet, flags=re.DOTALL)  # fmt: skip
    return _PICTURE.sub(b"", _OTHERS.sub(b"", packet))
