"""ResNets of basic blocks as a plan of folded convolutions: outputs, loss and the gradient to the input, without autograd.

Batch norms are folded into the convolutions, a convolution with its sum and its relu is one oneDNN call, everything lies in
channels-last, and the backward pass computes nothing but the input's gradient, as convolutions that run forwards.

The oneDNN calls are private to torch and may change with any release: `engines` checks a plan before it trusts it, and
`native=False` makes the same plan of public operations.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.resnet import BasicBlock, ResNet

from faceenc.core import Goal, Gradient

# Above this many images the stem's activations (3 MB an image at 224 pixels) leave the cache, and the allocator hands them
# back to the system after every pass.
STEM_IMAGES = 4
PASS_IMAGES = 16


class _Conv:
    """relu(convolution + bias + summand) in one call; bias, summand and relu are optional.

    Args:
        weight: (out, in, kernel, kernel) of any floating type.
        bias: (out,), or none.
        stride: of both axes, as is `padding`.
        dtype: what the convolution computes in.
        native: by oneDNN's fused calls, with weights packed once for all sizes of input.
    """

    def __init__(
        self, weight: torch.Tensor, bias: torch.Tensor | None, *, stride: int, padding: int, dtype: torch.dtype, native: bool
    ) -> None:
        self.weight = weight.to(dtype).contiguous(memory_format=torch.channels_last)
        self.bias = None if bias is None else bias.to(dtype)
        self.stride = [stride, stride]
        self.padding = [padding, padding]
        self.native = native
        if native:
            self.weight = torch.ops.mkldnn._reorder_convolution_weight(self.weight, self.padding, self.stride, [1, 1], 1)

    def __call__(self, x: torch.Tensor, summand: torch.Tensor | None = None, *, relu: bool = False) -> torch.Tensor:
        shared = (self.weight, self.bias, self.padding, self.stride, [1, 1], 1)
        y: torch.Tensor
        if not self.native:
            y = F.conv2d(x, self.weight, self.bias, self.stride, self.padding)
            y = y if summand is None else y.add_(summand)
            return y.relu_() if relu else y
        if summand is None:
            y = torch.ops.mkldnn._convolution_pointwise(x, *shared, "relu" if relu else "none", [], "")
        else:
            fused = torch.ops.mkldnn._convolution_pointwise.binary
            y = fused(x, summand, *shared, "add", 1.0, "relu" if relu else None, [], None)
        return y


class _Transposed:
    """The gradient of a strided convolution to its input, by a transposed convolution."""

    def __init__(self, weight: torch.Tensor, *, stride: int, padding: int, dtype: torch.dtype, native: bool) -> None:
        self.weight = weight.to(dtype).contiguous(memory_format=torch.channels_last)
        self.kernel = weight.shape[-1]
        self.stride = stride
        self.padding = padding
        self.native = native
        if native:
            pack = torch.ops.mkldnn._reorder_convolution_transpose_weight
            self.weight = pack(self.weight, [padding] * 2, [0, 0], [stride] * 2, [1, 1], 1)

    def __call__(self, gradient: torch.Tensor, size: torch.Size) -> torch.Tensor:
        """(N, out, h, w) -> (N, in, H, W), where `size` is the input's (H, W)."""
        # A stride of two leaves open whether the input was odd or even: the rest says which.
        rest = [
            wanted + 2 * self.padding - self.kernel - self.stride * (have - 1)
            for wanted, have in zip(size, gradient.shape[2:], strict=True)
        ]
        stride, padding = [self.stride] * 2, [self.padding] * 2
        if not self.native:
            return F.conv_transpose2d(gradient, self.weight, None, stride, padding, rest)
        fused = torch.ops.mkldnn._convolution_transpose_pointwise
        y: torch.Tensor = fused(gradient, self.weight, None, padding, rest, stride, [1, 1], 1, "none", [], "")
        return y


