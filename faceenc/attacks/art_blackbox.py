"""ART's attacks that only ask: Boundary and HopSkipJump (the name alone), Square and SimBA (the scores), under a budget.

`max_queries` is a budget for each image: when it is used up, the attack ends and its best picture so far is proposed. It
ends earlier as soon as a picture within eps reaches the goal after rounding to 8 bits, since that is what will be judged; so
`queries` says how many it took. Pictures asked about need not lie on the 8-bit grid, as the literature has it.

Boundary and HopSkipJump look for the smallest perturbation and know no eps: if the closest picture found is larger than eps,
it is projected onto the ball, and rarely reaches its goal there. The same seed gives the same search under any budget, so a
larger one goes on where a smaller one ended. (Not so for Square, whose squares shrink on a schedule that ends with the
budget.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from faceenc.attacks.art_single import GRADIENT_STEP, Job, one_by_one
from faceenc.attacks.witness import Finished
from faceenc.goals import Impersonate
from faceenc.norms import L2, LINF
from faceenc.types import ConfigError, Goal, Norm, Recognizer

FOREVER = 1_000_000  # iterations: the budget ends the search
STARTS = 100  # random pictures to begin at, at most
HALVINGS = 10


@dataclass(frozen=True)
class ArtSquare:
    """ART's SquareAttack (Andriushchenko et al., https://arxiv.org/abs/1912.00049): random squares of size eps.

    ART asks three times an iteration about two pictures; what it has asked before is answered from memory.

    Attributes:
        norm: LINF or L2.
        max_queries: for each image.
        first_square: share of the picture that the first squares cover; 0.05 to 0.1 in the paper, 0.8 in ART.
    """

    one_by_one: ClassVar[bool] = True

    norm: Norm = LINF
    max_queries: int = 1000
    first_square: float = 0.1

    @property
    def gradient_steps(self) -> float:
        return self.max_queries / GRADIENT_STEP

    def __call__(
        self, model: Recognizer, x: torch.Tensor, goal: Goal, *, eps: float, rng: Sequence[torch.Generator]
    ) -> torch.Tensor:
        return one_by_one(self._make, model, x, goal, norm=self.norm, eps=eps, rng=rng, stop=True, budget=self.max_queries)

    def _make(self, job: Job) -> Any:
        from art.attacks.evasion import SquareAttack

        aimed: dict[str, Any] = {}
        if job.targeted:  # ART has no such switch, but takes another loss and another sign of success
            goal, device = job.witness.goal, job.witness.x.device
            aimed = {
                "adv_criterion": lambda outputs, _: goal.reached(torch.from_numpy(outputs).to(device)).cpu().numpy(),
                "loss": lambda x, _: -goal.loss(torch.from_numpy(job.classifier.predict(x)).to(device)).cpu().numpy(),
            }
        return SquareAttack(
            job.classifier,
            norm=job.norm,
            eps=job.eps,
            max_iter=self.max_queries,
            p_init=self.first_square,
            batch_size=1,
            verbose=False,
            **aimed,
        )


@dataclass(frozen=True)
class ArtSimBA:
    """ART's SimBA (Guo et al., https://arxiv.org/abs/1905.07121): one direction at a time, kept if the score moves.

    Under L2 the directions are cosine waves, low frequencies first; under Linf single values of single pixels.

    Attributes:
        norm: L2 or LINF.
        max_queries: for each image.
        rel_step: length of a wave as a fraction of eps; a pixel moves by eps.
    """

    one_by_one: ClassVar[bool] = True

    norm: Norm = L2
    max_queries: int = 1000
    rel_step: float = 0.1

    @property
    def gradient_steps(self) -> float:
        return self.max_queries / GRADIENT_STEP

    def __call__(
        self, model: Recognizer, x: torch.Tensor, goal: Goal, *, eps: float, rng: Sequence[torch.Generator]
    ) -> torch.Tensor:
        if x.shape[2] != x.shape[3]:
            raise ConfigError(f"ART's SimBA wants square images, not {x.shape[3]}x{x.shape[2]}")
        return one_by_one(
            self._make,
            model,
            x,
            goal,
            norm=self.norm,
            eps=eps,
            rng=rng,
            stop=True,
            budget=self.max_queries,
            probabilities=True,
        )

    def _make(self, job: Job) -> Any:
        from art.attacks.evasion import SimBA

        waves = self.norm == L2
        return SimBA(
            job.classifier,
            attack="dct" if waves else "px",
            epsilon=self.rel_step * job.eps if waves else job.eps,
            max_iter=self.max_queries,
            targeted=job.targeted,
            verbose=False,
        )


@dataclass(frozen=True)
class ArtBoundary:
    """ART's BoundaryAttack (Brendel et al., https://arxiv.org/abs/1712.04248).

    It begins at a random picture of another name (ART's own draws take no seed), moved towards the image by halving; aimed
    at a person, at a photo of that person.

    Attributes:
        norm: by which pictures are chosen and judged; the attack itself always makes the L2 length small.
        max_queries: for each image.
        samples: pictures asked about at once, from which the step lengths learn.
    """

    one_by_one: ClassVar[bool] = True
    needs_photo_of_target: ClassVar[bool] = True

    norm: Norm = L2
    max_queries: int = 1000
    samples: int = 20

    @property
    def gradient_steps(self) -> float:
        return self.max_queries / GRADIENT_STEP

    def __call__(
        self,
        model: Recognizer,
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
            goal: Dodge or Impersonate.
            eps: size of the ball.
            rng: one generator an image.
            start: (N, 3, H, W) in [0, 1] pictures that reach the goal, such as photos of the targets.

        Raises:
            ConfigError: Impersonate without `start`.
        """
        return _decide(self, x, model, goal, eps, rng, start)

    def attacker(self, job: Job) -> Any:
        """ART's attack object."""
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
class ArtHopSkipJump:
    """ART's HopSkipJump (Chen et al., https://arxiv.org/abs/1904.02144). Where it begins: as `ArtBoundary`.

    Attributes:
        norm: L2 or LINF.
        max_queries: for each image.
        first_guesses: random pictures for the first estimate of the boundary's direction; later ones take more.
        most_guesses: for any estimate. ART allows 10000, which would take gigabytes.
    """

    one_by_one: ClassVar[bool] = True
    needs_photo_of_target: ClassVar[bool] = True

    norm: Norm = L2
    max_queries: int = 1000
    first_guesses: int = 50
    most_guesses: int = 200

    @property
    def gradient_steps(self) -> float:
        return self.max_queries / GRADIENT_STEP

    def __call__(
        self,
        model: Recognizer,
        x: torch.Tensor,
        goal: Goal,
        *,
        eps: float,
        rng: Sequence[torch.Generator],
        start: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """See `ArtBoundary`."""
        return _decide(self, x, model, goal, eps, rng, start)

    def attacker(self, job: Job) -> Any:
        """ART's attack object."""
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


def _decide(
    attack: ArtBoundary | ArtHopSkipJump,
    x: torch.Tensor,
    model: Recognizer,
    goal: Goal,
    eps: float,
    rng: Sequence[torch.Generator],
    start: torch.Tensor | None,
) -> torch.Tensor:
    if start is None and isinstance(goal, Impersonate):
        raise ConfigError("an attack that hears only names needs a photo of the person it aims at: give it as `start`")

    def make(job: Job) -> Any:
        job.witness.searching = True
        first = _toward(job, _random_start(job) if start is None else start[job.row : job.row + 1])
        job.witness.searching = False
        return attack.attacker(job), {"x_adv_init": first.cpu().numpy()}

    settings: dict[str, Any] = {"norm": attack.norm, "eps": eps, "rng": rng, "budget": attack.max_queries}
    return one_by_one(make, model, x, goal, closest=True, stop=True, **settings)


def _random_start(job: Job) -> torch.Tensor:
    """(1, 3, H, W) a random picture that reaches the goal.

    It is noise of any grain, since a recogniser may give all fine noise to one person.

    Raises:
        Finished: none was found, and the attack cannot begin.
    """
    size = job.witness.x.shape[2:]
    for draw in range(STARTS):
        side = min(2 ** (7 - draw % 8), *size)
        grains = torch.rand(1, 3, side, side, generator=job.rng).to(job.witness.x.device)
        picture = torch.nn.functional.interpolate(grains, size, mode="nearest")
        if job.witness.reached(picture):
            return picture
    raise Finished


def _toward(job: Job, picture: torch.Tensor) -> torch.Tensor:
    """A picture that reaches the goal, moved along the straight line to the image by halving the way.

    Raises:
        Finished: the picture does not reach the goal.
    """
    witness = job.witness
    if not witness.reached(picture):
        raise Finished
    near, far = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (near + far) / 2
        if witness.reached(torch.lerp(witness.x, picture, middle)):
            far = middle
        else:
            near = middle
    return torch.lerp(witness.x, picture, far)
