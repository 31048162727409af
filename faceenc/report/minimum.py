"""minimum.csv -> how robust a recogniser is, without choosing an eps first: quartiles, and accuracy at any eps.

Convention
    `minimum_eps` is an image's smallest noise that reaches the goal: 0 where it is reached untouched, infinite where the
    search found none. Accuracy at eps is the share of images whose smallest noise is larger; aimed at a person, the share
    that is not taken for that person.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from faceenc.core import RunError, from_cells
from faceenc.report.plots import COLOURS, png
from faceenc.report.sections import Table, TableCell
from faceenc.report.tables import eps_text, wilson
from faceenc.report.wording import interval, points, records

MINIMUM_KEYS = ["recognizer", "norm", "goal"]

MINIMUM_COLUMNS = [*MINIMUM_KEYS, "image", "label", "target", "minimum_eps", "largest", "queries", "seconds"]

# Sizes that tables of robustness usually name.
SIZES = {"linf": (1 / 255, 2 / 255, 4 / 255, 8 / 255), "l2": (0.5, 1.0, 2.0, 3.0)}
_TINY = 1e-6  # nine digits were written


def read_minimum(path: Path) -> pd.DataFrame | None:
    """The table of a run's folder, or None where there is none.

    Raises:
        RunError: it is damaged, or no such table.
    """
    if not path.is_file():
        return None
    try:
        names = dict.fromkeys((*MINIMUM_KEYS, "image", "label", "target"), "str")
        table = from_cells(pd.read_csv(path, keep_default_na=False, dtype=names))
        table = table.astype(dict.fromkeys(("minimum_eps", "largest", "queries", "seconds"), "float64"))
    except (ValueError, KeyError, OSError) as error:
        raise RunError(f"{path}: unreadable; remove it and finish the run with `resume`") from error
    if list(table.columns) != MINIMUM_COLUMNS or table.empty:
        raise RunError(f"{path}: not what faceenc-bench run writes; remove it and finish the run with `resume`")
    return table


def minimum_curve(minimal: pd.DataFrame) -> pd.DataFrame:
    """Accuracy against eps from each image's smallest noise, with Wilson 95 % intervals.

    Args:
        minimal: rows of minimum.csv.

    Returns:
        One row for each (recognizer, norm, goal) and each eps at which an image falls, from 0 to the largest size searched:
        those three, eps, n, accuracy, ci_low, ci_high.
    """
    rows = []
    for names, part in minimal.groupby(MINIMUM_KEYS):
        values = part["minimum_eps"].to_numpy()
        steps = np.unique(np.append(values[np.isfinite(values)], (0.0, float(part["largest"].iloc[0]))))
        rows += [dict(zip(MINIMUM_KEYS, names, strict=True)) | {"eps": float(eps)} | _standing(values, eps) for eps in steps]
    return pd.DataFrame(rows)


def minimum_summary(minimal: pd.DataFrame) -> pd.DataFrame:
    """One row for each (recognizer, norm, goal): n, quartiles of the smallest noise, and who stands at the usual sizes.

    A quartile is infinite where so many images stand at the largest size. `standing` is a list of (eps, accuracy, ci_low,
    ci_high) for the sizes of `SIZES` that the search reached; queries and seconds are means over images.
    """
    rows = []
    for names, part in minimal.groupby(MINIMUM_KEYS):
        values, largest = part["minimum_eps"].to_numpy(), float(part["largest"].iloc[0])
        # Sizes that were measured: a mean of two with infinity would be none.
        quartiles = np.quantile(values, (0.25, 0.5, 0.75), method="inverted_cdf").tolist()
        at = [(eps, _standing(values, eps)) for eps in SIZES[str(names[1])] if eps <= largest + _TINY]
        rows.append(
            dict(zip(MINIMUM_KEYS, names, strict=True))
            | {"n": len(values), "largest": largest}
            | dict(zip(("lower", "median", "upper"), quartiles, strict=True))
            | {"standing": [(eps, s["accuracy"], s["ci_low"], s["ci_high"]) for eps, s in at]}
            | {"queries": float(part["queries"].mean()), "seconds": float(part["seconds"].mean())}
        )
    return pd.DataFrame(rows)


def _standing(values: np.typing.NDArray[np.float64], eps: float) -> dict[str, float]:
    count = int((values > eps + _TINY).sum())
    low, high = wilson(count, len(values))
    return {"n": len(values), "accuracy": count / len(values), "ci_low": low, "ci_high": high}


MINIMUM_NOTE = (
    "Each photo's own smallest noise with which our PGD succeeds, found by bisection: from its distribution follows the"
    " accuracy at every size at once. It is an upper bound, since a stronger attack may need less noise. Intervals are"
    " Wilson 95 % intervals."
)

_LINES = ("-", "--", ":", "-.")


def minimum_table(minimal: pd.DataFrame, norm: str) -> Table:
    """Quartiles of the smallest noise and the share that stands at the usual sizes, for one norm."""
    lines = records(minimum_summary(minimal[minimal["norm"] == norm]))
    sizes = [eps_text(eps, norm) for eps, *_ in lines[0]["standing"]]
    rows = [
        [
            TableCell(line["recognizer"]),
            TableCell("taken for another" if line["goal"] == "impersonate" else "not recognised"),
            TableCell(str(line["n"])),
            *(TableCell(_size(line[name], line["largest"], norm)) for name in ("lower", "median", "upper")),
            *(TableCell(points(share), interval(low, high)) for _, share, low, high in line["standing"]),
            TableCell(f"{line['queries']:.0f}"),
            TableCell(f"{line['seconds']:.2f}"),
        ]
        for line in lines
    ]
    columns = [
        *("recogniser", "goal", "photos", "a quarter falls by", "half fall by", "three quarters fall by"),
        *(f"stand at {size}, %" for size in sizes),
        *("queries a photo", "seconds a photo"),
    ]
    return Table(f"Smallest noise that fools, {norm}", columns, rows, 2)


def minimum_tables_of(minimal: pd.DataFrame) -> list[Table]:
    """One table for each norm, Linf first."""
    return [minimum_table(minimal, norm) for norm in _norms(minimal)]


def minimum_words(minimal: pd.DataFrame) -> str:
    """The picture for those who do not see it: the median of each curve."""
    sentences = []
    for line in records(minimum_summary(minimal)):
        aim = "are taken for a chosen other person" if line["goal"] == "impersonate" else "are no longer recognised"
        median = _size(line["median"], line["largest"], line["norm"])
        sentences.append(f"{line['recognizer']}: half of the photos {aim} by {median}")
    return f"Share of photos that stand, against the size of the noise. {'; '.join(sentences)}."


def minimum_picture(minimal: pd.DataFrame) -> bytes:
    """Accuracy against eps as PNG bytes, a step at every size at which a photo falls; one panel a norm."""
    from matplotlib.figure import Figure

    norms = _norms(minimal)
    figure = Figure(figsize=(8.6, 4.2 * len(norms)), layout="constrained")
    for number, norm in enumerate(norms):
        axes = figure.add_subplot(len(norms), 1, number + 1)
        steps = minimum_curve(minimal[minimal["norm"] == norm])
        names = list(dict.fromkeys(steps["recognizer"]))
        scale = 255 if norm == "linf" else 1
        for (name, goal), part in steps.groupby(["recognizer", "goal"]):
            colour, line = COLOURS["pgd", str(goal)], _LINES[names.index(name) % len(_LINES)]
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


def minimum_context(minimal: pd.DataFrame | None) -> Mapping[str, Any]:
    """What the templates show of it; nothing where the run did not search for it."""
    if minimal is None:
        return {"minimum": [], "minimum_alt": "", "minimum_note": ""}
    return {"minimum": minimum_tables_of(minimal), "minimum_alt": minimum_words(minimal), "minimum_note": MINIMUM_NOTE}


def _norms(minimal: pd.DataFrame) -> list[str]:
    return sorted(minimal["norm"].unique(), key=lambda norm: norm != "linf")


def _size(eps: float, largest: float, norm: str) -> str:
    return f"over {eps_text(largest, norm)}" if math.isinf(eps) else eps_text(eps, norm)
