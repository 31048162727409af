"""The self-check of a gradient engine: its answer for random images, measured against eager autograd."""

from __future__ import annotations

import contextlib
import copy

import torch
from torch import nn

from faceenc.attacks.eager import Exact
from faceenc.core import Gradient, GradientEngine

# Relative L2 errors against eager that an engine may have in its self-check: (outputs, gradient). Both are far above
# rounding and far below what a mistake costs. A rounded activation can flip a relu: right gradients are off by some 1e-3.
_TOLERANCE = {torch.float32: (1e-3, 2e-2), torch.bfloat16: (0.1, 0.7)}
# Where more relus flip, as in deep nets, right gradients are off by more: then both are measured against float64.
_WORSE_THAN_EAGER = 3.0
_CHECK_SIDES = (64, 112, 128, 160, 224, 256, 299)  # of pictures, until a recogniser takes one


class _Probe:
    """The goal of the self-check: a fixed random direction, which means as much for logits as for unit embeddings."""

    def loss(self, outputs: torch.Tensor) -> torch.Tensor:
        direction = torch.randn(outputs.shape[1], generator=torch.Generator().manual_seed(1))
        return outputs @ direction.to(outputs.device)

    def reached(self, outputs: torch.Tensor, margin: float = 0.0) -> torch.Tensor:
        return torch.zeros(len(outputs), dtype=torch.bool)

    def select(self, rows: torch.Tensor) -> _Probe:
        return self


def complaint(engine: GradientEngine, model: nn.Module, dtype: torch.dtype, device: torch.device) -> str:
    """What is wrong with the engine's answer for two random images, measured against eager; empty if nothing is."""
    x, want = _eager_answer(model, device)
    got = engine(x, _Probe())
    for what, limit in zip(("outputs", "gradient"), _TOLERANCE[dtype], strict=True):
        error = _error(getattr(got, what), getattr(want, what))
        if error <= limit:
            continue
        with contextlib.suppress(Exception):  # not every module computes in float64
            truth = getattr(Exact(copy.deepcopy(model).double())(x.double(), _Probe()), what)
            limit = max(limit, _WORSE_THAN_EAGER * _error(getattr(want, what), truth))
            error = _error(getattr(got, what), truth)
        if not error <= limit:  # so written, a NaN is a complaint too
            return f"the {what} in its self-check were off by {error:.1g} of their size, allowed is {limit:.1g}"
    return ""


def _eager_answer(model: nn.Module, device: torch.device) -> tuple[torch.Tensor, Gradient]:
    """Two random images of a size that the recogniser takes, and what eager says of them."""
    own = getattr(model, "input_size", None)
    sides = (own,) if isinstance(own, int) else _CHECK_SIDES
    for side in sides:
        x = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device)
        try:
            return x, Exact(model)(x, _Probe())
        except Exception:
            if side == sides[-1]:
                raise
    raise AssertionError("no size was tried")


def _error(got: torch.Tensor, want: torch.Tensor) -> float:
    return float((got - want).norm() / want.norm())
