"""Photos of every kind in, PNG out, tensors there and back, squares around boxes."""

from __future__ import annotations

import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from faceenc.core import Box, DataError
from faceenc.faces import crop_square
from faceenc.media import read_image, to_tensor, to_uint8, write_png

ORIENTATION = 0x0112


def _noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        # What a camera stores for an upright picture x under each EXIF orientation.
        (1, lambda x: x),
        (2, lambda x: x[:, ::-1]),
        (3, lambda x: x[::-1, ::-1]),
        (4, lambda x: x[::-1]),
        (5, lambda x: x.swapaxes(0, 1)),
        (6, lambda x: np.rot90(x)),
        (7, lambda x: x[::-1, ::-1].swapaxes(0, 1)),
        (8, lambda x: np.rot90(x, -1)),
    ],
)
def test_exif_orientation(
    orientation: int, stored: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], tmp_path: Path
) -> None:
    upright = _noise(5, 8)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(np.ascontiguousarray(stored(upright))).save(tmp_path / "x.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "x.png"), upright)


def _pillow(mode: str, color: int | tuple[int, ...]) -> Image.Image:
    return Image.new(mode, (4, 3), color)


def _palette(transparency: int | None) -> Image.Image:
    image = Image.new("P", (4, 3), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    if transparency is not None:
        image.info["transparency"] = transparency
    return image


@pytest.mark.parametrize(
    ("image", "suffix", "color"),
    [
        (_pillow("1", 1), "png", (255, 255, 255)),
        (_pillow("L", 77), "png", (77, 77, 77)),
        (_pillow("L", 77), "pgm", (77, 77, 77)),
        (_pillow("LA", (77, 255)), "png", (77, 77, 77)),
        (_pillow("LA", (77, 0)), "png", (255, 255, 255)),
        (_palette(None), "png", (10, 20, 30)),
        (_palette(1), "png", (255, 255, 255)),
        (_pillow("RGBA", (10, 20, 30, 255)), "png", (10, 20, 30)),
        (_pillow("RGBA", (0, 0, 0, 51)), "webp", (204, 204, 204)),
        (_pillow("CMYK", (0, 255, 255, 0)), "tif", (255, 0, 0)),
        (_pillow("CMYK", (0, 255, 255, 0)), "jpg", (254, 0, 0)),
        (_pillow("I;16", 65535), "png", (255, 255, 255)),
        (_pillow("I;16", 128 * 257), "tif", (128, 128, 128)),
        (_pillow("I", 128 * 257), "pgm", (128, 128, 128)),
        (_pillow("RGB", (10, 20, 30)), "bmp", (10, 20, 30)),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else str(value),
)
def test_modes(image: Image.Image, suffix: str, color: tuple[int, int, int], tmp_path: Path) -> None:
    image.save(tmp_path / f"x.{suffix}", lossless=True)  # heeded by WebP only
    pixels = read_image(tmp_path / f"x.{suffix}")
    assert pixels.shape == (3, 4, 3)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - color).max() <= (1 if suffix == "jpg" else 0)


def _png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"")
    chunks = [struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (body, data)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _encoded(tmp_path: Path, suffix: str) -> bytes:
    Image.fromarray(_noise(64, 64)).save(tmp_path / f"whole.{suffix}")
    return (tmp_path / f"whole.{suffix}").read_bytes()


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (lambda folder: b"", "empty"),
        (lambda folder: b"no image at all", "not an image"),
        (lambda folder: _encoded(folder, "jpg")[:1500], "truncated"),
        (lambda folder: _encoded(folder, "png")[:5000], "truncated"),
        (lambda folder: _encoded(folder, "webp")[:500], "damaged"),
        (lambda folder: _encoded(folder, "tif")[:2000], "damaged"),
        (lambda folder: b"P5 9 9 255\n123", "damaged"),
        (lambda folder: _png_header(20_000, 10_000), "more than 50"),
        (None, "no such file"),
    ],
)
def test_unreadable_files(content: Callable[[Path], bytes] | None, part: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    if content is not None:
        path.write_bytes(content(tmp_path))
    with pytest.raises(DataError) as caught:
        read_image(path)
    message = str(caught.value)
    assert str(path) in message
    assert part in message
    assert "\n" not in message


def test_floating_point_pixels_folders_and_animations_are_refused(tmp_path: Path) -> None:
    Image.new("F", (4, 4), 0.5).save(tmp_path / "x.tif")
    with pytest.raises(DataError, match="floating-point"):
        read_image(tmp_path / "x.tif")
    with pytest.raises(DataError, match="check the path"):
        read_image(tmp_path)
    frames = [Image.fromarray(_noise(8, 8, seed)) for seed in range(3)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="it is animated"):
        read_image(tmp_path / "x.gif")


def test_large_photo_and_broken_exif_are_read_without_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (80, 80)).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5000)  # Pillow warns above this limit and refuses above its double
    Image.fromarray(_noise(8, 8)).save(tmp_path / "exif.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff rot")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(tmp_path / "large.png").shape == (80, 80, 3)
        assert read_image(tmp_path / "exif.jpg").shape == (8, 8, 3)