class _Block:
    """A basic block, forwards and backwards.

    Args:
        block: in float64 and eval mode.
        dtype: what the convolutions compute in.
        native: see `_Conv`.
    """

    def __init__(self, block: BasicBlock, *, dtype: torch.dtype, native: bool) -> None:
        conv1, conv2 = fuse_conv_bn_eval(block.conv1, block.bn1), fuse_conv_bn_eval(block.conv2, block.bn2)
        self.stride = block.stride

        def conv(weight: torch.Tensor, bias: torch.Tensor | None, stride: int = 1) -> _Conv:
            return _Conv(weight, bias, stride=stride, padding=weight.shape[-1] // 2, dtype=dtype, native=native)

        self.conv1, self.conv2 = conv(conv1.weight, conv1.bias, self.stride), conv(conv2.weight, conv2.bias)
        self.back2 = conv(conv2.weight.flip(2, 3).transpose(0, 1), None)
        self.shortcut: tuple[_Conv, _Conv, _Transposed] | None = None
        if block.downsample is None:
            self.back1 = conv(conv1.weight.flip(2, 3).transpose(0, 1), None)
        else:
            down = fuse_conv_bn_eval(*block.downsample)
            back1 = _Transposed(conv1.weight, stride=self.stride, padding=1, dtype=dtype, native=native)
            self.shortcut = (conv(down.weight, down.bias, self.stride), conv(down.weight.transpose(0, 1), None), back1)

    def forwards(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, C, H, W) -> what the first and what the second relu answer."""
        hidden = self.conv1(x, relu=True)
        return hidden, self.conv2(hidden, x if self.shortcut is None else self.shortcut[0](x), relu=True)

    def backwards(self, gradient: torch.Tensor, hidden: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Gradient before the second relu -> gradient at the block's input `x`."""
        inner = _through_relu(self.back2(gradient), hidden)
        if self.shortcut is None:
            return self.back1(inner, gradient)
        _, back, back1 = self.shortcut
        total = back1(inner, x.shape[2:])
        total[:, :, :: self.stride, :: self.stride] += back(gradient)
        return total


@dataclass(frozen=True, slots=True)
class _Pooled:
    """What the stem leaves behind for the way back: its own answer and where the pool found the largest values."""

    full: torch.Tensor
    indices: torch.Tensor


class FusedResNet:
    """A gradient engine for a torchvision ResNet of basic blocks (ResNet-18, ResNet-34) on the CPU.

    It keeps a copy of the weights as they are now, with batch norms in eval mode.

    Args:
        network: takes normalised images, answers logits.
        mean: (1, 3, 1, 1) of the normalisation (x - mean) / std, as is `std`.
        std: all above 0.
        dtype: torch.float32, or torch.bfloat16 for convolutions of low precision; the head stays in float32.
        native: by oneDNN's fused calls, which are private to torch; else the same plan of public operations.

    Raises:
        TypeError: The network is not made of basic blocks.
    """

    way = "plan of a ResNet"

    def __init__(
        self, network: ResNet, mean: torch.Tensor, std: torch.Tensor, *, dtype: torch.dtype, native: bool = True
    ) -> None:
        # Folding in float64 keeps the folded weights as exact as float32 can hold them.
        network = copy.deepcopy(network).requires_grad_(False).eval().double()
        blocks = [block for layer in (network.layer1, network.layer2, network.layer3, network.layer4) for block in layer]
        if any(type(block) is not BasicBlock for block in blocks):
            raise TypeError("its blocks are not basic blocks")
        self.dtype = dtype
        self.mean = mean.detach().clone()
        stem = fuse_conv_bn_eval(network.conv1, network.bn1)
        # Only the division can go into the weights: the padding around the stem is 0 after the mean was taken away.
        weight = stem.weight / std.double()
        self.stem = _Conv(weight, stem.bias, stride=2, padding=3, dtype=dtype, native=native)
        self.stem_back = _Conv(_phases(weight), None, stride=1, padding=2, dtype=dtype, native=native)
        self.blocks = [_Block(block, dtype=dtype, native=native) for block in blocks]
        self.head, self.head_bias = network.fc.weight.float(), network.fc.bias.float()

    @torch.no_grad()
    def __call__(self, x: torch.Tensor, goal: Goal, *, last: bool = False, margin: float | None = None) -> Gradient:
        """Outputs, loss, and the gradient of the batch's mean loss; who has reached the goal by `margin` costs no way back.

        Shape
            x: (N, 3, H, W) float32 in [0, 1], any H, W from 32 up -> outputs (N, K), loss (N,), gradient (N, 3, H, W).
        """
        rows = torch.split(torch.arange(len(x)), PASS_IMAGES)
        parts = [self._pass(x[r], goal if len(rows) == 1 else goal.select(r), len(x), margin) for r in rows]
        return parts[0] if len(parts) == 1 else Gradient(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def _pass(self, x: torch.Tensor, goal: Goal, batch: int, margin: float | None) -> Gradient:
        pooled, pools = self._stem_forwards(x)
        # answers[2 i] is the input of block i, answers[2 i + 1] what its first relu answers.
        answers = [pooled]
        for block in self.blocks:
            answers += block.forwards(answers[-1])
        features = answers[-1].float().mean((2, 3))
        with torch.enable_grad():
            outputs = F.linear(features, self.head, self.head_bias).requires_grad_(True)
            loss = goal.loss(outputs)
            (gradient,) = torch.autograd.grad(loss.sum() / batch, outputs)
        outputs, loss = outputs.detach(), loss.detach()
        if margin is not None and (reached := goal.reached(outputs, margin)).any():
            going = ~reached
            if not going.any():
                return Gradient(outputs, loss, x[going])
            gradient, answers = gradient[going], [answer[going] for answer in answers]
            masks = torch.split(going, STEM_IMAGES)
            pools = [_Pooled(pool.full[m], pool.indices[m]) for pool, m in zip(pools, masks, strict=True) if m.any()]
        final = answers.pop()
        gradient = (gradient @ self.head / final[0, 0].numel()).to(self.dtype)[:, :, None, None].expand_as(final)
        gradient = _through_relu(gradient.contiguous(memory_format=torch.channels_last), final)
        for block in reversed(self.blocks):
            hidden, before = answers.pop(), answers.pop()
            gradient = _through_relu(block.backwards(gradient, hidden, before), before)
        return Gradient(outputs, loss, self._stem_backwards(gradient, pools, x.shape[2:]))

    def _stem_forwards(self, x: torch.Tensor) -> tuple[torch.Tensor, list[_Pooled]]:
        """(N, 3, H, W) images -> (N, 64, H/4, W/4) rounded up, and what `_stem_backwards` needs."""
        answers, pools = [], []
        for part in torch.split(x, STEM_IMAGES):
            full = self.stem((part - self.mean).to(self.dtype, memory_format=torch.channels_last))
            largest, indices = F.max_pool2d(full, 3, 2, 1, return_indices=True)
            answers.append(largest)
            pools.append(_Pooled(full, indices))
        # The largest value's relu is the largest of the relus, and there are four times fewer of them after the pool.
        return torch.cat(answers).relu_(), pools

    def _stem_backwards(self, gradient: torch.Tensor, pools: list[_Pooled], size: torch.Size) -> torch.Tensor:
        """(N, 64, H/4, W/4) gradient before the stem's relu -> (N, 3, H, W) float32 in the usual layout."""
        parts = []
        for part, pool in zip(torch.split(gradient, [len(pool.full) for pool in pools]), pools, strict=True):
            unpool = torch.ops.aten.max_pool2d_with_indices_backward
            full = unpool(part, pool.full, [3, 3], [2, 2], [1, 1], [1, 1], False, pool.indices)
            # The padding is symmetric, the phases' window is not: the first row and column belong to no pixel.
            phases = self.stem_back(full)[:, :, 1:, 1:]
            parts.append(F.pixel_shuffle(phases, 2)[:, :, : size[0], : size[1]])
        return torch.cat(parts).to(torch.float32, memory_format=torch.contiguous_format)


def _through_relu(gradient: torch.Tensor, answer: torch.Tensor) -> torch.Tensor:
    """The gradient before a relu from the one after it and from the relu's answer; in place."""
    masked: torch.Tensor = torch.ops.aten.threshold_backward.grad_input(gradient, answer, 0.0, grad_input=gradient)
    return masked


def _phases(weight: torch.Tensor) -> torch.Tensor:
    """Weights that take the gradient after a 7x7 convolution of stride 2 and padding 3 to the four phases of its input.

    Pixel 2 i + a of the input took part in outputs i - 1 + t, for t = 0 .. 3, with the kernel's entry a + 5 - 2 t. With a
    zero in front of the kernel that is pair 3 - t, member a. (Sub-pixel convolution: https://arxiv.org/abs/1609.05158)

    Shape
        (64, 3, 7, 7) -> (12, 64, 4, 4), whose 12 answers `pixel_shuffle` puts into place.
    """
    outer, inner = weight.shape[:2]
    pairs = F.pad(weight, (1, 0, 1, 0)).view(outer, inner, 4, 2, 4, 2).flip(2, 4)
    return pairs.permute(1, 3, 5, 0, 2, 4).reshape(4 * inner, outer, 4, 4)
