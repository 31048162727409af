"""Weights that are all but zero, as training leaves them in channels that died."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

_Net = TypeVar("_Net", bound=nn.Module)

# Far above float32's smallest normal number (1e-38), far below what any sum of a net in float32 can notice.
_TINY = 1e-20


@torch.no_grad()
def drop_tiny_weights(net: _Net) -> _Net:
    """Set weights below 1e-20 to zero, in place: they change no answer, but a processor computes with what is smaller than
    its normal numbers up to a hundred times more slowly.

    Returns:
        The net itself.
    """
    for weight in (*net.parameters(), *net.buffers()):
        if weight.dtype in (torch.float32, torch.float64) and not weight.is_inference():
            tiny = weight.abs() < _TINY
            if (tiny & (weight != 0)).any():
                weight[tiny] = 0
    return net
