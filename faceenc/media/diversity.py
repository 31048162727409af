"""Random changes of pictures, for attacks that are to hold for recognisers nobody has asked: each by its own generator.

Shape
    Every image is (N, 3, H, W) float32 in [0, 1] and comes out in the same shape and range, with gradients; `rng` holds one
    generator an image, so that a result depends on neither the size of a batch nor its order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from faceenc.media.transforms import Resize, reduced


@dataclass(frozen=True)
class Diversity:
    """How views differ; each part is off at its default.

    Attributes:
        degrees: largest turn.
        zoom: largest change of scale, as a share.
        shift: largest move, as a share of the picture's side.
        flip: probability of the mirror image.
        coarsest: smallest share of the picture's resolution; 1 keeps all.
        colour: largest change of brightness, contrast and tint, as a share.
        dimmest: smallest factor towards black; 1 keeps the brightness.
        blocks: the picture is cut into blocks x blocks parts, each changed in a way of its own; 0 leaves it whole.
    """

    degrees: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    flip: float = 0.0
    coarsest: float = 1.0
    colour: float = 0.0
    dimmest: float = 1.0
    blocks: int = 0

    def __call__(self, x: torch.Tensor, rng: Sequence[torch.Generator]) -> torch.Tensor:
        """A view of each image: (N, 3, H, W) in [0, 1] -> the same shape and range."""
        if self.coarsest < 1:
            x = coarsened(x, rng, least=self.coarsest)
        if self.degrees or self.zoom or self.shift or self.flip:
            x = posed(x, rng, degrees=self.degrees, zoom=self.zoom, shift=self.shift, flip=self.flip)
        if self.blocks:
            x = shuffled(x, rng, blocks=self.blocks)
        if self.colour:
            x = recoloured(x, rng, strength=self.colour)
        return dimmed(x, rng, least=self.dimmest) if self.dimmest < 1 else x


Generators = Sequence[torch.Generator]

_COLOUR_SHIFT = 0.3  # of the colour jitter: what is added to each channel
_NOISE = 16 / 255  # of a block that gets noise, largest
_LEAST_BLOCK = 4  # pixels a side


def uniform(rng: Generators, *shape: int) -> torch.Tensor:
    """(N, *shape) in [-1, 1]."""
    return torch.stack([torch.rand(shape, generator=g) for g in rng]) * 2 - 1


def posed(x: torch.Tensor, rng: Generators, *, degrees: float, zoom: float, shift: float, flip: float) -> torch.Tensor:
    """The face lies a little differently, as where another recogniser finds and aligns it.

    Args:
        x: the pictures; what comes from outside of them repeats their border.
        rng: one generator an image.
        degrees: the largest turn.
        zoom: the largest change of scale, as a share: the scale is between 1 / (1 + zoom) and 1 + zoom.
        shift: the largest move, as a share of the picture's side.
        flip: probability of the mirror image.
    """
    draw = uniform(rng, 5).to(x.device)
    angle, scale = draw[:, 0] * math.radians(degrees), (1 + zoom) ** draw[:, 1]
    mirror = torch.where((draw[:, 4] + 1) / 2 < flip, -1.0, 1.0)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    move = 2 * shift * draw[:, 2:4]  # grids count the side as 2
    rows = [torch.stack([cos * mirror, -sin, move[:, 0]], 1), torch.stack([sin * mirror, cos, move[:, 1]], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def coarsened(x: torch.Tensor, rng: Generators, *, least: float) -> torch.Tensor:
    """Fewer pixels and back: input diversity (Xie et al., https://arxiv.org/abs/1803.06978) for pictures of one size.

    Args:
        x: the pictures.
        rng: one generator an image.
        least: the smallest share of the side that is left, in (0, 1].
    """
    shares = (1 + uniform(rng, 1)[:, 0]) / 2 * (1 - least) + least
    return torch.cat([Resize(float(share))(x[i : i + 1]) for i, share in enumerate(shares)])


def recoloured(x: torch.Tensor, rng: Generators, *, strength: float) -> torch.Tensor:
    """Brightness, contrast and tint within 1 +- `strength`."""
    draw = strength * uniform(rng, 5).to(x.device).view(-1, 5, 1, 1)
    x = x * (1 + draw[:, :1])
    mean = x.mean((1, 2, 3), keepdim=True)
    return (mean + (1 + draw[:, 1:2]) * (x - mean) + _COLOUR_SHIFT * draw[:, 2:]).clamp(0, 1)


def dimmed(x: torch.Tensor, rng: Generators, *, least: float) -> torch.Tensor:
    """Scaled towards black (Lin et al., https://arxiv.org/abs/1908.06281): by a factor uniform in [least, 1]."""
    return x * ((1 + uniform(rng, 1).to(x.device)) / 2 * (1 - least) + least).view(-1, 1, 1, 1)


def shuffled(x: torch.Tensor, rng: Generators, *, blocks: int) -> torch.Tensor:
    """Each of blocks x blocks parts is changed in a way of its own (Wang et al., https://arxiv.org/abs/2309.14700).

    The cuts are random. A part is mirrored, moved round within itself, turned upside down, dimmed, coarsened or gets noise:
    the picture keeps its structure, and no recogniser's favourite detail survives everywhere.
    """
    return torch.cat([_shuffle(x[i : i + 1], g, blocks) for i, g in enumerate(rng)])


def _shuffle(x: torch.Tensor, rng: torch.Generator, blocks: int) -> torch.Tensor:
    columns = _cuts(x.shape[3], rng, blocks)
    rows = [
        torch.cat([_changed(part, rng) for part in row.split(columns, dim=3)], dim=3)
        for row in x.split(_cuts(x.shape[2], rng, blocks), dim=2)
    ]
    return torch.cat(rows, dim=2)


def _cuts(length: int, rng: torch.Generator, parts: int) -> list[int]:
    """Random lengths of that many parts, none shorter than `_LEAST_BLOCK` where there is room."""
    least = min(_LEAST_BLOCK, length // parts)
    room = torch.rand(parts, generator=rng)
    lengths = [least + int(share) for share in room / room.sum() * (length - parts * least)]
    lengths[-1] += length - sum(lengths)
    return lengths


def _changed(part: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    kind = int(torch.randint(8, (), generator=rng))
    amount = float(torch.rand((), generator=rng))
    if kind < 2:
        return part.roll(int(amount * part.shape[2 + kind]), dims=2 + kind)
    if kind < 4:
        return part.flip(kind)
    if kind == 4:
        return part.flip(2, 3)
    if kind == 5:
        return part * amount
    if kind == 6:
        noise = torch.rand(part.shape, generator=rng).to(part.device) * 2 - 1
        return (part + _NOISE * noise).clamp(0, 1)
    height, width = (max(1, round(side / 2)) for side in part.shape[2:])
    return reduced(part, height, width)
