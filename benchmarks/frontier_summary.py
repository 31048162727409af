"""The table and the figure of `frontier.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from frontier_judging import ENSEMBLE, FACERES
from frontier_recipes import NOBODY, RECIPES

from faceenc.media import Visibility
from faceenc.report import wilson

if TYPE_CHECKING:
    from matplotlib.axes import Axes


LEFT_OUT = ENSEMBLE[1:]  # the nets that stand for recognisers nobody attacked
_SHOWN = "saved"  # variant of the figure
_COLOURS = ("#6b6b6b", "#b8860b", "#b3261e", "#2a8c82", "#7a4fa3", "#1f5fa8")
_MARKERS = "xs^vDo"


def read_rows(path: Path) -> pd.DataFrame:
    """A run's rows, as typed as they were; packed as PATH.gz where only that is there."""
    path = path if path.exists() else path.with_name(f"{path.name}.gz")
    return pd.read_csv(path, keep_default_na=False, dtype={"data": str, "fold": str, "recipe": str})


def summarise(output: Path) -> pd.DataFrame:
    """Write OUTPUT/summary.csv and frontier.png, of OUTPUT/rows.csv."""
    rows = read_rows(output / "rows.csv")
    table = pd.DataFrame(_summary(rows))
    table.to_csv(output / "summary.csv", index=False, float_format="%.4f")
    draw(rows[rows["variant"] == _SHOWN], output / "frontier.png")
    return table


def _summary(rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    keys = ["data", "recipe", "fold", "judge", "variant"]
    for names, group in rows.groupby(keys, sort=False):
        yield {
            **dict(zip(keys, names, strict=True)),
            "attacked": bool(group["attacked"].iloc[0]),
            "photos": len(group),
            **_share("own_unmatched", group["own_unmatched"]),
            **_share("none_matched", group["none_matched"]),
            **_share("rank_1", group["rank"] == 1),
            **_share("rank_20", group["rank"] <= 20),
            "found_again": group["found"].mean(),
            "distance": group["distance"].median(),
            "threshold": group["threshold"].median(),
            "noise": group["noise"].median(),
            "noise_p10": group["noise"].quantile(0.1),
            "noise_lowest": group["noise"].min(),
            "butteraugli": group["butteraugli"].median(),
            "butteraugli_p90": group["butteraugli"].quantile(0.9),
            "butteraugli_highest": group["butteraugli"].max(),
            "shape": group["shape"].median(),
            "shape_p90": group["shape"].quantile(0.9),
            "shape_highest": group["shape"].max(),
            "within": _within(group),
            "seconds": group["seconds"].median(),
        }


def _share(name: str, true: pd.Series[bool]) -> dict[str, float]:
    """With its Wilson 95 % interval."""
    low, high = wilson(int(true.sum()), len(true))
    return {name: float(true.mean()), f"{name}_low": low, f"{name}_high": high}


def _within(group: pd.DataFrame) -> float | None:
    """The share of faces that show no more than their recipe promises; None where it promises nothing."""
    strength = RECIPES[str(group["recipe"].iloc[0])].strength
    if strength is None:
        return None
    seen = (Visibility(*values) for values in group[["noise", "butteraugli", "shape"]].itertuples(index=False, name=None))
    return sum(strength.kept(visible) for visible in seen) / len(group)


def draw(rows: pd.DataFrame, path: Path) -> None:
    """The share of photos none of whose references match, over what is seen; a row of panels for each kind of judge."""
    from matplotlib.figure import Figure

    kinds = {
        "SFace, not attacked": {"sface"},
        "mean of SFace, faceplugin and MobileFaceNet, each not attacked": set(LEFT_OUT),
        "faceres, never attacked": {FACERES},
    }
    measures = {
        "noise": "SSIMULACRA2 (the lower, the more is seen)",
        "butteraugli": "butteraugli (the higher, the more is seen)",
    }
    figure = Figure(figsize=(13, 4.6 * len(kinds)), layout="constrained")
    every = figure.subplots(len(kinds), len(measures), sharey=True, squeeze=False)
    for axes_row, (title, judges) in zip(every, kinds.items(), strict=True):
        for axes, (measure, words) in zip(axes_row, measures.items(), strict=True):
            _panel(axes, rows, judges, measure)
            axes.set(title=title, xlabel=words, ylim=(-3, 103))
            if measure == "noise":
                axes.invert_xaxis()
                axes.set_ylabel("photos none of whose references match, %")
    every[0, 0].legend(fontsize=8, loc="center left")
    figure.savefig(path, dpi=120)


def _panel(axes: Axes, rows: pd.DataFrame, judges: set[str], measure: str) -> None:
    families = dict.fromkeys(recipe.family for recipe in RECIPES.values())
    for family, colour, marker in zip(families, _COLOURS, _MARKERS, strict=True):
        points = []
        for name, recipe in RECIPES.items():
            # Of an ensemble, who judges is who was left out; elsewhere everybody but dlib was.
            asked = rows[(rows["recipe"] == name) & rows["judge"].isin(judges)]
            fold = asked["judge"] if len(recipe.nets) > 1 and FACERES not in judges else NOBODY
            asked = asked[asked["fold"] == fold]
            if recipe.family == family and set(asked["judge"]) == judges:
                share = asked.groupby("judge")["none_matched"].mean().mean()
                photos = len(asked) // len(judges)
                points.append((float(asked[measure].median()), float(share), photos, name))
        if not points:
            continue
        points.sort()
        x, y = [point[0] for point in points], [100 * point[1] for point in points]
        bounds = [[100 * bound for bound in wilson(share * photos, photos)] for _, share, photos, _ in points]
        below = [max(0.0, value - low) for value, (low, _) in zip(y, bounds, strict=True)]
        above = [max(0.0, high - value) for value, (_, high) in zip(y, bounds, strict=True)]
        preset = family == "presets"
        axes.errorbar(x, y, yerr=[below, above], color=colour, linewidth=0, elinewidth=0.6)
        axes.plot(x, y, color=colour, marker=marker, label=family, linewidth=2.5 if preset else 1.2)
        for across, up, (*_, name) in zip(x, y, points, strict=True):
            if preset:
                axes.annotate(name, (across, up), xytext=(6, -12), textcoords="offset points", fontsize=9, color=colour)
    axes.grid(alpha=0.3)
