"""Pictures as tensors, for tests: dlib's pyramid with gradients."""

from __future__ import annotations

import torch


def halved(x: torch.Tensor) -> torch.Tensor:
    """What `halved_pixels` does, by sums of slices: (N, 3, H, W) in [0, 1]; the rounding lets gradients through."""
    for axis in (2, 3):
        length = (x.shape[axis] - 3) // 2
        first, *rest = (x[(slice(None),) * axis + (slice(start, start + 2 * length - 1, 2),)] for start in range(5))
        x = (first + rest[3] + 4 * (rest[0] + rest[2]) + 6 * rest[1]) / 16
    return x + ((x.detach() * 255 + 1e-3).floor() / 255 - x.detach())
