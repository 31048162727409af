"""Rows of a benchmark -> tables of numbers: accuracies with intervals, worst cases, comparisons. Everything is a groupby.

Convention
    A row is one image under one attack (`COLUMNS`). Accuracies, rates and probabilities are shares in [0, 1]; eps is a share
    of the pixel range for "linf" and a plain length for "l2". Several seeds of one image are pooled into its share.
"""

from __future__ import annotations

import logging
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pandas as pd

from faceenc.core import RunError, from_cells
from faceenc.report.words import is_verification

logger = logging.getLogger(__name__)

KEYS = ["recognizer", "judge", "attack", "norm", "goal", "eps"]
_TEXT = [
    *("recognizer", "judge", "attack", "norm", "goal", "image", "label", "target"),
    *("clean_prediction", "adversarial_prediction"),
]
_NUMBERS = [
    *("eps", "clean_probability", "adversarial_probability", "label_probability", "target_probability", "loss"),
    *("linf", "l2", "psnr", "ssim", "overshoot", "queries", "seconds"),
]
COLUMNS = [*_TEXT, *_NUMBERS, "seed", "success"]
SUMMARY_COLUMNS = [
    *KEYS,
    *("n", "clean_accuracy", "adversarial_accuracy", "ci_low", "ci_high", "success_rate", "target_rate"),
    *("queries", "seconds_per_image"),
]
# Every implementation of ours and its counterpart in ART.
COUNTERPARTS = {"pgd": "art-pgd", "fgsm": "art-fgsm"}

# Attacks made to check other attacks; they have no place among the results.
NOISE, CONTROL, BORROWED = "noise", "pgd-2x", "another image's noise"

_REPORTED_EPS = 8 / 255


