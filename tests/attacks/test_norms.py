"""Norms against numpy, and the promises that the harness builds on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from faceenc.attacks import L2, LINF, NORMS
from faceenc.core import Norm

SHAPE = (5, 3, 9, 7)


@pytest.fixture(params=NORMS.values(), ids=lambda norm: norm.name)
def norm(request: pytest.FixtureRequest) -> Norm:
    return request.param


@pytest.fixture
def delta() -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))


def generators(seed: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed + k) for k in range(SHAPE[0])]


def test_size_is_numpys(norm: Norm, delta: torch.Tensor) -> None:
    order = np.inf if norm == LINF else 2
    expected = [np.linalg.norm(image.numpy().ravel(), order) for image in delta]
    np.testing.assert_allclose(norm.size(delta).numpy(), expected, rtol=1e-6)


def test_projection_is_inside_and_leaves_the_inside_alone(norm: Norm, delta: torch.Tensor) -> None:
    eps = float(norm.size(delta).median())
    projected = norm.project(delta, eps)
    assert (norm.size(projected) <= eps * (1 + 1e-6)).all()
    inside = norm.size(delta) <= eps
    assert inside.any()
    assert not inside.all()
    assert torch.equal(projected[inside], delta[inside])


def test_projection_of_zero_is_zero(norm: Norm) -> None:
    assert torch.equal(norm.project(torch.zeros(SHAPE), 0.0), torch.zeros(SHAPE))


def test_steepest_has_size_one_and_beats_other_directions(norm: Norm, delta: torch.Tensor) -> None:
    best = norm.steepest(delta)
    torch.testing.assert_close(norm.size(best), torch.ones(SHAPE[0]))
    gain = (best * delta).flatten(1).sum(1)
    other = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    other = norm.project(other * 1e3, 1.0)
    assert (gain >= (other * delta).flatten(1).sum(1)).all()
    assert torch.equal(norm.steepest(torch.zeros(SHAPE)), torch.zeros(SHAPE))


def test_samples_fill_the_ball_and_depend_on_the_generator_only(norm: Norm, delta: torch.Tensor) -> None:
    sample = norm.sample(delta, 0.5, generators())
    assert (norm.size(sample) <= 0.5 + 1e-6).all()
    assert (norm.size(sample) > 0.45).all(), "in many dimensions nearly all of a ball is near its surface"
    assert torch.equal(sample[2:4], norm.sample(delta[2:4], 0.5, generators()[2:4]))
    assert not torch.equal(sample, norm.sample(delta, 0.5, generators(seed=100)))


@pytest.mark.parametrize("eps", [0.0, 1 / 255, 2.5 / 255, 8 / 255, 1.0])
def test_quantize_stays_on_the_grid_and_in_the_ball(norm: Norm, delta: torch.Tensor, eps: float) -> None:
    x = (torch.rand(SHAPE, generator=torch.Generator().manual_seed(3)) * 255).round() / 255
    rounded = norm.quantize(x, norm.project(delta, eps), eps)
    levels = (rounded * 255).round()
    assert torch.equal(levels / 255, rounded)
    assert rounded.min() >= 0
    assert rounded.max() <= 1
    assert (norm.size(rounded - x) <= eps + 1e-6).all()


def test_quantize_spends_most_of_the_budget(delta: torch.Tensor) -> None:
    x = torch.full(SHAPE, 128 / 255)
    size = LINF.size(LINF.quantize(x, LINF.project(delta, 8 / 255), 8 / 255) - x)
    torch.testing.assert_close(size, torch.full_like(size, 8 / 255))
    assert (L2.size(L2.quantize(x, L2.project(delta, 1.0), 1.0) - x) > 0.98).all()
