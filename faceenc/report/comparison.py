"""Every attack of one size side by side, one line an attack: for runs of many attacks, whose grids would be too wide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from faceenc.report import tables
from faceenc.report.sections import Table, TableCell
from faceenc.report.wording import interval, panel_title, points, records

MANY = 8  # attacks; up to here the tables of accuracy show them well


def comparison_tables(summary: pd.DataFrame, run: Mapping[str, Any]) -> list[Table]:
    """For each panel of many attacks and each size but the huge one: success, accuracy, queries and seconds, best first."""
    found = []
    for recognizer, judge, norm, cells in tables.panels(summary[summary["attack"] != tables.CONTROL]):
        usual = cells[(cells["eps"] > 0) & (cells["eps"] < tables.huge_eps(run, norm))]
        if len(usual[["attack", "goal"]].drop_duplicates()) <= MANY:
            continue
        usual = usual.assign(reached=tables.reached(usual))
        for eps, at in usual.groupby("eps"):
            title = f"{panel_title(recognizer, judge, norm)}, eps {tables.eps_text(float(str(eps)), norm)}"
            lines = records(at.sort_values(["goal", "reached", "attack"], ascending=[True, False, True]))
            found.append(Table(f"All attacks: {title}", _COLUMNS, [_line(line) for line in lines]))
    return found


_COLUMNS = ["attack", "photos", "goal reached, %", "still recognised, %", "queries a photo", "seconds a photo"]


def _line(cell: Mapping[str, Any]) -> list[TableCell]:
    low, high = tables.wilson(cell["reached"] * cell["n"], cell["n"])
    return [
        TableCell(tables.attack_title(cell["attack"], cell["goal"])),
        TableCell(str(cell["n"])),
        TableCell(points(cell["reached"]), interval(low, high)),
        TableCell(points(cell["adversarial_accuracy"]), interval(cell["ci_low"], cell["ci_high"])),
        TableCell(f"{cell['queries']:.0f}"),
        TableCell(f"{cell['seconds_per_image']:.2f}"),
    ]
