"""Photo files of the kinds that people have, made by hand where Pillow cannot write them."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

# What a camera stores for an upright picture under each EXIF orientation.
STORED: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x, -1),
}


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> Pixels:
    """(H, W, channels), or (H, W) for one channel."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    return pixels[..., 0] if channels == 1 else pixels


def smooth(height: int, width: int, channels: int = 3, seed: int = 0) -> Pixels:
    """What lossy formats keep."""
    coarse = Image.fromarray(noise(4, 4, channels, seed))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def encoded(image: Image.Image | Pixels, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(image)) if isinstance(image, np.ndarray) else image
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    """Loaded by Pillow itself."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def oriented(orientation: int) -> bytes:
    """An EXIF block that says only how the camera was held."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_file(width: int, height: int, depth: int, colour: int, rows: bytes, *chunks: bytes) -> bytes:
    """A PNG of the given bit depth and colour type; `rows` are packed samples, each row after a zero."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"".join(
        [b"\x89PNG\r\n\x1a\n", header, *chunks, png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"IEND", b"")]
    )


Tag = tuple[int, int, Any]  # number, kind, value: bytes, an integer, several, or a `Tag` list for a directory of its own


def tiff_block(order: str, *directories: Sequence[Tag], content: bytes = b"") -> bytes:
    """A TIFF or EXIF block ("<" or ">"); `content` lies at its byte 8, and the directories follow, linked to one another."""
    block = bytearray({"<": b"II*\0", ">": b"MM\0*"}[order] + bytes(4) + content)
    link = 4
    for directory in directories:
        struct.pack_into(f"{order}I", block, link, len(block))
        link = _append_directory(block, order, directory)
    return bytes(block)


def _append_directory(block: bytearray, order: str, tags: Sequence[Tag]) -> int:
    """Returns where the link to the next directory lies."""
    start = len(block)
    block += struct.pack(f"{order}H", len(tags)) + bytes(12 * len(tags) + 4)
    for index, (number, kind, value) in enumerate(tags):
        place = start + 2 + 12 * index
        size, code = {1: (1, "B"), 2: (1, "s"), 3: (2, "H"), 4: (4, "I"), 5: (8, "II"), 7: (1, "s")}[kind]
        if isinstance(value, list):
            struct.pack_into(f"{order}HHII", block, place, number, kind, 1, len(block))
            _append_directory(block, order, value)
            continue
        parts = value if isinstance(value, tuple) else (value,)
        raw = value if isinstance(value, bytes) else struct.pack(f"{order}{len(parts)}{code[0]}", *parts)
        struct.pack_into(f"{order}HHI", block, place, number, kind, len(raw) // size)
        if len(raw) <= 4:
            block[place + 8 : place + 8 + len(raw)] = raw
        else:
            struct.pack_into(f"{order}I", block, place + 8, len(block))
            block += raw
    return start + 2 + 12 * len(tags)


def tiff_file(samples: NDArray[Any] | bytes, size: tuple[int, int], *tags: Tag, bits: tuple[int, ...] = (8,)) -> bytes:
    """An uncompressed little-endian TIFF of one strip: (width, height), grey or RGB by the number of `bits`."""
    content = samples if isinstance(samples, bytes) else samples.tobytes()
    own: list[Tag] = [
        (256, 4, size[0]),
        (257, 4, size[1]),
        (258, 3, bits),
        (259, 3, 1),
        (262, 3, 1 if len(bits) == 1 else 2),
    ]
    own += [(273, 4, 8), (277, 3, len(bits)), (278, 4, size[1]), (279, 4, len(content))]
    merged = {tag[0]: tag for tag in (*own, *tags)}
    return tiff_block("<", [merged[number] for number in sorted(merged)], content=content)


THUMBNAIL = encoded(np.full((8, 8, 3), (200, 30, 30), np.uint8), "JPEG")
PREVIEW = encoded(np.full((8, 8, 3), (30, 200, 30), np.uint8), "JPEG")


def camera_exif(order: str = "<", orientation: int = 6) -> bytes:
    """An EXIF block as cameras write it: place, size, makers' note with a preview, thumbnail in a second directory."""
    gps: list[Tag] = [(1, 2, b"N\0"), (2, 5, (48, 1, 51, 1, 2999, 100)), (29, 2, b"2026:01:02\0")]
    details: list[Tag] = [(0x9003, 2, b"2026:01:02 03:04:05\0"), (0xA002, 4, 640), (0xA003, 3, 480)]
    details.insert(1, (0x927C, 7, b"Maker\0" + PREVIEW + b"\0tail"))
    first: list[Tag] = [(0x010F, 2, b"Camera Works\0"), (0x0112, 3, orientation), (0x8769, 4, details), (0x8825, 4, gps)]
    # The thumbnail lies behind everything, as it mostly does.
    second: list[Tag] = [(0x0103, 3, 6), (0x0112, 3, orientation), (0x0201, 4, 0), (0x0202, 4, len(THUMBNAIL))]
    end = len(tiff_block(order, first, second))
    second[2] = (0x0201, 4, end)
    return tiff_block(order, first, second) + THUMBNAIL


