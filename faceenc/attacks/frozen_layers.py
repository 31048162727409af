"""Layers with frozen weights whose way back computes the input's gradient alone, by convolutions that run forwards.

Autograd keeps the input of every convolution for weights that nobody trains, and oneDNN's kernels for gradients are several
times slower than its forward ones where a convolution is 1x1 or strided and depthwise. These layers keep the answers of the
activations that they took in, and nothing else.

Shape
    All of them (N, C, H, W) -> (N, C', H', W'), in channels-last.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

_PHASES_FROM = 5  # smallest kernel for which `_Phases` beat a transposed convolution


class FrozenConv(nn.Module):
    """activation(convolution + bias + summand); summand and activation are optional, and cost no pass over memory.

    Args:
        conv: of zero padding given in numbers, with any groups, stride and dilation.
        dtype: what it computes in; inputs are cast to it.
        native: by oneDNN's fused calls with weights packed once, which are private to torch; else by public operations.

    Attributes:
        activation: "", "relu" or "relu6".
    """

    def __init__(self, conv: nn.Conv2d, *, dtype: torch.dtype, native: bool) -> None:
        super().__init__()
        self.dtype, self.native = dtype, native
        self.activation = ""
        self.groups, self.kernel = conv.groups, tuple(conv.kernel_size)
        self.stride, self.dilation = list(conv.stride), list(conv.dilation)
        self.padding = [int(side) for side in conv.padding]
        weight = conv.weight.detach()
        self.channels = weight.shape[0]
        self.bias = None if conv.bias is None else conv.bias.detach().to(dtype)
        self.weight = _laid(weight, dtype)
        if native:
            reorder = torch.ops.mkldnn._reorder_convolution_weight
            self.weight = reorder(self.weight, self.padding, self.stride, self.dilation, self.groups)
        self.back = _way_back(weight, self, dtype, native)

    @staticmethod
    def can(conv: nn.Conv2d) -> bool:
        """Whether it can compute what `conv` does."""
        return conv.padding_mode == "zeros" and not isinstance(conv.padding, str)

    def forward(self, x: torch.Tensor, summand: torch.Tensor | None = None) -> torch.Tensor:
        x = x.to(self.dtype)
        if summand is not None:
            summand = summand.to(self.dtype)
            if summand.shape != self._shape(x):  # a sum that broadcasts is none of oneDNN's
                return self.activate(_Convolve.apply(x, None, self, "") + summand)
        answer: torch.Tensor = _Convolve.apply(x, summand, self, self.activation)
        return answer

    def compute(self, x: torch.Tensor, summand: torch.Tensor | None, activation: str) -> torch.Tensor:
        """What `forward` answers, without gradients."""
        x = x.contiguous(memory_format=torch.channels_last)
        shared = (self.weight, self.bias, self.padding, self.stride, self.dilation, self.groups)
        if not self.native:
            y = F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
            return self.activate(y if summand is None else y.add_(summand), activation)
        # oneDNN's relu6 is a slower call than a pass in place, its relu is not.
        fused = activation == "relu"
        if summand is None:
            y = torch.ops.mkldnn._convolution_pointwise(x, *shared, "relu" if fused else "none", [], "")
        else:
            summand = summand.contiguous(memory_format=torch.channels_last)
            binary = torch.ops.mkldnn._convolution_pointwise.binary
            y = binary(x, summand, *shared, "add", 1.0, "relu" if fused else None, [], None)
        return self.activate(y, "" if fused else activation)

    def activate(self, y: torch.Tensor, activation: str | None = None) -> torch.Tensor:
        """In place where no gradient is asked for."""
        activation = self.activation if activation is None else activation
        if not activation:
            return y
        if y.requires_grad:
            return F.relu(y) if activation == "relu" else F.relu6(y)
        return y.relu_() if activation == "relu" else F.hardtanh_(y, 0.0, 6.0)

    def _shape(self, x: torch.Tensor) -> torch.Size:
        sides = [
            (have + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for have, padding, dilation, kernel, stride in zip(
                x.shape[2:], self.padding, self.dilation, self.kernel, self.stride, strict=True
            )
        ]
        return torch.Size((x.shape[0], self.channels, *sides))


class _Convolve(torch.autograd.Function):
    """x, summand -> activation(convolution + summand), with gradients to both."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, summand: torch.Tensor | None, layer: FrozenConv, activation: str) -> torch.Tensor:
        answer = layer.compute(x, summand, activation)
        ctx.layer, ctx.activation, ctx.size = layer, activation, x.shape[2:]
        if activation:
            ctx.save_for_backward(answer)
        return answer

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None, None]:
        if ctx.activation:
            (answer,) = ctx.saved_tensors
            through = torch.ops.aten
            gradient = (
                through.threshold_backward(gradient, answer, 0.0)
                if ctx.activation == "relu"
                else through.hardtanh_backward(gradient, answer, 0.0, 6.0)
            )
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        needs_x, needs_summand = ctx.needs_input_grad[:2]
        return ctx.layer.back(gradient, ctx.size) if needs_x else None, gradient if needs_summand else None, None, None


