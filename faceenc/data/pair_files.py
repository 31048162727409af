"""Verification sets in one file, `lfw.bin` and its like: pairs of aligned crops, as InsightFace keeps them.

Such a file is a pickle, `([jpeg, jpeg, ...], [same, ...])` with two pictures a pair. A pickle may run whatever it likes, so
it is read by an unpickler that knows tuples, lists, bytes, numbers and numpy arrays and refuses every other name unread.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from faceenc.core import DataError, open_file

_MOST_BYTES = 4 << 30
# What pickles of numpy arrays, bytes and booleans name; by Python 2 and 3, numpy 1 and 2.
_KNOWN = {
    ("numpy", "ndarray"), ("numpy", "dtype"), ("numpy", "bool_"), ("_codecs", "encode"),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class PairFile:
    """A verification set.

    Attributes:
        pictures: files' bytes; the pictures 2 k and 2 k + 1 are a pair.
        same: for each pair, whether it shows one person.
    """

    pictures: Sequence[bytes]
    same: Sequence[bool]


def read_pair_file(path: Path) -> PairFile:
    """A `.bin` of pairs.

    Raises:
        DataError: it cannot be read, is no such file, or names what a file of pictures does not need.
    """
    try:
        size = path.stat().st_size
        if size <= _MOST_BYTES:
            with open_file(path) as file:
                content = _Careful(file, encoding="bytes").load()
    except OSError as error:
        raise DataError(f"cannot read {path}: {(error.strerror or str(error)).lower()}; check the path") from error
    except _StrangeError as error:
        raise DataError(f"{path} {error}, and was not read further; no file of pictures needs that") from error
    except Exception as error:  # a damaged pickle raises whatever it likes
        raise DataError(f"{path} is no file of pairs, or damaged ({type(error).__name__}): fetch it anew") from error
    if size > _MOST_BYTES:
        raise DataError(f"{path} is larger than {_MOST_BYTES >> 30} GB: split it")
    pictures, same = content if isinstance(content, tuple | list) and len(content) == 2 else ((), ())
    try:
        pictures = [one.tobytes() if isinstance(one, np.ndarray) else bytes(memoryview(one)) for one in pictures]
        flags = [bool(flag) for flag in same]
    except (TypeError, ValueError) as error:
        raise DataError(f"{path} holds no pictures: expected a list of picture files and one of flags") from error
    if not flags or len(pictures) != 2 * len(flags):
        raise DataError(f"{path} holds {len(pictures)} pictures and {len(flags)} flags: expected two pictures for each flag")
    return PairFile(pictures, flags)


class _StrangeError(Exception):
    """The pickle wants more than data."""


class _Careful(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise _StrangeError(f"names {module}.{name}")
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Any:
        raise _StrangeError("points to things outside itself")
