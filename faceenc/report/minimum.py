"""The report's section on the smallest noise that fools: a curve, a table, and what they say in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from faceenc import minimum_tables
from faceenc.report.plots import png
from faceenc.report.sections import Cell, Table
from faceenc.report.wording import interval, points, records
from faceenc.tables import eps_text

NOTE = (
    "Each photo's own smallest noise with which our PGD succeeds, found by bisection: from its distribution follows the"
    " accuracy at every size at once. It is an upper bound, since a stronger attack may need less noise. Intervals are"
    " Wilson 95 % intervals."
)
_COLOURS = {"dodge": "#1f5fa8", "impersonate": "#b3261e"}
_LINES = ("-", "--", ":", "-.")


def minimum_table(minima: pd.DataFrame, norm: str) -> Table:
    """Quartiles of the smallest noise and the share that stands at the usual sizes, for one norm."""
    lines = records(minimum_tables.summary(minima[minima["norm"] == norm]))
    sizes = [eps_text(eps, norm) for eps, *_ in lines[0]["standing"]]
    rows = [
        [
            Cell(line["recognizer"]),
            Cell("taken for another" if line["goal"] == "impersonate" else "not recognised"),
            Cell(str(line["n"])),
            *(Cell(_size(line[name], line["largest"], norm)) for name in ("lower", "median", "upper")),
            *(Cell(points(share), interval(low, high)) for _, share, low, high in line["standing"]),
            Cell(f"{line['queries']:.0f}"),
            Cell(f"{line['seconds']:.2f}"),
        ]
        for line in lines
    ]
    columns = [
        *("recogniser", "goal", "photos", "a quarter falls by", "half fall by", "three quarters fall by"),
        *(f"stand at {size}, %" for size in sizes),
        *("queries a photo", "seconds a photo"),
    ]
    return Table(f"Smallest noise that fools, {norm}", columns, rows, 2)


def minimum_tables_of(minima: pd.DataFrame) -> list[Table]:
    """One table for each norm, Linf first."""
    return [minimum_table(minima, norm) for norm in _norms(minima)]


def words(minima: pd.DataFrame) -> str:
    """The picture for those who do not see it: the median of each curve."""
    told = []
    for line in records(minimum_tables.summary(minima)):
        aim = "are taken for a chosen other person" if line["goal"] == "impersonate" else "are no longer recognised"
        median = _size(line["median"], line["largest"], line["norm"])
        told.append(f"{line['recognizer']}: half of the photos {aim} by {median}")
    return f"Share of photos that stand, against the size of the noise. {'; '.join(told)}."


def picture(minima: pd.DataFrame) -> bytes:
    """Accuracy against eps as PNG bytes, a step at every size at which a photo falls; one panel a norm."""
    from matplotlib.figure import Figure

    norms = _norms(minima)
    figure = Figure(figsize=(8.6, 4.2 * len(norms)), layout="constrained")
    for number, norm in enumerate(norms):
        axes = figure.add_subplot(len(norms), 1, number + 1)
        steps = minimum_tables.curve(minima[minima["norm"] == norm])
        names = list(dict.fromkeys(steps["recognizer"]))
        scale = 255 if norm == "linf" else 1
        for (name, goal), part in steps.groupby(["recognizer", "goal"]):
            colour, line = _COLOURS[str(goal)], _LINES[names.index(name) % len(_LINES)]
            label = f"{name}, {'aimed at a person' if goal == 'impersonate' else 'not aimed'}"
            place = scale * part["eps"]
            axes.step(place, 100 * part["accuracy"], where="post", color=colour, linestyle=line, label=label)
            axes.fill_between(
                place, 100 * part["ci_low"], 100 * part["ci_high"], step="post", color=colour, alpha=0.13, linewidth=0
            )
        axes.set(xlim=(0, None), ylim=(-3, 103), ylabel="Photos that stand, %")
        axes.set_xlabel("Size of the noise (Linf), in 255ths" if norm == "linf" else "Length of the noise (L2)")
        axes.grid(color="#dddddd", linewidth=0.7)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=9)
    return png(figure)


def context(minima: pd.DataFrame | None) -> Mapping[str, Any]:
    """What the templates show of it; nothing where the run did not look."""
    if minima is None:
        return {"minimum": [], "minimum_alt": "", "minimum_note": ""}
    return {"minimum": minimum_tables_of(minima), "minimum_alt": words(minima), "minimum_note": NOTE}


def _norms(minima: pd.DataFrame) -> list[str]:
    return sorted(minima["norm"].unique(), key=lambda norm: norm != "linf")


def _size(eps: float, largest: float, norm: str) -> str:
    return f"over {eps_text(largest, norm)}" if math.isinf(eps) else eps_text(eps, norm)
