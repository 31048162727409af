"""LFW's pairs file (view 2, http://vis-www.cs.umass.edu/lfw/README.txt): ten folds of photo pairs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from faceenc.core import DataError, read_text


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos, by names such as "Abel_Pacheco/Abel_Pacheco_0001", and whether they show one person."""

    fold: int
    one: str
    other: str
    same: bool


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of an LFW pairs file, in its order.

    Raises:
        DataError: it cannot be read, or is no pairs file.
    """
    try:
        lines = read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as LFW's pairs file: {error}") from error
    try:
        folds, each = (int(word) for word in lines[0].split())
        pairs = [_pair(line.split("\t"), number // (2 * each)) for number, line in enumerate(filter(None, lines[1:]))]
    except (ValueError, IndexError) as error:
        raise DataError(f"{path} is no LFW pairs file: it starts with folds and pairs, then tab-separated pairs") from error
    if len(pairs) != 2 * folds * each:
        raise DataError(f"{path} promises {2 * folds * each} pairs and holds {len(pairs)}: fetch it anew")
    return pairs


def _pair(words: list[str], fold: int) -> Pair:
    if len(words) == 3:
        name, one, other = words
        return Pair(fold, _photo(name, one), _photo(name, other), same=True)
    name, one, name_other, other = words
    return Pair(fold, _photo(name, one), _photo(name_other, other), same=False)


def _photo(name: str, number: str) -> str:
    return f"{name}/{name}_{int(number):04d}"
