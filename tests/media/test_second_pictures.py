"""What photo files hold besides the picture: it is left out, and no unprotected picture is kept with the metadata."""

from __future__ import annotations

import base64
import struct
import textwrap
from typing import Any

import numpy as np
import pytest
from PIL import PngImagePlugin

from faceenc.core import DataError
from faceenc.media import clean_exif, clean_xmp, decode_photo, encode_photo
from tests.encrypting import portrait, tinted
from tests.photo_files import Tag, encoded, heic_with_auxiliary, tiff_block


def test_what_lies_behind_a_jpeg_is_left_out_and_told() -> None:
    picture, other = encoded(portrait(), "JPEG"), encoded(portrait(step=12), "JPEG")
    word = b"<x hdrgm:Version='1.0' GCamera:MotionPhoto='1' dc:title='Rex'>"
    word += b"<Container:Directory><a/></Container:Directory></x>"
    gain = encoded(portrait(), "JPEG", xmp=word.replace(b"'1.0'", b'"1.0"'))
    video = b"\0\0\0\x18ftypmp42"
    for data, notes in (
        (picture, ()),
        (picture + b"\0" * 99, ()),
        (picture + other, ("a second picture behind the first one is left out",)),
        (gain + other, ("its gain map for HDR screens is left out",)),
        (picture + video, ("the video behind it, of a motion photo, is left out",)),
    ):
        photo = decode_photo(data)
        assert photo.notes == notes
        np.testing.assert_array_equal(photo.pixels, decode_photo(picture).pixels)
        assert other[-200:] not in encode_photo(photo, format="JPEG", keep_metadata=True)
    metadata = decode_photo(gain + other).metadata
    assert metadata is not None
    assert metadata.xmp == b"<x dc:title='Rex'></x>", "no word of what is not there"


@pytest.mark.parametrize(
    ("kind", "note"),
    [
        ("urn:com:apple:photo:2020:aux:hdrgainmap", "its gain map for HDR screens is left out"),
        ("urn:com:apple:photo:2018:aux:portraiteffectsmatte", "pictures that belong to it (depth, masks) are left out"),
    ],
)
def test_what_belongs_to_a_heic_is_left_out_and_told(kind: str, note: str) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    photo = decode_photo(heic_with_auxiliary(kind.encode()))
    assert (photo.pixels.shape, photo.notes) == ((64, 64, 3), (note,))


def test_a_jpeg_that_lacks_its_end_marker_alone_is_read() -> None:
    kinds: list[dict[str, Any]] = [{}, {"progressive": True}, {"restart_marker_blocks": 4}]
    for options in kinds:
        picture = encoded(tinted(), "JPEG", quality=90, **options)
        assert picture.endswith(b"\xff\xd9")
        for data in (picture[:-2], picture[:-1], picture[:-2] + b"\0" * 5000):
            photo = decode_photo(data)
            assert photo.notes == ("its end marker is missing, the picture is whole",)
            np.testing.assert_array_equal(photo.pixels, decode_photo(picture).pixels)
        for cut in (12, len(picture) // 2):
            for rest in (b"", b"\0" * 50_000):
                with pytest.raises(DataError, match="truncated"):
                    decode_photo(picture[:-cut] + rest)


SHADES = bytes(portrait(step=12)[..., 0])  # a face of 23 pixels, as plain samples


@pytest.mark.parametrize("home", ["second", "third", "sub", "maker", "IPTC", "Windows", "nowhere", "comment"])
def test_no_picture_of_plain_samples_is_kept_wherever_it_lies(home: str) -> None:
    picture: list[Tag] = [(0x0103, 3, 1), (0x0111, 4, 8), (0x0117, 4, len(SHADES))]
    first: list[Tag] = [(0x010F, 2, b"Camera Works\0"), (0x0112, 3, 6)]
    homes: dict[str, list[Tag]] = {
        "sub": [(0x014A, 4, picture)],
        "IPTC": [(0x83BB, 7, SHADES)],
        "Windows": [(0x501B, 1, SHADES)],
        "maker": [(0x8769, 4, [(0x9003, 2, b"2026:01:02 03:04:05\0"), (0x927C, 7, b"Maker\0" + SHADES)])],
        "comment": [(0x8769, 4, [(0x9286, 7, b"ASCII\0\0\0a dog " + base64.b64encode(SHADES))])],
    }
    chain = {"second": [picture], "third": [[(0x0103, 3, 6)], picture]}.get(home, [])
    block = tiff_block("<", first + homes.get(home, []), *chain, content=SHADES)
    after = clean_exif(block, width=1, height=1)
    assert after is not None
    assert all(SHADES[place : place + 12] not in after for place in range(0, len(SHADES) - 12, 12))
    assert base64.b64encode(SHADES)[:40] not in after
    assert b"Camera Works" in after
    assert home != "comment" or b"a dog " in after


@pytest.mark.parametrize("form", ["", "\n", "&#xA;", "hexadecimal"])
@pytest.mark.parametrize("place", ["<x GImage:Data='{}' a='kept'/>", "<x a='kept'><GDepth:Data>{}</GDepth:Data></x>"])
def test_no_picture_is_kept_in_xmp(form: str, place: str) -> None:
    picture = encoded(portrait(step=12), "JPEG")
    text = picture.hex() if form == "hexadecimal" else base64.b64encode(picture).decode()
    text = text if form == "hexadecimal" else form.join(textwrap.wrap(text, 76))
    kept = clean_xmp(place.format(text).encode())
    assert kept is not None
    assert kept.decode() == place.format("")


def test_no_picture_is_kept_in_a_further_packet_or_in_a_text_of_a_png() -> None:
    picture = base64.b64encode(encoded(portrait(step=12), "JPEG"))
    main = b"<x xmpNote:HasExtendedXMP='" + b"A" * 32 + b"' dc:title='Rex'/>"
    further = b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 32 + struct.pack(">II", len(picture), 0) + picture
    whole = encoded(portrait(), "JPEG", xmp=main)
    segment = b"\xff\xe1" + struct.pack(">H", 2 + len(further)) + further
    text = PngImagePlugin.PngInfo()
    text.add_text("Thumbnail", picture.decode())
    text.add_text("Title", "Rex")
    for data in (whole[:2] + segment + whole[2:], encoded(portrait(), "PNG", pnginfo=text)):
        assert picture in data
        output = encode_photo(decode_photo(data), format="PNG", keep_metadata=True)
        assert b"Rex" in output
        assert picture[:100] not in output
        assert b"HasExtendedXMP" not in output