def read_rows(folder: Path) -> pd.DataFrame:
    """The rows of a run.

    Raises:
        RunError: the file is missing, empty, cut or lacks columns.
    """
    path = next((p for p in (folder / "rows.csv", folder / "rows.csv.gz") if p.is_file()), None)
    if path is None:
        raise RunError(f"{folder}: no rows.csv here; name a folder that faceenc-bench run has written")
    types = {**dict.fromkeys(_TEXT, "str"), **dict.fromkeys(_NUMBERS, "float64"), "success": "bool", "seed": "int64"}
    try:
        # A person may well be called "NA" or "None": only columns of numbers have missing values.
        rows = pd.read_csv(
            path,
            dtype=types,
            keep_default_na=False,
            na_values={name: ["", "nan", "NaN"] for name in _NUMBERS},
        )
        rows = from_cells(rows)
    except (ValueError, OSError, EOFError, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise RunError(f"{path}: unreadable ({reason}); finish the run with `resume`, or run it anew") from error
    missing = [name for name in COLUMNS if name not in rows]
    if missing:
        raise RunError(f"{path}: no column {', '.join(missing)}; this is not a file of faceenc-bench run")
    if rows.empty:
        raise RunError(f"{path}: holds no rows; let the run finish with `resume`")
    doubled = rows.duplicated([*KEYS, "seed", "image"])
    if doubled.any():
        logger.warning("%s: %d rows are there twice and count once; `resume` removes them", path, doubled.sum())
        rows = rows[~doubled].reset_index(drop=True)
    return rows


def wilson(successes: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The score interval of a share (Wilson 1927), which keeps its promise even for 0 of n.

    Args:
        successes: between 0 and n; a fraction where an image's seeds were averaged.
        n: independent trials; without any, the interval is all of [0, 1].
        confidence: two-sided.
    """
    if not n:
        return 0.0, 1.0
    # scipy's binomtest knows the same interval, for whole successes only.
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def summarize(rows: pd.DataFrame) -> pd.DataFrame:
    """One line for each (recognizer, judge, attack, norm, goal, eps): `SUMMARY_COLUMNS`.

    Seeds are pooled: rates are means over all rows. `n` counts distinct images, and the interval stands on it, because the
    same image under another seed is no new evidence about other images.

    `success_rate` is taken over the images that were recognised before the attack: the share that no longer is.
    `target_rate` is taken over all images: the share recognised as the target; nan when there is none.
    """
    marked = _mark(rows)
    groups = marked.groupby(KEYS, sort=True)
    table = groups.agg(
        n=("image", "nunique"),
        clean_accuracy=("clean", "mean"),
        adversarial_accuracy=("kept", "mean"),
        lost=("lost", "sum"),
        known=("clean", "sum"),
        target_rate=("hit", "mean"),
        queries=("queries", "mean"),
        seconds_per_image=("seconds", "mean"),
    ).reset_index()
    table["success_rate"] = table["lost"] / table["known"].where(table["known"] > 0)
    table["target_rate"] = table["target_rate"].where(table["goal"] == "impersonate")
    return _with_interval(table, "adversarial_accuracy")[SUMMARY_COLUMNS]


def worst_case(rows: pd.DataFrame) -> pd.DataFrame:
    """Accuracy when each image meets whichever attack beats it: recognised untouched and under every attack and seed.

    Columns: recognizer, judge, norm, eps, attacks (how many were run at this eps), n, accuracy, ci_low, ci_high.
    """
    keys = ["recognizer", "judge", "norm", "eps"]
    marked = _mark(rows)
    marked["survives"] = marked["clean"] & marked["kept"]
    marked["variant"] = marked["attack"] + "/" + marked["goal"]
    images = marked.groupby([*keys, "image"])["survives"].all().reset_index()
    table = images.groupby(keys).agg(n=("image", "size"), accuracy=("survives", "mean")).reset_index()
    attacks = marked.groupby(keys)["variant"].nunique().rename("attacks").reset_index()
    return _with_interval(table.merge(attacks, on=keys), "accuracy")


def compare(summary: pd.DataFrame, pairs: Mapping[str, str]) -> pd.DataFrame:
    """Pairs of attacks side by side, wherever both were run: every summary column once with _a and once with _b."""
    first = summary[summary["attack"].isin(list(pairs))].copy()
    first["attack_b"] = first["attack"].map(pairs)
    keys = [name for name in KEYS if name != "attack"]
    right = summary.rename(columns={"attack": "attack_b"})
    return first.merge(right, on=[*keys, "attack_b"], suffixes=("_a", "_b")).rename(columns={"attack": "attack_a"})


def quality(rows: pd.DataFrame) -> pd.DataFrame:
    """Medians of PSNR (dB) and SSIM of the judged image against the original, one line for each of `KEYS` with eps > 0."""
    return rows[rows["eps"] > 0].groupby(KEYS)[["psnr", "ssim"]].median().reset_index()


def reached(summary: pd.DataFrame) -> pd.Series[float]:
    """The share of images on which the attack got what it wanted."""
    return summary["target_rate"].where(summary["goal"] == "impersonate", 1 - summary["adversarial_accuracy"])


def huge_eps(run: Mapping[str, Any], norm: str) -> float:
    """The eps that no recogniser can withstand, `huge_eps` in the configuration: a number for linf, or {norm: number}."""
    value = run.get("config", {}).get("huge_eps", {})
    table = value if isinstance(value, Mapping) else {"linf": value}
    # A shade less: rows carry nine digits, run.json all of them.
    return float(table.get(norm) or math.inf) * (1 - 1e-6)


def main_eps(summary: pd.DataFrame, run: Mapping[str, Any], norm: str) -> float | None:
    """The noise size that the headline speaks of: 8/255 if it was run, else the largest but for the huge one."""
    sizes = summary.loc[summary["norm"] == norm, "eps"].unique()
    usual = [float(eps) for eps in sizes if 0 < eps < huge_eps(run, norm)]
    near = [eps for eps in usual if norm == "linf" and math.isclose(eps, _REPORTED_EPS, rel_tol=1e-6)]
    return max(near or usual, default=None)


def chance(run: Mapping[str, Any], judge: str) -> float | None:
    """The accuracy of blind guessing, of pairs the false match rate; None where the run does not say."""
    if is_verification(run):
        return float(run.get("far") or 0)
    classes = next((r.get("classes") for r in run.get("recognizers", []) if r.get("name") == judge), None)
    return 1 / classes if classes else None


def eps_text(eps: float, norm: str) -> str:
    """As people write it: 8/255 for a share of the pixel range, plain for a length."""
    levels = eps * 255
    if norm == "linf" and 0 < eps < 1 and abs(levels - round(levels)) < 1e-4:
        return f"{round(levels)}/255"
    return f"{eps:.3g}"


def attack_title(attack: str, goal: str = "dodge") -> str:
    """As the report calls it."""
    known = {"pgd": "PGD", "fgsm": "FGSM", "art-pgd": "ART PGD", "art-fgsm": "ART FGSM", "noise": "Random noise"}
    title = {**known, CONTROL: "PGD, twice the steps"}.get(attack, attack)
    return f"{title}, targeted" if goal == "impersonate" else title


def panels(table: pd.DataFrame) -> list[tuple[str, str, str, pd.DataFrame]]:
    """(recognizer, judge, norm, its lines): what a recogniser says of noise made on itself comes first, Linf before L2."""
    grouped = table.groupby(["recognizer", "judge", "norm"])
    groups = [(str(recognizer), str(judge), str(norm), cells) for (recognizer, judge, norm), cells in grouped]
    return sorted(groups, key=lambda p: (p[0], p[0] != p[1], p[1], p[2] != "linf"))


def attack_order(attack: tuple[str, str]) -> tuple[bool, bool, int, str]:
    """Sorting key of (attack, goal): not targeted, targeted, controls; in each ours before ART's."""
    name, goal = attack
    usual = ["pgd", "art-pgd", "fgsm", "art-fgsm", NOISE, CONTROL]
    return name in (NOISE, CONTROL), goal != "dodge", usual.index(name) if name in usual else len(usual), name


def _mark(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with what each of them says: recognised before, recognised after, lost, taken for the target."""
    marked = rows.copy()
    marked["clean"] = rows["clean_prediction"] == rows["label"]
    marked["kept"] = rows["adversarial_prediction"] == rows["label"]
    marked["lost"] = marked["clean"] & ~marked["kept"]
    marked["hit"] = rows["adversarial_prediction"] == rows["target"]
    return marked


def _with_interval(table: pd.DataFrame, share: str) -> pd.DataFrame:
    bounds = [wilson(p * n, n) for p, n in zip(table[share], table["n"], strict=True)]
    return table.assign(ci_low=[low for low, _ in bounds], ci_high=[high for _, high in bounds])
