"""ART's attacks that ask for the scores alone, Square and SimBA, under a query budget.

`max_queries` is each image's budget: when it is used up, the attack ends and its best picture so far is proposed. It
ends earlier as soon as a picture within eps reaches the goal after rounding to 8 bits, since that is what will be judged; so
`queries` says how many it took. Pictures asked about need not lie on the 8-bit grid, as the literature has it.

Square's squares shrink on a schedule that ends with the budget, so a larger budget is another search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from faceenc.attacks.art.single import GRADIENT_STEP, ImageAttack, one_by_one
from faceenc.attacks.norms import L2, LINF
from faceenc.core import ConfigError, Goal, Model, Norm


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
        self, model: Model, x: torch.Tensor, goal: Goal, *, eps: float, rng: Sequence[torch.Generator]
    ) -> torch.Tensor:
        return one_by_one(self._make, model, x, goal, norm=self.norm, eps=eps, rng=rng, stop=True, budget=self.max_queries)

    def _make(self, job: ImageAttack) -> Any:
        from art.attacks.evasion import SquareAttack

        aimed: dict[str, Any] = {}
        if job.targeted:  # ART has no such switch, but takes another loss and another sign of success
            goal, device = job.budgeted.goal, job.budgeted.x.device
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
        self, model: Model, x: torch.Tensor, goal: Goal, *, eps: float, rng: Sequence[torch.Generator]
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

    def _make(self, job: ImageAttack) -> Any:
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
