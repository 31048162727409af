"""Butteraugli's two filters with their gradients, fast on one core: the truncated Gaussian and the "Malta" line detectors.

After libjxl 0.7 (https://github.com/libjxl/libjxl, lib/jxl/butteraugli/butteraugli.cc).
Copyright (c) the JPEG XL Project Authors, all rights reserved; BSD-3-Clause.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch.autograd.function import once_differentiable

# A matrix product takes so many columns of the picture at a time, so that most of the band matrix's zeros are left out.
_BLOCK = 64
_REACH = 4  # of a line detector, pixels to each side of its centre

_Offset = tuple[int, int]  # rows down, columns right
_Line = tuple[float, tuple[_Offset, ...]]  # weight of the squared response, one half of the line; the other half mirrors it


def blur(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """The Gaussian as libjxl cuts it off: at 2.25 sigma, rounded down to whole pixels.

    At borders the rest of the kernel is scaled up to sum 1, except for the smallest kernel, which mirrors the picture.

    Args:
        x: (C, H, W), float32; H and W at least 2.
        sigma: Pixels.

    Returns:
        (C, H, W).
    """
    blurred: torch.Tensor = _Blur.apply(x, sigma)
    return blurred


def _radius(sigma: float) -> int:
    return max(1, int(2.25 * sigma))


@lru_cache(maxsize=40)  # two pictures' worth: five widths of the blur, two sides, two resolutions
def _band(size: int, sigma: float) -> torch.Tensor:
    """(size, size): a column of pixels times it from the left is the column blurred."""
    radius = _radius(sigma)
    offset = torch.arange(-radius, size + radius) - torch.arange(size)[:, None]
    wide = torch.where(offset.abs() <= radius, torch.exp(-0.5 * (offset.double() / sigma) ** 2), 0.0)
    matrix = wide[:, radius:-radius].clone()
    if radius == 2:  # libjxl has a function of its own for five taps, with a border of its own
        matrix[:, :radius] += wide[:, :radius].flip(1)
        matrix[:, -radius:] += wide[:, -radius:].flip(1)
    return (matrix / matrix.sum(1, keepdim=True)).float()


def _banded(x: torch.Tensor, down: torch.Tensor, across: torch.Tensor, radius: int) -> torch.Tensor:
    """`down` @ x @ `across` for matrices without anything further than `radius` from the diagonal."""
    channels, height, width = x.shape
    x = x.contiguous()
    half, whole = torch.empty_like(x), torch.empty_like(x)
    for start in range(0, width, _BLOCK):
        end = min(start + _BLOCK, width)
        near = slice(max(0, start - radius), end + radius)
        torch.mm(x.view(-1, width)[:, near], across[near, start:end], out=half.view(-1, width)[:, start:end])
    for start in range(0, height, _BLOCK):
        end = min(start + _BLOCK, height)
        near = slice(max(0, start - radius), end + radius)
        for channel in range(channels):
            torch.mm(down[start:end, near], half[channel, near], out=whole[channel, start:end])
    return whole


class _Blur(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, sigma: float) -> torch.Tensor:
        ctx.sigma = sigma
        return _banded(x, _band(x.shape[1], sigma), _band(x.shape[2], sigma).T, _radius(sigma))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        down, across = _band(gradient.shape[1], ctx.sigma).T, _band(gradient.shape[2], ctx.sigma)
        return _banded(gradient, down, across, _radius(ctx.sigma)), None


def _mirrored(halves: list[_Line]) -> tuple[_Line, ...]:
    """Each line also with rows and columns exchanged, and each of those mirrored; once each."""
    lines: list[_Line] = []
    for weight, half in halves:
        exchanged = tuple((x, y) for y, x in half)
        for line in dict.fromkeys((half, exchanged)):  # one and the same if it is a diagonal
            lines.append((weight, line))
            if all(line[-1]):  # neither upright nor level
                lines.append((weight, tuple((y, -x) for y, x in line)))
    return tuple(lines)


# The highest frequencies: lines of neighbouring pixels. libjxl lists the slightly slanted ones twice.
_DENSE = _mirrored(
    [
        (1, ((0, 1), (0, 2), (0, 3), (0, 4))),
        (1, ((1, 1), (2, 2), (3, 3))),
        (2, ((1, 0), (2, 1), (3, 1), (4, 1))),
        (1, ((1, 1), (2, 1), (3, 2))),
    ]
)
# The lower ones: every second pixel.
_SPARSE = _mirrored(
    [
        (1, ((0, 2), (0, 4))),
        (1, ((2, 2), (3, 3))),
        (1, ((2, 1), (4, 1))),
        (1, ((2, 1), (3, 2))),
        (1, ((2, 1), (4, 2))),
    ]
)


def lines(x: torch.Tensor, dense: int) -> torch.Tensor:
    """The "Malta" filters: 16 sums along short lines through a pixel, squared and summed; what is outside counts as 0.

    Args:
        x: (C, H, W), float32.
        dense: How many of the first channels take the lines of neighbouring pixels (at most 9 long); the others take
            those of every second pixel (5 long).

    Returns:
        (C, H, W), not negative.
    """
    squares: torch.Tensor = _Lines.apply(x, dense)
    return squares


class _Plane:
    """(H, W) numbers within zeros, as wide as a line reaches, that also lie in one row.

    There a shift by `dy` rows and `dx` columns is one by dy * pitch + dx numbers, whole pictures at a time.
    """

    def __init__(self, height: int, width: int) -> None:
        self.pitch = width + 2 * _REACH
        padded = torch.zeros(height + 2 * _REACH, self.pitch)
        self.picture = padded[_REACH:-_REACH, _REACH:-_REACH]
        self.flat, self.margin = padded.flatten(), _REACH * self.pitch + _REACH
        # From the first pixel to the last one, with the zeros between the rows.
        self.inner = self.flat[self.margin : -self.margin]

    def along(self, line: tuple[_Offset, ...], out: torch.Tensor) -> torch.Tensor:
        """Into `out`, like `inner`: the sum along the line through each pixel. Between the rows it means nothing."""
        n, total = len(out), self.inner
        for y, x in line:
            ahead, behind = self.margin + y * self.pitch + x, self.margin - y * self.pitch - x
            torch.add(total, self.flat[ahead : ahead + n], out=out)
            total = out.add_(self.flat[behind : behind + n])
        return out


class _Lines(torch.autograd.Function):
    """Shifted slices, five times faster than a convolution that multiplies by 9 x 9 zeros and ones."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, dense: int) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.dense = dense
        # The same few planes for all channels: they stay in the processor's cache.
        source, total = _Plane(*x.shape[1:]), _Plane(*x.shape[1:])
        response, squares = torch.empty_like(source.inner), torch.empty_like(x)
        for channel in range(len(x)):
            source.picture.copy_(x[channel])
            total.inner.zero_()
            for weight, line in _DENSE if channel < dense else _SPARSE:
                source.along(line, response)
                total.inner.addcmul_(response, response, value=weight)
            squares[channel] = total.picture
        return squares

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (x,) = ctx.saved_tensors
        source, factor, response, total = (_Plane(*x.shape[1:]) for _ in range(4))
        back, slopes = torch.empty_like(source.inner), torch.empty_like(x)
        for channel in range(len(x)):
            source.picture.copy_(x[channel])
            factor.picture.copy_(gradient[channel])
            total.inner.zero_()
            for weight, line in _DENSE if channel < ctx.dense else _SPARSE:
                # The factor's zeros between the rows keep the response's: lines there and back find nothing.
                source.along(line, response.inner).mul_(factor.inner)
                # Lines are symmetric about their centre: the sum's transpose is the sum itself.
                total.inner.add_(response.along(line, back), alpha=2 * weight)
            slopes[channel] = total.picture
        return slopes, None
