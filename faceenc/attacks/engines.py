"""Gradient engines: loss and gradient at x, by the exact way or by faster ones that are checked against it.

==========  ==================================================================================================
``exact``   plain eager float32, as ART, torchattacks and others compute it; equal to ART's to the bit
``fused``   float32 by `FusedResNet`, or of any other module by its traced graph (`traced.freeze`); equal up to rounding
``bf16``    the same in bfloat16, with the closing steps of an attack in float32
``auto``    bf16 where the hardware computes in bfloat16, else fused
==========  ==================================================================================================

Where a faster way fails, or answers otherwise than `exact`, a slower one serves: `engine_in_use` says which, and why.
All of them evaluate a module as in eval mode, whatever mode it is in, and leave it as it was.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import nn

from faceenc.attacks.eager import Exact, Relaid, Traced
from faceenc.attacks.self_check import complaint
from faceenc.core import ConfigError, Goal, Gradient, GradientEngine, Model, has_bfloat16, has_fast_packed_convolutions

log = logging.getLogger(__name__)

ENGINES = ("exact", "fused", "bf16", "auto")

# Why most nets have no plan of their own, which is no fault of theirs.
_NO_RESNET = "not a ResNet"
_NO_PLAN = (_NO_RESNET, "its blocks are not basic blocks")


class _Built(NamedTuple):
    """What was built for a recogniser in one state of its weights, and why nothing faster."""

    state: object
    engine: GradientEngine | None
    why: str


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
    name = _resolved(model, name)
    fused = cached_engine(model, torch.float32) or Exact(model)
    fast = cached_engine(model, torch.bfloat16) if name == "bf16" else None
    return fused if fast is None else _Closing(fast, fused)


def engine_in_use(model: Model, name: str) -> str:
    """Which engine serves where `name` is asked for, for run.json and reports.

    >>> engine_in_use(torchvision.models.mobilenet_v2(), "fused")
    'fused (traced graph)'

    Args:
        model: see `gradient_engine`.
        name: one of `ENGINES`.

    Returns:
        The engine, in brackets by which way, and behind a colon why it is not the one that was asked for.
    """
    gradient_engine(model, name)
    if isinstance(model, OwnGradient):
        return f"{name} (its own)"
    if name == "exact":
        return name
    if not isinstance(model, nn.Module):
        return "exact: it is not a torch module"
    whys = []
    for engine, dtype in (("bf16", torch.bfloat16), ("fused", torch.float32))[_resolved(model, name) == "fused" :]:
        built = _built(model, dtype)
        whys += [built.why] * bool(built.why)
        if built.engine is not None:
            return f"{engine} ({getattr(built.engine, 'way', '')})" + "".join(f": {why}" for why in whys[:1])
    return f"exact: {'; '.join(dict.fromkeys(whys))}"


def engines_in_use(attacks: Iterable[object], model: Model) -> dict[str, str]:
    """`engine_in_use` of every engine that some attack asks for; what has no `engine`, as ART's, computes in its own way."""
    names = {str(attack.engine) for attack in attacks if hasattr(attack, "engine")}
    return {name: engine_in_use(model, name) for name in sorted(names)}


@dataclass(frozen=True, eq=False)
class _Closing:
    """A fast engine, with another one for the closing steps."""

    fast: GradientEngine
    closing: GradientEngine

    def __call__(self, x: torch.Tensor, goal: Goal, *, last: bool = False, margin: float | None = None) -> Gradient:
        return (self.closing if last else self.fast)(x, goal, last=last, margin=margin)


def cached_engine(model: Model, dtype: torch.dtype) -> GradientEngine | None:
    """The fast engine for `dtype`, or None where there is none. Only copies are kept: the cache keeps no model alive."""
    if not isinstance(model, nn.Module):
        log.warning("%s is not a torch module: gradients by the exact engine", getattr(model, "__name__", repr(model)))
        return None
    return _built(model, dtype).engine


def _built(model: nn.Module, dtype: torch.dtype) -> _Built:
    weights = [*model.parameters(), *model.buffers()]
    state = [(weight.data_ptr(), weight._version) for weight in weights]
    engines = _cache.setdefault(model, {})
    if dtype not in engines or engines[dtype].state != state:
        engines[dtype] = _Built(state, *_build(model, dtype))
    return engines[dtype]


def _build(model: nn.Module, dtype: torch.dtype) -> tuple[GradientEngine | None, str]:
    """The fastest engine for `dtype` that passes its self-check, and why no faster one."""
    device = _device(model)
    reasons = []
    engine: GradientEngine | None = None
    if dtype == torch.bfloat16 and not has_bfloat16(device):
        reasons.append("the processor has no bfloat16")
    else:
        plans = [_fused, _plain, Traced, _traced_plain, Relaid] if device.type == "cpu" else [Relaid]
        if device.type == "cpu" and not has_fast_packed_convolutions():
            plans = [_plain, _traced_plain, Relaid]
        for plan in plans:
            try:
                candidate = plan(model, dtype)
                reason = complaint(candidate, model, dtype, device)
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
        level = logging.INFO if reasons[0] in _NO_PLAN else logging.WARNING
        log.log(level, "gradients of %s in %s come from %s: %s", type(model).__name__, dtype, left, why)
    return engine, "; ".join(reason for reason in dict.fromkeys(reasons) if reason not in _NO_PLAN)


def _resolved(model: Model, name: str) -> str:
    if name != "auto":
        return name
    return "bf16" if has_bfloat16(_device(model)) else "fused"


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


def _traced_plain(model: nn.Module, dtype: torch.dtype) -> GradientEngine:
    return Traced(model, dtype, native=False)
