"""A small convolutional net in torch, of any wiring: what the packaged face nets are turned into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn


class Step(NamedTuple):
    """One operation; values are called by number, 0 is the input.

    Attributes:
        kind: "conv", "prelu" or "add".
        inputs: the values it takes.
        output: the value it makes.
        stride: of a convolution.
        padding: of a convolution: left, right, top, bottom.
        groups: of a convolution.
    """

    kind: str
    inputs: tuple[int, ...]
    output: int
    stride: int = 1
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1


class Wiring(NamedTuple):
    """A net's operations and their weights.

    Attributes:
        steps: in order; the last one makes the embeddings.
        weights: "K.weight" and "K.bias" of the K-th step: (out, in / groups, kh, kw) and (out,) of a convolution, the slopes
            (channels,) of a PReLU as its weight.
        mean: is subtracted from pixels in [0, 255] ...
        scale: ... and the rest is divided by it.
    """

    steps: Sequence[Step]
    weights: Mapping[str, torch.Tensor]
    mean: float
    scale: float


class FaceTwin(nn.Module):
    """The net of a wiring.

    Shape
        (N, 3, size, size) float32 RGB in [0, 1] -> (N, D) embeddings of length 1.
    """

    def __init__(self, wiring: Wiring) -> None:
        super().__init__()
        self.steps = tuple(wiring.steps)
        self.mean, self.scale = wiring.mean, wiring.scale
        self.last_use = {value: k for k, step in enumerate(self.steps) for value in step.inputs}
        for name, weight in wiring.weights.items():
            self.register_buffer(name.replace(".", "_"), weight)
        self.to(memory_format=torch.channels_last).eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = {0: (x * 255 - self.mean) / self.scale}
        for k, step in enumerate(self.steps):
            values[step.output] = self._compute(k, step, [values[value] for value in step.inputs])
            for value in step.inputs:
                if self.last_use[value] == k:
                    values.pop(value, None)
        return F.normalize(values[self.steps[-1].output].flatten(1))

    def _compute(self, k: int, step: Step, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        if step.kind == "add":
            return inputs[0] + inputs[1]
        weight = getattr(self, f"{k}_weight")
        if step.kind == "prelu":
            return F.prelu(inputs[0], weight)
        left, right, top, bottom = step.padding
        x, padding = inputs[0], (top, left)
        if (left, top) != (right, bottom):  # TensorFlow pads unevenly where it strides
            x, padding = F.pad(x, step.padding), (0, 0)
        return F.conv2d(x, weight, getattr(self, f"{k}_bias"), step.stride, padding, groups=step.groups)
