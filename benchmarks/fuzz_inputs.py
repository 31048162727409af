"""Kinds of input for `fuzz.py`: whole files to begin with, how they are damaged, and what reads them.

Each kind is a function of a scratch folder that returns `try_one(rng)`: it writes one damaged input there and reads it as a
command does. Formats with checksums, signatures or lengths are damaged behind them: what is parsed is changed, and the file
is put together anew, so that the damage gets past the header.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import struct
import sys
import zlib
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests' makers of photos and runs

from tests import photo_files
from tests.synthetic import make_rows, make_run, write_run

Try = Callable[[random.Random], object]

NUMBERS = (0, 1, -1, 2, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**63, -(2**31), 10**30, 0.5, 1e308, -0.0)
ODD: tuple[Any, ...] = (
    None, True, False, "", "x", "\x1b[31m", "a\nb", "../../x", "/dev/zero", "=1+1", "\u202e", "9" * 4000, "nan", "1/0", [],
    {}, [[]], {"a": {"b": []}}, [None], ["a", 1], float("nan"), float("inf"), *NUMBERS,
)  # fmt: skip


def flipped(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, cut out, doubled, moved, or the end cut off."""
    mutable = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        place, length = rng.randrange(len(mutable) + 1), rng.choice((1, 1, 2, 4, 8, 64, 512))
        match rng.randrange(7):
            case 0:
                mutable[place : place + length] = rng.randbytes(length)
            case 1:
                mutable[place : place + length] = bytes([rng.choice((0, 255, 127, 128))]) * length
            case 2:
                del mutable[place : place + length]
            case 3:
                mutable[place:place] = mutable[place : place + length]
            case 4:
                mutable[place : place + 4] = struct.pack(
                    rng.choice(("<I", ">I")), int(rng.choice(NUMBERS[:11])) & 0xFFFFFFFF
                )
            case 5:
                mutable[place : place + 2] = struct.pack(rng.choice(("<H", ">H")), rng.randrange(65536))
            case 6 if rng.random() < 0.3:
                del mutable[place:]
        if not mutable:
            return b""
    return bytes(mutable)


def changed(value: Any, rng: random.Random, depth: int = 0) -> Any:
    """A JSON-like value with something in it replaced, removed, doubled, nested deeply or named otherwise."""
    if isinstance(value, dict) and value and (depth == 0 or rng.random() < 0.8):
        value, key = dict(value), rng.choice(list(value))
        match rng.randrange(6):
            case 0:
                del value[key]
            case 1:
                value[f"{key}x"] = value.pop(key)
            case 2:
                value[rng.choice(("new", "", "a.b", "\x1b", "__class__"))] = rng.choice(ODD)
            case _:
                value[key] = changed(value[key], rng, depth + 1)
        return value
    if isinstance(value, list) and value and rng.random() < 0.8:
        value, place = list(value), rng.randrange(len(value))
        match rng.randrange(5):
            case 0:
                del value[place]
            case 1:
                value *= rng.choice((2, 3, 50))
            case 2:
                value.insert(place, rng.choice(ODD))
            case _:
                value[place] = changed(value[place], rng, depth + 1)
        return value
    if isinstance(value, str) and value and rng.random() < 0.4:
        return flipped(value.encode(errors="surrogateescape"), rng).decode(errors="replace")
    if rng.random() < 0.03:
        deep: Any = value
        for _ in range(rng.choice((10, 100, 3000))):
            deep = [deep] if rng.random() < 0.5 else {"x": deep}
        return deep
    return rng.choice(ODD)


def mutated(value: Any, rng: random.Random) -> Any:
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        value = changed(value, rng)
    return value


def dumped(value: Any) -> bytes:
    """As JSON, as text would be that nobody checked."""
    try:
        return json.dumps(value).encode(errors="surrogatepass")
    except RecursionError:
        return b'{"x":' * 5000 + b"1" + b"}" * 5000


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
        number = rng.choice((254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 282, 284, 317, 320, 322, 324, 330, 339,
                             347, 34675, 34665, rng.randrange(65536)))  # fmt: skip
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


# Configurations


