"""Photos, checkpoints, clips and models for `fuzz.py`."""

from __future__ import annotations

import json
import random
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests' makers of photos

from fuzz_changes import NUMBERS, ODD, Try, dumped, flipped, mutated

from tests import photo_files

# Photos


def _photos() -> list[tuple[str, bytes]]:
    picture = Image.fromarray(photo_files.smooth(48, 64))
    exif = photo_files.camera_exif()
    png = photo_files.encoded(picture, "PNG", exif=exif)
    found = [
        (".png", png), (".png", photo_files.encoded(picture.convert("P"), "PNG")),
        (".png", photo_files.encoded(picture.convert("RGBA"), "PNG")),
        (".jpg", photo_files.encoded(picture, "JPEG", exif=exif)),
        (".jpg", photo_files.encoded(picture, "JPEG", progressive=True)),
        (".jpg", photo_files.encoded(picture.convert("CMYK"), "JPEG")),
        (".webp", photo_files.encoded(picture, "WEBP", exif=exif)),
        (".webp", photo_files.encoded(picture, "WEBP", lossless=True)), (".gif", photo_files.encoded(picture, "GIF")),
        (".bmp", photo_files.encoded(picture, "BMP")), (".dib", photo_files.encoded(picture, "DIB")),
        (".ppm", photo_files.encoded(picture, "PPM")), (".pgm", photo_files.encoded(picture.convert("L"), "PPM")),
        (".tif", photo_files.tiff_file(photo_files.noise(24, 32), (32, 24), bits=(8, 8, 8))),
        (".mpo", photo_files.encoded(picture, "MPO", save_all=True, append_images=[picture])),
        (".apng", photo_files.encoded(picture, "PNG", save_all=True, append_images=[picture.rotate(90)])),
    ]  # fmt: skip
    for compression in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits"):
        found.append((".tif", photo_files.encoded(picture, "TIFF", compression=compression)))
    from faceenc.media import enable_heif

    if enable_heif():
        found += [(".heic", photo_files.encoded(picture, "HEIF")), (".heic", photo_files.heic_with_auxiliary(b"urn:x\0"))]
    return found


def _png_chunks(data: bytes, rng: random.Random) -> bytes:
    """A PNG whose chunks are changed and have the right checksum again."""
    chunks, place = [], 8
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    number = rng.randrange(len(chunks))
    name, content = chunks[number]
    match rng.randrange(5):
        case 0:
            chunks.insert(rng.randrange(len(chunks)), chunks.pop(number))
        case 1:
            chunks.insert(number, (name, content))
        case 2:
            unpacked = zlib.decompress(content) if name == b"IDAT" else content
            chunks[number] = (
                name,
                zlib.compress(flipped(unpacked, rng)) if name == b"IDAT" else flipped(content or b"\0", rng),
            )
        case 3:
            chunks[number] = (rng.choice((b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"zTXt", b"eXIf", b"acTL", b"fcTL")), content)
        case 4:
            header = bytearray(chunks[0][1])
            header[rng.randrange(len(header))] = rng.randrange(256)
            chunks[0] = (chunks[0][0], bytes(header))
    return data[:8] + b"".join(photo_files.png_chunk(*chunk) for chunk in chunks)


def _tiff_tags(rng: random.Random) -> bytes:
    """A TIFF with tags of any number, kind and value."""
    tags: list[photo_files.Tag] = []
    for _ in range(rng.choice((1, 2, 5))):
        number = rng.choice((254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 282, 284, 317, 320, 322, 324, 330,
                             339, 347, 34675, 34665, rng.randrange(65536)))  # fmt: skip
        kind = rng.choice((1, 3, 4))
        most = {1: 255, 3: 65535, 4: 2**32 - 1}[kind]
        few = [min(int(abs(n)), most) for n in rng.choices(NUMBERS[:13], k=rng.choice((1, 1, 2, 3)))]
        tags.append((number, kind, bytes(n & 255 for n in few) if kind == 1 else tuple(few)))
    return photo_files.tiff_file(photo_files.noise(24, 32), (32, 24), *tags, bits=(8, 8, 8))


def photos(folder: Path) -> Try:
    from faceenc.media import photo_format, read_photo

    whole = _photos()

    def try_one(rng: random.Random) -> object:
        suffix, data = rng.choice(whole)
        kind = rng.random()
        if suffix == ".png" and kind < 0.5:
            data = _png_chunks(data, rng)
        elif suffix == ".tif" and kind < 0.5:
            data = _tiff_tags(rng)
        else:
            data = flipped(data, rng)
        path = folder / f"photo{suffix}"
        path.write_bytes(data)
        photo_format(path)
        photo = read_photo(path)
        assert photo.pixels.ndim == 3
        return photo.format

    return try_one


# Checkpoints


