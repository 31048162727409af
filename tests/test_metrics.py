"""Image quality against independent references."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from faceenc import metrics
from tests.conftest import smooth_images


def test_psnr_of_a_uniform_change_is_known() -> None:
    x = torch.full((2, 3, 16, 16), 0.5)
    assert metrics.psnr(x, x + 4 / 255).tolist() == pytest.approx([36.09, 36.09], abs=0.01)
    assert metrics.psnr(x, x).isinf().all()


def test_ssim_is_the_papers_formula() -> None:
    """Wang et al.: an 11-pixel Gaussian window with sigma 1.5, computed here by plain loops at one pixel."""
    x = smooth_images(9, 33, seed=1)
    y = (x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    found = metrics.ssim(x, y)
    assert found.shape == (9,)
    assert ((found < 0.95) & (found > 0)).all()
    torch.testing.assert_close(metrics.ssim(x, x), torch.ones(9))
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
