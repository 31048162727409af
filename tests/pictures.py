"""Pictures as tensors, for tests: dlib's pyramid with gradients."""

from __future__ import annotations

import numpy as np
import torch

# What no detector takes for a picture.
WRONG_IMAGES = {
    "grey": np.zeros((8, 8), np.uint8),
    "rgba": np.zeros((8, 8, 4), np.uint8),
    "float": np.zeros((8, 8, 3), np.float32),
    "empty": np.zeros((0, 8, 3), np.uint8),
}


def halved(x: torch.Tensor) -> torch.Tensor:
    """What `halved_pixels` does, by sums of slices: (N, 3, H, W) in [0, 1]; the rounding lets gradients through."""
    for axis in (2, 3):
        length = (x.shape[axis] - 3) // 2
        first, *rest = (x[(slice(None),) * axis + (slice(start, start + 2 * length - 1, 2),)] for start in range(5))
        x = (first + rest[3] + 4 * (rest[0] + rest[2]) + 6 * rest[1]) / 16
    return x + ((x.detach() * 255 + 1e-3).floor() / 255 - x.detach())
