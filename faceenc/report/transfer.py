"""The report of a transfer measurement: tables, heat map, flags, verification; from the rows alone, no attack is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from faceenc.core import from_cells, table_text, write_atomically
from faceenc.report import tables
from faceenc.report.flags.catalogue import Flag
from faceenc.report.flags.transfer import TRANSFER_CHECKS, survey_transfer
from faceenc.report.heatmap import heat_map


def render_transfer(folder: Path, rows: pd.DataFrame, run: Mapping[str, Any]) -> Path:
    """Write summary.csv, flags.csv, matrix.png and report.md into the folder of a measurement; returns the report's path."""
    summary = tables.summarize(rows)
    flags = survey_transfer(rows, run)
    raised = [flag for found in flags.values() for flag in found or []]
    write_atomically(folder / "summary.csv", table_text(summary))
    columns = list(Flag.__dataclass_fields__)
    table = pd.DataFrame([{name: getattr(flag, name) for name in columns} for flag in raised], columns=columns)
    write_atomically(folder / "flags.csv", table_text(table))
    write_atomically(folder / "matrix.png", heat_map(summary))
    page = folder / "report.md"
    parts = [*_head(run), *_tables(summary), *_verification(folder), *_flags(flags, raised)]
    write_atomically(page, "\n".join(parts) + "\n")
    return page


def _head(run: Mapping[str, Any]) -> list[str]:
    data = run["data"]
    thresholds = [f"{j['name']} {j['threshold']:.3f}" for j in run["judges"] if "+" not in j["name"]]
    lines = [
        f"# Transfer: {run['name']}",
        "",
        f"{data['pairs']} photos of {data['people_tested']} people of {data['name']}, attacked on one recogniser and judged"
        " by all. Success of dodging: the share of the pairs matched before the noise that no longer match. Success of"
        " impersonation: the share of all photos that match the target. Thresholds at a false accept rate of"
        f" {run['far']:.1%}, fitted on {data['fit_photos']} photos of the other half of people: {', '.join(thresholds)}.",
        "Every image was rounded to 8 bits inside the ball before judging; `+jpeg75` is the same image stored as JPEG.",
    ]
    if not run.get("finished"):
        lines += ["", "**The run is not finished.**"]
    return [*lines, "", f"`{run['command']}`", "", "![success from surrogate to judge](matrix.png)", ""]


def _tables(summary: pd.DataFrame) -> list[str]:
    lines = []
    for goal, title in (("dodge", "Dodging"), ("impersonate", "Impersonation")):
        part = summary[(summary["goal"] == goal) & (summary["eps"] > 0)]
        for (surrogate, _), cells in part.groupby(["recognizer", "eps"], sort=True):
            judges = [str(judge) for judge in dict.fromkeys(cells["judge"])]
            size = tables.eps_text(float(cells["eps"].iloc[0]), str(cells["norm"].iloc[0]))
            lines += [f"## {title}, noise made on {surrogate}, eps {size}", "", f"| attack | {' | '.join(judges)} |"]
            lines += [f"|---|{'---|' * len(judges)}"]
            column = "success_rate" if goal == "dodge" else "target_rate"
            for attack, row in cells.groupby("attack", sort=False):
                found = {str(j): (float(v), int(n)) for j, v, n in zip(row["judge"], row[column], row["n"], strict=True)}
                lines += [f"| {attack} | {' | '.join(_cell(found.get(judge)) for judge in judges)} |"]
            lines += [""]
    return lines


def _cell(found: tuple[float, int] | None) -> str:
    return "" if found is None or pd.isna(found[0]) else f"{found[0]:.1%}"


def _verification(folder: Path) -> list[str]:
    path = folder / "verification.csv"
    if not path.is_file():
        return []
    view = from_cells(pd.read_csv(path, keep_default_na=False, na_values=["", "nan"]))
    lines = [
        "## Verification",
        "",
        "TAR of the pairs at thresholds fitted on the other half of the people, with the FAR they turn out to have on this"
        " one; rank of the person among the gallery's.",
        "",
        "| noise made on | judge | attack | goal | eps | TAR (FAR 1 %) | TAR (FAR 0.1 %) | EER | rank-1 | rank-50 |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in view.to_dict("records"):
        tars = [f"{_share(row[f'tar_far{k}'])} ({_share(row[f'far{k}'])})" for k in ("1", "01")]
        shares = [_share(row[name]) for name in ("eer", "rank1", "rank50")]
        eps = tables.eps_text(float(row["eps"]), "linf") if row["eps"] else ""
        words = [row["recognizer"], row["judge"], row["attack"], row["goal"], eps, *tars, *shares]
        lines.append("| " + " | ".join("" if pd.isna(word) else str(word) for word in words) + " |")
    pairs = folder / "lfw_pairs.csv"
    if pairs.is_file():
        lines += ["", "LFW's pairs protocol, of the pairs whose photos are all here:", ""]
        lines += ["| judge | pairs used | accuracy | TAR (FAR 1 %) | TAR (FAR 0.1 %) | EER |", "|---|---|---|---|---|---|"]
        for row in from_cells(pd.read_csv(pairs)).to_dict("records"):
            shares = [_share(row[name]) for name in ("accuracy", "tar_far1", "tar_far01", "eer")]
            lines.append(f"| {row['judge']} | {row['used']} of {row['pairs']} | {' | '.join(shares)} |")
    return [*lines, ""]


def _share(value: float) -> str:
    return "n/a" if pd.isna(value) else f"{value:.1%}"


def _flags(flags: Mapping[str, list[Flag] | None], raised: Sequence[Flag]) -> list[str]:
    lines = ["## Flags", ""]
    for one in raised:
        lines += [f"- **{one.flag}** ({one.recognizer or 'run'}): {one.saw}. It may mean: {one.meaning}. {one.remedy}."]
    if not raised:
        lines += ["None raised."]
    lines += [f"- {check.flag}: nothing to examine." for check in TRANSFER_CHECKS if flags[check.flag] is None]
    return lines
