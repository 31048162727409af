"""Gradient engines: loss and gradient at x, by the exact way or by faster ones that are checked against it.

==========  ==================================================================================================
``exact``   plain eager float32, as ART, torchattacks and others compute it; equal to ART's to the bit
``fused``   float32 by `FusedResNet`, or by a folded channels-last copy of any other module; equal up to rounding
``bf16``    the same in bfloat16, with the closing steps of an attack in float32
``auto``    bf16 where the hardware computes in bfloat16, else fused
==========  ==================================================================================================

All of them evaluate a module as in eval mode, whatever mode it is in, and leave it as it was.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from faceenc.core import ConfigError, Goal, Gradient, GradientEngine, Model, has_bfloat16, has_fast_packed_convolutions

log = logging.getLogger(__name__)

ENGINES = ("exact", "fused", "bf16", "auto")

# Relative L2 errors against eager that an engine may have in its self-check: (outputs, gradient). Both are far above
# rounding and far below what a mistake costs. A rounded activation can flip a relu: right gradients are off by some 1e-3.
_TOLERANCE = {torch.float32: (1e-3, 2e-2), torch.bfloat16: (0.1, 0.7)}
_NO_RESNET = "not a ResNet"
_CHECK_SIDE = 64

_Built = tuple[object, GradientEngine | None]
_cache: weakref.WeakKeyDictionary[nn.Module, dict[torch.dtype, _Built]] = weakref.WeakKeyDictionary()


@runtime_checkable
class OwnGradient(Protocol):
    """A recogniser that knows how gradients get through it: a network behind a crop, say."""

    def engine(self, name: str) -> GradientEngine:
        """Its engine of that name."""
        ...


def gradient_engine(model: Model, name: str) -> GradientEngine:
    """The engine `name` for one recogniser, built at the first call and again when the recogniser's weights have changed.

    A change is noticed by torch's own version counters: optimisers, `load_state_dict` and in-place operations are seen,
    writing through `.data` is not. What cannot be had faster is had by the next slower engine, with one line in the log.

    Args:
        model: a module, an `OwnGradient`, or any other callable, which only `exact` can serve.
        name: one of `ENGINES`.

    Raises:
        ConfigError: There is no such engine.
    """
    if name not in ENGINES:
        raise ConfigError(f"there is no gradient engine {name!r}: choose one of {', '.join(ENGINES)}")
    if isinstance(model, OwnGradient):
        return model.engine(name)
    if name == "exact":
        return Exact(model)
    if name == "auto":
        name = "bf16" if has_bfloat16(_device(model)) else "fused"
    fused = cached_engine(model, torch.float32) or Exact(model)
    fast = cached_engine(model, torch.bfloat16) if name == "bf16" else None
    return fused if fast is None else _Closing(fast, fused)


@dataclass(frozen=True, eq=False)
class Exact:
    """Plain eager autograd in float32.

    Shape
        x: (N, 3, H, W) float32 in [0, 1] -> outputs (N, K), loss (N,), gradient (N, 3, H, W) of the batch's mean loss.
    """

    model: Model

    def __call__(self, x: torch.Tensor, goal: Goal, *, last: bool = False, margin: float | None = None) -> Gradient:
        with evaluating(self.model):
            return _autograd(self.model, x, goal, margin)


class Relaid:
    """Eager autograd of a copy with batch norms folded, in channels-last; any module, any device."""

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        from torch.fx.experimental.optimization import fuse

        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        with contextlib.suppress(Exception):  # not every module can be traced, and folding is only half of the gain
            self.model = fuse(self.model)
        self.model = self.model.to(memory_format=torch.channels_last)
        self.dtype = dtype

    def __call__(self, x: torch.Tensor, goal: Goal, *, last: bool = False, margin: float | None = None) -> Gradient:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            answer = _autograd(self.model, x.contiguous(memory_format=torch.channels_last), goal, margin)
        return answer._replace(gradient=answer.gradient.contiguous())


@dataclass(frozen=True, eq=False)
class _Closing:
    """A fast engine, with another one for the closing steps."""

    fast: GradientEngine
    closing: GradientEngine

    def __call__(self, x: torch.Tensor, goal: Goal, *, last: bool = False, margin: float | None = None) -> Gradient:
        return (self.closing if last else self.fast)(x, goal, last=last, margin=margin)


@torch.enable_grad()
def _autograd(model: Model, x: torch.Tensor, goal: Goal, margin: float | None) -> Gradient:
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


def cached_engine(model: Model, dtype: torch.dtype) -> GradientEngine | None:
    """The fast engine for `dtype`, or None where there is none. Only copies are kept: the cache keeps no model alive."""
    if not isinstance(model, nn.Module):
        log.warning("%s is not a torch module: gradients by the exact engine", getattr(model, "__name__", repr(model)))
        return None
    weights = [*model.parameters(), *model.buffers()]
    state = [(weight.data_ptr(), weight._version) for weight in weights]
    engines = _cache.setdefault(model, {})
    if dtype not in engines or engines[dtype][0] != state:
        engines[dtype] = (state, _build(model, dtype))
    return engines[dtype][1]


def _build(model: nn.Module, dtype: torch.dtype) -> GradientEngine | None:
    """The fastest engine for `dtype` that passes its self-check."""
    device = _device(model)
    reasons = []
    engine: GradientEngine | None = None
    if dtype == torch.bfloat16 and not has_bfloat16(device):
        reasons.append("the processor has no bfloat16")
    else:
        plans = [_fused, _plain, Relaid] if device.type == "cpu" else [Relaid]
        if not has_fast_packed_convolutions():
            plans = plans[-2:]
        for plan in plans:
            try:
                candidate = plan(model, dtype)
                reason = _complaint(candidate, model, dtype, device)
            except Exception as error:  # private operations of torch may fail in any way, and a slower engine always remains
                reason = str(error).partition("\n")[0] or type(error).__name__
            if not reason:
                engine = candidate
                break
            reasons.append(reason)
    if reasons:
        left = "a slower engine" if engine is None else type(engine).__name__.strip("_")
        why = "; ".join(dict.fromkeys(reasons))
        # Any other network is as good to attack; it is only not attacked as fast as it might be.
        level = logging.INFO if _NO_RESNET in reasons else logging.WARNING
        log.log(level, "gradients of %s in %s come from %s: %s", type(model).__name__, dtype, left, why)
    return engine


def _device(model: Model) -> torch.device:
    weights = model.parameters() if isinstance(model, nn.Module) else iter(())
    return next((weight.device for weight in weights), torch.device("cpu"))


def _fused(model: nn.Module, dtype: torch.dtype, *, native: bool = True) -> GradientEngine:
    # torchvision takes a second to load, which who attacks another network need not wait for.
    from torchvision.models.resnet import ResNet

    from faceenc.attacks.fused import FusedResNet
    from faceenc.recognizers import FaceResNet

    if isinstance(model, FaceResNet):
        return FusedResNet(model.network, model.mean, model.std, dtype=dtype, native=native)
    if isinstance(model, ResNet):
        return FusedResNet(model, torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1), dtype=dtype, native=native)
    raise TypeError(_NO_RESNET)


def _plain(model: nn.Module, dtype: torch.dtype) -> GradientEngine:
    return _fused(model, dtype, native=False)


class _Probe:
    """The goal of the self-check: a fixed random direction, which means as much for logits as for unit embeddings."""

    def loss(self, outputs: torch.Tensor) -> torch.Tensor:
        direction = torch.randn(outputs.shape[1], generator=torch.Generator().manual_seed(1))
        return outputs @ direction.to(outputs.device)

    def reached(self, outputs: torch.Tensor, margin: float = 0.0) -> torch.Tensor:
        return torch.zeros(len(outputs), dtype=torch.bool)

    def select(self, rows: torch.Tensor) -> _Probe:
        return self


def _complaint(engine: GradientEngine, model: nn.Module, dtype: torch.dtype, device: torch.device) -> str:
    """What is wrong with the engine's answer for two random images, measured against eager; empty if nothing is."""
    side = getattr(model, "input_size", _CHECK_SIDE)
    x = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device)
    got, want = engine(x, _Probe()), Exact(model)(x, _Probe())
    for what, limit in zip(("outputs", "gradient"), _TOLERANCE[dtype], strict=True):
        a, b = getattr(got, what), getattr(want, what)
        error = float((a - b).norm() / b.norm())
        if not error <= limit:  # so written, a NaN is a complaint too
            return f"the {what} in its self-check were off by {error:.1g} of their size, allowed is {limit:g}"
    return ""