def as_toml(value: Any) -> str:
    """A value as TOML writes it; what TOML has no word for becomes text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(key))} = {as_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return json.dumps(value if isinstance(value, str) else str(value))


def configurations(folder: Path) -> Try:
    import tomllib

    from faceenc.benchmark import read_config, read_transfer_config
    from faceenc.core import builtin_configs
    from faceenc.recognizers import load_recognizer
    from faceenc.train import read_train_config

    texts = {name: path.read_bytes() for name, path in builtin_configs().items()}
    model = {
        "source": "onnx:none.onnx",
        "size": 112,
        "mean": [0.5],
        "std": [0.5],
        "metric": "cosine",
        "framing": "arcface112",
    }
    texts["description"] = "\n".join(f"{key} = {as_toml(value)}" for key, value in model.items()).encode()

    def try_one(rng: random.Random) -> object:
        name = rng.choice(list(texts))
        path = folder / "mine.toml"
        if rng.random() < 0.75:
            table = mutated(tomllib.loads(texts[name].decode()), rng)
            table = table if isinstance(table, dict) else {"name": table}
            try:
                lines = [f"{json.dumps(str(key))} = {as_toml(value)}" for key, value in table.items()]
                data = "\n".join(lines).encode(errors="surrogatepass")
            except RecursionError:
                data = b"x = " + b"[" * 3000
        else:
            data = flipped(texts[name], rng)
        path.write_bytes(data)
        if name == "description":
            return load_recognizer(str(path))
        if name.startswith("transfer"):
            return read_transfer_config(path).name
        return (read_train_config if name in ("people", "celeba", "adversarial") else read_config)(path).name

    return try_one


# Keys and consents


def keys(folder: Path) -> Try:
    from faceenc.media import decode_photo
    from faceenc.protect import Cost, make_key, read_key, restore
    from faceenc.protect.safeguards.sealing import seal, unseal

    word, cheap = "word", Cost(log2_n=4)
    original = decode_photo(photo_files.encoded(photo_files.noise(12, 16, 4), "PNG"))
    protected = decode_photo(photo_files.encoded(photo_files.noise(12, 16, 4, seed=1), "PNG"))
    hashes = {"original_file_sha256": "0" * 64, "protected_file_sha256": "1" * 64}
    whole = make_key(original, protected, passphrase=word, cost=cheap, **hashes)
    inside = unseal(whole, word)
    length = int.from_bytes(inside[:4], "big")
    facts, packed = json.loads(inside[4 : 4 + length]), inside[4 + length :]

    def try_one(rng: random.Random) -> object:
        kind = rng.random()
        if kind < 0.5:  # a key of somebody who knows the format, and the passphrase
            text = dumped(mutated(facts, rng))
            size = len(text) if rng.random() < 0.9 else int(rng.choice(NUMBERS[:11])) & 0xFFFFFFFF
            data = seal(struct.pack(">I", size) + text + packed, word, cost=cheap)
        elif kind < 0.8:
            content = zlib.compress(flipped(zlib.decompress(packed), rng)) if rng.random() < 0.6 else flipped(packed, rng)
            data = seal(inside[: 4 + length] + content, word, cost=cheap)
        elif kind < 0.9:  # the header, with the right checksum
            import hashlib

            mutable = bytearray(whole[:-32])
            mutable[12 + rng.randrange(41)] = rng.randrange(256)
            data = bytes(mutable) + hashlib.sha256(mutable).digest()
        else:
            data = flipped(whole, rng)
        path = folder / "photo.key"
        path.write_bytes(data)
        back = restore(protected, read_key(path), passphrase=word)
        assert np.array_equal(back.pixels, original.pixels), "another photo came back"
        return "restored"

    return try_one


def consents(folder: Path) -> Try:
    import base64

    from faceenc.protect import make_consent, read_consent, sign
    from faceenc.protect.safeguards.consent import _signed_bytes

    os.environ["FACEENC_CONFIG"] = str(folder / "config")
    today = date(2026, 1, 1)
    rows = np.random.default_rng(0).normal(size=(5, 128)).astype(np.float32)
    until = today + timedelta(days=100)
    text = make_consent("ada", [*rows], photos=[f"{k:064x}" for k in range(5)], signed=today, valid_until=until)
    fields = json.loads(text)

    def try_one(rng: random.Random) -> object:
        path = folder / "ada.consent"
        if rng.random() < 0.8:  # changed and signed anew: whoever has a key may sign anything
            other = mutated({key: value for key, value in fields.items() if key != "signature"}, rng)
            try:
                signature = base64.b64encode(sign(_signed_bytes(other))).decode()
            except (RecursionError, UnicodeEncodeError):
                signature = fields["signature"]
            data = dumped({**other, "signature": signature} if isinstance(other, dict) else other)
        else:
            data = flipped(text.encode(), rng)
        path.write_bytes(data)
        consent = read_consent(path, name="ada", today=today)
        assert np.isfinite(consent.embeddings).all()
        return consent.name

    return try_one


# Run folders and ledgers


def run_folders(folder: Path) -> Try:
    import shutil

    from faceenc.benchmark import RunFolder
    from faceenc.core import FaceencError
    from faceenc.report import render

    rows, run = make_rows(), make_run()
    rows = rows[rows["attack"].isin(["pgd", "noise"]) & (rows["goal"] == "dodge") & (rows["image"].str[-1] == "0")]
    whole = write_run(folder / "whole", rows=rows, run=run)
    texts = {path.name: path.read_bytes() for path in whole.iterdir() if path.is_file()}
    examples = json.loads((whole / "examples" / "examples.json").read_text())

    def try_one(rng: random.Random) -> object:
        place = folder / "run"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(whole, place)
        name = rng.choice([*texts, "rows.csv", "run.json", "examples/examples.json"])
        if name == "run.json" and rng.random() < 0.8:
            data = dumped(mutated(run, rng))
        elif name == "examples/examples.json" and rng.random() < 0.8:
            data = dumped(mutated(examples, rng))
        elif name.endswith(".csv") and rng.random() < 0.7:
            data = _cells(texts[name].decode(), rng)
        else:
            data = flipped((place / name).read_bytes(), rng)
        (place / name).write_bytes(data)
        with contextlib.suppress(FaceencError):  # it may be written into, too
            RunFolder(place, resume=True).done_cells({})
        (place / name).write_bytes(data)
        return render(place).name

    return try_one


def _cells(text: str, rng: random.Random) -> bytes:
    """A table with cells, lines or columns of other content."""
    lines = [line.split(",") for line in text.split("\n")]
    for _ in range(rng.choice((1, 1, 3))):
        line = rng.choice(lines)
        place = rng.randrange(len(line))
        match rng.randrange(4):
            case 0:
                line[place] = str(rng.choice(ODD))
            case 1:
                del line[place]
                if not line:
                    lines.remove(line)
            case 2:
                lines.insert(rng.randrange(len(lines)), list(line))
            case 3:
                for one in lines[1:]:
                    if place < len(one):
                        one[place] = str(rng.choice(ODD))
    return "\n".join(",".join(line) for line in lines).encode(errors="surrogatepass")


def copy(source: Path, target: Path) -> dict[str, Any]:
    target.write_bytes(source.read_bytes())
    return {"faces": 1}


def ledgers(folder: Path) -> Try:
    import shutil

    from faceenc.runs import Task, run_files

    sources = [folder / "in" / f"{k}.png" for k in range(3)]
    sources[0].parent.mkdir()
    for number, source in enumerate(sources):
        source.write_bytes(bytes([number]) * 100)
    out = folder / "out"
    tasks = [Task(source, out / source.name) for source in sources]
    ledger = out / "faceenc-run.jsonl"

    def run() -> list[str]:
        done = run_files(tasks, copy, settings={"a": 1}, jobs=1, force=False, ledger=ledger)
        return [result.status for result in done]

    assert run() == ["done"] * 3
    records = [json.loads(line) for line in ledger.read_text().splitlines()]
    text = ledger.read_bytes()

    def try_one(rng: random.Random) -> object:
        shutil.rmtree(out)
        out.mkdir()
        left = rng.sample(sources, rng.randrange(4))
        for source in left:
            (out / source.name).write_bytes(source.read_bytes())
        if rng.random() < 0.7:
            data = b"\n".join(dumped(mutated(record, rng)) for record in records) + b"\n"
        else:
            data = flipped(text, rng)
        ledger.write_bytes(data)
        found = run()
        for source, status in zip(sources, found, strict=True):
            assert (out / source.name).read_bytes() == source.read_bytes(), "a target is not what its source says"
            assert status in ("done", "skipped", "failed")
            assert status != "failed" or source in left, "a file that was not there could not be made"
        assert not [path for path in out.iterdir() if path.name.startswith(".")], "something was left behind"
        return ",".join(found)

    return try_one


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


KINDS: dict[str, tuple[Callable[[Path], Try], int]] = {
    "photos": (photos, 10_000),
    "checkpoints": (checkpoints, 1000),
    "configurations": (configurations, 1000),
    "keys": (keys, 1000),
    "consents": (consents, 1000),
    "run-folders": (run_folders, 1000),
    "ledgers": (ledgers, 1000),
    "clips": (clips, 1000),
    "models": (models, 1000),
}  # fmt: skip
