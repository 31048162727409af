"""Verification metrics against scikit-learn, brute force and cases with known answers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from faceenc.recognizers import (
    apply_threshold,
    equal_error_rate,
    fit_threshold,
    fit_unknown_threshold,
    pair_scores,
    rank_k,
    tar_at_far,
    threshold_doubt,
)

Floats = NDArray[np.float64]


def overlapping(seed: int, *, ties: bool = False) -> tuple[Floats, Floats]:
    """Distances of 300 genuine and 700 impostor pairs that no threshold separates."""
    rng = np.random.default_rng(seed)
    genuine, impostor = rng.normal(0.5, 0.15, 300), rng.normal(0.8, 0.15, 700)
    return (genuine.round(1), impostor.round(1)) if ties else (genuine, impostor)


def people(seed: int, photos: int = 5) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Noisy embeddings of twelve people, in mixed order."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(12), photos))
    found = rng.normal(size=(12, 8))[labels] + 1.2 * rng.normal(size=(len(labels), 8))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32), labels


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("far", [1 / 700, 0.01, 0.0999, 0.1, 0.5, 1])
def test_tar_at_far_is_the_best_point_of_scikit_learns_roc(far: float, ties: bool) -> None:
    genuine, impostor = overlapping(2, ties=ties)
    truth = np.repeat([1, 0], [len(genuine), len(impostor)])
    fpr, tpr, _ = roc_curve(truth, -np.concatenate([genuine, impostor]), drop_intermediate=False)
    assert tar_at_far(genuine, impostor, far=far) == pytest.approx(tpr[fpr <= far + 1e-12].max())
    threshold = fit_threshold(genuine, impostor, far=far)
    tar, shown = apply_threshold(genuine, impostor, threshold=threshold)
    assert tar == tar_at_far(genuine, impostor, far=far)
    assert shown <= far + 1e-12


def test_rate_that_is_just_allowed_is_used() -> None:
    """0.29 * 100 falls short of 29 in floating point."""
    impostor = np.arange(100) / 100
    assert apply_threshold([], impostor, threshold=fit_threshold([], impostor, far=0.29))[1] == pytest.approx(0.29)


def test_threshold_is_carried_to_another_part() -> None:
    threshold = fit_threshold([0.1, 0.35, 0.6], [0.3, 0.5, 0.7, 0.9], far=0.25)
    assert threshold == 0.35
    assert apply_threshold([0.2, 0.35, 0.36, 0.5], [0.1, 0.4], threshold=threshold) == (0.5, 0.5)


def test_pairs_at_the_same_distance_are_not_told_apart() -> None:
    """Accepting one impostor pair of two at 0.2 would be 25 %, but there is no threshold between them."""
    genuine, impostor = [0.1, 0.2, 0.3], [0.2, 0.2, 0.5, 0.6]
    assert fit_threshold(genuine, impostor, far=0.25) == 0.1
    assert tar_at_far(genuine, impostor, far=0.25) == pytest.approx(1 / 3)
    assert tar_at_far(genuine, impostor, far=0.5) == 1
    threshold = fit_threshold([0.4], impostor, far=0.25)
    assert apply_threshold([0.199999, 0.2], impostor, threshold=threshold) == (0.5, 0)


def test_thresholds_survive_single_precision() -> None:
    genuine, impostor = (part.astype(np.float32) for part in overlapping(3))
    for far in (0.01, 0.02, 0.05):
        assert apply_threshold(genuine, impostor, threshold=fit_threshold(genuine, impostor, far=far))[1] == far


def test_rates_that_the_pairs_cannot_show() -> None:
    genuine, impostor = overlapping(4)
    assert math.isnan(tar_at_far(genuine, impostor, far=1 / 701))
    assert math.isnan(tar_at_far(genuine, impostor, far=0))
    assert math.isnan(tar_at_far([], impostor, far=0.1))
    assert math.isnan(tar_at_far(genuine, [], far=0.1))
    with pytest.raises(ValueError, match="700 impostor pairs cannot show"):
        fit_threshold(genuine, impostor, far=0.001)
    for far in (-0.1, 1.1):
        with pytest.raises(ValueError, match="share"):
            tar_at_far(genuine, impostor, far=far)
    assert math.isnan(apply_threshold([], [0.5], threshold=0.5)[0])
    with pytest.raises(ValueError, match="nan"):
        apply_threshold([math.nan], [0.5], threshold=0.5)


@pytest.mark.parametrize(
    ("genuine", "impostor", "rate"),
    [
        ([0.1, 0.2], [0.3, 0.4], 0),
        ([0.3, 0.4], [0.1, 0.2], 1),
        ([0.5, 0.5], [0.5], 0.5),
        ([0.1, 0.2, 0.3, 0.6], [0.4, 0.5, 0.7, 0.5], 0.25),
        # The curve goes from (FAR 0, TAR 0.5) straight up to (0, 0.75), then to (0.5, 0.75): they meet at 0.25.
        ([0.1, 0.2, 0.3, 0.8], [0.5, 0.9], 0.25),
        ([], [0.5], math.nan),
        ([0.5], [], math.nan),
    ],
)
def test_equal_error_rate(genuine: list[float], impostor: list[float], rate: float) -> None:
    assert equal_error_rate(genuine, impostor) == pytest.approx(rate, nan_ok=True)


@pytest.mark.parametrize("ties", [False, True])
def test_equal_error_rate_lies_between_two_thresholds(ties: bool) -> None:
    """Counted: below the one as few impostor pairs are accepted, above the other as few genuine ones rejected."""
    genuine, impostor = overlapping(5, ties=ties)
    rate = equal_error_rate(genuine, impostor)
    counted = [((impostor <= t).mean(), (genuine > t).mean()) for t in np.unique(np.concatenate([genuine, impostor]))]
    before, after = ([pair for pair in counted if (pair[0] < pair[1]) == early] for early in (True, False))
    assert before[-1][0] <= rate <= before[-1][1]
    assert after[0][1] <= rate <= after[0][0]
    assert 0.1 < rate < 0.2  # the normal distributions cross at 15.9 %


@pytest.mark.parametrize("photos", [5, 60])
def test_pairs_are_all_of_them_once(photos: int) -> None:
    """Against plain loops; 720 photos are more than one block."""
    embeddings, labels = people(6, photos)
    genuine, impostor = pair_scores(embeddings, labels)
    n = len(labels)
    assert len(genuine) == 12 * photos * (photos - 1) // 2
    assert len(genuine) + len(impostor) == n * (n - 1) // 2
    exact = embeddings.astype(np.float64)
    expected: dict[bool, list[float]] = {True: [], False: []}
    for i in range(n):
        distances = np.sqrt(((exact[i + 1 :] - exact[i]) ** 2).sum(1))
        for same in (True, False):
            expected[same] += distances[(labels[i + 1 :] == labels[i]) == same].tolist()
    np.testing.assert_allclose(np.sort(genuine), np.sort(expected[True]), atol=1e-12)
    np.testing.assert_allclose(np.sort(impostor), np.sort(expected[False]), atol=1e-12)


def test_pairs_of_one_person_or_of_single_photos() -> None:
    embeddings, _ = people(7)
    genuine, impostor = pair_scores(embeddings[:4], ["Ada"] * 4)
    assert (len(genuine), len(impostor)) == (6, 0)
    genuine, impostor = pair_scores(embeddings[:4], list("abcd"))
    assert (len(genuine), len(impostor)) == (0, 6)
    assert [len(part) for part in pair_scores(embeddings[:0], [])] == [0, 0]
    with pytest.raises(ValueError, match="labels"):
        pair_scores(embeddings, [1])
    with pytest.raises(ValueError, match="finite"):
        pair_scores(np.full((2, 3), np.nan), [1, 2])


def slow_rank(probes: Floats, labels: Floats, gallery: Floats, others: Floats, k: int, same: bool) -> float:
    hits = []
    for i, probe in enumerate(probes):
        nearest: dict[int, float] = {}
        for j, photo in enumerate(gallery):
            if not (same and i == j):
                distance = float(np.linalg.norm(probe - photo))
                nearest[int(others[j])] = min(distance, nearest.get(int(others[j]), math.inf))
        if labels[i] in nearest:
            hits.append(labels[i] in sorted(nearest, key=nearest.__getitem__)[:k])
    return float(np.mean(hits))


@pytest.mark.parametrize("k", [1, 5, 50])
@pytest.mark.parametrize("same", [False, True])
def test_rank_is_what_loops_find(k: int, same: bool) -> None:
    embeddings, labels = people(8)
    probes, gallery = (slice(None), slice(None)) if same else (slice(0, 25), slice(25, None))
    ours = rank_k(embeddings[probes], labels[probes], embeddings[gallery], labels[gallery], k=k, same_photos=same)
    exact = embeddings.astype(np.float64)
    expected = slow_rank(exact[probes], labels[probes], exact[gallery], labels[gallery], k, same)
    assert ours == pytest.approx(expected)
    assert (0.2 < ours < 1) if k < 50 else ours == 1


def test_rank_over_more_than_one_block() -> None:
    embeddings, labels = people(9, photos=60)
    halves = [rank_k(embeddings[rows], labels[rows], embeddings, labels, k=1) for rows in (slice(0, 360), slice(360, 720))]
    assert halves == [1, 1]  # every photo finds itself
    alone = rank_k(embeddings, labels, embeddings, labels, k=1, same_photos=True)
    exact = embeddings.astype(np.float64)
    assert alone == pytest.approx(slow_rank(exact[:720], labels, exact, labels, 1, True))


def test_rank_counts_only_probes_of_gallery_people_and_ties_against_them() -> None:
    gallery, names = np.eye(3), ["a", "b", "c"]
    assert rank_k(np.eye(3)[[0, 1]], ["a", "stranger"], gallery, names, k=1) == 1
    assert math.isnan(rank_k(np.eye(3)[[0]], ["stranger"], gallery, names, k=1))
    assert math.isnan(rank_k(gallery, names, gallery, names, k=1, same_photos=True))  # single photos
    alike = np.ones((3, 3))
    assert rank_k(alike, names, alike, names, k=2) == 0
    assert rank_k(alike, names, alike, names, k=3) == 1
    for wrong in (
        lambda: rank_k(gallery, names, gallery, names, k=0),
        lambda: rank_k(gallery, names, gallery[:, :2], names, k=1),
    ):
        with pytest.raises(ValueError):  # noqa: PT011  # two messages
            wrong()


def uniform(values: list[float]) -> NDArray[np.float32]:
    """(N, 5) probabilities whose first column is the highest and as given."""
    return np.array([[v, *[(1 - v) / 4] * 4] for v in values], np.float32)


@pytest.mark.parametrize(
    ("values", "keep", "threshold"),
    [
        (np.linspace(0.4, 0.95, 20), 0.95, 1),  # 19 of 20 stay: all but the least sure one
        (np.linspace(0.4, 0.95, 20), 0.96, 0),  # 19 would be too few
        (np.linspace(0.4, 0.95, 20), 1, 0),
        (np.linspace(0.4, 0.95, 20), 0.5, 10),
        (np.linspace(0.4, 0.95, 100), 0.55, 45),  # 0.55 * 100 is a shade more than 55
        ([0.5, 0.5, 0.5, 0.9], 0.5, 0),  # equal ones stay together
        ([0.7], 0.95, 0),
    ],
)
def test_unknown_threshold_keeps_the_share(values: list[float], keep: float, threshold: int) -> None:
    probabilities = uniform(list(values))
    shuffled = np.random.default_rng(0).permutation(probabilities)
    found = fit_unknown_threshold(shuffled, np.zeros(len(values), np.int64), keep=keep)
    assert found == np.float32(values[threshold])
    assert (probabilities.max(1) >= found).mean() >= keep


def test_unknown_threshold_looks_at_rightly_named_faces_only() -> None:
    probabilities = uniform([0.9, 0.8, 0.99, 0.3])
    assert fit_unknown_threshold(probabilities, np.array([0, 0, 1, -1]), keep=1) == np.float32(0.8)
    assert fit_unknown_threshold(probabilities, np.array([1, 2, 3, -1])) == 0
    assert fit_unknown_threshold(np.zeros((0, 3)), np.zeros(0, np.int64)) == 0


def test_a_threshold_of_few_photos_is_doubted() -> None:
    assert "was set on 19 photos, too few" in threshold_doubt(0.5, {"images": {"validation": 19}})
    assert "was set on 0 photos, too few" in threshold_doubt(0.5, {"images": {"validation": 0}})
    assert not threshold_doubt(0.5, {"images": {"validation": 20}})
    assert not threshold_doubt(0.0, {"images": {"validation": 6}}), "there is none"
    assert not threshold_doubt(0.5, {})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: fit_unknown_threshold(p, np.zeros(2, np.int64), keep=0), "got 0"),
        (lambda p: fit_unknown_threshold(p, np.zeros(2, np.int64), keep=1.01), "got 1.01"),
        (lambda p: fit_unknown_threshold(p, np.zeros(3, np.int64)), "labels"),
        (lambda p: fit_unknown_threshold(p[0], np.zeros(2, np.int64)), "labels"),
    ],
)
def test_unknown_threshold_refuses_nonsense(call: Callable[[NDArray[np.float32]], float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(uniform([0.9, 0.8]))
