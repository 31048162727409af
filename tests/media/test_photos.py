"""Photos of every kind that people have, read: upright 8-bit pixels, alpha, grey, colour profile, and what was changed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from faceenc.media import Photo, decode_photo, output_path, photo_format, read_photo
from tests.photo_files import (
    STORED,
    Pixels,
    cmyk_profile,
    encoded,
    noise,
    opened,
    oriented,
    png_chunk,
    png_file,
    smooth,
    tiff_block,
    tiff_file,
)

PROFILE = bytes(range(256)) * 40
FILES: dict[str, tuple[str, dict[str, Any]]] = {
    "JPEG": ("JPEG", {}),
    "PNG": ("PNG", {}),
    "WebP": ("WEBP", {}),
    "TIFF": ("TIFF", {}),
    "LZW TIFF": ("TIFF", {"compression": "tiff_lzw"}),
    "AVIF": ("AVIF", {}),
    "HEIC": ("HEIF", {}),
}


def write(name: str, pixels: Pixels | Image.Image, **options: Any) -> bytes:
    """In one of FILES; skips where this Pillow cannot."""
    file_format, own = FILES[name]
    if file_format == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    return encoded(pixels, file_format, **own, **options)


def see(photo: Photo) -> tuple[list[int], list[int] | None, bool]:
    """Of a photo of one colour: colour, alpha, whether it is grey."""
    pixels = photo.pixels.reshape(-1, 3)
    assert (pixels == pixels[0]).all()
    alpha = None if photo.alpha is None else np.unique(photo.alpha).tolist()
    return pixels[0].tolist(), alpha, photo.grey


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("orientation", STORED)
def test_every_orientation_is_upright_in_every_format(orientation: int, name: str) -> None:
    stored = np.ascontiguousarray(STORED[orientation](smooth(34, 52)))
    plain = decode_photo(write(name, stored))
    photo = decode_photo(write(name, stored, exif=oriented(orientation)))
    assert photo.pixels.shape == (34, 52, 3)
    assert photo.pixels.flags.c_contiguous
    assert photo.pixels.flags.writeable
    np.testing.assert_array_equal(STORED[orientation](photo.pixels), plain.pixels)


@pytest.mark.parametrize("orientation", STORED)
def test_alpha_turns_with_the_pixels_strip_by_strip(orientation: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faceenc.media.photos.pixels._STRIP_PIXELS", 100)
    upright = noise(23, 31, 4)
    photo = decode_photo(encoded(STORED[orientation](upright), "PNG", exif=oriented(orientation)))
    assert photo.alpha is not None
    np.testing.assert_array_equal(np.dstack([photo.pixels, photo.alpha]), upright)


def test_xmp_orientation_counts_where_exif_is_silent() -> None:
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    upright = smooth(20, 30)
    stored = np.ascontiguousarray(STORED[6](upright))
    both = decode_photo(encoded(stored, "PNG", exif=oriented(6)))
    photo = decode_photo(encoded(stored, "WEBP", lossless=True, xmp=xmp))
    np.testing.assert_array_equal(photo.pixels, both.pixels)


@pytest.mark.parametrize("exif", [b"II*\0\x08\0\0\0\xff\xff rot", b"rot", tiff_block("<", [(0x112, 3, 9)])])
def test_a_broken_or_odd_exif_block_does_not_keep_from_the_picture(exif: bytes) -> None:
    pixels = noise(5, 7)
    np.testing.assert_array_equal(decode_photo(encoded(pixels, "PNG", exif=b"Exif\0\0" + exif)).pixels, pixels)


def _palette(transparency: int | bytes | None) -> Image.Image:
    image = Image.new("P", (4, 3), 1)
    image.putpalette([0, 0, 0, 10, 20, 30, 40, 50, 60])
    if transparency is not None:
        image.info["transparency"] = transparency
    return image


def _plain(mode: str, color: int | tuple[int, ...]) -> Image.Image:
    return Image.new(mode, (4, 3), color)


@pytest.mark.parametrize(
    ("image", "file_format", "seen", "notes"),
    [
        (_plain("1", 1), "PNG", ([255] * 3, None, True), ["black and white taken to grey"]),
        (_plain("1", 0), "TIFF", ([0] * 3, None, True), ["black and white taken to grey"]),
        (_plain("L", 77), "PNG", ([77] * 3, None, True), []),
        (_plain("L", 77), "JPEG", ([77] * 3, None, True), []),
        (_plain("L", 77), "TIFF", ([77] * 3, None, True), []),
        (_plain("L", 77), "PPM", ([77] * 3, None, True), []),
        (_plain("L", 77), "WEBP", ([77] * 3, None, True), []),
        (_plain("L", 255), "AVIF", ([255] * 3, None, True), []),
        (_plain("LA", (77, 5)), "PNG", ([77] * 3, [5], True), []),
        (_plain("LA", (77, 0)), "TIFF", ([77] * 3, [0], True), []),
        (_plain("LA", (77, 5)), "WEBP", ([77] * 3, [5], True), []),
        (_plain("RGB", (10, 20, 30)), "BMP", ([10, 20, 30], None, False), []),
        (_plain("RGB", (77, 77, 77)), "PNG", ([77] * 3, None, False), []),
        (_plain("RGBA", (10, 20, 30, 0)), "PNG", ([10, 20, 30], [0], False), []),
        (_plain("RGBA", (10, 20, 30, 40)), "TIFF", ([10, 20, 30], [40], False), []),
        (_plain("RGBA", (10, 20, 30, 0)), "WEBP", ([10, 20, 30], [0], False), []),
        (_palette(None), "PNG", ([10, 20, 30], None, False), ["palette taken to RGB"]),
        (_palette(1), "PNG", ([10, 20, 30], [0], False), ["palette taken to RGBA"]),
        (_palette(b"\xff\x07\x09"), "PNG", ([10, 20, 30], [7], False), ["palette taken to RGBA"]),
        (_palette(None), "TIFF", ([10, 20, 30], None, False), ["palette taken to RGB"]),
        (_palette(None), "GIF", ([10, 20, 30], None, False), ["palette taken to RGB"]),
        (_palette(1), "GIF", ([10, 20, 30], [0], False), ["palette taken to RGBA"]),
        (_plain("I;16", 257 * 128), "PNG", ([128] * 3, None, True), ["16-bit samples taken to 8 bits"]),
        (_plain("I;16", 65535), "TIFF", ([255] * 3, None, True), ["16-bit samples taken to 8 bits"]),
        (_plain("I;16B", 257 * 9), "TIFF", ([9] * 3, None, True), ["16-bit samples taken to 8 bits"]),
        (_plain("I", 257 * 128), "PPM", ([128] * 3, None, True), ["16-bit samples taken to 8 bits"]),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else value if isinstance(value, str) else "",
)  # fmt: skip
def test_modes(image: Image.Image, file_format: str, seen: tuple[Any, ...], notes: list[str]) -> None:
    options = {"lossless": True, "exact": True} if file_format == "WEBP" else {}
    photo = decode_photo(encoded(image, file_format, **options))
    assert see(photo) == seen
    assert list(photo.notes) == notes
    assert photo.pixels.dtype == np.uint8
    assert photo.format == (file_format if file_format in ("JPEG", "PNG", "TIFF", "WEBP") else "PNG")


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_the_one_transparent_grey_of_a_png_is_found_at_every_depth(depth: int) -> None:
    top = 2**depth - 1
    width = 16
    values = [0, top, top // 3, top] + [0] * (width - 4)
    row = sum(value << (depth * (width - 1 - place)) for place, value in enumerate(values)).to_bytes(
        width * depth // 8, "big"
    )
    photo = decode_photo(png_file(width, 1, depth, 0, b"\0" + row, png_chunk(b"tRNS", top.to_bytes(2, "big"))))
    assert photo.grey
    assert photo.alpha is not None
    assert photo.alpha[0, :4].tolist() == ([255, 0, 255, 0])
    assert photo.pixels[0, :4, 0].tolist() == [0, 255, 255 * (top // 3) // top, 255]


def test_the_one_transparent_colour_of_a_png() -> None:
    rows = b"\0" + bytes([1, 2, 3, 1, 2, 4, 1, 2, 3])
    photo = decode_photo(png_file(3, 1, 8, 2, rows, png_chunk(b"tRNS", bytes([0, 1, 0, 2, 0, 3]))))
    assert photo.alpha is not None
    assert photo.alpha.tolist() == [[0, 255, 0]]
    assert photo.pixels[0].tolist() == [[1, 2, 3], [1, 2, 4], [1, 2, 3]]


@pytest.mark.parametrize(
    ("colour", "row", "pixels", "alpha", "grey"),
    [
        (0, [0x1234, 0xFF00], [[0x12] * 3, [0xFE] * 3], None, True),
        (2, [0x12FF, 0x3400, 0x5601] * 2, [[0x12, 0x34, 0x56]] * 2, None, False),
        (4, [0x1200, 0x8000] * 2, [[0x12] * 3] * 2, [0x80] * 2, True),
        (6, [0x1200, 0x3400, 0x5600, 0x8000] * 2, [[0x12, 0x34, 0x56]] * 2, [0x80] * 2, False),
        (6, [0x1200, 0x1200, 0x1200, 0x8000] * 2, [[0x12] * 3] * 2, [0x80] * 2, False),
    ],
)
def test_16_bit_png(colour: int, row: list[int], pixels: list[list[int]], alpha: list[int] | None, grey: bool) -> None:
    photo = decode_photo(png_file(2, 1, 16, colour, b"\0" + np.array(row, ">u2").tobytes()))
    assert photo.notes == ("16-bit samples taken to 8 bits",)
    assert np.abs(photo.pixels[0].astype(int) - pixels).max() <= (1 if colour == 0 else 0)
    assert (None if photo.alpha is None else photo.alpha[0].tolist()) == alpha
    assert photo.grey == grey


def test_16_bit_grey_is_rounded_and_not_cut() -> None:
    values = np.arange(65536, dtype="<u2")
    expected = np.rint(values / 257).astype(np.uint8)
    for file in (
        tiff_file(values, (256, 256), bits=(16,)),
        tiff_file(values[::-1], (256, 256), (262, 3, 0), bits=(16,)),  # white is 0
        png_file(256, 256, 16, 0, b"".join(b"\0" + row.tobytes() for row in values.astype(">u2").reshape(256, 256))),
    ):
        np.testing.assert_array_equal(decode_photo(file).pixels[..., 1].ravel(), expected)


def test_16_bit_colours_and_12_bit_grey_of_a_tiff() -> None:
    photo = decode_photo(tiff_file(np.array([0x12FF, 0x3400, 0x5601], "<u2"), (1, 1), bits=(16, 16, 16)))
    assert (photo.pixels.tolist(), photo.notes) == ([[[0x12, 0x34, 0x56]]], ("16-bit samples taken to 8 bits",))
    photo = decode_photo(tiff_file(b"\x00\x0f\xff", (2, 1), bits=(12,)))
    assert (photo.pixels[0, :, 0].tolist(), photo.notes) == ([0, 255], ("12-bit samples taken to 8 bits",))


def test_a_tiff_that_jpeg_compresses() -> None:
    photo = decode_photo(encoded(Image.new("RGB", (32, 16), (200, 30, 90)), "TIFF", compression="jpeg"))
    assert np.abs(photo.pixels.astype(int) - (200, 30, 90)).max() <= 3


def test_16_bit_ppm_is_told() -> None:
    photo = decode_photo(b"P6 1 1 65535\n" + np.array([0x1212, 0x3434, 0x5656], ">u2").tobytes())
    assert (photo.pixels.tolist(), photo.notes) == ([[[0x12, 0x34, 0x56]]], ("16-bit samples taken to 8 bits",))


def test_10_bit_heic_is_told() -> None:
    heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    values = np.full((64, 64, 3), 512 << 6, np.uint16)
    heif.from_bytes("RGB;16", (64, 64), values.tobytes()).save(buffer, quality=-1, chroma=444)
    photo = decode_photo(buffer.getvalue())
    assert photo.notes == ("10-bit samples taken to 8 bits",)
    assert np.abs(photo.pixels.astype(int) - 128).max() <= 1


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF"])
@pytest.mark.parametrize(
    ("profile", "colour", "how"),
    [
        (None, [0, 255, 255], "without a colour profile"),
        (cmyk_profile(), [255, 0, 0], "by its colour profile"),
        (b"no profile at all", [0, 255, 255], "without a colour profile"),
    ],
)
def test_cmyk_goes_by_its_profile(profile: bytes | None, colour: list[int], how: str, file_format: str) -> None:
    photo = decode_photo(encoded(_plain("CMYK", (255, 0, 0, 0)), file_format, icc_profile=profile))
    assert np.abs(photo.pixels.astype(int) - colour).max() <= 8
    assert photo.icc is None  # it was for CMYK
    assert photo.notes == (f"CMYK taken to RGB {how}",)


def test_ycck_jpeg() -> None:
    """Adobe's inverted CMYK, of which three are stored as luma and chroma: made by saying so in the Adobe segment."""
    ink = (200, 90, 140, 30)
    data = bytearray(encoded(Image.new("CMYK", (16, 16), ink), "JPEG", quality=100, subsampling=0))
    place = data.index(b"Adobe") + 11
    assert data[place] == 0  # no transform
    data[place] = 2
    luma, blue, red = (255 - value for value in ink[:3])  # as stored
    expected = np.asarray(Image.new("YCbCr", (1, 1), (luma, blue, red)).convert("RGB")).astype(int)[0, 0]
    expected = (255 - expected) * (255 - ink[3]) // 255  # what is decoded is ink
    assert np.abs(decode_photo(bytes(data)).pixels.astype(int) - expected).max() <= 4


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("channels", [1, 3])
def test_colour_profile_is_read_byte_for_byte(channels: int, name: str) -> None:
    photo = decode_photo(write(name, smooth(20, 30, channels), icc_profile=PROFILE))
    assert photo.icc == PROFILE


