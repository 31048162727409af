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


def to_uint8(x: torch.Tensor) -> NDArray[np.uint8]:
    """(N, 3, H, W) float in [0, 1] -> (N, H, W, 3) uint8, rounded to the nearest; the exact inverse of `to_tensor`.

    Rounding may leave an eps ball by half a grey level: for adversarial images the harness rounds first.
    """
    import torch

    pixels = x.detach().mul(255).round_().clamp_(0, 255).to(torch.uint8)
    result: NDArray[np.uint8] = pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return result
