"""Any network as a traced graph (torch.fx): batch norms folded, weights frozen, `frozen_layers` in place of its own.

What cannot be traced as a whole, because Python decides by the values or the size of its tensors, is traced part by part;
what no part can be traced of keeps its code, and only its layers are replaced.
"""

from __future__ import annotations

import copy
import inspect
import operator
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from faceenc.attacks.frozen_layers import FrozenConv, FrozenNorm, FrozenPool, FrozenPReLU
from faceenc.recognizers import drop_tiny_weights

_SUMS = {operator.add, operator.iadd, torch.add, "add", "add_"}
_ACTIVATIONS: dict[Any, str] = {
    **dict.fromkeys((nn.ReLU, F.relu, torch.relu, torch.relu_, "relu", "relu_"), "relu"),
    **dict.fromkeys((nn.ReLU6, F.relu6), "relu6"),
}
# What does nothing in evaluation mode: modules, and functions that are told so by `training`.
_IDLE = (nn.Identity, nn.Dropout, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
_IDLE_FUNCTIONS = ("dropout", "stochastic_depth", "drop_path")
# In place, they keep a copy of what they were given.
_NOT_IN_PLACE = (nn.SiLU, nn.Hardswish, nn.Hardsigmoid, nn.Mish)
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def freeze(model: nn.Module, *, dtype: torch.dtype, native: bool) -> nn.Module:
    """A copy of a module that computes the same in evaluation mode, up to rounding, and has no weights to train.

    Args:
        model: takes (N, 3, H, W) first of all; left as it is.
        dtype: what its convolutions compute in; heads (linear layers of one vector an image) and outputs stay in float32.
        native: see `FrozenConv`.

    Raises:
        TypeError: none of its layers can be replaced.
    """
    model = drop_tiny_weights(copy.deepcopy(model).eval().requires_grad_(False))
    made = _Maker(dtype, native).remake(model)
    if not any(isinstance(module, FrozenConv) for module in made.modules()):
        raise TypeError("it has no convolution to make faster")
    return made.to(memory_format=torch.channels_last)


class _InFloat(nn.Module):
    """A layer that computes in float32 whatever it is given."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *inputs: torch.Tensor, **options: Any) -> Any:
        return self.layer(
            *(x.float() if isinstance(x, torch.Tensor) and x.is_floating_point() else x for x in inputs), **options
        )


class _FrozenLinear(nn.Module):
    """A linear layer; of one vector an image in float32, of more in `dtype`."""

    def __init__(self, linear: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        self.linear, self.dtype = linear, dtype
        self.cast = copy.deepcopy(linear).to(dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.linear(x.float()) if x.ndim == 2 else self.cast(x.to(self.dtype))
        return answer


class _Maker:
    """Remakes modules.

    Args:
        dtype: see `freeze`.
        native: see `freeze`.
    """

    def __init__(self, dtype: torch.dtype, native: bool) -> None:
        self.dtype, self.native = dtype, native

    def remake(self, module: nn.Module) -> nn.Module:
        """The module, or another one in its place."""
        layer = self.layer(module)
        torchs = type(module).__module__.startswith("torch.nn") and not isinstance(module, _CONTAINERS)
        if layer is not module or torchs or not next(module.children(), None):
            return layer
        try:
            traced = _traced(module)
        except Exception:  # whatever the code does while it is traced with what is no tensor
            for name, child in list(module.named_children()):
                setattr(module, name, self.remake(child))
            return module
        _name_functional_norms(traced)
        _skip_idle(traced)
        _fold_norms(traced)
        for target in {str(node.target) for node in _calls(traced)}:
            given = traced.get_submodule(target)
            layer = self.layer(given)
            if layer is given and self.dtype != torch.float32 and next(layer.parameters(), None) is not None:
                layer = _InFloat(layer)
            traced.set_submodule(target, layer)
        _take_in(traced)
        traced.delete_all_unused_submodules()
        traced.recompile()
        return traced

    def layer(self, module: nn.Module) -> nn.Module:
        """A frozen layer in place of one of torch's; of the very class, since a child of it may compute something else."""
        kind = type(module)
        if isinstance(module, nn.Conv2d) and kind is nn.Conv2d and FrozenConv.can(module):
            return FrozenConv(module, dtype=self.dtype, native=self.native)
        if isinstance(module, nn.BatchNorm2d) and kind is nn.BatchNorm2d and module.track_running_stats:
            return FrozenNorm(module)
        if isinstance(module, nn.PReLU) and kind is nn.PReLU:
            return FrozenPReLU(module)
        if isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1)):
            return FrozenPool()
        if isinstance(module, _NOT_IN_PLACE):
            module.inplace = False
        if isinstance(module, nn.Linear) and kind is nn.Linear and self.dtype != torch.float32:
            return _FrozenLinear(module, self.dtype)
        return module