def test_a_grey_picture_with_a_profile_for_colours_stays_in_colours() -> None:
    """WebP has no grey; a file of equal channels may be either."""
    profile = bytes(16) + b"RGB " + bytes(200)
    assert not decode_photo(encoded(smooth(9, 9, 1), "WEBP", lossless=True, icc_profile=profile)).grey
    profile = bytes(16) + b"GRAY" + bytes(200)
    assert decode_photo(encoded(smooth(9, 9, 1), "WEBP", lossless=True, icc_profile=profile)).grey


@pytest.mark.parametrize("size", [(1, 1), (10, 20000), (20000, 10)])
@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF", "LZW TIFF"])
def test_smallest_and_longest(name: str, size: tuple[int, int]) -> None:
    pixels = smooth(*size)
    photo = decode_photo(write(name, pixels))
    np.testing.assert_array_equal(photo.pixels, np.asarray(opened(write(name, pixels))))


def test_of_two_pictures_the_first_is_taken(tmp_path: Path) -> None:
    for file_format in ("MPO", "TIFF"):
        first, second = Image.fromarray(smooth(20, 30)), Image.fromarray(smooth(20, 30, seed=1))
        path = tmp_path / f"x.{'jpg' if file_format == 'MPO' else 'tif'}"
        first.save(path, file_format, save_all=True, append_images=[second])
        photo = read_photo(path)
        assert photo.format == ("JPEG" if file_format == "MPO" else "TIFF")
        assert photo.notes == ("of its 2 pictures only the first one taken",)
        assert np.abs(photo.pixels.astype(int) - np.asarray(first)).mean() < 8


