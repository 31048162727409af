"""Reads a convolutional face net from an ONNX file.

Batch normalisations, the closing fully connected layer and int8 block weights are folded into plain float32 convolutions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from faceenc.core import AssetError
from faceenc.recognizers.packaged.twin import Step, Wiring

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]


def read_onnx(path: Path, *, mean: float = 0.0, scale: float = 1.0) -> Wiring:
    """The wiring of a net of convolutions, PReLUs and additions.

    Args:
        path: of the file.
        mean: as of `Wiring`, as is `scale`, where the net leaves them to the caller.
        scale: see there.

    Raises:
        AssetError: the net does something else.
    """
    import onnx

    graph = onnx.load(path).graph
    arrays: Arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    reader = _Reader(arrays, {graph.input[0].name: 0})
    for node in graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        reader.read(node.op_type, list(node.input), node.output[0], attributes)
    return reader.wiring(mean + reader.mean, scale * reader.scale)


class _Reader:
    """Collects steps and weights node by node; constants are computed as they are met."""

    def __init__(self, arrays: Arrays, values: dict[str, int]) -> None:
        self.arrays, self.values = arrays, values
        self.mean, self.scale = 0.0, 1.0  # what the net itself does to its input
        self.steps: list[Step] = []
        self.weights: list[Arrays] = []
        self.shapes: dict[str, tuple[int, ...]] = {}

    def read(self, kind: str, inputs: Sequence[str], output: str, attributes: Mapping[str, Any]) -> None:
        if kind == "Constant":
            return
        if kind == "DequantizeLinear":
            self.arrays[output] = _dequantized(*[self.arrays[name] for name in inputs[:3]], block=attributes["block_size"])
        elif kind == "Reshape" and inputs[0] in self.arrays:
            self.arrays[output] = self.arrays[inputs[0]].reshape(self.arrays[inputs[1]])
        elif kind in ("Reshape", "Flatten", "Dropout"):
            self.values[output] = self.values[inputs[0]]
        elif kind in ("Sub", "Mul") and inputs[1] in self.arrays:
            if self.values[inputs[0]] or self.arrays[inputs[1]].size != 1:
                raise AssetError(f"the net has a layer {kind} within: not one that is known here")
            number = float(self.arrays[inputs[1]].reshape(()))
            self.mean, self.scale = (self.mean + number, 1.0) if kind == "Sub" else (self.mean, self.scale / number)
            self.values[output] = 0
        elif kind == "Conv":
            self._convolution(inputs, output, attributes)
        elif kind == "Gemm":
            self._linear(inputs, output)
        elif kind == "BatchNormalization":
            self._normalisation(inputs, output, attributes["epsilon"])
        elif kind == "PRelu":
            self._add_step(Step("prelu", (self.values[inputs[0]],), len(self.steps) + 1), output)
            self.weights.append({"weight": self.arrays[inputs[1]].reshape(-1)})
        elif kind == "Add":
            self._add_step(Step("add", (self.values[inputs[0]], self.values[inputs[1]]), len(self.steps) + 1), output)
            self.weights.append({})
        else:
            raise AssetError(f"the net has a layer {kind}: not one that is known here")

    def wiring(self, mean: float, scale: float) -> Wiring:
        weights = {
            f"{k}.{name}": torch.from_numpy(array.astype(np.float32))
            for k, arrays in enumerate(self.weights)
            for name, array in arrays.items()
        }
        return Wiring(self.steps, weights, mean, scale)

    def _add_step(self, step: Step, output: str) -> None:
        self.steps.append(step)
        self.values[output] = step.output

    def _convolution(self, inputs: Sequence[str], output: str, attributes: Mapping[str, Any]) -> None:
        weight = self.arrays[inputs[1]]
        bias = self.arrays[inputs[2]] if len(inputs) > 2 else np.zeros(len(weight), np.float32)
        top, left, bottom, right = attributes["pads"]
        step = Step(
            "conv", (self.values[inputs[0]],), len(self.steps) + 1, attributes["strides"][0],
            (left, right, top, bottom), attributes["group"],
        )  # fmt: skip
        self._add_step(step, output)
        self.weights.append({"weight": weight, "bias": bias})

    def _linear(self, inputs: Sequence[str], output: str) -> None:
        """As a convolution over the whole of what is left of the picture."""
        weight, bias = self.arrays[inputs[1]], self.arrays[inputs[2]]
        channels = next(len(w["bias"]) for w in reversed(self.weights) if "bias" in w)
        side = round((weight.shape[1] / channels) ** 0.5)
        self._add_step(Step("conv", (self.values[inputs[0]],), len(self.steps) + 1), output)
        self.weights.append({"weight": weight.reshape(-1, channels, side, side), "bias": bias})

    def _normalisation(self, inputs: Sequence[str], output: str, epsilon: float) -> None:
        """Folded into the convolution before it; after an activation it is a convolution of one pixel."""
        gamma, beta, mean, variance = (self.arrays[name].astype(np.float64) for name in inputs[1:5])
        factor = gamma / np.sqrt(variance + epsilon)
        before = self.values[inputs[0]]
        if before and self.steps[before - 1].kind == "conv":
            own = self.weights[before - 1]
            own["weight"] = own["weight"] * factor.reshape(-1, *(1,) * (own["weight"].ndim - 1))
            own["bias"] = (own["bias"] - mean) * factor + beta
            self.values[output] = before
            return
        step = Step("conv", (before,), len(self.steps) + 1, groups=len(gamma))
        self._add_step(step, output)
        self.weights.append({"weight": factor.reshape(-1, 1, 1, 1), "bias": beta - mean * factor})


def _dequantized(quantized: NDArray[Any], scales: NDArray[Any], zero: NDArray[Any], *, block: int) -> NDArray[np.float32]:
    """Of weights in blocks along their last axis, each with a scale and a zero of its own."""
    axis = quantized.ndim - 1
    length = quantized.shape[axis]
    wide = (np.repeat(array.astype(np.float32), block, axis)[..., :length] for array in (scales, zero))
    scale, origin = wide
    return (quantized.astype(np.float32) - origin) * scale
