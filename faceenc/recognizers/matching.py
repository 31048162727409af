"""Verification and identification of people that no one was trained on, from distances between embeddings; pure functions.

Convention
    A distance says how unlike two faces are: the lower, the likelier one person. A pair is accepted if its distance is at
    most the threshold, so that pairs at the same distance are accepted or rejected together. `genuine` (G,) are distances
    between photos of one person, `impostor` (I,) between photos of two; all rates are shares in [0, 1]: TAR the accepted
    share of the genuine pairs, FAR that of the impostor pairs. I impostor pairs can show no FAR but multiples of 1 / I;
    a smaller one than 1 / I is no result but a lack of data, and comes out as nan. So does every rate without pairs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

FAR = 0.01  # that thresholds are fitted for, where nothing else is said

_FEWEST = 20  # photos: of fewer, the share of one in twenty that a threshold gives up is less than one photo
_ROWS = 512  # of a block of distances
_SLACK = 1e-9  # 0.29 * 100 is a shade less than 29


def fit_unknown_threshold(probabilities: NDArray[np.floating], labels: NDArray[np.integer], *, keep: float = 0.95) -> float:
    """The threshold on the highest probability under which a face is called unknown.

    It is the highest one that leaves at least a share `keep` of the rightly named faces their names. Faces named wrongly and
    those of strangers (label -1) do not count: what becomes of them is for the test part to show.

    Args:
        probabilities: (N, K) of the validation faces, in [0, 1]; rows sum to 1.
        labels: (N,) the right columns.
        keep: in (0, 1].

    Returns:
        In [0, 1]; a face keeps its name if its highest probability is at least this. 0 if no face is named rightly: then
        nothing is known about where to cut.

    Raises:
        ValueError: `keep` out of range, or shapes that do not fit.
    """
    if not 0 < keep <= 1:
        raise ValueError(f"keep is a share in (0, 1], got {keep}")
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1]:
        raise ValueError(f"expected (N, K) probabilities and (N,) labels, got {probabilities.shape} and {labels.shape}")
    if not probabilities.size:
        return 0.0
    right = np.sort(probabilities.max(1)[probabilities.argmax(1) == labels])
    if not len(right):
        return 0.0
    return float(right[len(right) - math.ceil(keep * len(right) - _SLACK)])


def threshold_doubt(threshold: float, record: Mapping[str, Any]) -> str:
    """Why a threshold of `fit_unknown_threshold` means little, in words; "" if nothing speaks against it.

    Args:
        threshold: 0 calls nobody unknown.
        record: of the training; its `images` say on how many photos the threshold was fitted, if anything.
    """
    images = record.get("images")
    photos = images.get("validation") if isinstance(images, Mapping) else None
    if not (threshold and isinstance(photos, int) and photos < _FEWEST):
        return ""
    return (
        f"the threshold for strangers was set on {photos} photos, too few ({_FEWEST} would do): strangers may get a name,"
        " and people it knows be called unknown"
    )


def pair_scores(embeddings: NDArray[np.floating], labels: ArrayLike) -> tuple[Floats, Floats]:
    """The Euclidean distances of all pairs, each once; no photo is paired with itself.

    Args:
        embeddings: (N, D); of length 1 where distances shall lie in [0, 2].
        labels: (N,) who it is, of any type.

    Returns:
        Distances of genuine (G,) and of impostor pairs (I,), G + I = N (N - 1) / 2; one of them is empty if everyone has a
        single photo, or if all photos show one person.

    Raises:
        ValueError: shapes that do not fit, or numbers that are not finite.
    """
    embeddings, people = _checked(embeddings, labels)
    genuine, impostor = [np.zeros(0)], [np.zeros(0)]
    for start in range(0, len(people), _ROWS):
        distances = _distances(embeddings[start : start + _ROWS], embeddings[start:])
        once = np.triu(np.ones(distances.shape, bool), k=1)
        same = people[start : start + _ROWS, None] == people[None, start:]
        genuine.append(distances[once & same])
        impostor.append(distances[once & ~same])
    return np.concatenate(genuine), np.concatenate(impostor)


def fit_threshold(genuine: ArrayLike, impostor: ArrayLike, *, far: float) -> float:
    """The threshold to fix on one part of the data and `apply_threshold` to another.

    It is the largest distance occurring in either array at which the share of accepted impostor pairs is at most `far`;
    where an impostor pair is the nearest of all and `far` does not pay for it, a shade less than its distance.

    Args:
        genuine: (G,) distances; may be empty.
        impostor: (I,) distances.
        far: in [1 / I, 1].

    Raises:
        ValueError: `far` out of range, or smaller than I pairs can show.
    """
    same, other = _floats(genuine), _floats(impostor)
    if not 0 <= far <= 1:
        raise ValueError(f"far is a share in [0, 1], got {far}")
    allowed = math.floor(far * len(other) + _SLACK)
    if not allowed:
        raise ValueError(
            f"{len(other)} impostor pairs cannot show a false accept rate of {far:g}: it takes 1 / far of them;"
            " use more photos, or a larger rate"
        )
    everything = np.concatenate([same, other])
    if allowed >= len(other):
        return float(everything.max())
    barrier = np.partition(other, allowed)[allowed]  # the nearest impostor pair that must not be accepted
    below = everything[everything < barrier]
    return float(below.max()) if len(below) else float(np.nextafter(barrier, -np.inf))


def apply_threshold(genuine: ArrayLike, impostor: ArrayLike, *, threshold: float) -> tuple[float, float]:
    """(TAR, FAR) at a threshold, each nan if there are no such pairs."""
    return _accepted(_floats(genuine), threshold), _accepted(_floats(impostor), threshold)


def tar_at_far(genuine: ArrayLike, impostor: ArrayLike, *, far: float) -> float:
    """The highest true accept rate that a threshold with at most this false accept rate has; nothing is interpolated.

    Returns:
        In [0, 1]; nan if `far` is less than 1 / I, or without genuine pairs.

    Raises:
        ValueError: `far` out of [0, 1].
    """
    try:
        threshold = fit_threshold(genuine, impostor, far=far)
    except ValueError:
        if not 0 <= far <= 1:
            raise
        return math.nan
    return apply_threshold(genuine, impostor, threshold=threshold)[0]


def equal_error_rate(genuine: ArrayLike, impostor: ArrayLike) -> float:
    """The rate at which as many impostor pairs are accepted as genuine ones are rejected (FAR = 1 - TAR).

    Between two thresholds the ROC is taken for a straight line, so pairs at the same distance count half to either side.

    Args:
        genuine: (G,) distances, all finite.
        impostor: (I,) distances, all finite.

    Returns:
        In [0, 1], 0.5 for distances that say nothing; nan without genuine or without impostor pairs.
    """
    same, other = _floats(genuine), _floats(impostor)
    if not len(same) or not len(other):
        return math.nan
    from sklearn.metrics import roc_curve

    truth = np.repeat([1, 0], [len(same), len(other)])
    far, tar, _ = roc_curve(truth, -np.concatenate([same, other]), drop_intermediate=False)
    return float(np.interp(0, far + tar - 1, far))  # the excess rises from -1 to 1


def rank_k(
    probes: NDArray[np.floating],
    probe_labels: ArrayLike,
    gallery: NDArray[np.floating],
    gallery_labels: ArrayLike,
    *,
    k: int,
    same_photos: bool = False,
) -> float:
    """Closed-set identification: the share of probes whose person is among the k people nearest to them.

    A gallery person is as near as the nearest of their photos. Others at the very same distance rank first: embeddings
    that are all alike identify nobody. Probes of people who are not in the gallery do not count.

    Args:
        probes: (P, D).
        probe_labels: (P,) who they are.
        gallery: (G, D).
        gallery_labels: (G,) who they are.
        k: at least 1.
        same_photos: the gallery is the probes, in the same order; then no photo is compared with itself, and people with a
            single photo do not count.

    Returns:
        In [0, 1]; nan if no probe's person is in the gallery.

    Raises:
        ValueError: `k` below 1, shapes that do not fit, or numbers that are not finite.
    """
    if k < 1:
        raise ValueError(f"k is a number of people, at least 1, got {k}")
    probes, people = _checked(probes, probe_labels)
    gallery, gallery_people = _checked(gallery, gallery_labels)
    if probes.shape[1] != gallery.shape[1] or (same_photos and len(probes) != len(gallery)):
        raise ValueError(f"probes {probes.shape} and gallery {gallery.shape} do not fit each other")
    if not len(probes) or not len(gallery):
        return math.nan
    order = np.argsort(gallery_people, kind="stable")
    known, starts = np.unique(gallery_people[order], return_index=True)
    hits = [np.zeros(0, bool)]
    for start in range(0, len(probes), _ROWS):
        distances = _distances(probes[start : start + _ROWS], gallery)  # (B, G)
        rows = np.arange(len(distances))
        if same_photos:
            distances[rows, start + rows] = np.inf
        nearest = np.minimum.reduceat(distances[:, order], starts, axis=1)  # (B, people)
        own = known[None] == people[start : start + _ROWS, None]
        mine = np.where(own, nearest, np.inf).min(1)
        before = ((nearest <= mine[:, None]) & ~own).sum(1)
        hits.append((before < k)[np.isfinite(mine)])
    found = np.concatenate(hits)
    return float(found.mean()) if len(found) else math.nan


def _distances(one: NDArray[np.floating], other: NDArray[np.floating]) -> Floats:
    """(A, D), (B, D) -> (A, B) float64, from plain differences: by products equal distances would come out unequal."""
    import torch

    mode = "donot_use_mm_for_euclid_dist"
    first, second = (torch.from_numpy(part.astype(np.float64)) for part in (one, other))
    distances: Floats = torch.cdist(first, second, compute_mode=mode).numpy()
    return distances


def _checked(embeddings: NDArray[np.floating], labels: ArrayLike) -> tuple[NDArray[np.floating], NDArray[np.generic]]:
    people: NDArray[np.generic] = np.asarray(labels)
    if embeddings.ndim != 2 or people.shape != embeddings.shape[:1]:
        raise ValueError(f"expected (N, D) embeddings and (N,) labels, got {embeddings.shape} and {people.shape}")
    if not np.isfinite(embeddings).all():
        raise ValueError("embeddings must be finite numbers; some are not")
    return embeddings, people


def _floats(distances: ArrayLike) -> Floats:
    """In float64: thresholds that were fitted there would be rounded to the precision of what they are compared with."""
    found: Floats = np.asarray(distances, np.float64)
    if found.ndim != 1 or np.isnan(found).any():
        raise ValueError(f"distances are a list of numbers, got shape {found.shape}{' with nan' * (found.ndim == 1)}")
    return found


def _accepted(distances: Floats, threshold: float) -> float:
    """The share of the distances that lies at or below the threshold."""
    if not len(distances):
        return math.nan
    accepted = np.searchsorted(np.sort(distances), threshold, side="right") / len(distances)
    return float(accepted)
