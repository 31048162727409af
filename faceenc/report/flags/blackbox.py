"""The checks about black-box attacks, beside those of `checks`.

A black-box attack is one with a query budget (`max_queries`) in the run's configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from faceenc.report import tables
from faceenc.report.flags.checks import Hit, RunResults, beyond, percent, usual

# Those that reach nearly everything that can be reached by gradient, within the ball.
_WHITE = ("PGD", "ArtPGD", "ArtAPGD", "ArtAutoAttack")
_ATTACK = ["attack", "norm"]
# What two lines of one attack's family may differ in.
_OWN = ("name", "max_queries", "images", "eps", "goals")
_SAME = [*(key for key in tables.KEYS if key != "attack"), "seed", "image"]


def _attacks(run: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    known: list[Mapping[str, Any]] = run.get("config", {}).get("attacks", [])
    return known


def _rows(results: RunResults, attacks: list[Mapping[str, Any]]) -> pd.DataFrame:
    """The rows of these attacks, whose judge is the recogniser that they know; with the attack's query budget, if any."""
    columns = {"attack": "name", "norm": "norm", "budget": "max_queries"}
    wanted = pd.DataFrame([{name: one.get(key) for name, key in columns.items()} for one in attacks], columns=list(columns))
    rows = results.rows[[*_SAME, "attack", "success"]]
    return usual(results, rows[rows["recognizer"] == rows["judge"]].merge(wanted, on=_ATTACK))


def black_box_beats_white_box(results: RunResults) -> list[Hit] | None:
    """A black-box attack must not reach its goal on more images than the best attack with gradients.

    On the images that both attacked, by more than 2 points and one image, against each of PGD, APGD and AutoAttack that was
    run (attacks for the smallest noise do not count: they promise less).
    """
    attacks = _attacks(results.run)
    black = _rows(results, [one for one in attacks if one.get("max_queries") is not None])
    white = _rows(results, [one for one in attacks if one.get("attack") in _WHITE])
    both = black.merge(white, on=_SAME, suffixes=("", "_white"))
    hits = []
    for names, group in both.groupby(tables.KEYS):
        where = dict(zip(tables.KEYS, names, strict=True))
        leads = [_Lead(part) for _, part in group.groupby("attack_white")]
        least = min(leads, key=lambda lead: lead.points)
        if beyond(least.points, least.n):
            hits.append(
                Hit(where, f"goal reached on {percent(least.black)} of images, on {percent(least.white)} with gradients")
            )
    return hits if len(both) else None


class _Lead:
    """By how much a black-box attack leads one with gradients, on the images that both attacked."""

    def __init__(self, both: pd.DataFrame) -> None:
        self.black, self.white = float(both["success"].mean()), float(both["success_white"].mean())
        self.points, self.n = self.black - self.white, int(both["image"].nunique())


def more_queries_do_not_help(results: RunResults) -> list[Hit] | None:
    """One black-box attack under its smallest and its largest budget, same images: not one image more, though some stand.

    Some: more than one, and more than 2 points.
    """
    families: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for one in _attacks(results.run):
        if one.get("max_queries") is not None:
            same = tuple(sorted((key, str(value)) for key, value in one.items() if key not in _OWN))
            families.setdefault(same, []).append(one)
    hits, examined = [], 0
    for members in families.values():
        rows = _rows(results, members)
        least, most = (rows[rows["budget"] == limit] for limit in (rows["budget"].min(), rows["budget"].max()))
        both = most.merge(least, on=_SAME, suffixes=("", "_least"))
        for names, group in both[both["budget"] > both["budget_least"]].groupby(tables.KEYS):
            examined += 1
            few, many, n = float(group["success_least"].mean()), float(group["success"].mean()), group["image"].nunique()
            if beyond(1 - many, n) and (many - few) * n < 1 - 1e-6:
                shares = [f"{percent(share)} of images with {budget:.0f} queries" for share, budget in (
                    (few, group["budget_least"].iloc[0]), (many, group["budget"].iloc[0]))]  # fmt: skip
                hits.append(Hit(dict(zip(tables.KEYS, names, strict=True)), f"goal reached on {' and on '.join(shares)}"))
    return hits if examined else None
