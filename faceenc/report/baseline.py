"""baseline.json -> the chapter before the attacks: how well each recogniser tells people apart, with its DET curve."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from faceenc.core import RunError
from faceenc.report.plots import png
from faceenc.report.sections import Table, TableCell
from faceenc.report.wording import interval, points

BASELINE_NOTE = (
    "Untouched photos of the tested people, all against all. FMR is the share of pairs of two people that match, FNMR the"
    " share of pairs of one person that do not, TAR = 1 - FNMR. Intervals in brackets are the middle 95 % of 1,000 draws of"
    " people with replacement (subsets bootstrap), since pairs share people; that other people would do alike is not said."
)
_COLOURS = ("#1f5fa8", "#b3261e", "#2a8c82", "#d98200", "#7a4fa3", "#8c5a2b", "#475569")
_LINES = ("-", "--", ":", "-.")


def read_baseline(path: Path) -> list[dict[str, Any]]:
    """The baselines of a run's folder; [] where there are none.

    Raises:
        RunError: it is damaged.
    """
    if not path.is_file():
        return []
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path}: unreadable; remove it and finish the run with `resume`") from error
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise RunError(f"{path}: not what faceenc-bench run writes; remove it and finish the run with `resume`")
    return found


def baseline_context(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the templates show."""
    if not found:
        return {"baseline": [], "baseline_note": "", "baseline_alt": ""}
    tables = [_rates_table(found), _operating_table(found), _people_table(found), *_slice_tables(found)]
    return {"baseline": tables, "baseline_note": BASELINE_NOTE, "baseline_alt": _alt(found)}


def det_picture(found: Sequence[Mapping[str, Any]]) -> bytes:
    """FNMR against FMR, one curve a recogniser, both axes logarithmic, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 4.9), layout="constrained")
    axes = figure.add_subplot()
    least = min(1 / max(int(one["impostor"]), 1) for one in found)
    for number, one in enumerate(found):
        rates = [(fmr, fnmr) for _, fmr, fnmr in one["det"]]
        colour, line = _COLOURS[number % len(_COLOURS)], _LINES[number % len(_LINES)]
        label = f"{one['recognizer']}, EER {points(one['eer']['value'])} %"
        axes.step(*zip(*rates, strict=True), where="post", color=colour, linestyle=line, label=label)
        for operating in one["at"][:1]:  # everybody
            fmr, fnmr = operating["fmr"]["value"], operating["fnmr"]["value"]
            if fmr and fnmr:
                axes.plot([fmr], [fnmr], "o", color=colour)
    axes.set(xscale="log", yscale="log", xlim=(least, 1), ylim=(1e-4, 1))
    axes.set(xlabel="FMR: pairs of two people that match", ylabel="FNMR: pairs of one person that do not")
    axes.grid(color="#dddddd", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    return png(figure)


def _rates_table(found: Sequence[Mapping[str, Any]]) -> Table:
    fmrs = [rate["fmr"] for rate in found[0]["rates"]]
    rows = [[TableCell(one["recognizer"]), _rate(one["eer"]), *(_tar(rate) for rate in one["rates"])] for one in found]
    columns = ["recogniser", "EER, %", *(f"TAR at FMR {fmr:g}, %" for fmr in fmrs)]
    return Table("Telling people apart: rates at thresholds of these very pairs", columns, rows)


def _tar(rate: Mapping[str, Any]) -> TableCell:
    if rate["threshold"] is None:
        return TableCell("not shown", "too few pairs")
    cell = _rate(rate["tar"])
    return TableCell(cell.text, f"{cell.note}{'; rough' if rate['rough'] else ''}")


def _operating_table(found: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [TableCell(one["recognizer"]), TableCell(f"{one['threshold']:.4g}"), _rate(at["fmr"]), _rate(at["fnmr"]),
         TableCell(f"{at['genuine']:,}"), TableCell(f"{at['impostor']:,}")]
        for one in found for at in one["at"][:1]
    ]  # fmt: skip
    columns = ["recogniser", "threshold (Euclidean)", "FMR, %", "FNMR, %", "pairs of one person", "pairs of two"]
    return Table("At the threshold that the attacks are judged by, fitted on other people", columns, rows)


def _people_table(found: Sequence[Mapping[str, Any]]) -> Table:
    rows = []
    for one in found:
        spread = one["spread"] or {}
        ranks = [points(one["ranks"][k]) if k in one["ranks"] else "" for k in ("1", "5", "10")]
        shares = [spread.get(name) for name in ("never_rejected", "worst_tenth", "often_mistaken")]
        missed = f"{one['not_acquired']} of {one['photos']}"
        figures = [*ranks, *("" if share is None else points(share) for share in shares), missed]
        rows.append([TableCell(text) for text in (one["recognizer"], *figures)])
    columns = [
        "recogniser", "rank 1, %", "rank 5, %", "rank 10, %", "people never rejected, %", "FNMR of the worst tenth, %",
        "false matches with the most mistaken tenth, %", "no usable face",
    ]  # fmt: skip
    return Table("Identification, and how people differ", columns, rows)


def _slice_tables(found: Sequence[Mapping[str, Any]]) -> list[Table]:
    columns = ["tag", "value", "people", "FMR, %", "FNMR, %"]
    tables = []
    for one in found:
        rows = [
            [TableCell(at["tag"]), TableCell(at["value"]), TableCell(str(at["people"])), _rate(at["fmr"]), _rate(at["fnmr"])]
            for at in one["at"][1:]
        ]
        if rows:
            tables.append(Table(f"By tag: {one['recognizer']}", columns, rows, 2))
    return tables


def _rate(rate: Mapping[str, Any]) -> TableCell:
    if rate["value"] is None:
        return TableCell("")
    note = "" if rate["low"] is None else interval(rate["low"], rate["high"])
    return TableCell(points(rate["value"]), note)


def _alt(found: Sequence[Mapping[str, Any]]) -> str:
    rates = ", ".join(f"{one['recognizer']} {points(one['eer']['value'])} %" for one in found)
    return f"FNMR against FMR before any attack, one curve for each recogniser. Equal error rates: {rates}."
