"""ART's attacks that hear the name alone, Boundary and HopSkipJump, under a query budget as in `blackbox`.

Both search for the minimal perturbation and know no eps: if the closest picture found is larger than eps, it is projected
onto the ball, and rarely reaches its goal there. The same seed gives the same search under any budget, so a larger one goes
on where a smaller one ended.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from faceenc.attacks.art.budget import Finished
from faceenc.attacks.art.single import GRADIENT_STEP, ImageAttack, one_by_one
from faceenc.attacks.goals import Impersonate, MoveTo
from faceenc.attacks.norms import L2
from faceenc.core import ConfigError, Goal, Model, Norm

FOREVER = 1_000_000  # iterations: the budget ends the search
STARTS = 100  # random pictures to begin at, at most
HALVINGS = 10


@dataclass(frozen=True)
class DecisionAttack(ABC):
    """What both have in common.

    They begin at a random picture of another name (ART's own draws take no seed), moved towards the image by halving; aimed
    at a person, at a photo of that person.

    Attributes:
        norm: by which pictures are chosen and judged.
        max_queries: the query budget of each image.
    """

    one_by_one: ClassVar[bool] = True
    needs_photo_of_target: ClassVar[bool] = True

    norm: Norm = L2
    max_queries: int = 1000

    @property
    def gradient_steps(self) -> float:
        return self.max_queries / GRADIENT_STEP

    def __call__(
        self,
        model: Model,
        x: torch.Tensor,
        goal: Goal,
        *,
        eps: float,
        rng: Sequence[torch.Generator],
        start: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """See the class.

        Args:
            model: counted or not.
            x: (N, 3, H, W) in [0, 1].
            goal: Dodge or Impersonate, MoveAway or MoveTo.
            eps: size of the ball.
            rng: one generator an image.
            start: (N, 3, H, W) in [0, 1] pictures that reach the goal, such as photos of the targets.

        Raises:
            ConfigError: Impersonate or MoveTo without `start`.
        """
        if start is None and isinstance(goal, Impersonate | MoveTo):
            raise ConfigError("an attack that hears only names needs a photo of the person it aims at: give it as `start`")

        def make(job: ImageAttack) -> Any:
            job.budgeted.searching = True
            first = _toward(job, _random_start(job) if start is None else start[job.row : job.row + 1])
            job.budgeted.searching = False
            return self.attacker(job), {"x_adv_init": first.cpu().numpy()}

        settings: dict[str, Any] = {"norm": self.norm, "eps": eps, "rng": rng, "budget": self.max_queries}
        return one_by_one(make, model, x, goal, closest=True, stop=True, **settings)

    @abstractmethod
    def attacker(self, job: ImageAttack) -> Any:
        """ART's attack object."""


@dataclass(frozen=True)
class ArtBoundary(DecisionAttack):
    """ART's BoundaryAttack (Brendel et al., https://arxiv.org/abs/1712.04248); it always makes the L2 length small.

    Attributes:
        samples: pictures asked about at once, from which the step lengths learn.
    """

    samples: int = 20

    def attacker(self, job: ImageAttack) -> Any:
        from art.attacks.evasion import BoundaryAttack

        return BoundaryAttack(
            job.classifier,
            targeted=job.targeted,
            max_iter=FOREVER,
            sample_size=self.samples,
            batch_size=self.samples,
            verbose=False,
        )


@dataclass(frozen=True)
class ArtHopSkipJump(DecisionAttack):
    """ART's HopSkipJump (Chen et al., https://arxiv.org/abs/1904.02144), for either norm.

    Attributes:
        first_guesses: random pictures for the first estimate of the boundary's direction; later ones take more.
        most_guesses: for any estimate. ART allows 10000, which would take gigabytes.
    """

    first_guesses: int = 50
    most_guesses: int = 200

    def attacker(self, job: ImageAttack) -> Any:
        from art.attacks.evasion import HopSkipJump

        return HopSkipJump(
            job.classifier,
            targeted=job.targeted,
            norm=job.norm,
            max_iter=FOREVER,
            init_eval=self.first_guesses,
            max_eval=self.most_guesses,
            batch_size=64,
            verbose=False,
        )


def _random_start(job: ImageAttack) -> torch.Tensor:
    """(1, 3, H, W) a random picture that reaches the goal.

    It is noise of any grain, since a recogniser may give all fine noise to one person.

    Raises:
        Finished: none was found, and the attack cannot begin.
    """
    size = job.budgeted.x.shape[2:]
    for draw in range(STARTS):
        side = min(2 ** (7 - draw % 8), *size)
        grains = torch.rand(1, 3, side, side, generator=job.rng).to(job.budgeted.x.device)
        picture = torch.nn.functional.interpolate(grains, size, mode="nearest")
        if job.budgeted.reached(picture):
            return picture
    raise Finished


def _toward(job: ImageAttack, picture: torch.Tensor) -> torch.Tensor:
    """A picture that reaches the goal, moved along the straight line to the image by halving the way.

    Raises:
        Finished: the picture does not reach the goal.
    """
    budgeted = job.budgeted
    if not budgeted.reached(picture):
        raise Finished
    near, far = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (near + far) / 2
        if budgeted.reached(torch.lerp(budgeted.x, picture, middle)):
            far = middle
        else:
            near = middle
    return torch.lerp(budgeted.x, picture, far)
