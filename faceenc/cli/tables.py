"""Tables for people, in a terminal of any width, a file or a pipe."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from faceenc.core import shown

if TYPE_CHECKING:
    import pandas as pd


_PIPE_WIDTH = 200
_GAPS = (2, 1)  # between columns: the wider one where there is room
_FOLDED = 16  # columns: words of more are folded, such as paths


def print_table(table: pd.DataFrame | Sequence[Mapping[str, object]], *, title: str) -> None:
    """Print a data frame, or rows that have the same columns, for people: figures to the right, floats with four digits.

    Names are spelt out where they would command the terminal. No heading and no figure is ever broken: where they do not fit
    side by side, each row is a paragraph.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    values = [[*row.values()] for row in table] if isinstance(table, Sequence) else [*table.itertuples(index=False)]
    names = [str(name) for name in (table[0] if isinstance(table, Sequence) else table.columns)]
    figures = [all(isinstance(row[number], int | float) for row in values) for number in range(len(names))]
    rows = [[f"{value:.4g}" if isinstance(value, float) else shown(str(value)) for value in row] for row in values]
    console = Console()
    # A file or a pipe has no width to fit into.
    width = console.width if console.is_terminal else _PIPE_WIDTH
    columns = [[cell_len(row[number]) for row in rows] for number in range(len(names))]
    widest = [max([cell_len(name), *cells]) for name, cells in zip(names, columns, strict=True)]
    least = [
        max(_longest_word(name), *(cells if figure else [min(_FOLDED, _longest_word(row[number])) for row in rows]), 1)
        for number, (name, cells, figure) in enumerate(zip(names, columns, figures, strict=True))
    ]
    found = next(((gap, fit) for gap in _GAPS if (fit := _fitted(widest, least, width - gap * (len(names) - 1)))), None)
    if found is None:
        click.echo(f"{title}:")
        for row in rows:
            line = ", ".join(f"{name} {cell}" for name, cell in zip(names, row, strict=True) if cell)
            click.echo(textwrap.fill(line, width, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False))
        return
    gap, widths = found
    grid = Table(title=title, box=None, padding=(0, gap, 0, 0), pad_edge=False)
    for name, figure, wide in zip(names, figures, widths, strict=True):
        grid.add_column(escape(name), justify="right" if figure else "left", overflow="fold", width=wide)
    for row in rows:
        grid.add_row(*map(escape, row))
    Console(width=None if console.is_terminal else _PIPE_WIDTH).print(grid)


def _longest_word(text: str) -> int:
    from rich.cells import cell_len

    return max(map(cell_len, text.split()), default=0)


def _fitted(widest: Sequence[int], least: Sequence[int], room: int) -> list[int] | None:
    """Widths of columns that fit into the room, the widest ones made narrower; None if there is no way."""
    if sum(least) > room:
        return None
    widths = [*widest]
    while sum(widths) > room:
        _, number = max((wide, k) for k, wide in enumerate(widths) if wide > least[k])
        widths[number] -= 1
    return widths
