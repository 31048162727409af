"""The transfer matrix as a picture: surrogates down, judges across, one panel a goal and eps."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from faceenc.report import tables
from faceenc.report.plots import png


def strongest(summary: pd.DataFrame) -> pd.DataFrame:
    """For each surrogate, judge, goal and eps the attack that did best: recognizer, judge, goal, eps, attack, reached."""
    cells = summary[(summary["eps"] > 0) & ~summary["attack"].isin([tables.NOISE])].copy()
    cells["reached"] = cells["target_rate"].where(cells["goal"] == "impersonate", cells["success_rate"])
    keys = ["recognizer", "judge", "norm", "goal", "eps"]
    best = cells.dropna(subset=["reached"]).sort_values("reached").groupby(keys).tail(1)
    return best.sort_values(keys)[[*keys, "attack", "reached"]].reset_index(drop=True)


def heat_map(summary: pd.DataFrame) -> bytes:
    """Success of the strongest attack from each surrogate to each judge, as PNG bytes."""
    from matplotlib.figure import Figure

    best = strongest(summary)
    surrogates, judges = sorted(set(best["recognizer"])), sorted(set(best["judge"]))
    panels = list(best.groupby(["goal", "norm", "eps"]))
    size = (2.2 + 1.0 * len(judges), 1.6 + 0.6 * len(surrogates))
    figure = Figure(figsize=(max(5.0, size[0]), max(2.4, size[1]) * max(1, len(panels))), layout="constrained")
    for number, ((goal, norm, _), cells) in enumerate(panels):
        axes = figure.add_subplot(len(panels), 1, number + 1)
        table = cells.pivot_table(index="recognizer", columns="judge", values="reached").reindex(surrogates, columns=judges)
        matrix = table.to_numpy(np.float64)
        axes.imshow(100 * matrix, vmin=0, vmax=100, cmap="Blues", aspect="auto")
        for i, j in ((i, j) for i in range(len(surrogates)) for j in range(len(judges))):
            value = float(matrix[i, j])
            if not math.isnan(value):
                colour = "white" if value > 0.6 else "#222222"
                axes.text(j, i, f"{100 * value:.0f} %", ha="center", va="center", color=colour, fontsize=9)
        axes.set_xticks(range(len(judges)), judges, rotation=20, ha="right")
        axes.set_yticks(range(len(surrogates)), surrogates)
        axes.set(xlabel="judged by", ylabel="noise made on")
        word = "dodging" if goal == "dodge" else "impersonation"
        eps = tables.eps_text(float(cells["eps"].iloc[0]), str(norm))
        axes.set_title(f"Success of {word}, %, eps {eps}", loc="left", fontsize=10)
    return png(figure)
