"""Names that others chose, made harmless where they are read: on a terminal, in a spreadsheet."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

_JOINERS = "\u200c\u200d"  # invisible, and part of how words and emoji are written
_ODD = ("Cc", "Cf", "Cs", "Zl", "Zp")  # controls, marks of direction, bytes that are no text, ends of lines
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)")


def shown(text: str | Path) -> str:
    """A name or a line as any terminal can show it: what would break the line or command the terminal is spelt out."""
    text = str(text)
    if text.isprintable():
        return text
    return "".join(
        sign.encode("unicode_escape").decode() if unicodedata.category(sign) in _ODD and sign not in _JOINERS else sign
        for sign in text
    )


def as_cell(text: str) -> str:
    """Text as a cell of CSV: what a spreadsheet would take for a formula gets a quote in front; numbers stay as they are.

    `from_cell` takes the quote away.
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def from_cell(cell: str) -> str:
    """The text of a cell that `as_cell` made."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def table_text(table: pd.DataFrame, *, float_format: str | None = None) -> str:
    """A table as CSV, text by `as_cell`."""
    cells = _changed(table, as_cell)
    # What ends a line is quoted within a cell: "\r" as well, which readers take for an end. No name holds a zero byte.
    text = str(cells.to_csv(index=False, float_format=float_format, lineterminator="\r\n\0"))
    return text.replace("\r\n\0", "\n")


def from_cells(table: pd.DataFrame) -> pd.DataFrame:
    """A table that was read from the CSV of `table_text`."""
    return _changed(table, from_cell)


def _changed(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    table = table.copy()
    for name in table.select_dtypes(exclude=["number", "bool"]):
        table[name] = table[name].map(lambda value: change(value) if isinstance(value, str) else value)
    return table
