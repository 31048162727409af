"""Whether a recogniser's probabilities can be taken at their word, and how sure shares of photos and of people are.

Convention
    Probabilities and shares lie in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


RESAMPLES = 2000  # of the people, for an interval


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """How far a recogniser's probabilities can be taken at their word, in B bins of equal width.

    Attributes:
        edges: (B + 1,) from 0 to 1; a bin holds what lies above its lower edge and up to its upper one.
        images: (B,) int64, how many fall into the bin.
        probability: (B,) their mean probability; nan where the bin is empty.
        accuracy: (B,) the share that is right; nan where the bin is empty.
    """

    edges: NDArray[np.float64]
    images: NDArray[np.int64]
    probability: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def expected_error(self) -> float:
        """ECE: the mean over images of their bin's |accuracy - probability|; nan without images."""
        return float(np.nansum(self._gaps * self.images) / self.images.sum()) if self.images.any() else float("nan")

    @property
    def largest_error(self) -> float:
        """MCE: the largest |accuracy - probability| of a bin, however few images it holds; nan without images."""
        return float(np.nanmax(self._gaps)) if self.images.any() else float("nan")

    @property
    def _gaps(self) -> NDArray[np.float64]:
        return np.abs(self.accuracy - self.probability)


def measure_calibration(probability: NDArray[np.floating], correct: NDArray[np.bool_], *, bins: int = 15) -> Calibration:
    """Sort answers into bins by their probability (Guo et al. 2017, https://arxiv.org/abs/1706.04599).

    Args:
        probability: (N,) that the recogniser gives its own answer.
        correct: (N,) whether the answer is right.
        bins: of equal width; the paper's 15.

    Raises:
        ValueError: probabilities outside [0, 1], or shapes that do not fit.
    """
    if probability.shape != correct.shape or probability.ndim != 1:
        raise ValueError(f"expected two arrays of shape (N,), got {probability.shape} and {correct.shape}")
    if not ((probability >= 0) & (probability <= 1)).all():
        raise ValueError("probabilities must lie in [0, 1]; some do not")
    # scikit-learn's calibration_curve bins alike, but tells neither how many images a bin holds nor which bins are empty.
    edges = np.arange(bins + 1) / bins
    which = np.digitize(probability, edges[1:-1], right=True)
    images = np.bincount(which, minlength=bins)
    filled = np.where(images > 0, images, np.nan)
    sums = [np.bincount(which, weights, bins) for weights in (probability, correct)]
    return Calibration(edges, images, sums[0] / filled, sums[1] / filled)


def group_bootstrap(
    values: NDArray[np.generic],
    groups: NDArray[np.generic],
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """The percentile interval of a mean of shares whose groups, not whose members, are independent of each other.

    Whole groups are drawn with replacement (Davison & Hinkley 1997, section 3.8): photos of one person stand and fall
    together, so many photos of few people say little about other people. Where all values are alike its width is 0, which is
    the bootstrap's weakness and no certainty.

    Args:
        values: (N,) in [0, 1], or bool.
        groups: (N,) who it is, of any type.
        confidence: two-sided.
        seed: of the draws.

    Returns:
        Lower and upper bound; all of [0, 1] with fewer than two groups, which say nothing about a third.

    Raises:
        ValueError: shapes that do not fit.
    """
    if values.shape != groups.shape or values.ndim != 1:
        raise ValueError(f"expected two arrays of shape (N,), got {values.shape} and {groups.shape}")
    names, index = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        return 0.0, 1.0
    sums, counts = np.bincount(index, values.astype(np.float64)), np.bincount(index)
    drawn = np.random.default_rng(seed).integers(len(names), size=(RESAMPLES, len(names)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
