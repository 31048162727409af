"""The baseline of a recogniser: how well it tells people apart before any attack."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from faceenc.benchmark.verification.baseline import (
    FARS,
    OperatingRate,
    PairDistances,
    Rate,
    Spread,
    all_pairs,
    det_curve,
    equal_error,
    operating_rates,
    spread,
)
from faceenc.benchmark.verification.slices import AtThreshold, at_threshold
from faceenc.recognizers import FAR, fit_threshold, rank_k

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RANKS = (1, 5, 10)


@dataclass(frozen=True, slots=True)
class Shown:
    """Who was shown what.

    Attributes:
        recognizer: its name.
        network: fingerprint of its weights.
        licence: of the weights; "" where nobody says.
        data: what it was shown.
        photos: that were to be read.
        not_acquired: of these, without a usable face: they are in no pair.
    """

    recognizer: str
    network: str
    licence: str
    data: str
    photos: int
    not_acquired: int


@dataclass(frozen=True, slots=True, eq=False)
class Baseline(Shown):
    """How well a recogniser tells people apart, before any attack.

    Attributes:
        people: with a usable photo; 0 where nobody knows whom the pairs show.
        genuine: pairs of one person.
        impostor: pairs of two.
        rates: at thresholds for given FMRs, fitted on these very pairs.
        eer: see there.
        ranks: the share of photos whose person is among the k nearest, by k; empty for given pairs.
        threshold: Euclidean, for `spread` and `at`; nan where too few impostor pairs show one.
        spread: over people; None for given pairs.
        at: what the threshold does to everybody and to each slice.
        det: (P, 3): threshold, FMR, FNMR.
    """

    people: int
    genuine: int
    impostor: int
    rates: Sequence[OperatingRate]
    eer: Rate
    ranks: dict[int, float]
    threshold: float
    spread: Spread | None
    at: Sequence[AtThreshold]
    det: NDArray[np.float64]

    def to_json(self) -> dict[str, Any]:
        """JSON-like; what the pairs cannot show is None."""
        record = asdict(self) | {"det": self.det.tolist()}
        found: dict[str, Any] = _without_nan(record)
        return found


def baseline_of_people(
    shown: Shown,
    embeddings: NDArray[np.floating],
    people: Sequence[str],
    *,
    threshold: float | None = None,
    tags: Mapping[str, Mapping[str, str]] | None = None,
    fmrs: Sequence[float] = FARS,
    seed: int = 0,
) -> Baseline:
    """All photos against all.

    Args:
        shown: what is known beforehand.
        embeddings: (N, D), of length 1 where the recogniser's distance is the cosine's.
        people: whom each shows, at least two.
        threshold: Euclidean, fitted on other people; None takes the one for an FMR of 1 % on these pairs.
        tags: each tag's value by person.
        fmrs: false match rates to find thresholds for.
        seed: of the draws that intervals are taken from.
    """
    names = sorted(set(people))
    ranks = {k: rank_k(embeddings, people, embeddings, people, k=k, same_photos=True) for k in RANKS if k < len(names)}
    values = {tag: [of.get(name, "") for name in names] for tag, of in (tags or {}).items()}
    return _baseline(shown, all_pairs(embeddings, people), len(names), ranks, threshold, values, fmrs, seed)


def baseline_of_pairs(shown: Shown, pairs: PairDistances, *, people: int, fmrs: Sequence[float], seed: int) -> Baseline:
    """Chosen pairs; `people` is 0 where nobody knows whom they show."""
    return _baseline(shown, pairs, people, {}, None, {}, fmrs, seed)


def _baseline(
    shown: Shown,
    pairs: PairDistances,
    people: int,
    ranks: dict[int, float],
    threshold: float | None,
    tags: Mapping[str, Sequence[str]],
    fmrs: Sequence[float],
    seed: int,
) -> Baseline:
    if threshold is None:
        try:
            threshold = fit_threshold(pairs.genuine, pairs.impostor, far=FAR)
        except ValueError:  # too few impostor pairs
            threshold = math.nan
    known = math.isfinite(threshold)
    return Baseline(
        **asdict(shown), people=people, genuine=len(pairs.genuine), impostor=len(pairs.impostor),
        rates=operating_rates(pairs, fmrs, seed=seed), eer=equal_error(pairs, seed=seed), ranks=ranks, threshold=threshold,
        spread=spread(pairs, threshold) if known and ranks else None,
        at=at_threshold(pairs, threshold, tags, seed=seed) if known else [], det=det_curve(pairs),
    )  # fmt: skip


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value
