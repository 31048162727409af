"""How well a recogniser tells people apart before any attack, with intervals; pure functions of distances.

Convention
    As in `faceenc.recognizers.matching`: a pair matches at or below a threshold. FMR is the share of impostor pairs that
    match (FAR there), FNMR the share of genuine pairs that do not; TAR = 1 - FNMR. Thresholds are Euclidean.

Intervals
    Pairs share people, so not pairs are drawn anew but people, with replacement (Bolle and others, Error analysis of pattern
    recognition systems: the subsets bootstrap, https://doi.org/10.1016/j.cviu.2003.08.002): a genuine pair counts as often
    as its person is drawn, an impostor pair as often as its two persons are, multiplied. What is given is the middle 95 %
    of the draws. Where nobody knows whom the pairs show, each pair is taken for its own person.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceenc.recognizers import equal_error_rate, fit_threshold

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

FARS = (1e-1, 1e-2, 1e-3, 1e-4)
_DRAWS = 1000
_EDGES = 2000  # distances at which rates are followed through the draws
_ERRORS = (
    30  # of fewer false matches an estimate is rough: Doddington's rule of 30, https://doi.org/10.1016/S0167-6393(99)00080-1
)


@dataclass(frozen=True, slots=True, eq=False)
class PairDistances:
    """Pairs with what a recogniser says of them.

    Attributes:
        genuine: (G,) distances of photos of one person.
        impostor: (I,) distances of photos of two.
        genuine_people: (G,) whom they show, as numbers from 0.
        impostor_people: (I, 2) the same.
    """

    genuine: Floats
    impostor: Floats
    genuine_people: Rows
    impostor_people: Rows

    @property
    def people(self) -> int:
        """How many there are."""
        return int(max(self.genuine_people.max(initial=-1), self.impostor_people.max(initial=-1))) + 1


@dataclass(frozen=True, slots=True)
class Rate:
    """A share in [0, 1] with the middle 95 % of its draws; nan where the pairs cannot show it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class OperatingRate:
    """What a threshold with a wanted FMR does.

    Attributes:
        fmr: wanted.
        threshold: Euclidean; nan where there are fewer than 1 / fmr impostor pairs.
        threshold_interval: of the draws.
        tar: at that threshold.
        false_matches: impostor pairs that match.
        rough: of fewer than 30 false matches.
    """

    fmr: float
    threshold: float
    threshold_interval: tuple[float, float]
    tar: Rate
    false_matches: int
    rough: bool


@dataclass(frozen=True, slots=True)
class Spread:
    """How people differ at one threshold.

    Attributes:
        people: with a genuine pair.
        never_rejected: the share of them without a false non-match.
        worst_tenth: mean FNMR of the tenth of them that is rejected most ("goats").
        often_mistaken: the share of all false matches in which the tenth of people with most of them take part ("lambs").
    """

    people: int
    never_rejected: float
    worst_tenth: float
    often_mistaken: float


def all_pairs(embeddings: NDArray[np.floating], labels: ArrayLike) -> PairDistances:
    """Every pair of (N, D) embeddings once; labels (N,) say whom they show."""
    import torch

    people = np.unique(np.asarray(labels), return_inverse=True)[1].astype(np.int64)
    one, other = np.triu_indices(len(people), 1)
    # From plain differences: by products equal distances would come out unequal.
    distances = torch.nn.functional.pdist(torch.from_numpy(np.ascontiguousarray(embeddings, np.float64))).numpy()
    same = people[one] == people[other]
    pairs = np.stack([people[one], people[other]], 1)
    return PairDistances(distances[same], distances[~same], pairs[same, 0], pairs[~same])


def given_pairs(distances: Floats, same: NDArray[np.bool_], people: Rows | None = None) -> PairDistances:
    """Chosen pairs.

    Args:
        distances: (P,).
        same: (P,) whether each shows one person.
        people: (P, 2) whom they show, as numbers from 0; None where nobody knows.
    """
    if people is None:
        people = np.repeat(np.arange(len(distances), dtype=np.int64)[:, None], 2, 1)
    return PairDistances(distances[same], distances[~same], people[same, 0], people[~same])


def operating_rates(pairs: PairDistances, fmrs: Sequence[float] = FARS, *, seed: int = 0) -> list[OperatingRate]:
    """Thresholds with these FMRs on these pairs, and what they let through.

    Raises:
        ValueError: an FMR out of (0, 1].
    """
    draws = Draws(pairs, seed)
    return [_operating_rate(pairs, draws, fmr) for fmr in fmrs]


def equal_error(pairs: PairDistances, *, seed: int = 0) -> Rate:
    """The rate at which FMR and FNMR meet."""
    draws = Draws(pairs, seed)
    gap = np.abs(draws.fmr - (1 - draws.tar))
    met = gap.argmin(1)[:, None]
    rates = np.take_along_axis((draws.fmr + 1 - draws.tar) / 2, met, 1)[:, 0]
    return Rate(equal_error_rate(pairs.genuine, pairs.impostor), *middle(rates))


