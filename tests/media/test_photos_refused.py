"""Files that are no photo, or none that can be protected: one line each, and no memory for what the header promises."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from faceenc.core import DataError
from faceenc.media import decode_photo, read_photo
from tests.photo_files import encoded, noise, png_chunk, png_file, smooth, tiff_block, tiff_file

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")


def line(path: Path) -> str:
    """The one line of a file that cannot be read."""
    with pytest.raises(DataError) as caught:
        read_photo(path)
    message = str(caught.value)
    assert message.startswith(f"cannot read {path}: ")
    assert "\n" not in message
    return message.removeprefix(f"cannot read {path}: ")


def _animated(file_format: str, **options: Any) -> bytes:
    pictures = [Image.fromarray(smooth(16, 16, seed=seed)) for seed in range(3)]
    return encoded(pictures[0], file_format, save_all=True, append_images=pictures[1:], duration=80, **options)


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "AVIF"])
def test_animated(file_format: str, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(_animated(file_format))
    assert line(tmp_path / "x.png").startswith("it is animated; save one of its pictures, or take `faceenc video`")


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG"])
def test_a_still_picture_in_a_format_for_animations_is_read(file_format: str) -> None:
    photo = decode_photo(encoded(Image.fromarray(smooth(16, 16)), file_format, save_all=True))
    assert photo.pixels.shape == (16, 16, 3)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "LZW", "BMP", "GIF", "AVIF", "HEIF"])
def test_truncated(file_format: str, share: float, tmp_path: Path) -> None:
    if file_format == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    options = {"format": "TIFF", "compression": "tiff_lzw"} if file_format == "LZW" else {"format": file_format}
    whole = encoded(noise(64, 64), options.pop("format"), **options)
    (tmp_path / "x").write_bytes(whole[: int(len(whole) * share)])
    assert any(word in line(tmp_path / "x") for word in ("truncated", "damaged"))


def test_truncated_progressive_jpeg(tmp_path: Path) -> None:
    whole = encoded(noise(64, 64), "JPEG", progressive=True)
    (tmp_path / "x.jpg").write_bytes(whole[: len(whole) // 2])
    assert "truncated" in line(tmp_path / "x.jpg")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "the file is empty"),
        (b"no image at all", "not an image of a known format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image of a known format"),
        (b"\xff\xd8\xff\xe0", "damaged or of a kind"),
        (b"\x89PNG\r\n\x1a\n", "damaged or of a kind"),
        (b"P5 9 9 255\n123", "damaged"),
        (encoded(Image.new("F", (4, 4), 0.5), "TIFF"), "signed, floating-point or of more than 16 bits"),
        (encoded(Image.new("I", (4, 4), 5), "TIFF"), "signed, floating-point or of more than 16 bits"),
        (
            tiff_file(np.full(4, -5, "<i2"), (2, 2), (339, 3, 2), bits=(16,)),
            "signed, floating-point or of more than 16 bits",
        ),
        (tiff_file(np.full(4, 5, "<u4"), (2, 2), bits=(32,)), "signed, floating-point or of more than 16 bits"),
        (encoded(Image.new("LAB", (4, 4)), "TIFF"), "its colours are LAB; export it as RGB"),
        (tiff_file(bytes(48), (4, 4), (262, 3, 6), bits=(8, 8, 8)), "its colours are YCbCr; export it as RGB"),
        (
            png_file(1, 1, 16, 2, bytes(7), png_chunk(b"tRNS", bytes(6))),
            "one of its 16-bit colours is marked as transparent; export it with 8 bits or an alpha channel",
        ),
        (tiff_file(noise(4, 4), (4, 4), (50706, 1, (1, 4, 0, 0)), bits=(8, 8, 8)), "it is a camera's raw file"),
        (tiff_file(noise(4, 4), (4, 4), (254, 4, 1), bits=(8, 8, 8)), "it is a camera's raw file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_no_photo(content: bytes, part: str, tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(content)
    assert part in line(tmp_path / "x.jpg")
    with pytest.raises(DataError, match=r"^cannot read the photo's bytes: ") as caught:
        decode_photo(content)
    assert part in str(caught.value)


def test_missing_and_folder(tmp_path: Path) -> None:
    assert line(tmp_path / "none.jpg") == "no such file or directory; check the path"
    assert line(tmp_path) == "is a directory; check the path"
    (tmp_path / "file").touch()
    assert "check the path" in line(tmp_path / "file" / "x.jpg")


@POSIX
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.jpg")
    assert line(tmp_path / "x.jpg") == "it is a pipe or a device; give a file"


@POSIX
def test_unreadable_file(tmp_path: Path) -> None:
    """Root may read everything: a process of nobody's tries."""
    (tmp_path / "x.jpg").write_bytes(encoded(smooth(9, 9), "JPEG"))
    (tmp_path / "x.jpg").chmod(0)
    tmp_path.chmod(0o755)
    code = (
        "import os; from faceenc.media import read_photo; from faceenc.core import DataError\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"
        "try: read_photo('x.jpg')\n"
        "except DataError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "cannot read x.jpg: permission denied; check the path\n"


def test_heic_without_its_extra_names_it(tmp_path: Path) -> None:
    head = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    (tmp_path / "x.jpg").write_bytes(head + bytes(200))
    code = (
        "import sys; sys.modules['pillow_heif'] = None  # as if it were not installed\n"
        "from faceenc.media import read_photo; from faceenc.core import DataError\n"
        f"try: read_photo({str(tmp_path / 'x.jpg')!r})\n"
        "except DataError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("x.jpg: it is HEIC, which needs pillow-heif: pip install 'faceenc[heic]'\n")


def _patched(data: bytes, *patches: tuple[int, str, tuple[int, ...]]) -> bytes:
    changed = bytearray(data)
    for place, layout, values in patches:
        struct.pack_into(layout, changed, place, *values)
    return bytes(changed)


def _png(width: int, height: int) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(bytes(1000)))


def _jpeg(width: int, height: int) -> bytes:
    data = encoded(noise(16, 16), "JPEG")
    return _patched(data, (data.index(b"\xff\xc0") + 5, ">HH", (height, width)))


def _webp(width: int, height: int) -> bytes:
    return _patched(encoded(noise(16, 16), "WEBP"), (26, "<HH", (min(width, 16383), min(height, 16383))))


def _tiff(width: int, height: int) -> bytes:
    return tiff_file(bytes(300), (width, height), bits=(8, 8, 8))


def _bmp(width: int, height: int) -> bytes:
    return _patched(encoded(noise(16, 16), "BMP"), (18, "<ii", (width, height)))


def _gif(width: int, height: int) -> bytes:
    return _patched(encoded(Image.fromarray(noise(16, 16)), "GIF"), (6, "<HH", (width, height)))


def _ppm(width: int, height: int) -> bytes:
    return b"P6 %d %d 255\n" % (width, height) + bytes(100)


def _avif(width: int, height: int) -> bytes:
    data = encoded(noise(16, 16), "AVIF")
    return _patched(data, (data.index(b"ispe") + 8, ">II", (min(width, 16000), min(height, 16000))))


BOMBS: list[Callable[[int, int], bytes]] = [_png, _jpeg, _webp, _tiff, _bmp, _gif, _ppm, _avif]


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda make: make.__name__[1:])
@pytest.mark.parametrize(
    ("size", "part"), [((8200, 7000), "57.4 megapixels, more than 50"), ((60000, 60000), "more than 50")]
)
def test_too_many_pixels(size: tuple[int, int], part: str, bomb: Callable[[int, int], bytes], tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bomb(*size))
    assert part in (message := line(tmp_path / "x"))
    assert message.endswith("scale it down first")


