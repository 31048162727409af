"""Photos encoded: what is lossless comes back bit for bit, the profile stays, and nothing else of the file unless wanted."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from faceenc.core import DataError
from faceenc.media import Photo, PhotoFormat, clean_exif, clean_xmp, decode_photo, encode_photo
from tests.photo_files import PREVIEW, THUMBNAIL, camera_exif, encoded, noise, opened, oriented, smooth

LOSSLESS: list[PhotoFormat] = ["PNG", "TIFF", "WEBP"]
ALL: list[PhotoFormat] = ["PNG", "TIFF", "WEBP", "JPEG", "HEIF"]
PROFILE = bytes(range(256)) * 300  # more than fits one segment of a JPEG
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" exif:GPSLatitude="48,51.5N"/></x:xmpmeta>'


def made(channels: int = 3, *, alpha: bool = False, height: int = 33, width: int = 47) -> Photo:
    pixels = noise(height, width, channels).reshape(height, width, channels)
    opacity = noise(height, width, 1, seed=5) if alpha else None
    if opacity is not None:
        opacity[:8] = 0
    pixels = np.ascontiguousarray(np.broadcast_to(pixels, (height, width, 3)))
    return Photo(pixels, opacity, channels == 1, "PNG", None, None, ())


def encode(photo: Photo, file_format: PhotoFormat, **options: Any) -> bytes:
    if file_format == "HEIF":
        pytest.importorskip("pillow_heif")
    return encode_photo(photo, format=file_format, **options)


def _same(one: Photo, other: Photo) -> None:
    np.testing.assert_array_equal(one.pixels, other.pixels)
    np.testing.assert_array_equal(one.alpha, other.alpha)
    assert (one.grey, one.icc) == (other.grey, other.icc)


@pytest.mark.parametrize("file_format", LOSSLESS)
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_formats_are(channels: int, alpha: bool, file_format: PhotoFormat) -> None:
    photo = made(channels, alpha=alpha)
    data = encode(photo, file_format)
    _same(decode_photo(data), photo)
    bands = len(opened(data).getbands())
    assert bands == (3 if file_format == "WEBP" else channels) + alpha


@pytest.mark.parametrize("file_format", LOSSLESS)
@pytest.mark.parametrize("size", [(1, 1), (10, 16383), (3000, 1)])
def test_smallest_and_longest(size: tuple[int, int], file_format: PhotoFormat) -> None:
    photo = made(height=size[0], width=size[1], alpha=True)
    _same(decode_photo(encode(photo, file_format)), photo)


def test_20000_pixels_a_side() -> None:
    photo = made(height=10, width=20000)
    for file_format in ("PNG", "TIFF"):
        _same(decode_photo(encode(photo, file_format)), photo)
    assert decode_photo(encode(photo, "JPEG")).pixels.shape == (10, 20000, 3)
    with pytest.raises(DataError, match="WEBP ends at 16383 pixels a side and the photo has 20000: save it as PNG"):
        encode(photo, "WEBP")


@pytest.mark.parametrize("file_format", ALL)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_colour_profile_stays_byte_for_byte(channels: int, file_format: PhotoFormat) -> None:
    kind = b"GRAY" if channels == 1 else b"RGB "
    profile = PROFILE[:16] + kind + PROFILE[20:]
    photo = decode_photo(encode(replace(made(channels), icc=profile), file_format))
    assert photo.icc == profile
    assert photo.grey == (channels == 1)


def test_a_profile_of_several_megabytes_survives_png() -> None:
    profile = np.random.default_rng(0).bytes(3 << 20)
    assert decode_photo(encode(replace(made(), icc=profile), "PNG")).icc == profile


def test_jpeg_keeps_colours_at_full_resolution_and_noise() -> None:
    photo = replace(made(), pixels=(smooth(33, 47) // 2 + noise(33, 47) % 64).astype(np.uint8))
    image = opened(encode(photo, "JPEG"))
    assert [part[1:3] for part in image.layer] == [(1, 1)] * 3  # type: ignore[attr-defined]
    halved = np.asarray(opened(encoded(photo.pixels, "JPEG", quality=95, subsampling=2)))
    lost, lost_halved = (
        np.abs(pixels.astype(int) - photo.pixels).mean() for pixels in (decode_photo(encode(photo, "JPEG")).pixels, halved)
    )
    assert lost < 0.3 * lost_halved
    sizes = [len(encode(photo, "JPEG", quality=quality)) for quality in (1, 50, 95, 100)]
    assert sizes == sorted(set(sizes))
    assert len(encode(photo, "JPEG")) == sizes[2]


def test_grey_jpeg_has_one_channel() -> None:
    image = opened(encode(made(1), "JPEG"))
    assert image.mode == "L"
    assert decode_photo(encode(made(1), "JPEG")).grey


@pytest.mark.parametrize("file_format", ["WEBP", "HEIF"])
def test_lossy_webp_and_heic(file_format: PhotoFormat) -> None:
    photo = replace(made(alpha=True), pixels=smooth(33, 47), alpha=smooth(33, 47, 1))
    best, worst = (decode_photo(encode(photo, file_format, quality=quality)) for quality in (95, 5))
    for other in (best, worst):
        assert other.alpha is not None
        assert other.format == file_format
    error = [np.abs(other.pixels.astype(int) - photo.pixels).mean() for other in (best, worst)]
    assert 0 < error[0] < error[1]
    assert len(encode(photo, file_format, quality=5)) < len(encode(photo, file_format, quality=95))


def test_grey_heic_stays_grey() -> None:
    assert opened(encode(made(1), "HEIF")).mode == "L"
    photo = made(1, alpha=True)
    assert decode_photo(encode(photo, "HEIF")).alpha is not None
    assert decode_photo(encode(photo, "HEIF")).grey


def test_jpeg_of_a_transparent_photo_is_refused_and_of_an_opaque_alpha_not() -> None:
    photo = made(alpha=True)
    with pytest.raises(DataError, match="transparent in places, which JPEG cannot be: save it as PNG, WebP or TIFF"):
        encode(photo, "JPEG")
    assert decode_photo(encode(replace(photo, alpha=np.full((33, 47), 255, np.uint8)), "JPEG")).alpha is None


@pytest.mark.parametrize("quality", [0, 101, -1])
def test_quality_out_of_range(quality: int) -> None:
    with pytest.raises(ValueError, match="1 to 100"):
        encode(made(), "JPEG", quality=quality)


def test_encoding_is_repeatable() -> None:
    for file_format in ALL[:4]:
        assert encode(made(), file_format) == encode(made(), file_format)


def test_heic_without_its_extra_is_refused() -> None:
    code = (
        "import sys; sys.modules['pillow_heif'] = None  # as if it were not installed\n"
        "import numpy as np; from faceenc.media import Photo, encode_photo; from faceenc.core import DataError\n"
        "photo = Photo(np.zeros((9, 9, 3), np.uint8), None, False, 'PNG', None, None, ())\n"
        "try: encode_photo(photo, format='HEIF')\n"
        "except DataError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "saving as HEIC needs pillow-heif: pip install 'faceenc[heic]', or save it as PNG\n"


# --- metadata ---

SECRETS = (b"Camera Works", b"2026:01:02", b"Maker", b"GPSLatitude", b"my street", THUMBNAIL[-90:], PREVIEW[-90:])


def sources() -> dict[str, bytes]:
    """The same picture with all that a file can tell besides."""
    exif, pixels = b"Exif\0\0" + camera_exif(), smooth(40, 64)
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "my street")
    text.add_itxt("Title", "meine Straße", "de", "Titel")
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    return {
        "JPEG": encoded(pixels, "JPEG", exif=exif, xmp=XMP, comment=b"my street", dpi=(300, 300)),
        "PNG": encoded(pixels, "PNG", exif=exif, pnginfo=text, dpi=(300, 300)),
        "WEBP": encoded(pixels, "WEBP", exif=exif, xmp=XMP),
        "HEIF": b"" if "pillow_heif" not in sys.modules else encoded(pixels, "HEIF", exif=exif, xmp=XMP),
    }


@pytest.mark.parametrize("file_format", ALL)
@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "HEIF"])
def test_nothing_of_the_file_is_left(source: str, file_format: PhotoFormat) -> None:
    if "HEIF" in (source, file_format):
        pytest.importorskip("pillow_heif").register_heif_opener()
    data = sources()[source]
    for secret in (b"Camera Works", b"2026:01:02", b"GPSLatitude", THUMBNAIL[-90:]):
        assert secret in data  # it is there to be found
    photo = decode_photo(data)
    assert photo.metadata is not None
    assert photo.pixels.shape == (64, 40, 3)
    output = encode(photo, file_format)
    for secret in SECRETS:
        assert secret not in output
    image = opened(output)
    assert not image.getexif().get_ifd(ExifTags.IFD.GPSInfo)
    assert 0x010F not in image.getexif()
    assert image.getexif().get(0x0112, 1) == 1
    assert not {"exif", "xmp", "comment", "Comment", "Title", "XML:com.adobe.xmp"} & {*image.info} or not image.info["exif"]
    assert decode_photo(output).metadata is None
    assert decode_photo(output).pixels.shape == (64, 40, 3)


def test_a_place_written_by_pillow_is_removed() -> None:
    exif = Image.Exif()
    exif[ExifTags.IFD.GPSInfo] = {1: "N", 2: (48.0, 51.0, 29.99), 3: "E", 4: (2.0, 17.0, 40.2), 29: "2026:01:02"}
    for file_format in ("JPEG", "PNG", "WEBP", "TIFF"):
        data = encoded(smooth(20, 20), file_format, exif=exif.tobytes())
        assert opened(data).getexif().get_ifd(ExifTags.IFD.GPSInfo)[2] == (48.0, 51.0, 29.99)
        for target in LOSSLESS:
            assert b"2026:01:02" not in encode(decode_photo(data), target)
            kept = encode(decode_photo(data), target, keep_metadata=True)
            assert opened(kept).getexif().get_ifd(ExifTags.IFD.GPSInfo)[4] == (2.0, 17.0, 40.2)


@pytest.mark.parametrize("file_format", ALL)
@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "HEIF"])
def test_metadata_is_kept_on_demand_and_fits_the_new_pixels(source: str, file_format: PhotoFormat) -> None:
    if "HEIF" in (source, file_format):
        pytest.importorskip("pillow_heif").register_heif_opener()
    photo = decode_photo(sources()[source])
    output = encode(photo, file_format, keep_metadata=True)
    image = opened(output)
    exif = image.getexif()
    assert exif[0x010F] == "Camera Works"
    assert exif.get(0x0112, 1) == 1
    details = exif.get_ifd(ExifTags.IFD.Exif)
    assert details[0x9003] == "2026:01:02 03:04:05"
    assert (details[0xA002], details[0xA003]) == (40, 64)
    assert not any(details[0x927C])
    assert exif.get_ifd(ExifTags.IFD.GPSInfo)[2] == (48.0, 51.0, 29.99)
    assert not exif.get_ifd(ExifTags.IFD.IFD1)
    for picture in (THUMBNAIL, PREVIEW):
        assert picture[-90:] not in output
    assert b'exif:GPSLatitude="48,51.5N"' in output
    assert b'Orientation="6"' not in output
    assert (XMP.replace(b'"6"', b'"1"') in output) == (source != "HEIF")  # pillow-heif takes the orientation out itself
    # Read again, the picture is not turned a second time.
    again = decode_photo(output)
    assert again.pixels.shape == photo.pixels.shape
    if file_format in LOSSLESS:
        np.testing.assert_array_equal(again.pixels, photo.pixels)


def test_resolution_and_text_are_kept_on_demand() -> None:
    photo = decode_photo(sources()["PNG"])
    image = opened(encode(photo, "PNG", keep_metadata=True))
    assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    assert image.info["Comment"] == "my street"
    assert (image.info["Title"], image.info["Title"].lang, image.info["Title"].tkey) == ("meine Straße", "de", "Titel")
    for file_format in ("JPEG", "TIFF"):
        assert opened(encode(photo, file_format, keep_metadata=True)).info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_the_tags_of_a_tiff_that_are_about_its_samples_stay_behind() -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Camera Works", 6
    source = encoded(smooth(40, 64), "TIFF", compression="tiff_lzw", exif=exif)
    photo = decode_photo(source)
    assert photo.pixels.shape == (64, 40, 3)
    for file_format in ("PNG", "JPEG", "TIFF"):
        output = encode(photo, file_format, keep_metadata=True)
        assert opened(output).getexif()[0x010F] == "Camera Works"
        assert opened(output).size == (40, 64)
        assert decode_photo(output).pixels.shape == (64, 40, 3)
    assert 0x0111 not in opened(encode(photo, "PNG", keep_metadata=True)).getexif()


def test_exif_as_text_in_a_png_does_not_turn_the_picture_twice() -> None:
    """ImageMagick's way."""
    exif = b"Exif\0\0" + camera_exif()
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", f"\nexif\n{len(exif):8}\n{exif.hex()}\n", zip=True)
    photo = decode_photo(encoded(smooth(40, 64), "PNG", pnginfo=text))
    assert photo.pixels.shape == (64, 40, 3)
    output = encode(photo, "PNG", keep_metadata=True)
    assert decode_photo(output).pixels.shape == (64, 40, 3)
    assert opened(output).getexif()[0x010F] == "Camera Works"
    assert b"Raw profile" not in output  # with its orientation of old, and the thumbnail


