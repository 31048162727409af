"""Loss and gradient by torch's autograd: of a module as it is, and of faster copies of it."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from faceenc.core import Goal, Gradient, Model


@dataclass(frozen=True, eq=False)
class Exact:
    """Plain eager autograd in float32.

    Shape
        x: (N, 3, H, W) float32 in [0, 1] -> outputs (N, K), loss (N,), gradient (N, 3, H, W) of the batch's mean loss.
    """

    model: Model

    def __call__(self, x: torch.Tensor, goal: Goal, *, last: bool = False, margin: float | None = None) -> Gradient:
        with evaluating(self.model):
            return autograd(self.model, x, goal, margin)


class Relaid:
    """Eager autograd of a copy with batch norms folded, in channels-last; any module, any device."""

    way = "channels last"

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        from torch.fx.experimental.optimization import fuse

        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        with contextlib.suppress(Exception):  # not every module can be traced, and folding is only half of the gain
            self.model = fuse(self.model)
        self.model = self.model.to(memory_format=torch.channels_last)
        self.dtype = dtype

    def __call__(self, x: torch.Tensor, goal: Goal, *, last: bool = False, margin: float | None = None) -> Gradient:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            answer = autograd(self.model, x.contiguous(memory_format=torch.channels_last), goal, margin)
        return answer._replace(gradient=answer.gradient.contiguous())


class Traced(Relaid):
    """Autograd of a copy made by `traced.freeze`: any module with convolutions, on the CPU.

    Args:
        model: left as it is.
        dtype: torch.float32 or torch.bfloat16, for convolutions of low precision.
        native: by oneDNN's fused calls, which are private to torch; else by public operations.

    Raises:
        TypeError: it has no convolution.
    """

    way = "traced graph"

    def __init__(self, model: nn.Module, dtype: torch.dtype, *, native: bool = True) -> None:
        from faceenc.attacks.traced import freeze

        self.model = freeze(model, dtype=dtype, native=native)
        self.dtype = torch.float32  # its layers cast by themselves


@torch.enable_grad()
def autograd(model: Model, x: torch.Tensor, goal: Goal, margin: float | None) -> Gradient:
    x = x.detach().requires_grad_(True)
    outputs = model(x).float()
    loss = goal.loss(outputs)
    going = None if margin is None else ~goal.reached(outputs.detach(), margin)
    if going is not None and not going.any():
        return Gradient(outputs.detach(), loss.detach(), x.detach()[:0])
    # Asking for x alone spares the weights' gradients. The mean, not the sum, rounds as ART's loss does.
    (gradient,) = torch.autograd.grad(loss.mean(), x)
    return Gradient(outputs.detach(), loss.detach(), gradient if going is None else gradient[going])


@contextlib.contextmanager
def evaluating(model: Model) -> Iterator[None]:
    """In evaluation mode meanwhile: dropout and batch statistics would make every answer another one."""
    training = [module for module in model.modules() if module.training] if isinstance(model, nn.Module) else []
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
