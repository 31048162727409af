"""A change of a head that recognisers stumble over, held to what people may see: a smooth change of shape, and noise.

Projected gradient descent (Madry et al., https://arxiv.org/abs/1706.06083) with momentum (Dong et al.,
https://arxiv.org/abs/1710.06081), but not in a ball that every pixel fills: each step goes along the gradients of what
recognisers see, all weighted alike, and against those of what people see, SSIMULACRA2 and butteraugli. The one deceives what
the other does not. Shape and noise are found together, out of the same gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from faceenc.faces import FaceWindow, Similarity, head_points, seen_window
from faceenc.media import CUT_SIDE, Butteraugli, Ssimulacra2
from faceenc.protect.strength import Strength

_GRID = 12  # control points of the shape a side, over so many head sides:
_SPREAD = 1.9
_CENTRE_UP = 0.095  # of which more lie above the head's centre, in head sides
_SHAPING = 0.75  # of the steps; in the rest the noise is fitted to the shape
_SHAPE_READ = 1.1  # what the measure of shape reads for one per cent
_SHAPE_STEP = 0.2  # of the largest displacement, root mean square
_STEP, _STEP_IN_BALL = 1.2, 3.0  # of the noise, in shares of eps and of one step; root mean square, and of every pixel
_MOMENTUM = 0.9
_LEAST, _MOST = 0.02, 30.0  # of the weight of what people see
_SPARE_NOISE, _SPARE_BUTTERAUGLI = 1.0, 0.98  # of what may be seen
_CUT_ZOOM, _CUT_SHIFT = 0.08, 0.05  # how differently faces are cut out to be looked at


@dataclass(frozen=True, eq=False)
class HeadChange:
    """What was found.

    Attributes:
        points: (1, 2, 12, 12): displacement of the control points, right and down, in pixels of the window's picture.
        noise: (1, 3, h, w): what is added to the reshaped picture, off the head 0.
        steps: that were made.
    """

    points: torch.Tensor
    noise: torch.Tensor
    steps: int


def find_change(
    window: FaceWindow,
    head: Similarity,
    strength: Strength,
    gradient: Callable[[torch.Tensor], torch.Tensor],
    *,
    grey: bool,
    spent: Callable[[], float],
    rng: torch.Generator,
) -> HeadChange:
    """Optimise the change of one head.

    Args:
        window: of the face; its share says where, and how much of the change each pixel may take.
        head: where it lies in the window's picture.
        strength: how much may be seen.
        gradient: (1, 3, h, w) picture -> the same shape: where recognisers are led away.
        grey: change all channels alike.
        spent: which share of the time is used up; at 1 the work ends.
        rng: the source of all randomness.
    """
    share, limit = window.share, head.scale * strength.shape / _SHAPE_READ / 100
    shape = Shaping(head, share)
    sight = _Sight(head, strength, rng)
    points, drift = torch.zeros(1, 2, _GRID, _GRID), torch.zeros(1, 2, _GRID, _GRID)
    noise, momentum = torch.zeros_like(window.picture), torch.zeros_like(window.picture)
    reshaped, cap = window.picture, strength.eps
    area = 3 * share.square().sum().clamp_min(1)

    def unit(x: torch.Tensor) -> torch.Tensor:
        return x / (x.square().sum() / area).sqrt().clamp_min(1e-12)

    step = 0
    while step < strength.steps and (spent() < 1 or not step):
        done = max(step / strength.steps, spent())
        away = gradient((reshaped + noise * share).clamp(0, 1))
        if limit and done < _SHAPING:
            drift = _MOMENTUM * drift + _unit(shape.gradient(window.picture, points, away))
            points = points + _SHAPE_STEP * (1 if done < _SHAPING / 2 else 0.4) * limit * _unit(drift)
            points = points * (limit / points.square().sum(1, keepdim=True).sqrt().clamp_min(1e-9)).clamp(max=1)
            reshaped = shape(window.picture, points)
        momentum = _MOMENTUM * momentum + unit(_alike(away * share, grey=grey))
        direction = unit(momentum)
        if step and strength.sees:
            direction = direction - _alike(sight.gradient(reshaped, noise, share, unit), grey=grey)
        size = strength.eps / strength.steps * (1 if done < 0.5 else 0.5 if done < 0.8 else 0.2)
        # In a ball alone, signs are the steepest way to its corners.
        stride = _STEP * unit(direction) if strength.sees else _STEP_IN_BALL * direction.sign()
        noise = (noise + size * stride).clamp(-cap, cap)
        step += 1
    return HeadChange(points, (reshaped + noise * share).clamp(0, 1) - reshaped, step)


class Shaping:
    """Moves a head's pixels smoothly.

    Args:
        head: where it lies in the picture.
        share: (1, 1, h, w) in [0, 1]: how far each pixel may go along.
    """

    def __init__(self, head: Similarity, share: torch.Tensor) -> None:
        self.share = share
        across, down = head_points(head, share.shape[-2:])
        self.where = torch.stack([across, down + _CENTRE_UP], -1)[None] * (2 / _SPREAD)

    def displacement(self, points: torch.Tensor) -> torch.Tensor:
        """(1, 2, 12, 12) -> (1, 2, h, w), both in pixels of the picture."""
        spread = F.grid_sample(points, self.where, mode="bicubic", padding_mode="border", align_corners=True)
        return spread * self.share

    def __call__(self, picture: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """(1, 3, h, w) in [0, 1] -> the same, reshaped."""
        return moved(picture, self.displacement(points))

    def gradient(self, picture: torch.Tensor, points: torch.Tensor, away: torch.Tensor) -> torch.Tensor:
        """What leads away, with regard to the control points."""
        points = points.detach().requires_grad_(True)
        (found,) = torch.autograd.grad((self(picture, points) * away).sum(), points)
        return found


def moved(picture: torch.Tensor, displacement: torch.Tensor) -> torch.Tensor:
    """(1, 3, h, w) in [0, 1], each pixel taken from (1, 2, h, w) pixels away, bicubic."""
    height, width = picture.shape[-2:]
    down, across = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    grid = torch.stack(
        [across + displacement[0, 0] * (2 / max(width - 1, 1)), down + displacement[0, 1] * (2 / max(height - 1, 1))], -1
    )
    taken = F.grid_sample(picture, grid[None], mode="bicubic", padding_mode="border", align_corners=True)
    return taken.clamp(0, 1)


class _Sight:
    """What people see of the noise, and how much it counts against it.

    Each look is at another cut: noise fitted to the pixels of one would deceive the measures on that one alone, by 3 to 8
    points of SSIMULACRA2.

    Args:
        head: where it lies in the window's picture.
        strength: how much may be seen: each measure weighs the more, the further it is beyond that.
        rng: of the cuts.
    """

    def __init__(self, head: Similarity, strength: Strength, rng: torch.Generator) -> None:
        self._head, self._strength, self._rng = head, strength, rng
        self._weights = [1.0, 1.0]
        self._against: list[torch.Tensor] = []
        self._turn = 0

    def gradient(
        self, reshaped: torch.Tensor, noise: torch.Tensor, share: torch.Tensor, unit: Callable[[torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        """Where the noise is seen more. The two measures take turns, and the last word of each counts."""
        for turn in [self._turn % 2] if self._against else [0, 1]:
            self._turn = turn + 1
            noise = noise.detach().requires_grad_(True)
            original, changed = self._cut(torch.cat([reshaped, (reshaped + noise * share).clamp(0, 1)])).split(1)
            seen = self._butteraugli(original.detach(), changed) if turn else self._error(original.detach(), changed)
            (found,) = torch.autograd.grad(seen, noise)
            self._against[turn : turn + 1] = [unit(found)]
        return self._weights[0] * self._against[0] + self._weights[1] * self._against[1]

    def _error(self, original: torch.Tensor, changed: torch.Tensor) -> torch.Tensor:
        measure = Ssimulacra2(original)
        error = measure.error(changed).sum()
        self._weigh(0, (self._strength.noise + _SPARE_NOISE - measure.score(float(error.detach()))) / 10)
        return error

    def _butteraugli(self, original: torch.Tensor, changed: torch.Tensor) -> torch.Tensor:
        distance = Butteraugli(original)(changed)
        self._weigh(1, 6 * (float(distance.detach()) / (_SPARE_BUTTERAUGLI * self._strength.butteraugli) - 1))
        return distance

    def _weigh(self, turn: int, beyond: float) -> None:
        weight = self._weights[turn] * math.exp(min(0.5, max(-0.5, beyond)))
        self._weights[turn] = min(_MOST, max(_LEAST, weight))

    def _cut(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, h, w) -> the head's surroundings, 320 pixels on the longer side."""
        draw = (torch.rand(3, generator=self._rng) * 2 - 1).tolist()
        zoom, shift = 1 + _CUT_ZOOM * draw[0], _CUT_SHIFT * complex(draw[1], draw[2])
        head = Similarity(self._head.turn * zoom, self._head(shift))
        x0, y0, x1, y1 = seen_window(head, x.shape[-1], x.shape[-2])
        scale = CUT_SIDE / max(x1 - x0, y1 - y0)
        size = (max(8, round((y1 - y0) * scale)), max(8, round((x1 - x0) * scale)))
        return F.interpolate(x[:, :, y0:y1, x0:x1], size=size, mode="bicubic", antialias=True).clamp(0, 1)


def _unit(x: torch.Tensor) -> torch.Tensor:
    return x / x.square().mean().sqrt().clamp_min(1e-12)


def _alike(x: torch.Tensor, *, grey: bool) -> torch.Tensor:
    return x.mean(1, keepdim=True).expand_as(x) if grey else x
