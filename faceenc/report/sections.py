"""What the report shows: tables of numbers -> tables of text, which both templates only lay out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import pandas as pd

from faceenc.report import tables
from faceenc.report.flags.catalogue import CHECKS, Check, Flag
from faceenc.report.tables import attack_order, attack_title, eps_text
from faceenc.report.wording import interval, panel_title, points, records
from faceenc.report.words import PHOTOS, Words


class TableCell(NamedTuple):
    """A figure and what stands small beside it."""

    text: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Text to lay out. The first `words` columns are words (left), the others figures (right)."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[TableCell]]
    words: int = 1


def accuracy_tables(summary: pd.DataFrame, words: Words = PHOTOS) -> list[Table]:
    """Accuracy at each eps under each attack, with the intervals."""
    return [
        _grid(cells, f"{words.kept}, % (Wilson 95 % interval): {title}", _accuracy_cell, clean=True)
        for title, cells in _panels(summary)
    ]


def success_tables(summary: pd.DataFrame, words: Words = PHOTOS) -> list[Table]:
    """Success over the images that were recognised before the attack."""
    return [_grid(cells, f"{words.lost}: {title}", _success_cell) for title, cells in _panels(summary[summary["eps"] > 0])]


def targeted_tables(summary: pd.DataFrame, words: Words = PHOTOS) -> list[Table]:
    """Attacks that aim at another person: the share that was taken for that person."""
    aimed = summary[(summary["goal"] == "impersonate") & ((summary["eps"] > 0) | (words is not PHOTOS))]
    return [_grid(cells, f"{words.taken} (Wilson 95 % interval): {title}", _target_cell) for title, cells in _panels(aimed)]


def quality_tables(quality: pd.DataFrame) -> list[Table]:
    """Median PSNR and SSIM."""
    return [
        _grid(
            cells, f"Median PSNR in dB (median SSIM): {title}", lambda c: TableCell(f"{c['psnr']:.1f}", f"{c['ssim']:.3f}")
        )
        for title, cells in _panels(quality)
    ]


def _accuracy_cell(cell: Mapping[str, Any]) -> TableCell:
    return TableCell(points(cell["adversarial_accuracy"]), interval(cell["ci_low"], cell["ci_high"]))


def _success_cell(cell: Mapping[str, Any]) -> TableCell:
    return TableCell(points(cell["success_rate"]))


def _target_cell(cell: Mapping[str, Any]) -> TableCell:
    low, high = tables.wilson(cell["target_rate"] * cell["n"], cell["n"])
    return TableCell(points(cell["target_rate"]), interval(low, high))


def _grid(
    cells: pd.DataFrame, caption: str, show: Callable[[Mapping[str, Any]], TableCell], *, clean: bool = False
) -> Table:
    """Noise sizes downwards, attacks across."""
    by = {(c["eps"], c["attack"], c["goal"]): c for c in records(cells)}
    attacks = sorted({(attack, goal) for _, attack, goal in by}, key=attack_order)
    norm = str(cells["norm"].iloc[0])
    lines = []
    for eps in sorted({eps for eps, _, _ in by}):
        here = [by.get((eps, *attack)) for attack in attacks]
        first = [TableCell(eps_text(eps, norm))]
        if clean:
            first.append(TableCell(points(max((c for c in here if c), key=lambda c: c["n"])["clean_accuracy"])))
        lines.append([*first, *(show(c) if c else TableCell("") for c in here)])
    return Table(caption, ["eps", *(["untouched"] if clean else []), *(attack_title(*a) for a in attacks)], lines)


def worst_tables(worst: pd.DataFrame, words: Words = PHOTOS) -> list[Table]:
    """Each image against whichever attack beats it."""
    columns = ["eps", "attacks", words.photos, "standing, %", "interval, %"]
    return [
        Table(
            f"Standing untouched and under every attack of this size: {title}",
            columns,
            [
                [
                    TableCell(eps_text(c["eps"], c["norm"])),
                    *(TableCell(str(c[key])) for key in ("attacks", "n")),
                    TableCell(points(c["accuracy"])),
                    TableCell(interval(c["ci_low"], c["ci_high"])),
                ]
                for c in records(cells)
            ],
        )
        for title, cells in _panels(worst[worst["eps"] > 0])
    ]


def art_table(summary: pd.DataFrame) -> Table | None:
    """In-house and ART's accuracy at every eps, with the difference in percentage points."""
    both = records(tables.compare(summary[summary["eps"] > 0], tables.COUNTERPARTS))
    both.sort(key=lambda c: (c["recognizer"], c["judge"], c["norm"] != "linf", attack_order((c["attack_a"], c["goal"]))))
    rows = [
        [
            TableCell(panel_title(c["recognizer"], c["judge"], c["norm"])),
            TableCell(attack_title(c["attack_a"], c["goal"])),
            TableCell(eps_text(c["eps"], c["norm"])),
            TableCell(points(c["adversarial_accuracy_a"])),
            TableCell(points(c["adversarial_accuracy_b"])),
            TableCell(f"{100 * (c['adversarial_accuracy_a'] - c['adversarial_accuracy_b']):+.1f}"),
        ]
        for c in both
    ]
    columns = ["recogniser", "attack", "eps", "in-house, %", "ART, %", "difference, points"]
    return Table("Photos still recognised under the same attack of both implementations", columns, rows, 2) if rows else None


