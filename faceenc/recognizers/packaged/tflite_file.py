"""Reads MobileFaceNet from a TensorFlow Lite file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from faceenc.core import AssetError
from faceenc.recognizers.packaged.twin import Step, Wiring

_SAME = 0


def read_tflite(path: Path, *, mean: float, scale: float) -> Wiring:
    """The wiring of a net of convolutions, additions and PReLUs, which such files spell out in five operations each.

    Args:
        path: of the file.
        mean: as of `Wiring`, as is `scale`: these files leave it to the caller.
        scale: see there.

    Raises:
        AssetError: the net does something else.
    """
    import tflite

    model = tflite.Model.GetRootAs(path.read_bytes(), 0)
    graph = model.Subgraphs(0)
    names = {code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)}

    def array(index: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        tensor = graph.Tensors(index)
        data = model.Buffers(tensor.Buffer()).DataAsNumpy()
        return np.frombuffer(data.tobytes(), np.float32).reshape(tensor.ShapeAsNumpy())

    values = {int(graph.Inputs(0)): 0}
    side = {0: int(graph.Tensors(graph.Inputs(0)).ShapeAsNumpy()[1])}
    steps: list[Step] = []
    weights: dict[str, torch.Tensor] = {}
    pending: dict[int, Any] = {}  # parts of a PReLU: relu(x) + slope * (x - |x|)
    for kind, inputs, output, operator in _operators(model, graph, names):
        number = len(steps) + 1
        if kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            depthwise = kind != "CONV_2D"
            options = (tflite.DepthwiseConv2DOptions if depthwise else tflite.Conv2DOptions)()
            options.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
            if options.FusedActivationFunction():
                raise AssetError("a convolution with an activation of its own: not one that is known here")
            weight = array(inputs[1]).transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
            source, stride = values[inputs[0]], int(options.StrideH())
            padding = _padding(side[source], weight.shape[-1], stride) if options.Padding() == _SAME else (0, 0)
            groups = len(weight) if depthwise else 1
            steps.append(Step("conv", (source,), number, stride, (*padding, *padding), groups))
            weights[f"{number - 1}.weight"] = torch.from_numpy(weight.copy())
            weights[f"{number - 1}.bias"] = torch.from_numpy(array(inputs[2]).copy())
            side[number] = (side[source] + sum(padding) - weight.shape[-1]) // stride + 1
            values[output] = number
        elif kind in ("RELU", "ABS"):
            pending[output] = kind, values[inputs[0]]
        elif kind == "SUB" and pending.get(inputs[1]) == ("ABS", values.get(inputs[0])):
            pending[output] = "x - |x|", values[inputs[0]]
        elif kind == "MUL" and pending.get(inputs[1], ("",))[0] == "x - |x|":
            pending[output] = "slope", pending[inputs[1]][1], array(inputs[0])
        elif kind == "ADD" and inputs[0] in pending:
            source, slope = pending[inputs[1]][1:]
            steps.append(Step("prelu", (source,), number))
            weights[f"{number - 1}.weight"] = torch.from_numpy(2 * slope.reshape(-1))  # x - |x| is twice what is below 0
            side[number], values[output] = side[source], number
        elif kind == "ADD":
            steps.append(Step("add", (values[inputs[0]], values[inputs[1]]), number))
            side[number], values[output] = side[values[inputs[0]]], number
        elif kind == "RESHAPE":
            values[output] = values[inputs[0]]
        else:
            raise AssetError(f"the net has a layer {kind}: not one that is known here")
    return Wiring(steps, weights, mean, scale)


def _operators(model: Any, graph: Any, names: dict[int, str]) -> Iterator[tuple[str, list[int], int, Any]]:
    for k in range(graph.OperatorsLength()):
        operator = graph.Operators(k)
        code = model.OperatorCodes(operator.OpcodeIndex())
        kind = names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        yield kind, [int(i) for i in operator.InputsAsNumpy()], int(operator.Outputs(0)), operator


def _padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """What TensorFlow's "same" adds before and behind."""
    total = max(0, (-(-side // stride) - 1) * stride + kernel - side)
    return total // 2, total - total // 2
