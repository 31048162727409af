"""The norms that bound a perturbation, as objects: whatever an attack needs to know about a norm is asked here.

Shape
    Every `delta` and `gradient` is (N, 3, H, W) float32 in the image's own [0, 1] scale; sizes are (N,).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch

from faceenc.core import SLACK, ConfigError, Norm, shortened
from faceenc.media import Blur


@dataclass(frozen=True)
class _Linf:
    """The largest change of any channel of any pixel."""

    name: str = "linf"

    def size(self, delta: torch.Tensor) -> torch.Tensor:
        return delta.flatten(1).abs().amax(1)

    def project(self, delta: torch.Tensor, eps: float) -> torch.Tensor:
        return delta.clamp(-eps, eps)

    def steepest(self, gradient: torch.Tensor) -> torch.Tensor:
        return gradient.sign()

    def sample(self, like: torch.Tensor, eps: float, rng: Sequence[torch.Generator]) -> torch.Tensor:
        """Uniform in the cube."""
        draws = [torch.rand(like.shape[1:], generator=g) for g in rng]
        return (torch.stack(draws).to(like.device) * 2 - 1) * eps

    def quantize(self, x: torch.Tensor, delta: torch.Tensor, eps: float) -> torch.Tensor:
        """Nearest grid value inside the interval that eps leaves around each pixel."""
        levels = ((x + delta) * 255).round()
        reach = int((eps + SLACK) * 255)
        origin = (x * 255).round()
        return levels.clamp(origin - reach, origin + reach).clamp(0, 255) / 255


@dataclass(frozen=True)
class _L2:
    """The Euclidean length of the change over all channels of all pixels."""

    name: str = "l2"

    def size(self, delta: torch.Tensor) -> torch.Tensor:
        size: torch.Tensor = torch.linalg.vector_norm(delta.flatten(1), dim=1)
        return size

    def project(self, delta: torch.Tensor, eps: float) -> torch.Tensor:
        # Scaled in float64, as ART does: rounding otherwise would differ by a bit, and PGD makes more of every bit.
        size = self.size(delta).double()
        factor = torch.where(size > eps, eps / size, torch.ones_like(size))
        return (delta * factor.view(-1, 1, 1, 1)).to(delta.dtype)

    def steepest(self, gradient: torch.Tensor) -> torch.Tensor:
        size = self.size(gradient)
        factor = torch.where(size > 0, 1 / size, torch.zeros_like(size))
        return gradient * factor.view(-1, 1, 1, 1)

    def sample(self, like: torch.Tensor, eps: float, rng: Sequence[torch.Generator]) -> torch.Tensor:
        """Uniform in the ball: a direction from the sphere, a radius of eps * u^(1/d)."""
        draws = [torch.randn(like.shape[1:], generator=g) for g in rng]
        radii = torch.stack([torch.rand((), generator=g) for g in rng]) ** (1 / like[0].numel())
        direction = self.steepest(torch.stack(draws))
        return (direction * (eps * radii).view(-1, 1, 1, 1)).to(like.device)

    def quantize(self, x: torch.Tensor, delta: torch.Tensor, eps: float) -> torch.Tensor:
        """Round to the nearest level; where that leaves the ball, shrink delta by bisection until it does not."""

        def rounded(scale: torch.Tensor) -> torch.Tensor:
            return ((x + delta * scale.view(-1, 1, 1, 1)) * 255).round().clamp(0, 255) / 255

        low, high = torch.zeros(len(x), device=x.device), torch.ones(len(x), device=x.device)
        low = torch.where(self.size(rounded(high) - x) <= eps + SLACK, high, low)
        for _ in range(12 if (low < high).any() else 0):
            middle = (low + high) / 2
            inside = self.size(rounded(middle) - x) <= eps + SLACK
            low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
        return rounded(low)


@dataclass(frozen=True, eq=False)
class ShapedLinf:
    """The largest change of any channel of any pixel, where each pixel has a share of eps of its own.

    Attributes:
        share: (N or 1, 1, H, W) in [0, 1], how much of eps a pixel may use; 0 leaves it as it is.
        grey: change all channels alike, so that a grey picture stays grey.
    """

    share: torch.Tensor
    grey: bool = False
    name: str = "shaped-linf"

    def size(self, delta: torch.Tensor) -> torch.Tensor:
        """(N,) the smallest eps that allows the perturbation; infinite where a pixel without a share is changed."""
        moved = delta.abs().amax(1, keepdim=True)
        return torch.where(moved > 0, moved / self.share, 0).flatten(1).amax(1)

    def project(self, delta: torch.Tensor, eps: float) -> torch.Tensor:
        limit = eps * self.share
        return torch.maximum(torch.minimum(delta, limit), -limit)

    def steepest(self, gradient: torch.Tensor) -> torch.Tensor:
        if self.grey:
            gradient = gradient.sum(1, keepdim=True).expand_as(gradient)
        return gradient.sign() * self.share

    def sample(self, like: torch.Tensor, eps: float, rng: Sequence[torch.Generator]) -> torch.Tensor:
        """Uniform in the box."""
        channels = 1 if self.grey else like.shape[1]
        draws = torch.stack([torch.rand(channels, *like.shape[2:], generator=g) for g in rng]).to(like.device)
        return ((draws * 2 - 1) * (eps * self.share)).expand_as(like)

    def quantize(self, x: torch.Tensor, delta: torch.Tensor, eps: float) -> torch.Tensor:
        """Nearest grid value inside the interval that eps and the share leave around each pixel."""
        origin = (x * 255).round()
        reach = ((eps + SLACK) * 255 * self.share).floor()
        levels = ((x + delta) * 255).round()
        return torch.maximum(torch.minimum(levels, origin + reach), origin - reach).clamp(0, 255) / 255


@dataclass(frozen=True)
class Smoothed:
    """A norm whose direction of steepest ascent is that of the gradient blurred.

    It is the gradient's mean over shifted pictures: translation invariance (Dong et al., https://arxiv.org/abs/1904.02884).
    The noise comes out in larger grains, which more recognisers, and copies of the picture, still see.

    Attributes:
        norm: what measures and bounds.
        sigma: of the Gaussian blur, in pixels, above 0.
    """

    norm: Norm
    sigma: float

    @property
    def name(self) -> str:
        return self.norm.name

    def size(self, delta: torch.Tensor) -> torch.Tensor:
        return self.norm.size(delta)

    def project(self, delta: torch.Tensor, eps: float) -> torch.Tensor:
        return self.norm.project(delta, eps)

    def steepest(self, gradient: torch.Tensor) -> torch.Tensor:
        return self.norm.steepest(Blur(self.sigma)(gradient))

    def sample(self, like: torch.Tensor, eps: float, rng: Sequence[torch.Generator]) -> torch.Tensor:
        return self.norm.sample(like, eps, rng)

    def quantize(self, x: torch.Tensor, delta: torch.Tensor, eps: float) -> torch.Tensor:
        return self.norm.quantize(x, delta, eps)


LINF: Norm = _Linf()
L2: Norm = _L2()
NORMS: dict[str, Norm] = {LINF.name: LINF, L2.name: L2}


def parse_eps(value: object, norm: Norm) -> float:
    """A size as configurations and options write it: "8/255" or 0.03 for Linf, "1.0" for L2.

    Raises:
        ConfigError: not a number, negative, or for Linf above 1.
    """
    try:
        above, _, below = value.partition("/") if isinstance(value, str) else (value, "", "")
        size = float(cast(str, above)) / float(below or 1)
        if isinstance(value, bool) or not math.isfinite(size):
            raise ValueError
    except (ValueError, TypeError, ZeroDivisionError, OverflowError) as error:
        raise ConfigError(f'eps {shortened(value)} is not a number: write it like "8/255"') from error
    if size < 0:
        raise ConfigError(f"eps {value!r} is negative: a size is 0 or more")
    if norm == LINF and size > 1:
        meant = f'did you mean "{value}/255"?' if "/" not in str(value) and size <= 255 else 'write it like "8/255"'
        raise ConfigError(f"eps {value!r} is above 1, the whole pixel range: {meant}")
    return size