def test_metadata_that_does_not_fit_is_refused_in_one_line() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", "<x>" + "y " * 35_000 + "</x>")
    photo = decode_photo(encoded(smooth(9, 9), "PNG", pnginfo=text))
    with pytest.raises(DataError, match="cannot be saved as JPEG: XMP data is too long; leave its metadata out or use PNG"):
        encode(photo, "JPEG", keep_metadata=True)
    assert encode(photo, "JPEG")
    assert encode(photo, "PNG", keep_metadata=True)


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_is_changed_in_place(order: str) -> None:
    before = camera_exif(order)
    after = clean_exif(b"Exif\0\0" + before, width=4000, height=3000)
    assert after is not None
    assert len(after) < len(before) - len(THUMBNAIL)
    for text in (b"Camera Works\0", b"2026:01:02 03:04:05\0", b"2026:01:02\0"):
        assert after.index(text) == before.index(text)
    for note in (b"Maker\0", b"tail"):
        assert note not in after
    exif = Image.Exif()
    exif.load(after)
    assert exif[0x0112] == 1
    assert {tag: exif.get_ifd(ExifTags.IFD.Exif)[tag] for tag in (0xA002, 0xA003)} == {0xA002: 4000, 0xA003: 3000}
    assert clean_exif(after, width=4000, height=3000) == after