def heic_with_auxiliary(kind: bytes) -> bytes:
    """A HEIC of two pictures as pillow-heif writes it, the second one declared auxiliary to the first."""
    other = Image.fromarray(smooth(32, 32))
    block = bytearray(encoded(smooth(64, 64), "HEIF", save_all=True, append_images=[other]))
    added = 0

    def append(inside: Sequence[bytes], content: bytes) -> None:
        """To the last of these boxes, each of which lies in the one before."""
        nonlocal added
        added += len(content)
        starts = [block.index(name) - 4 for name in inside]
        end = starts[-1] + int(struct.unpack_from(">I", block, starts[-1])[0])
        for start in starts:
            struct.pack_into(">I", block, start, struct.unpack_from(">I", block, start)[0] + len(content))
        block[end:end] = content

    block[block.index(b"ipma") + 21] += 1  # the number of the second picture's properties; the seventh is made next
    append((b"meta", b"iprp", b"ipma"), bytes([7]))
    append((b"meta", b"iprp", b"ipco"), struct.pack(">I4sI", 13 + len(kind), b"auxC", 0) + kind + b"\0")
    append((b"meta",), struct.pack(">I4sII4sHHH", 26, b"iref", 0, 14, b"auxl", 2, 1, 1))
    for place in (16, 34):  # where the pictures' samples lie
        start = block.index(b"iloc") + place
        struct.pack_into(">I", block, start, struct.unpack_from(">I", block, start)[0] + added)
    return bytes(block)


def cmyk_profile() -> bytes:
    """A colour profile for CMYK in which cyan ink is red, so that nobody mistakes its use for the plain formula."""
    white, red = (255, 128, 128), (135, 208, 195)  # Lab in 8 bits
    corners = bytes(
        value
        for cyan, magenta, yellow, black in np.ndindex(2, 2, 2, 2)
        for value in ((0, 128, 128) if black or magenta or yellow else red if cyan else white)
    )
    ramp = bytes(range(256))
    identity = struct.pack(">9i", *(65536 * (row == column) for row in range(3) for column in range(3)))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + ramp * 4 + corners + ramp * 3
    text = b"desc" + bytes(4) + struct.pack(">I", 5) + b"CMYK\0" + bytes(78)
    tags = {b"desc": text, b"A2B0": table, b"wtpt": b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)}
    directory, content = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        directory += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(content), len(data))
        content += data + bytes(-len(data) % 4)
    header = struct.pack(">I4sI4s4s4s", 128 + len(directory + content), bytes(4), 0x02400000, b"prtr", b"CMYK", b"Lab ")
    header += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + directory + content


def too_deep(folder: Path) -> Path:
    """Makes folders in it, so deep that no system opens the last one by its path; returns the first one."""
    name, place = "d" * 250, os.open(folder, os.O_RDONLY)
    for _ in range(17):
        os.mkdir(name, dir_fd=place)
        below = os.open(name, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = below
    os.close(place)
    return folder / name
