"""The smallest noise that fools: for each image, by bisection over eps, instead of success at one eps for all.

The accuracy at any eps then follows without another attack: it is the share of images whose smallest noise is larger.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from faceenc.attacks.harness import BATCH_SIZE, run_attack
from faceenc.attacks.pgd import PGD
from faceenc.core import Goal, Model
from faceenc.recognizers import ask


@dataclass(frozen=True)
class MinimumSearch:
    """How the minimal perturbation is searched for.

    Attributes:
        attack: PGD, which takes up the noise found at a larger eps, scaled down.
        goals: "dodge", "impersonate" or both.
        largest: eps that the search begins with.
        resolution: smallest difference between two sizes that counts.
        images: how many of the test images, None for all.
    """

    attack: PGD
    goals: tuple[str, ...] = ("dodge",)
    largest: float = 16 / 255
    resolution: float = 1 / 255
    images: int | None = None


@dataclass(frozen=True, eq=False)
class Minimum:
    """What the search found; all tensors lie on the CPU.

    Attributes:
        eps: (N,) float64, the smallest size found at which the goal is reached after rounding to 8 bits: a multiple of the
            resolution, 0 where it is reached untouched, infinite where not even the largest size does. An upper bound: a
            stronger attack may find less.
        adversarial: (N, 3, H, W) the picture of that size; the image itself where eps is 0 or infinite.
        queries: (N,) float64, how often the recogniser was asked about each image, over all sizes.
        seconds: wall time of the attacks.
    """

    eps: torch.Tensor
    adversarial: torch.Tensor
    queries: torch.Tensor
    seconds: float


def minimum_eps(
    model: Model,
    x: torch.Tensor,
    goal: Goal,
    search: MinimumSearch,
    *,
    seed: int,
    batch_size: int = BATCH_SIZE,
    progress: Callable[[int, int], None] | None = None,
) -> Minimum:
    """Bisect the size of the noise for each image on its own.

    At the largest size all images are attacked from the start that PGD itself chooses; from then on from the noise that was
    found last, scaled into the smaller ball. What is found may be smaller than the ball, and then counts as that.

    Args:
        model: in evaluation mode.
        x: (N, 3, H, W) float32 on the 8-bit grid k/255.
        goal: of these images.
        search: with which attack and between which sizes.
        seed: as of `run_attack`.
        batch_size: as of `run_attack`.
        progress: called with the number of images that are settled, and of all.
    """
    state = _State(model, x, goal, search, seed, batch_size)
    state.attack(torch.nonzero(state.above > 0).flatten(), round(search.largest / search.resolution))
    while len(open_rows := state.open_rows()):
        if progress is not None:
            progress(len(x) - len(open_rows), len(x))
        middle = (state.below + state.above).div(2, rounding_mode="floor")
        # The attack has one eps for its batch: images that are at the same size of their search go together.
        for level in middle[open_rows].unique().tolist():
            state.attack(open_rows[middle[open_rows] == level], int(level))
    if progress is not None:
        progress(len(x), len(x))
    return Minimum(state.above * search.resolution, state.best.cpu(), state.queries, state.seconds)


class _State:
    """Where each image's search stands, in multiples of the resolution.

    Attributes:
        below: (N,) the largest size at which the attack has failed, 0 at first.
        above: (N,) the smallest at which it has succeeded, infinite at first.
        best: (N, 3, H, W) the picture that succeeded there.
    """

    def __init__(self, model: Model, x: torch.Tensor, goal: Goal, search: MinimumSearch, seed: int, batch_size: int) -> None:
        self.model, self.x, self.goal, self.search, self.seed, self.batch_size = model, x, goal, search, seed, batch_size
        batches = torch.arange(len(x), device=x.device).split(batch_size)
        reached = torch.cat([goal.select(rows).reached(ask(model, x[rows])) for rows in batches]).cpu()
        self.below = torch.zeros(len(x), dtype=torch.float64)
        self.above = torch.where(reached, 0.0, torch.inf).double()
        self.best = x.clone()
        self.queries = torch.zeros(len(x), dtype=torch.float64)
        self.seconds = 0.0

    def open_rows(self) -> torch.Tensor:
        return torch.nonzero(self.above.isfinite() & (self.above - self.below > 1)).flatten()

    def attack(self, rows: torch.Tensor, level: int) -> None:
        """Try one size for the images `rows`, and note how it ended."""
        if not len(rows):
            return
        search, place = self.search, rows.to(self.x.device)
        norm, eps = search.attack.norm, level * search.resolution
        x, known = self.x[place], self.above[rows].isfinite()
        start = None
        if known.all():
            shrink = (level / self.above[rows]).float().view(-1, 1, 1, 1).to(x.device)
            start = x + norm.project((self.best[place] - x) * shrink, eps)
        outcome = run_attack(
            search.attack,
            self.model,
            x,
            self.goal.select(place),
            eps=eps,
            seed=self.seed,
            batch_size=self.batch_size,
            start=start,
        )
        self.queries[rows] += outcome.queries
        self.seconds += outcome.seconds
        self.below[rows[~outcome.reached]] = float(level)
        found = rows[outcome.reached]
        # Noise of 2.3 levels needs an eps of 3; the last digits of float32 need none.
        size = (outcome.size[outcome.reached].double() / search.resolution - 1e-4).ceil()
        self.above[found] = size.clamp(max=level)
        self.best[found.to(self.x.device)] = outcome.adversarial[outcome.reached].to(self.x.device)