@pytest.mark.parametrize("cut", [3, 9, 40, 100, 800])
def test_a_broken_exif_block_is_left_out(cut: int) -> None:
    assert clean_exif(camera_exif()[:cut], width=9, height=9) is None or cut == 800
    photo = decode_photo(encoded(smooth(9, 9), "PNG", exif=b"Exif\0\0" + camera_exif()[:cut]))
    for file_format in LOSSLESS:
        assert encode(photo, file_format, keep_metadata=True)


def test_xmp_loses_orientation_and_thumbnails() -> None:
    picture = b"<xmp:Thumbnails><rdf:Alt><rdf:li xmpGImg:image='/9j/4AAQ'/></rdf:Alt>\n</xmp:Thumbnails>"
    packet = b"<a tiff:Orientation='8'/><tiff:Orientation>3</tiff:Orientation>" + picture + b"<b/>"
    assert clean_xmp(packet) == b"<a tiff:Orientation='1'/><tiff:Orientation>1</tiff:Orientation><b/>"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("keep", [False, True])
def test_written_upright_and_never_turned_twice(orientation: int, keep: bool) -> None:
    photo = decode_photo(encoded(smooth(20, 30), "PNG", exif=oriented(orientation)))
    for file_format in LOSSLESS:
        data = encode(photo, file_format, keep_metadata=keep)
        assert opened(data).getexif().get(0x0112, 1) == 1
        _same(decode_photo(data), photo)
