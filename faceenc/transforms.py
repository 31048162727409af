"""Image transformations on batches of tensors: train-time augmentation and resizing.

Shape
    Every image is (N, 3, H, W) float32 in [0, 1].
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F


def augment(
    x: torch.Tensor, rng: torch.Generator, *, degrees: float = 30.0, zoom: float = 0.1, flip: float = 0.5
) -> torch.Tensor:
    """The student report's augmentation: one random rotation, zoom and mirroring for each image.

    Args:
        x: (N, 3, H, W) with H == W.
        rng: the source of all randomness.
        degrees: rotation is uniform in [-degrees, degrees].
        zoom: the scale is uniform in [1 - zoom, 1 + zoom].
        flip: probability of a horizontal mirror image.

    Returns:
        A new tensor of the same shape; what comes from outside the picture repeats its border.
    """
    n = len(x)
    angle = (torch.rand(n, generator=rng) * 2 - 1) * math.radians(degrees)
    scale = 1 + (torch.rand(n, generator=rng) * 2 - 1) * zoom
    mirror = 1 - 2 * (torch.rand(n, generator=rng) < flip).float()
    cos, sin, zero = angle.cos() / scale, angle.sin() / scale, torch.zeros(n)
    # affine_grid maps output to input: rotation by -angle, divided by the zoom, mirrored in x.
    theta = torch.stack([torch.stack([cos * mirror, -sin, zero], 1), torch.stack([sin * mirror, cos, zero], 1)], 1)
    grid = F.affine_grid(theta.to(x.device), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def resize(x: torch.Tensor, size: int) -> torch.Tensor:
    """Antialiased bilinear resize to (N, 3, size, size); the same tensor if it already has that size."""
    if x.shape[-2:] == (size, size):
        return x
    return F.interpolate(x, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
