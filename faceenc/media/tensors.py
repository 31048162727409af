"""The step between pixels at rest, (N, H, W, 3) uint8, and a recogniser's batch, (N, 3, H, W) float32 in [0, 1]."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray


def to_tensor(images: NDArray[np.uint8]) -> torch.Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) float32 in [0, 1], contiguous, on the 8-bit grid k/255."""
    import torch

    pixels = torch.tensor(images, dtype=torch.uint8)
    return pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format).div_(255)