def _traced(module: nn.Module) -> fx.GraphModule:
    parameters = inspect.signature(module.forward).parameters.values()
    # What a caller may leave out is left out; a caller who does not is told so by the graph.
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    return fx.GraphModule(module, fx.Tracer().trace(module, concrete_args=defaults or None))


def _calls(traced: fx.GraphModule) -> Iterator[fx.Node]:
    """The calls of modules, in order."""
    return (node for node in list(traced.graph.nodes) if node.op == "call_module")


def _called(traced: fx.GraphModule, node: Any) -> Any:
    """The module that a node calls, None if it calls none."""
    return traced.get_submodule(str(node.target)) if isinstance(node, fx.Node) and node.op == "call_module" else None


def _first(node: fx.Node) -> Any:
    return node.args[0] if node.args else None


def _name_functional_norms(traced: fx.GraphModule) -> None:
    """Batch norms that are called as functions, as timm does it, become modules."""
    for number, node in enumerate(list(traced.graph.nodes)):
        if node.target is not F.batch_norm:
            continue
        given = inspect.signature(F.batch_norm).bind(*node.args, **node.kwargs).arguments
        x, names = given["input"], ("running_mean", "running_var", "weight", "bias")
        constant = all(isinstance(given.get(name), fx.Node) and given[name].op == "get_attr" for name in names)
        if not constant or given.get("training") is not False or type(_called(traced, x)) is not nn.Conv2d:
            continue
        values = {name: operator.attrgetter(str(given[name].target))(traced).detach() for name in names}
        norm = nn.BatchNorm2d(len(values["weight"]), eps=given.get("eps", 1e-5)).eval().requires_grad_(False)
        norm.load_state_dict(values, strict=False)
        traced.add_submodule(f"norm_{number}", norm)
        with traced.graph.inserting_before(node):
            _replace(traced, node, traced.graph.call_module(f"norm_{number}", (x,)))


def _skip_idle(traced: fx.GraphModule) -> None:
    for node in list(traced.graph.nodes):
        idle = isinstance(_called(traced, node), _IDLE)
        if callable(node.target) and getattr(node.target, "__name__", "") in _IDLE_FUNCTIONS:
            given = inspect.signature(node.target).bind(*node.args, **node.kwargs).arguments
            idle = given.get("training") is False
        if idle and isinstance(_first(node), fx.Node):
            _replace(traced, node, _first(node))


def _fold_norms(traced: fx.GraphModule) -> None:
    """Batch norms behind convolutions and linear layers become part of their weights."""
    count = Counter(node.target for node in _calls(traced))
    for node in _calls(traced):
        norm, before = _called(traced, node), _first(node)
        layer = _called(traced, before)
        pair = (type(layer), type(norm))
        if pair not in ((nn.Conv2d, nn.BatchNorm2d), (nn.Linear, nn.BatchNorm1d)) or not norm.track_running_stats:
            continue
        if len(before.users) > 1 or count[before.target] > 1:
            continue
        fuse: Any = fuse_conv_bn_eval if pair[0] is nn.Conv2d else fuse_linear_bn_eval
        # In float64, which keeps the folded weights as exact as float32 can hold them.
        folded = fuse(copy.deepcopy(layer).double(), copy.deepcopy(norm).double()).float()
        traced.set_submodule(str(before.target), folded.requires_grad_(False))
        _replace(traced, node, before)


def _take_in(traced: fx.GraphModule) -> None:
    """Sums and activations behind a convolution become part of it."""
    count = Counter(node.target for node in _calls(traced))

    def free(node: Any) -> FrozenConv | None:
        layer = _called(traced, node)
        alone = isinstance(layer, FrozenConv) and len(node.users) == 1 and count[node.target] == 1
        return layer if alone and not layer.activation else None

    for node in list(traced.graph.nodes):
        module = _called(traced, node)
        what: Any = type(module) if module is not None else node.target if node.op.startswith("call") else None
        if what in _SUMS and len(node.args) == 2 and not node.kwargs:
            one, other = node.args
            conv: Any
            for conv, summand in ((other, one), (one, other)):
                if free(conv) and len(conv.args) == 1 and isinstance(summand, fx.Node) and summand is not conv:
                    with traced.graph.inserting_before(node):
                        both = traced.graph.call_module(str(conv.target), (conv.args[0], summand))
                    _replace(traced, node, both)
                    traced.graph.erase_node(conv)
                    break
        elif what in _ACTIVATIONS and (layer := free(_first(node))):
            layer.activation = _ACTIVATIONS[what]
            _replace(traced, node, _first(node))


def _replace(traced: fx.GraphModule, node: fx.Node, by: fx.Node) -> None:
    node.replace_all_uses_with(by)
    traced.graph.erase_node(node)
