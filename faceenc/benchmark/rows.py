"""The rows of a run as text: one line of CSV an image, all rows of a cell with the same first columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from faceenc.core import as_cell, from_cell

ROW_COLUMNS = (
    "recognizer", "judge", "attack", "norm", "goal", "eps", "seed", "image", "label", "target",
    "clean_prediction", "adversarial_prediction", "clean_probability", "adversarial_probability",
    "label_probability", "target_probability", "loss", "success", "linf", "l2", "psnr", "ssim",
    "overshoot", "queries", "seconds",
)  # fmt: skip
CELL_COLUMNS = ("recognizer", "judge", "attack", "norm", "goal", "eps", "seed")
HEADER = ",".join(ROW_COLUMNS) + "\n"

Key = tuple[str, ...]

_IMAGE = ROW_COLUMNS.index("image")


def cell_key(row: Mapping[str, Any]) -> Key:
    """A cell's columns as they are written."""
    return tuple(written(row[name]) for name in CELL_COLUMNS)


def rows_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as lines of CSV, without the header."""
    return "".join(_line([written(row.get(name, "")) for name in ROW_COLUMNS]) for row in rows)


def whole_cells(text: str, expected: Mapping[Key, int]) -> dict[Key, list[str]]:
    """The lines of every cell whose rows are all there, in the order of the file.

    A second row of the same image, as two runs at once wrote them, is left out; so are torn lines, and lines of other cells.

    Args:
        text: lines of CSV behind the header; they end at line feeds only, and not within quotes.
        expected: number of rows of each cell.
    """
    found: dict[Key, dict[str, str]] = {}
    for line in _lines(text):
        try:
            fields = next(csv.reader([line]))
        except (csv.Error, StopIteration):
            continue
        # Runs of before wrote formulas as they are.
        if len(fields) == len(ROW_COLUMNS) and (key := tuple(map(_today, fields[: len(CELL_COLUMNS)]))) in expected:
            found.setdefault(key, {}).setdefault(fields[_IMAGE], line)
    return {key: list(lines.values()) for key, lines in found.items() if len(lines) == expected[key]}


def _lines(text: str) -> Iterator[str]:
    """Whole lines of CSV; str.splitlines would also cut names at U+2028 and the like."""
    begun: list[str] = []
    for part in text.split("\n")[:-1]:
        begun.append(f"{part}\n")
        if sum(piece.count('"') for piece in begun) % 2 == 0:
            yield "".join(begun)
            begun = []


def _today(cell: str) -> str:
    return as_cell(from_cell(cell))


def _line(fields: list[str]) -> str:
    out = io.StringIO()
    # So that a field with "\r" is quoted as well: readers take it for the end of a line.
    csv.writer(out, lineterminator="\r\n").writerow(fields)
    return out.getvalue().removesuffix("\r\n") + "\n"


def written(value: Any) -> str:
    """Floats with nine significant digits: enough for float32, and the same text whenever the value is the same."""
    if value is None:
        return ""
    return f"{value:.9g}" if isinstance(value, float) else as_cell(str(value))
