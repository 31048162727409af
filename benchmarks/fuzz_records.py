"""Configurations, keys, consents, run folders and ledgers for `fuzz.py`."""

from __future__ import annotations

import contextlib
import json
import os
import random
import struct
import sys
import zlib
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests' makers of photos and runs

from fuzz_changes import NUMBERS, ODD, Try, dumped, flipped, mutated

from tests import photo_files
from tests.synthetic import make_rows, make_run, write_run

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
    from faceenc.protect import Cost, make_key, read_key, restore, seal, unseal

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


def _canonical(fields: Any) -> bytes:
    """What is signed of a consent."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return b"faceenc consent\n" + text.encode()


def consents(folder: Path) -> Try:
    import base64

    from faceenc.protect import make_consent, read_consent, sign

    os.environ["FACEENC_CONFIG"] = str(folder / "config")
    today = date(2026, 1, 1)
    rows = np.random.default_rng(0).normal(size=(5, 128)).astype(np.float32)
    until = today + timedelta(days=100)
    text = make_consent("ada", {"dlib": rows}, photos=[f"{k:064x}" for k in range(5)], signed=today, valid_until=until)
    fields = json.loads(text)

    def try_one(rng: random.Random) -> object:
        path = folder / "ada.consent"
        if rng.random() < 0.8:  # changed and signed anew: whoever has a key may sign anything
            other = mutated({key: value for key, value in fields.items() if key != "signature"}, rng)
            try:
                signature = base64.b64encode(sign(_canonical(other))).decode()
            except (RecursionError, UnicodeEncodeError):
                signature = fields["signature"]
            data = dumped({**other, "signature": signature} if isinstance(other, dict) else other)
        else:
            data = flipped(text.encode(), rng)
        path.write_bytes(data)
        consent = read_consent(path, name="ada", today=today)
        assert all(np.isfinite(rows).all() for rows in consent.embeddings.values())
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