def time_table(summary: pd.DataFrame, run: Mapping[str, Any]) -> Table:
    """Queries and seconds an image, at the headline's eps or, where an attack was not run there, at its own nearest.

    Cost hangs on eps: a mean over other sizes for each attack would compare nothing.
    """
    keys = [key for key in tables.KEYS if key != "judge"]
    spent = summary[summary["eps"] > 0].groupby(keys)[["queries", "seconds_per_image"]].mean().reset_index()
    main = {norm: tables.main_eps(cells, run, str(norm)) or 0.0 for norm, cells in spent.groupby("norm")}
    spent["away"] = (spent["eps"] - spent["norm"].map(main)).abs()
    cells = records(spent.sort_values("away", kind="stable").drop_duplicates([key for key in keys if key != "eps"]))
    cells.sort(key=lambda c: (c["recognizer"], c["norm"] != "linf", *attack_order((c["attack"], c["goal"]))))
    rows = [
        [
            TableCell(f"{c['recognizer']}, {c['norm']}"),
            TableCell(attack_title(c["attack"], c["goal"])),
            TableCell(eps_text(c["eps"], c["norm"])),
            TableCell(f"{c['queries']:.0f}"),
            TableCell(f"{c['seconds_per_image']:.3f}"),
        ]
        for c in cells
    ]
    columns = ["recogniser", "attack", "eps", "queries an image", "seconds an image"]
    return Table("Cost of one noisy image", columns, rows, 2)


def crosscheck_table(crosscheck: pd.DataFrame) -> Table:
    """In-house PGD against ART's from the same start, pixel by pixel."""
    rows = []
    for (norm, goal, engine), steps in crosscheck.groupby(["norm", "goal", "engine"]):
        ordered = records(steps.sort_values("step"))
        first, last = ordered[0], ordered[-1]
        aim = "targeted" if goal == "impersonate" else "not targeted"
        figures = [
            TableCell(f"{255 * max(c['max_difference'] for c in ordered):.3g}"),
            TableCell(f"{100 * first['identical_pixels']:.4f}"),
            TableCell(f"{100 * last['identical_pixels']:.2f}"),
            TableCell(points(last["agreement"])),
            TableCell(points(last["accuracy"]), f"ART {points(last['art_accuracy'])}"),
            TableCell(f"{last['loss']:.3f}", f"ART {last['art_loss']:.3f}"),
            TableCell(f"{last['art_seconds'] / last['seconds']:.2f}"),
        ]
        rows.append([TableCell(f"{norm}, {aim}, eps {eps_text(last['eps'], str(norm))}"), TableCell(str(engine)), *figures])
    columns = [
        *("attack", "engine", "largest difference, 1/255", "same pixels after step 1, %", "same pixels at the end, %"),
        *("same answer, %", "accuracy, %", "loss", "ART's time / ours"),
    ]
    size = f"{crosscheck['images'].max()} photos, {crosscheck['step'].max()} steps"
    return Table(f"PGD in-house against ART's, same start, {size}", columns, rows, 2)


def flag_table(flags: Iterable[Flag]) -> Table:
    """What each flag saw, what it may mean, what to do."""
    rows = []
    for flag in flags:
        size = "" if flag.eps is None else f"eps {eps_text(flag.eps, flag.norm)}"
        attack = attack_title(flag.attack, flag.goal) if flag.attack else ""
        where = ", ".join(part for part in (flag.recognizer, attack, flag.norm, size) if part)
        rows.append([TableCell(text) for text in (flag.flag, where, flag.saw, flag.meaning, flag.remedy)])
    return Table("Flags raised", ["flag", "where", "saw", "may mean", "what to do"], rows, 5)


def check_table(survey: Mapping[str, list[Flag] | None], checks: Sequence[Check] = CHECKS) -> Table:
    """Every check that was made and how it ended."""
    rows = []
    for check in checks:
        flags = survey[check.flag]
        result = "nothing to examine" if flags is None else f"{len(flags)} raised" if flags else "passed"
        rows.append([TableCell(check.flag), TableCell(check.examines), TableCell(result)])
    return Table("Checks made", ["check", "examines", "result"], rows, 3)


def setup_tables(run: Mapping[str, Any]) -> list[Table]:
    """What was measured and on what, from run.json."""
    attacks = run.get("config", {}).get("attacks", [])
    parts = {
        **{f"Recogniser {r.get('name', '')}": r for r in run.get("recognizers", [])},
        "Attacks": {str(a.get("name")): _plain({k: v for k, v in a.items() if k not in ("name", "eps")}) for a in attacks},
        "Data": run.get("data", {}),
        "Run": {key: run.get(key) for key in ("started", "seconds", "git")},
        "Machine": run.get("machine", {}),
        "Versions": run.get("versions", {}),
    }
    return [
        Table(title, ["item", "value"], [[TableCell(key), TableCell(value)] for key, value in _flatten(part)], 2)
        for title, part in parts.items()
        if part
    ]


def _flatten(part: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, value in part.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{name}: ")
        elif value is not None and value != "":
            yield name, "; ".join(map(_plain, value)) if isinstance(value, list) else _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(item)}".replace("_", " ") for key, item in value.items() if item is not None)
    if isinstance(value, list | tuple):
        return " and ".join(map(_plain, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _panels(table: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    # The control ran on fewer images, so its figures do not compare with the others'.
    shown = table[table["attack"] != tables.CONTROL] if "attack" in table else table
    for recognizer, judge, norm, cells in tables.panels(shown):
        yield panel_title(recognizer, judge, norm), cells


def flag_frame(flags: Sequence[Flag]) -> pd.DataFrame:
    """flags.csv."""
    return pd.DataFrame([asdict(flag) for flag in flags], columns=list(Flag.__dataclass_fields__))
