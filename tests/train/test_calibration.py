"""Image quality against independent references."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from faceenc.media import psnr, ssim
from faceenc.train import group_bootstrap, measure_calibration
from tests.conftest import smooth_images


def test_psnr_of_a_uniform_change_is_known() -> None:
    x = torch.full((2, 3, 16, 16), 0.5)
    assert psnr(x, x + 4 / 255).tolist() == pytest.approx([36.09, 36.09], abs=0.01)
    assert psnr(x, x).isinf().all()


def test_ssim_is_the_papers_formula() -> None:
    """Wang et al.: an 11-pixel Gaussian window with sigma 1.5, computed here by plain loops at one pixel."""
    x = smooth_images(9, 33, seed=1)
    y = (x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    found = ssim(x, y)
    assert found.shape == (9,)
    assert ((found < 0.95) & (found > 0)).all()
    torch.testing.assert_close(ssim(x, x), torch.ones(9))
    from kornia.metrics import ssim as ssim_map

    offsets = np.arange(-5, 6)
    gauss = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = np.outer(gauss, gauss) / gauss.sum() ** 2
    a, b = (image[8, 1, 11:22, 11:22].double().numpy() for image in (x, y))
    mean_a, mean_b = (window * a).sum(), (window * b).sum()
    var_a, var_b = (window * a * a).sum() - mean_a**2, (window * b * b).sum() - mean_b**2
    both = (window * a * b).sum() - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    expected = (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    assert float(ssim_map(x, y, 11)[8, 1, 16, 16]) == pytest.approx(expected, rel=1e-4)


def test_calibration_error_by_hand() -> None:
    """Five bins: one image at 0.15 (wrong), two in (0.4, 0.6] (both right), three in (0.8, 1] (two right)."""
    probability = np.array([0.15, 0.5, 0.6, 0.81, 0.9, 1.0])
    correct = np.array([False, True, True, True, False, True])
    found = measure_calibration(probability, correct, bins=5)
    assert found.images.tolist() == [1, 0, 2, 0, 3]
    np.testing.assert_allclose(found.edges, [0, 0.2, 0.4, 0.6, 0.8, 1])
    np.testing.assert_allclose(found.probability, [0.15, np.nan, 0.55, np.nan, 2.71 / 3])
    np.testing.assert_allclose(found.accuracy, [0, np.nan, 1, np.nan, 2 / 3])
    assert found.expected_error == pytest.approx((1 * 0.15 + 2 * 0.45 + 3 * (2.71 - 2) / 3) / 6)
    assert found.largest_error == pytest.approx(0.45)


def test_calibration_extremes() -> None:
    sure = measure_calibration(np.ones(4), np.array([True, True, False, False]))
    assert sure.expected_error == sure.largest_error == 0.5
    rng = np.random.default_rng(0)
    probability = rng.uniform(size=200_000)
    honest = measure_calibration(probability, rng.uniform(size=200_000) < probability)
    assert honest.expected_error < 0.01
    # Borders belong to the bin below, also where 0.7 * 10 is a shade more than 7.
    assert measure_calibration(np.arange(11) / 10, np.ones(11, bool), bins=10).images.tolist() == [2] + [1] * 9
    assert np.isnan(measure_calibration(np.zeros(0), np.zeros(0, bool)).expected_error)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        measure_calibration(np.array([1.1]), np.array([True]))
    with pytest.raises(ValueError, match="shape"):
        measure_calibration(np.array([0.1]), np.array([True, False]))


def test_bootstrap_draws_people_not_photos() -> None:
    """Fifty photos of each of 40 people who are recognised always or never: the evidence is that of 40 coin throws."""
    people = np.repeat(np.arange(40), 50)
    found = group_bootstrap(people % 2 == 0, people)
    assert found == pytest.approx((0.5 - 1.96 * 0.5 / 40**0.5, 0.5 + 1.96 * 0.5 / 40**0.5), abs=0.02)
    photos = group_bootstrap(people % 2 == 0, np.arange(len(people)))
    assert photos == pytest.approx((0.5 - 1.96 * 0.5 / 2000**0.5, 0.5 + 1.96 * 0.5 / 2000**0.5), abs=0.004)


def test_bootstrap_extremes() -> None:
    people = np.repeat(["a", "b", "c", "d"], [1, 3, 5, 7])
    assert group_bootstrap(np.ones(16, bool), people) == (1, 1)
    assert group_bootstrap(np.full(16, 0.25), people) == (0.25, 0.25)
    assert group_bootstrap(np.ones(5, bool), np.repeat("a", 5)) == (0, 1)
    values = np.random.default_rng(1).uniform(size=16)
    assert group_bootstrap(values, people) == group_bootstrap(values, people)
    assert group_bootstrap(values, people) != group_bootstrap(values, people, seed=1)
    narrow, wide = (group_bootstrap(values, people, confidence=share) for share in (0.5, 0.99))
    assert wide[0] < narrow[0] < values.mean() < narrow[1] < wide[1]
    with pytest.raises(ValueError, match="shape"):
        group_bootstrap(values, people[:3])


def test_bootstrap_keeps_large_groups_large() -> None:
    """Of two people one has 9 of 10 photos, and is always recognised: a draw shows 1 (1/4), 0.9 (1/2) or 0 (1/4)."""
    low, high = group_bootstrap(np.arange(10) < 9, np.array([0] * 9 + [1]), confidence=0.4)
    assert (low, high) == pytest.approx((0.9, 0.9))
