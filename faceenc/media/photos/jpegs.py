"""What Pillow does not tell of JPEG files: that nothing but the end marker is missing, and what lies behind the picture."""

from __future__ import annotations

import hashlib
import re
from io import BytesIO

from PIL import Image

from faceenc.core import DataError

_END = b"\xff\xd9"
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)  # but zeros after 255 and restarts, which samples hold
_ALONE = (0x01, 0xD8)  # markers without content


def jpeg_end(data: bytes) -> int | None:
    """Where the picture of a JPEG file ends, behind its end marker; None if it has none."""
    place = 0
    while found := _MARKER.search(data, place):
        place = found.end()
        code = found[1][0]
        if code == _END[1]:
            return place
        if code not in _ALONE:
            place += int.from_bytes(data[place : place + 2], "big")
    return None


def complete_jpeg(data: bytes) -> bytes:
    """A JPEG file that lacks its end marker, with it.

    Raises:
        DataError: more is missing. If all samples are there, decoders pass over what follows them: the picture must not
            depend on it.
    """
    # Downloads that broke off may be filled up with zeros; half of the marker may be there.
    data = re.sub(rb"\0{16,}\Z", b"", data).removesuffix(b"\xff")
    pictures = set()
    for rest in (b"", b"\x55" * 64, b"\xaa" * 64):
        with Image.open(BytesIO(data + rest + _END), formats=["JPEG"]) as image:
            pictures.add(hashlib.sha256(image.tobytes()).digest())
    if len(pictures) > 1:
        raise DataError("the picture is truncated; copy or export it anew")
    return data + _END


def behind_jpeg(rest: bytes, xmp: bytes) -> list[str]:
    """Notes about what a JPEG file holds behind its picture, which is left out.

    Args:
        rest: what lies there.
        xmp: the file's packet.
    """
    notes = []
    if b"\xff\xd8\xff" in rest:
        gain = b"hdrgm:" in xmp or b"GainMap" in xmp
        notes.append(
            "its gain map for HDR screens is left out" if gain else "a second picture behind the first one is left out"
        )
    if b"ftyp" in rest:
        notes.append("the video behind it, of a motion photo, is left out")
    return notes