class FrozenPReLU(nn.Module):
    """A PReLU; torch's own computes its weights' gradient whether or not anybody wants it.

    Args:
        prelu: with one slope, or one a channel.
    """

    def __init__(self, prelu: nn.PReLU) -> None:
        super().__init__()
        self.slope = prelu.weight.detach().clone()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = _Bend.apply(x, self.slope.to(x.dtype))
        return answer


class _Bend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, slope)
        return F.prelu(x, slope)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        x, slope = ctx.saved_tensors
        slope = slope.view(1, -1, *(1,) * (x.ndim - 2))
        positive = torch.ops.aten.threshold_backward(gradient, x, 0.0)
        return (gradient * slope).addcmul_(positive, 1 - slope), None


class FrozenNorm(nn.Module):
    """A batch norm in evaluation mode that no convolution could take in: x * scale + shift.

    Args:
        norm: with running statistics.
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        assert norm.running_mean is not None
        assert norm.running_var is not None
        mean, variance = norm.running_mean.double(), norm.running_var.double()
        scale = (variance + norm.eps).rsqrt()
        if norm.weight is not None:
            scale = scale * norm.weight.detach().double()
        shift = -mean * scale if norm.bias is None else norm.bias.detach().double() - mean * scale
        self.scale, self.shift = (value.float().view(1, -1, 1, 1) for value in (scale, shift))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = torch.addcmul(self.shift.to(x.dtype), x, self.scale.to(x.dtype))
        return answer


class FrozenPool(nn.Module):
    """The mean of each channel; autograd's own lays the gradient out anew, and what is added to it as well."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = _Mean.apply(x)
        return answer


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.shape = x.shape
        return x.mean((2, 3), keepdim=True)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        spread: torch.Tensor = (gradient / (ctx.shape[2] * ctx.shape[3])).expand(ctx.shape)
        return spread


