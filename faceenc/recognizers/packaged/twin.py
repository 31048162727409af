"""A small convolutional net in torch, of any wiring: what the packaged face nets are turned into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from faceenc.recognizers.tiny_weights import drop_tiny_weights


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

    Its gradient is to the pictures alone, and computed by convolutions that run forwards: on a processor 1.5 to 2.5 times as
    fast as autograd, and the same up to rounding.

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
        drop_tiny_weights(self)
        for k, step in enumerate(self.steps):
            if step.kind == "conv" and step.stride == 1:
                self.register_buffer(f"{k}_back", _transposed(getattr(self, f"{k}_weight"), step.groups), persistent=False)
        self.to(memory_format=torch.channels_last).eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pixels = ((x * 255 - self.mean) / self.scale).contiguous(memory_format=torch.channels_last)
        embeddings: torch.Tensor = _Pass.apply(pixels, self)
        return F.normalize(embeddings)

    def compute(self, k: int, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """The K-th step."""
        step, x = self.steps[k], inputs[0]
        if step.kind == "add":
            return x + inputs[1]
        weight: torch.Tensor = getattr(self, f"{k}_weight")
        if step.kind == "prelu":
            return F.prelu(x, weight)
        bias: torch.Tensor = getattr(self, f"{k}_bias")
        if _scales(step, weight):
            return torch.addcmul(_per_channel(bias), x, _per_channel(weight.flatten()))
        if _covers(step, weight, x.shape):
            if step.groups == 1:
                return F.linear(_flat(x), _flat(weight), bias)[:, :, None, None]
            return (x * weight[:, 0]).sum((2, 3), keepdim=True) + _per_channel(bias)
        left, right, top, bottom = step.padding
        padding = (top, left)
        if (left, top) != (right, bottom):  # TensorFlow pads unevenly where it strides
            x, padding = F.pad(x, step.padding), (0, 0)
        return F.conv2d(x, weight, bias, step.stride, padding, groups=step.groups)

    def back(self, k: int, gradient: torch.Tensor, x: torch.Tensor | None, shape: torch.Size) -> torch.Tensor:
        """The gradient to each input of the K-th step from the one to its output.

        Args:
            k: which.
            gradient: of the output's shape.
            x: the input of a PReLU.
            shape: of the first input.
        """
        step = self.steps[k]
        if step.kind == "add":
            return gradient
        weight: torch.Tensor = getattr(self, f"{k}_weight")
        if x is not None:
            slope = _per_channel(weight)
            positive: torch.Tensor = torch.ops.aten.threshold_backward(gradient, x, 0)
            return torch.addcmul(gradient * slope, positive, 1 - slope)
        if _scales(step, weight):
            return gradient * _per_channel(weight.flatten())
        if _covers(step, weight, shape):
            if step.groups == 1:
                rows = gradient.flatten(1) @ _flat(weight)
                return rows.view(shape[0], shape[2], shape[3], shape[1]).permute(0, 3, 1, 2)
            return (gradient * weight[:, 0]).contiguous(memory_format=torch.channels_last)
        left, right, top, bottom = step.padding
        kernel, size = weight.shape[2:], (shape[2] + top + bottom, shape[3] + left + right)
        if step.stride == 1:
            padding = (kernel[0] - 1, kernel[1] - 1)
            wide = F.conv2d(gradient, getattr(self, f"{k}_back"), None, 1, padding, groups=step.groups)
        else:
            # A stride leaves open how long the input was: the rest says it.
            rest = [size[d] - kernel[d] - step.stride * (gradient.shape[2 + d] - 1) for d in (0, 1)]
            wide = F.conv_transpose2d(gradient, weight, None, step.stride, 0, rest, groups=step.groups)
        return wide[:, :, top : size[0] - bottom, left : size[1] - right]


class _Pass(torch.autograd.Function):
    """All steps of a `FaceTwin`: normalised pixels -> (N, D), not yet of length 1."""

    @staticmethod
    def forward(ctx: Any, pixels: torch.Tensor, twin: FaceTwin) -> torch.Tensor:
        values, kept = {0: pixels}, []
        for k, step in enumerate(twin.steps):
            inputs = [values[value] for value in step.inputs]
            kept.append((inputs[0] if step.kind == "prelu" else None, inputs[0].shape))
            values[step.output] = twin.compute(k, inputs)
            for value in step.inputs:
                if twin.last_use[value] == k:
                    values.pop(value, None)
        ctx.twin, ctx.kept = twin, kept
        return values[twin.steps[-1].output].flatten(1)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        twin: FaceTwin = ctx.twin
        gradients = {twin.steps[-1].output: gradient[:, :, None, None]}
        for k in reversed(range(len(twin.steps))):
            step = twin.steps[k]
            one = twin.back(k, gradients.pop(step.output), *ctx.kept[k])
            for value in step.inputs:
                gradients[value] = gradients[value] + one if value in gradients else one
        return gradients[0], None


def _scales(step: Step, weight: torch.Tensor) -> bool:
    """A convolution that does no more than multiply each channel."""
    return step.groups == len(weight) and weight.shape[1:] == (1, 1, 1) and step.stride == 1 and not any(step.padding)


def _covers(step: Step, weight: torch.Tensor, shape: Sequence[int]) -> bool:
    """A convolution with room for its kernel once only."""
    return not any(step.padding) and tuple(weight.shape[2:]) == tuple(shape[2:])


def _per_channel(values: torch.Tensor) -> torch.Tensor:
    return values.view(1, -1, 1, 1)


def _flat(x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) -> (N, H W C), without a copy of what lies in channels-last."""
    return x.permute(0, 2, 3, 1).flatten(1)


def _transposed(weight: torch.Tensor, groups: int) -> torch.Tensor:
    """Weights that take the gradient after a convolution of stride 1 to the one before it."""
    out, inner, height, width = weight.shape
    swapped = weight.view(groups, out // groups, inner, height, width).transpose(1, 2)
    return swapped.reshape(groups * inner, out // groups, height, width).flip(2, 3)
