"""How alike two pictures are: PSNR and SSIM, one value an image."""

from __future__ import annotations

import torch


def psnr(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Peak signal-to-noise ratio in dB; infinite for equal images."""
    # kornia's is one number for the whole batch.
    return -10 * (x - y).square().flatten(1).mean(1).log10()


def ssim(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Structural similarity over an 11-pixel Gaussian window (Wang et al. 2004), at most 1."""
    from kornia.metrics import ssim as ssim_map

    # A few images at a time: the intermediate maps of many do not fit the processor's cache.
    parts = zip(x.split(8), y.split(8), strict=True)
    return torch.cat([ssim_map(a, b, window_size=11).flatten(1).mean(1) for a, b in parts])