def test_png_round_trip_leaves_no_temporary_file(tmp_path: Path) -> None:
    image = _noise(7, 9)
    write_png(tmp_path / "x.png", image)
    write_png(tmp_path / "x.png", image[::-1])
    np.testing.assert_array_equal(read_image(tmp_path / "x.png"), image[::-1])
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
    with pytest.raises(DataError, match="cannot write"):
        write_png(tmp_path / "none" / "x.png", image)


@pytest.mark.skipif(sys.platform == "win32", reason="the limit is POSIX")
def test_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    write_png(tmp_path / "x.png", _noise(4, 4))
    code = (
        "import resource, numpy as np; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "from faceenc.media import write_png; from faceenc.core import DataError\n"
        f"try: write_png({str(tmp_path / 'x.png')!r}, np.random.default_rng(0).integers(0, 256, (99, 99, 3), np.uint8))\n"
        "except DataError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "File too large" in done.stdout
    np.testing.assert_array_equal(read_image(tmp_path / "x.png"), _noise(4, 4))
    assert len(list(tmp_path.iterdir())) == 1


def test_tensor_round_trip_is_exact() -> None:
    images = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3).repeat(2, axis=0)
    images.flags.writeable = False
    x = to_tensor(images)
    assert x.shape == (2, 3, 16, 16)
    assert x.dtype == torch.float32
    assert x.is_contiguous()
    assert torch.equal(x[0, 0].flatten(), torch.arange(256, dtype=torch.float32) / 255)
    np.testing.assert_array_equal(to_uint8(x), images)
    np.testing.assert_array_equal(to_uint8(x + 1.9e-3), images)
    assert to_uint8(torch.tensor([-0.5, 1.5]).reshape(1, 1, 1, 2).expand(1, 3, 1, 2))[0, 0].tolist() == [[0] * 3, [255] * 3]


def test_crop_without_scaling_copies_pixels() -> None:
    image = _noise(30, 40)
    np.testing.assert_array_equal(crop_square(image, Box(10, 5, 20, 15), size=10, margin=0), image[5:15, 10:20])
    # The longer side and the margin decide: 4 x 8, a quarter on each side, is a square of 12 around the same centre.
    np.testing.assert_array_equal(crop_square(image, Box(18, 10, 22, 18), size=12, margin=0.25), image[8:20, 14:26])


@pytest.mark.parametrize("box", [Box(-4, -6, 8, 6), Box(34, 24, 46, 36), Box(-30, 40, -20, 50)])
def test_crop_over_the_border_repeats_it(box: Box) -> None:
    image = _noise(30, 40)
    padded = np.pad(image, ((60, 60), (60, 60), (0, 0)), mode="edge")
    moved = Box(box.x0 + 60, box.y0 + 60, box.x1 + 60, box.y1 + 60)
    for size in (12, 5, 31):
        np.testing.assert_array_equal(
            crop_square(image, box, size=size, margin=0.1), crop_square(padded, moved, size=size, margin=0.1)
        )


def test_crop_antialiases_and_keeps_position() -> None:
    rows, columns = np.mgrid[0:400, 0:400]
    ramp = np.stack([rows / 2, columns / 2, (rows + columns) % 2 * 255], axis=-1).round().astype(np.uint8)
    crop = crop_square(ramp, Box(100.5, 200.5, 200.5, 300.5), size=20, margin=0).astype(float)
    centres = 100.5 + (np.arange(20) + 0.5) * 5 - 0.5
    assert np.abs(crop[..., 1] - centres / 2).max() <= 1
    assert np.abs(crop[..., 0].T - (centres + 100) / 2).max() <= 1
    assert np.abs(crop[..., 2] - 127.5).max() <= 20


def test_crop_refuses_an_empty_square() -> None:
    with pytest.raises(ValueError, match="empty square"):
        crop_square(_noise(9, 9), Box(3, 3, 3, 3), size=8, margin=0.2)
