"""Who is attacked and what for: pairs of strangers' photos, thresholds from other people."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from faceenc.core import DataError
from faceenc.data import FaceSet
from faceenc.media import to_tensor
from faceenc.recognizers import PictureModel, embed, fit_threshold, pair_scores

Rows = NDArray[np.int64]

FITTED = 12  # photos of a person, at most, that a threshold is fitted to: nobody shall outweigh the others


@dataclass(frozen=True, slots=True, eq=False)
class Halves:
    """People in two halves by the hash of their names: thresholds come from one, results from the other.

    Attributes:
        fit: rows of the first half's photos.
        test: rows of the second half's.
    """

    fit: Rows
    test: Rows

    @property
    def shared(self) -> int:
        """Photos that are in both: thresholds fitted on test data, if any."""
        return len(np.intersect1d(self.fit, self.test))


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """One line a pair: the photo attacked, another one of the same person, and one of somebody else to be taken for.

    Attributes:
        probes: rows of the photos attacked.
        references: rows of the same people's other photos.
        targets: rows of other people's photos.
    """

    probes: Rows
    references: Rows
    targets: Rows


def halves(data: FaceSet) -> Halves:
    """Half of the people each; the split depends on the names alone.

    Raises:
        DataError: fewer than four people.
    """
    if len(data.classes) < 4:
        raise DataError(f"{data.name} has {len(data.classes)} people: half of them fit the thresholds, it takes at least 4")
    # scikit-learn's GroupShuffleSplit depends on how many people there are and in which order.
    order = sorted(range(len(data.classes)), key=lambda k: hashlib.sha256(data.classes[k].encode()).digest())
    first = np.isin(data.labels, order[: len(order) // 2])
    return Halves(np.flatnonzero(first), np.flatnonzero(~first))


def draw_pairs(data: FaceSet, rows: Rows, *, count: int, seed: int) -> Pairs:
    """Pairs of photos: one of each person before any second one; no photo is attacked twice.

    Args:
        data: the people.
        rows: the photos that may be taken.
        count: of pairs, at most.
        seed: of the choice.

    Raises:
        DataError: fewer than two people, or nobody with two photos.
    """
    rng = np.random.default_rng(seed)
    own = {int(k): rng.permutation(rows[data.labels[rows] == k]) for k in np.unique(data.labels[rows])}
    people = rng.permutation([k for k, photos in own.items() if len(photos) > 1])
    if len(own) < 2 or not len(people):
        raise DataError(f"{data.name}: a pair takes two photos of one person and a second person; there are none")
    longest = max(len(photos) for photos in own.values())
    turns = [(turn, int(k)) for turn in range(longest) for k in people if turn < len(own[int(k)])][:count]
    probes = [own[k][turn] for turn, k in turns]
    references = [own[k][(turn + 1) % len(own[k])] for turn, k in turns]
    # Whoever comes next in the same order: each person is somebody's target.
    others = {int(k): [int(j) for j in own if j != k] for k in people}
    targets = [own[others[k][int(rng.integers(len(others[k])))]][0] for _, k in turns]
    return Pairs(np.array(probes), np.array(references), np.array(targets))


def pictures(data: FaceSet, rows: Rows) -> torch.Tensor:
    """(N, 3, S, S) float32 in [0, 1]."""
    return to_tensor(data.images[rows])


def spread(data: FaceSet, rows: Rows, *, most: int = FITTED) -> Rows:
    """The first photos of each person among `rows`, at most so many."""
    kept: list[Rows] = [rows[data.labels[rows] == k][:most] for k in np.unique(data.labels[rows])]
    return np.sort(np.concatenate(kept))


def threshold_of(embedder: PictureModel, data: FaceSet, rows: Rows, *, far: float) -> float:
    """The Euclidean distance that a share `far` of the pairs of two people among `rows` does not exceed.

    Raises:
        DataError: so few pairs that they cannot show this rate.
    """
    rows = spread(data, rows)
    embeddings = embed(embedder.model, pictures(data, rows)).double().numpy()
    return checked_threshold(pair_scores(embeddings, data.labels[rows]), far=far, name=data.name)


def checked_threshold(scores: tuple[NDArray[np.float64], NDArray[np.float64]], *, far: float, name: str) -> float:
    """`fit_threshold` of genuine and impostor distances of the data `name`.

    Raises:
        DataError: so few pairs that they cannot show this rate.
    """
    try:
        return fit_threshold(*scores, far=far)
    except ValueError as error:
        raise DataError(f"{name}: {error}") from error


def names(data: FaceSet, rows: Sequence[int] | Rows) -> list[str]:
    """Who the photos show."""
    return [data.classes[data.labels[row]] for row in rows]
