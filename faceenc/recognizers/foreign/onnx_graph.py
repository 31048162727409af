"""What a converter made of an ONNX file as a graph of torch's own layers, which engines can make faster.

The converter's module interprets the file anew at each call, and has operators of its own; here the calls are traced once,
and operators that torch has, too, become torch's.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx, nn


def as_graph(converted: nn.Module, batch: int | None) -> fx.GraphModule:
    """The same net; its operators stay whole.

    Args:
        converted: takes one tensor of pictures.
        batch: pictures that the file wants at once; a shape that begins with it is taken for one of the batch, and the graph
            takes any number. None if the file itself takes any.

    Raises:
        Exception: whatever the converter's code does when it meets what is no tensor.
    """
    whole = _Whole(converted)
    traced = fx.GraphModule(whole, _Operators().trace(whole))
    for node in list(traced.graph.nodes):
        if node.op == "call_module":
            _simplify(traced, node, batch)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced


class _Whole(nn.Module):
    """The converter's module with one input, by name."""

    def __init__(self, converted: nn.Module) -> None:
        super().__init__()
        self.net = converted

    def forward(self, x: torch.Tensor) -> Any:
        return type(self.net).forward(self.net, x)


class _Operators(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


def _simplify(traced: fx.GraphModule, node: fx.Node, batch: int | None) -> None:
    module = traced.get_submodule(str(node.target))
    kind = type(module).__name__
    constant = _constant(traced, node.args[1]) if len(node.args) == 2 else None
    if kind == "PRelu" and constant is not None and constant.numel() in (1, constant.shape[0]):
        prelu = nn.PReLU(constant.numel()).requires_grad_(False)
        prelu.weight.copy_(constant.flatten())
        traced.set_submodule(str(node.target), prelu)
        node.args = node.args[:1]
    elif kind == "Add" and len(node.args) == 2 and not getattr(module, "input_indices", None):
        with traced.graph.inserting_before(node):
            node.replace_all_uses_with(traced.graph.call_function(operator.add, node.args))
        traced.graph.erase_node(node)
    elif kind == "Reshape" and batch and constant is not None and constant.tolist()[:1] == [batch]:
        with traced.graph.inserting_before(node):
            count = traced.graph.call_method("size", (node.args[0], 0))
            node.replace_all_uses_with(traced.graph.call_method("reshape", (node.args[0], count, *constant.tolist()[1:])))
        traced.graph.erase_node(node)


def _constant(traced: fx.GraphModule, node: Any) -> torch.Tensor | None:
    """The tensor that a node stands for."""
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        return None
    value = operator.attrgetter(str(node.target))(traced)
    return value if isinstance(value, torch.Tensor) else None