def test_the_main_picture_of_a_heic() -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    other, main = Image.fromarray(smooth(64, 64)), Image.fromarray(smooth(64, 64, seed=1))
    photo = decode_photo(encoded(other, "HEIF", save_all=True, append_images=[main], primary_index=1))
    assert photo.notes == ("of its 2 pictures only the main one taken",)
    assert np.abs(photo.pixels.astype(int) - np.asarray(main)).mean() < 6


@pytest.mark.parametrize(
    ("name", "file_format", "note"),
    [
        ("x.png", "JPEG", "named .png, but by its content JPEG"),
        ("x.JPG", "PNG", "named .jpg, but by its content PNG"),
        ("x.heic", "JPEG", "named .heic, but by its content JPEG"),
        ("x.JPEG", "JPEG", None),
        ("x", "JPEG", None),
        ("x.photo", "WEBP", None),
        ("x.tiff", "TIFF", None),
    ],
)
def test_the_content_decides_and_not_the_name(name: str, file_format: str, note: str | None, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(encoded(smooth(9, 9), file_format))
    photo = read_photo(tmp_path / name)
    assert photo.format == file_format
    assert photo.notes == (() if note is None else (note,))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "AVIF"])
def test_the_format_is_told_from_the_header_without_a_warning(file_format: str, tmp_path: Path) -> None:
    odd = b"Exif\0\0" + tiff_block("<", [(0x112, 3, 6)])[:-9]  # Pillow warns about it
    options = {"exif": odd} if file_format in ("JPEG", "PNG", "WEBP") else {}
    (tmp_path / "x.jpg").write_bytes(encoded(smooth(9, 9), file_format, **options))
    assert photo_format(tmp_path / "x.jpg") == read_photo(tmp_path / "x.jpg").format
    (tmp_path / "x.jpg").write_bytes(b"no image at all")
    assert photo_format(tmp_path / "x.jpg") == photo_format(tmp_path) == photo_format(tmp_path / "none") == "PNG"


def test_adobe_rgb_by_exif_alone_is_told() -> None:
    exif = b"Exif\0\0" + tiff_block("<", [(0x8769, 4, [(0xA001, 3, 65535), (0xA005, 4, [(1, 2, b"R03\0")])])])
    assert "Adobe RGB" in decode_photo(encoded(smooth(9, 9), "JPEG", exif=exif)).notes[0]
    assert decode_photo(encoded(smooth(9, 9), "JPEG", exif=exif, icc_profile=PROFILE)).notes == ()


def test_output_path() -> None:
    assert output_path("album/me.heic", "PNG") == Path("album/me-protected.png")
    assert output_path(Path("me.and.you.JPEG"), "JPEG") == Path("me.and.you-protected.jpg")
    assert [output_path("a", name).suffix for name in ("WEBP", "TIFF", "HEIF")] == [".webp", ".tif", ".heic"]
