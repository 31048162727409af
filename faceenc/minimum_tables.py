"""minimum.csv -> how robust a recogniser is, without choosing an eps first: quartiles, and accuracy at any eps.

Convention
    `minimum_eps` is an image's smallest noise that reaches the goal: 0 where it is reached untouched, infinite where the
    search found none. Accuracy at eps is the share of images whose smallest noise is larger; aimed at a person, the share
    that is not taken for that person.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd

from faceenc.tables import wilson
from faceenc.types import RunError

KEYS = ["recognizer", "norm", "goal"]
COLUMNS = [*KEYS, "image", "label", "target", "minimum_eps", "largest", "queries", "seconds"]
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
        table = pd.read_csv(path, keep_default_na=False, dtype=dict.fromkeys((*KEYS, "image", "label", "target"), "str"))
        table = table.astype(dict.fromkeys(("minimum_eps", "largest", "queries", "seconds"), "float64"))
    except (ValueError, KeyError, OSError) as error:
        raise RunError(f"{path}: unreadable; remove it and finish the run with --resume") from error
    if list(table.columns) != COLUMNS or table.empty:
        raise RunError(f"{path}: not what faceenc-bench run writes; remove it and finish the run with --resume")
    return table


def curve(minima: pd.DataFrame) -> pd.DataFrame:
    """Accuracy against eps from each image's smallest noise, with Wilson 95 % intervals.

    Args:
        minima: rows of minimum.csv.

    Returns:
        One row for each (recognizer, norm, goal) and each eps at which an image falls, from 0 to the largest size searched:
        those three, eps, n, accuracy, ci_low, ci_high.
    """
    rows = []
    for names, part in minima.groupby(KEYS):
        values = part["minimum_eps"].to_numpy()
        steps = np.unique(np.append(values[np.isfinite(values)], (0.0, float(part["largest"].iloc[0]))))
        rows += [dict(zip(KEYS, names, strict=True)) | {"eps": float(eps)} | _standing(values, eps) for eps in steps]
    return pd.DataFrame(rows)


def summary(minima: pd.DataFrame) -> pd.DataFrame:
    """One row for each (recognizer, norm, goal): n, quartiles of the smallest noise, and who stands at the usual sizes.

    A quartile is infinite where so many images stand at the largest size. `standing` is a list of (eps, accuracy, ci_low,
    ci_high) for the sizes of `SIZES` that the search reached; queries and seconds are means over images.
    """
    rows = []
    for names, part in minima.groupby(KEYS):
        values, largest = part["minimum_eps"].to_numpy(), float(part["largest"].iloc[0])
        at = [(eps, _standing(values, eps)) for eps in SIZES[str(names[1])] if eps <= largest + _TINY]
        rows.append(
            dict(zip(KEYS, names, strict=True))
            | {"n": len(values), "largest": largest}
            | {name: _quantile(values, share) for name, share in (("lower", 0.25), ("median", 0.5), ("upper", 0.75))}
            | {"standing": [(eps, s["accuracy"], s["ci_low"], s["ci_high"]) for eps, s in at]}
            | {"queries": float(part["queries"].mean()), "seconds": float(part["seconds"].mean())}
        )
    return pd.DataFrame(rows)


def _standing(values: np.typing.NDArray[np.float64], eps: float) -> dict[str, float]:
    count = int((values > eps + _TINY).sum())
    low, high = wilson(count, len(values))
    return {"n": len(values), "accuracy": count / len(values), "ci_low": low, "ci_high": high}


def _quantile(values: np.typing.NDArray[np.float64], share: float) -> float:
    """The value that at least this share of images does not exceed: one that was measured, never a mean with infinity."""
    return float(np.sort(values)[max(0, math.ceil(share * len(values)) - 1)])
