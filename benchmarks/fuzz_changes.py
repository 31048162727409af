"""How `fuzz.py` damages what it begins with: bytes, and values that were parsed and are put together anew."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from typing import Any

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
