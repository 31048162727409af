"""What a report of pairs shows besides: who was measured and attacked how, and identification before and after noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from faceenc.core import RunError, from_cells
from faceenc.report.sections import Table, TableCell
from faceenc.report.tables import attack_order, attack_title, eps_text, huge_eps
from faceenc.report.wording import points, records

IDENTIFICATION_NOTE = (
    "Each photo is searched for among all other photos of the tested people. Closed set: its person is the nearest (rank 1)."
    " Open set, at a threshold fitted on other people so that 1 % of the photos find somebody else: it gets its own name"
    " (1 - FNIR), or, were its person not enrolled, another's (FPIR)."
)


def subjects_table(run: Mapping[str, Any], summary: pd.DataFrame) -> Table:
    """Who was measured, at which threshold, and what it was attacked by."""
    rows = []
    for one in run.get("recognizers", []):
        cells = summary[(summary["judge"] == one["name"]) & (summary["eps"] > 0)]
        attacks = [name for name in dict.fromkeys(cells["attack"]) if name != "noise"]
        elsewhere = [name for name in dict.fromkeys(cells["recognizer"]) if name != one["name"]]
        how = ", ".join(attack_title(str(name)) for name in attacks) or "not attacked"
        how += f", made on {elsewhere[0]}" if elsewhere and attacks else ""
        gradients = "yes" if one.get("differentiable", True) else "none: it is only asked"
        words = [one["name"], how, gradients, one.get("licence") or "not said"]
        figures = [str(one.get("input_size", "")), f"{one['threshold']:.4g}"]
        rows.append([TableCell(text) for text in (*words, *figures)])
    columns = ["recogniser", "attacked by", "gradients", "licence", "pixels", "threshold (Euclidean)"]
    return Table("Recognisers measured, each at its own crops", columns, rows, 4)


def identification_tables(folder: Path, run: Mapping[str, Any]) -> list[Table]:
    """One table a recogniser: untouched, then under each attack and size but the huge one.

    Raises:
        RunError: verification.csv is damaged.
    """
    path = folder / "verification.csv"
    if not path.is_file():
        return []
    try:
        view = from_cells(pd.read_csv(path, keep_default_na=False, na_values=["", "nan"]))
        view = view.astype({"attack": "str", "goal": "str", "norm": "str", "judge": "str"})
        needed = view[["judge", "attack", "goal", "norm", "eps", "rank1", "identified", "taken_for_others", "eer"]]
    except (ValueError, KeyError, OSError) as error:
        raise RunError(f"{path}: unreadable; finish the run with `resume`, or run it anew") from error
    found = []
    for judge, lines in needed.groupby("judge", sort=False):
        usual = [line for line in records(lines) if line["eps"] < huge_eps(run, str(line["norm"]))]
        usual.sort(key=lambda line: (line["eps"] > 0, *attack_order((line["attack"], line["goal"])), line["eps"]))
        found.append(Table(f"Identification: {judge}", _COLUMNS, [_line(line) for line in usual], 2))
    return found


_COLUMNS = ["attack", "eps", "rank 1, %", "open set: own name, %", "open set: another's name, %", "EER, %"]


def _line(line: Mapping[str, Any]) -> Sequence[TableCell]:
    attack = attack_title(line["attack"], line["goal"]) if line["eps"] else "untouched"
    eps = eps_text(line["eps"], line["norm"]) if line["eps"] else ""
    figures = [points(line[name]) for name in ("rank1", "identified", "taken_for_others", "eer")]
    return [TableCell(text) for text in (attack, eps, *figures)]