def _safetensors(data: bytes) -> tuple[dict[str, Any], bytes]:
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def checkpoints(folder: Path) -> Try:
    from faceenc.recognizers import FaceResNet, load_checkpoint, save_checkpoint

    path = folder / "best.safetensors"
    save_checkpoint(FaceResNet(("ada", "bob"), 32), path, {"epochs": 1})
    whole = path.read_bytes()
    header, weights = _safetensors(whole)

    def try_one(rng: random.Random) -> object:
        kind = rng.random()
        if kind < 0.5:  # what it says of itself
            words = dict(header["__metadata__"])
            name = rng.choice(list(words))
            if name in ("classes", "training") and rng.random() < 0.7:
                words[name] = dumped(mutated(json.loads(words[name]), rng)).decode(errors="replace")
            else:
                words[name] = str(rng.choice(ODD))
            data = _with_header({**header, "__metadata__": words}, weights)
        elif kind < 0.8:  # what it says of its tensors
            tensors = dict(header)
            name = rng.choice(list(tensors))
            tensors[name] = mutated(tensors[name], rng)
            data = _with_header(tensors, weights)
        elif kind < 0.9:  # weights that are no numbers
            place = 4 * rng.randrange(len(weights) // 4)
            data = whole[: -len(weights)] + weights[:place] + struct.pack("<f", float("nan")) + weights[place + 4 :]
        else:
            data = flipped(whole[: rng.choice((100, 5000, len(whole)))], rng)
        path.write_bytes(data)
        return len(load_checkpoint(path)[0].classes)

    return try_one


def _with_header(header: dict[str, Any], weights: bytes) -> bytes:
    text = dumped(header)
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + weights


# Clips and models


def clips(folder: Path) -> Try:
    from faceenc.media import Clip, VideoFile, count_frames

    whole = {}
    for suffix in (".mp4", ".mkv", ".avi", ".webm", ".mov"):
        path = folder / f"whole{suffix}"
        with VideoFile(path, rate=10) as file:
            for number in range(6):
                file.write(photo_files.smooth(48, 64, seed=number))
        whole[suffix] = path.read_bytes()

    def try_one(rng: random.Random) -> object:
        suffix = rng.choice(list(whole))
        path = folder / f"clip{suffix}"
        data = whole[suffix]
        path.write_bytes(_boxes(data, rng) if suffix in (".mp4", ".mov") and rng.random() < 0.6 else flipped(data, rng))
        count = 0
        with Clip(path) as clip:
            for frame in clip:
                clip.pixels(frame)
                count += 1
        return count, count_frames(path)

    return try_one


def _boxes(data: bytes, rng: random.Random) -> bytes:
    """A field within the boxes of an MP4's index: sizes, counts, times and offsets lie there, and no pictures."""
    start = data.find(b"moov")
    mutable = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        place = rng.randrange(start, max(start + 8, len(data) - 4))
        mutable[place : place + 4] = struct.pack(">I", int(abs(rng.choice(NUMBERS[:11]))) & 0xFFFFFFFF)
    return bytes(mutable)


def models(folder: Path) -> Try:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from faceenc.recognizers import load_recognizer

    rng_weights = np.random.default_rng(0)
    shapes = {"w1": (4, 3, 8, 8), "b1": (4,), "w2": (2, 64), "b2": (2,)}
    weights = [numpy_helper.from_array(rng_weights.normal(size=s).astype(np.float32), n) for n, s in shapes.items()]
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c"], strides=[8, 8], kernel_shape=[8, 8]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Flatten", ["r"], ["f"]),
        helper.make_node("Gemm", ["f", "w2", "b2"], ["y"], transB=1),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [1, 3, 32, 32]), ("y", [1, 2]))]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    whole = model.SerializeToString()
    (folder / "people.txt").write_text("ada\nbob\n")
    (folder / "net.toml").write_text('classes = "people.txt"')
    ops = ("Conv", "Relu", "Flatten", "Gemm", "Reshape", "Loop", "If", "Identity", "Concat", "Pad", "Tile", "Expand",
           "Resize", "ConstantOfShape", "BatchNormalization", "MaxPool", "Softmax", "Custom", "")  # fmt: skip

    def try_one(rng: random.Random) -> object:
        proto = onnx.ModelProto.FromString(whole)
        for _ in range(rng.choice((1, 1, 2, 3))):
            _change_model(proto, rng, ops)
        data = flipped(whole, rng) if rng.random() < 0.2 else proto.SerializeToString()
        path = folder / "net.onnx"
        path.write_bytes(data)
        return load_recognizer(f"onnx:{path}").name

    return try_one


def _change_model(proto: Any, rng: random.Random, ops: tuple[str, ...]) -> None:
    graph = proto.graph
    node, weight = rng.choice(graph.node), rng.choice(graph.initializer)
    number = int(rng.choice([n for n in NUMBERS[:13] if abs(n) < 2**63]))
    match rng.randrange(11):
        case 0:
            node.op_type = rng.choice(ops)
        case 1 if node.attribute:
            attribute = rng.choice(node.attribute)
            if attribute.ints:
                attribute.ints[rng.randrange(len(attribute.ints))] = number
            attribute.i = number
        case 2 if node.input:
            node.input[rng.randrange(len(node.input))] = rng.choice(("x", "c", "y", "w1", "nowhere", ""))
        case 3 if node.output:
            node.output[0] = rng.choice(("x", "c", "y", "w1", ""))
        case 4 if weight.dims:
            weight.dims[rng.randrange(len(weight.dims))] = number
        case 5:
            weight.data_type = rng.randrange(25)
        case 6:
            weight.raw_data = flipped(weight.raw_data, rng)
        case 7:
            value = rng.choice([*graph.input, *graph.output])
            if value.type.tensor_type.shape.dim:
                rng.choice(value.type.tensor_type.shape.dim).dim_value = number
        case 8:
            graph.node.insert(rng.randrange(len(graph.node) + 1), node)
        case 9:
            proto.opset_import[0].version = number
        case 10:
            weight.data_location = 1
            entry = weight.external_data.add()
            entry.key, entry.value = "location", rng.choice(("/etc/passwd", "../x", "none", ""))