class _Flipped(nn.Module):
    """The way back through a stride of 1: a convolution with the kernel turned round."""

    def __init__(self, weight: torch.Tensor, layer: FrozenConv, dtype: torch.dtype, native: bool) -> None:
        super().__init__()
        out, inner, height, width = weight.shape
        groups = layer.groups
        swapped = weight.view(groups, out // groups, inner, height, width).transpose(1, 2)
        turned = swapped.reshape(groups * inner, out // groups, height, width).flip(2, 3)
        self.padding = [d * (k - 1) - p for d, k, p in zip(layer.dilation, layer.kernel, layer.padding, strict=True)]
        self.groups, self.dilation, self.native = groups, layer.dilation, native
        self.weight = _laid(turned, dtype)
        if native:
            reorder = torch.ops.mkldnn._reorder_convolution_weight
            self.weight = reorder(self.weight, self.padding, [1, 1], self.dilation, groups)

    def forward(self, gradient: torch.Tensor, size: torch.Size) -> torch.Tensor:
        if not self.native:
            return F.conv2d(gradient, self.weight, None, 1, self.padding, self.dilation, self.groups)
        convolve, shape = torch.ops.mkldnn._convolution_pointwise, (self.padding, [1, 1], self.dilation, self.groups)
        answer: torch.Tensor = convolve(gradient, self.weight, None, *shape, "none", [], "")
        return answer


class _Transposed(nn.Module):
    """The way back through any stride, by a transposed convolution.

    With groups it computes in float32: in bfloat16 that takes oneDNN thirty times as long.
    """

    def __init__(self, weight: torch.Tensor, layer: FrozenConv, dtype: torch.dtype, native: bool) -> None:
        super().__init__()
        self.stride, self.padding, self.dilation = layer.stride, layer.padding, layer.dilation
        self.groups, self.kernel = layer.groups, layer.kernel
        self.native = native and layer.groups == 1
        self.dtype = dtype if layer.groups == 1 else torch.float32
        self.weight = _laid(weight, self.dtype)
        if self.native:
            reorder = torch.ops.mkldnn._reorder_convolution_transpose_weight
            self.weight = reorder(self.weight, layer.padding, [0, 0], layer.stride, layer.dilation, 1)

    def forward(self, gradient: torch.Tensor, size: torch.Size) -> torch.Tensor:
        stride, padding, dilation, groups = self.stride, self.padding, self.dilation, self.groups
        # A stride leaves open how long the input was: the rest says it.
        rest = [
            size[d] + 2 * padding[d] - dilation[d] * (self.kernel[d] - 1) - 1 - stride[d] * (gradient.shape[2 + d] - 1)
            for d in (0, 1)
        ]
        cast = gradient.to(self.dtype)
        if not self.native:
            return F.conv_transpose2d(cast, self.weight, None, stride, padding, rest, groups, dilation).to(gradient.dtype)
        transposed = torch.ops.mkldnn._convolution_transpose_pointwise
        answer: torch.Tensor = transposed(cast, self.weight, None, padding, rest, stride, dilation, 1, "none", [], "")
        return answer


class _Phases(nn.Module):
    """The way back through a large strided kernel to few channels, a stem: one convolution for each phase of the input.

    Pixel s m + a of the input took part in outputs m - j with the kernel's entry s j + a + padding, wherever there is one.
    The answers for all a are put into place by `pixel_shuffle` (https://arxiv.org/abs/1609.05158).
    """

    def __init__(self, weight: torch.Tensor, layer: FrozenConv, dtype: torch.dtype) -> None:
        super().__init__()
        self.stride, padding, kernel = layer.stride[0], layer.padding[0], layer.kernel[0]
        out, inner = weight.shape[:2]
        self.first, self.last = -((self.stride - 1 + padding) // self.stride), (kernel - 1 - padding) // self.stride
        window = self.last - self.first + 1
        # Zeros around the kernel complete it to `window` blocks of `stride` entries; the window slides the other way.
        before = -(self.stride * self.first + padding)
        after = self.stride * window - kernel - before
        whole = F.pad(weight, (before, after, before, after)).view(out, inner, window, self.stride, window, self.stride)
        phases = whole.flip(2, 4).permute(1, 3, 5, 0, 2, 4)
        self.weight = _laid(phases.reshape(inner * self.stride**2, out, window, window), dtype)

    def forward(self, gradient: torch.Tensor, size: torch.Size) -> torch.Tensor:
        high, wide = (
            -(-side // self.stride) - have - self.first for side, have in zip(size, gradient.shape[2:], strict=True)
        )
        around = F.pad(gradient, (self.last, wide, self.last, high))
        return F.pixel_shuffle(F.conv2d(around, self.weight), self.stride)[:, :, : size[0], : size[1]]


def _way_back(weight: torch.Tensor, layer: FrozenConv, dtype: torch.dtype, native: bool) -> nn.Module:
    """The fastest of the three that can, as measured on processors with AVX-512."""
    fits = all(d * (k - 1) >= p for d, k, p in zip(layer.dilation, layer.kernel, layer.padding, strict=True))
    if layer.stride == [1, 1] and fits:
        return _Flipped(weight, layer, dtype, native)
    square = (
        layer.kernel[0] == layer.kernel[1] and layer.stride[0] == layer.stride[1] and layer.padding[0] == layer.padding[1]
    )
    stem = layer.groups == 1 and weight.shape[1] <= 4 and layer.kernel[0] >= _PHASES_FROM
    if stem and square and fits and layer.dilation == [1, 1] and layer.kernel[0] > layer.stride[0]:
        return _Phases(weight, layer, dtype)
    return _Transposed(weight, layer, dtype, native)


def _laid(weight: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return weight.detach().to(dtype).contiguous(memory_format=torch.channels_last)