@POSIX
def test_a_bomb_takes_no_memory(tmp_path: Path) -> None:
    """60,000 x 60,000 pixels of RGB would be 10 GB; the 57 megapixels that Pillow itself would take, 160 MB."""
    for bomb in BOMBS:
        for size in ((8200, 7000), (60000, 60000)):
            (tmp_path / f"{bomb.__name__}{size[0]}").write_bytes(bomb(*size))
    code = (
        "import resource; from pathlib import Path\n"
        "from faceenc.media import decode_photo, read_photo; from faceenc.core import DataError\n"
        f"decode_photo(bytes.fromhex('{encoded(noise(9, 9), 'WEBP').hex()}'))\n"  # all of Pillow is loaded
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"for path in sorted(Path({str(tmp_path)!r}).iterdir()):\n"
        "    try: read_photo(path)\n"
        "    except DataError: print('refused')\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *refused, grown = done.stdout.split()
    assert refused == ["refused"] * 2 * len(BOMBS)
    assert int(grown) < 30_000 * (1024 if sys.platform == "darwin" else 1)  # kilobytes; bytes on macOS


def test_a_compressed_text_that_explodes_is_refused(tmp_path: Path) -> None:
    bomb = png_chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(40 << 20)))
    (tmp_path / "x.png").write_bytes(png_file(1, 1, 8, 0, b"\0\0", bomb))
    assert "too large" in line(tmp_path / "x.png")


def test_every_cut_and_every_flipped_byte_is_one_line_or_a_photo() -> None:
    """No file brings anything down but its own reading."""
    rng = np.random.default_rng(3)
    exif = b"Exif\0\0" + tiff_block("<", [(0x112, 3, 6), (0x8769, 4, [(0xA002, 4, 9)])])
    for file_format in ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"):
        options = {} if file_format in ("GIF", "BMP", "TIFF") else {"exif": exif}
        whole = encoded(Image.fromarray(noise(12, 12)), file_format, **options)
        for place in rng.integers(0, len(whole), 60):
            flipped = whole[:place] + bytes([whole[place] ^ int(rng.integers(1, 256))]) + whole[place + 1 :]
            for data in (flipped, whole[:place]):
                try:
                    assert decode_photo(data).pixels.ndim == 3
                except DataError as error:
                    assert "\n" not in str(error)  # noqa: PT017


def test_damaged_photos_leave_the_terminal_quiet(tmp_path: Path) -> None:
    """Libtiff writes to it from C, Pillow where nobody set up logging."""
    lzw = bytearray(encoded(smooth(64, 48), "TIFF", compression="tiff_lzw"))
    lzw[8:60] = bytes(52)
    deflated = bytearray(encoded(smooth(64, 48), "TIFF", compression="tiff_deflate"))
    deflated[20:60] = b"\x55" * 40
    samples = tiff_file(noise(24, 32), (32, 24), (277, 3, 65535), bits=(8, 8, 8))
    for number, data in enumerate((lzw, deflated, samples)):
        (tmp_path / f"{number}.tif").write_bytes(data)
    code = (
        "import sys; from faceenc.core import DataError; from faceenc.media import read_photo\n"
        "for path in sys.argv[1:]:\n    try: read_photo(path)\n    except DataError: print('refused')"
    )
    words = [sys.executable, "-c", code, *map(str, sorted(tmp_path.iterdir()))]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("refused\n" * 3, "")