def det_curve(pairs: PairDistances, *, points: int = 200) -> Floats:
    """(P, 3): threshold, FMR, FNMR, from the strictest to the laxest (Martin and others, The DET curve, Eurospeech 1997)."""
    thresholds = np.unique(np.concatenate([_quantiles(pairs.impostor, points // 2), _quantiles(pairs.genuine, points // 2)]))
    return np.stack([thresholds, share(pairs.impostor, thresholds), 1 - share(pairs.genuine, thresholds)], 1)


def spread(pairs: PairDistances, threshold: float) -> Spread:
    """Of people: "goats" are rejected, "lambs" mistaken (Doddington and others, ICSLP 1998)."""
    count = pairs.people
    tried = np.bincount(pairs.genuine_people, minlength=count)
    rejected = np.bincount(pairs.genuine_people, pairs.genuine > threshold, minlength=count)
    there = tried > 0
    fnmr = np.sort(rejected[there] / tried[there])[::-1]
    mistaken = np.bincount(pairs.impostor_people[pairs.impostor <= threshold].ravel(), minlength=count)
    most = np.sort(mistaken)[::-1][: max(1, count // 10)].sum()
    tenth = fnmr[: max(1, len(fnmr) // 10)]
    return Spread(
        people=int(there.sum()),
        never_rejected=float((fnmr == 0).mean()) if len(fnmr) else math.nan,
        worst_tenth=float(tenth.mean()) if len(fnmr) else math.nan,
        often_mistaken=float(most / mistaken.sum()) if mistaken.any() else math.nan,
    )


class Draws:
    """Rates at some thresholds, in each of the draws of people.

    Args:
        pairs: of people.
        seed: of the draws.
        edges: (E,) thresholds, sorted; None chooses them among the distances.

    Attributes:
        edges: (E,) thresholds.
        fmr: (draws, E).
        tar: (draws, E).
    """

    def __init__(self, pairs: PairDistances, seed: int, edges: Floats | None = None) -> None:
        chosen = [_quantiles(pairs.impostor, _EDGES // 2), _quantiles(pairs.genuine, _EDGES // 2)]
        self.edges = np.unique(np.concatenate(chosen)) if edges is None else edges
        rng = np.random.default_rng(seed)
        people = pairs.people
        counts = rng.multinomial(people, np.full(people, 1 / people), size=_DRAWS)
        one, other = pairs.impostor_people.T
        paired = bool(len(one)) and bool((one == other).all())  # each pair is its own person
        self.tar = self._rates(pairs.genuine, counts, pairs.genuine_people, None)
        self.fmr = self._rates(pairs.impostor, counts, one, None if paired else other)

    def _rates(self, distances: Floats, counts: NDArray[np.int64], one: Rows, other: Rows | None) -> Floats:
        bins = np.searchsorted(self.edges, distances, side="left")
        found = np.full((len(counts), len(self.edges)), np.nan)
        for number, drawn in enumerate(counts):
            weights = drawn[one] if other is None else drawn[one] * drawn[other]
            total = weights.sum()
            if total:
                found[number] = np.bincount(bins, weights, minlength=len(self.edges) + 1).cumsum()[:-1] / total
        return found


def _operating_rate(pairs: PairDistances, draws: Draws, fmr: float) -> OperatingRate:
    if not 0 < fmr <= 1:
        raise ValueError(f"fmr is a share in (0, 1], got {fmr}")
    nothing = (math.nan, math.nan)
    try:
        threshold = fit_threshold(pairs.genuine, pairs.impostor, far=fmr)
    except ValueError:  # too few impostor pairs
        return OperatingRate(fmr, math.nan, nothing, Rate(math.nan, *nothing), 0, rough=True)
    # The last edge at which a draw keeps the rate; its own threshold, since nobody knows the right one.
    last = (draws.fmr <= fmr).sum(1) - 1
    kept = last.clip(0)
    tar = np.where(last < 0, 0.0, np.take_along_axis(draws.tar, kept[:, None], 1)[:, 0])
    matches = int((pairs.impostor <= threshold).sum())
    rate = Rate(float(share(pairs.genuine, np.array([threshold]))[0]), *middle(tar))
    return OperatingRate(fmr, threshold, middle(draws.edges[kept]), rate, matches, rough=matches < _ERRORS)


def _quantiles(distances: Floats, count: int) -> Floats:
    """Of the distances, closer to one another at the near end, where small rates are decided."""
    if not len(distances):
        return np.zeros(0)
    ranks = np.unique(np.geomspace(1, len(distances), count).astype(np.int64)) - 1
    even = np.linspace(0, len(distances) - 1, count).astype(np.int64)
    found: Floats = np.sort(distances)[np.union1d(ranks, even)]
    return found


def share(distances: Floats, thresholds: Floats) -> Floats:
    """Of the distances at or below each threshold; nan of none."""
    if not len(distances):
        return np.full(len(thresholds), np.nan)
    return np.searchsorted(np.sort(distances), thresholds, side="right") / len(distances)


def middle(values: Floats) -> tuple[float, float]:
    """The ends of the middle 95 %."""
    there = values[np.isfinite(values)]
    if not len(there):
        return math.nan, math.nan
    low, high = np.quantile(there, [0.025, 0.975])
    return float(low), float(high)
