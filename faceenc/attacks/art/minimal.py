"""ART's attacks with gradients that search for the minimal perturbation: Carlini and Wagner's, DeepFool.

They know no eps. Of the pictures they ask about, the closest one within eps that still reaches the goal after rounding to 8
bits is proposed; if there is none, the closest that reaches the goal at all, projected onto the ball, which rarely helps.
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
class ArtCarliniL2:
    """ART's CarliniL2Method (Carlini and Wagner, https://arxiv.org/abs/1608.04644).

    Attributes:
        norm: by which pictures are chosen and judged; the attack itself always makes the L2 length small.
        steps: of gradient descent for each weight of the goal; each tries up to ten step lengths.
        weights: how many weights the search tries; 9 in the paper, which begins at 0.001.
        weight: the first weight of the goal against the squared length.
        confidence: lead of the wanted logit to go for.
        learning_rate: first step length, in the space that keeps pixels within [0, 1].
    """

    one_by_one: ClassVar[bool] = True

    norm: Norm = L2
    steps: int = 10
    weights: int = 3
    weight: float = 1.0
    confidence: float = 0.0
    learning_rate: float = 0.01

    @property
    def gradient_steps(self) -> float:
        return self.weights * self.steps * (2 + 8 / GRADIENT_STEP)

    def __call__(
        self, model: Model, x: torch.Tensor, goal: Goal, *, eps: float, rng: Sequence[torch.Generator]
    ) -> torch.Tensor:
        return one_by_one(self._make, model, x, goal, norm=self.norm, eps=eps, rng=rng, closest=True)

    def _make(self, job: ImageAttack) -> Any:
        from art.attacks.evasion import CarliniL2Method

        return CarliniL2Method(
            job.classifier,
            confidence=self.confidence,
            targeted=job.targeted,
            learning_rate=self.learning_rate,
            binary_search_steps=self.weights,
            max_iter=self.steps,
            initial_const=self.weight,
            batch_size=1,
            verbose=False,
        )


@dataclass(frozen=True)
class ArtCarliniLinf:
    """ART's CarliniLInfMethod: in each round, the part of the perturbation above a limit is pushed down and the limit falls.

    ART's gradient leaves out the weight of the goal, so one weight is as good as ART's 21, at a 21st of the time. Aimed at a
    person, ART keeps the pictures that miss; here those that hit are kept.

    Attributes:
        norm: LINF.
        steps: of Adam in each round; 10 in ART, with which a mid-grey pixel moves by 13 levels, a dark one by less.
        decrease: by which the limit falls from round to round; 0.9 in ART, with twenty rounds for every three of 0.5.
        confidence: lead of the wanted logit to go for.
        learning_rate: of Adam, in the space that keeps pixels within [0, 1].
    """

    one_by_one: ClassVar[bool] = True

    norm: Norm = LINF
    steps: int = 20
    decrease: float = 0.5
    confidence: float = 0.0
    learning_rate: float = 0.01

    def __post_init__(self) -> None:
        if self.norm != LINF:
            raise ConfigError('ART\'s CarliniLInfMethod makes the largest change small: use norm = "linf", or art-cw-l2')

    @property
    def gradient_steps(self) -> float:
        return 5 * self.steps * (2 + 2 / GRADIENT_STEP)  # some five rounds from the first limit to one level

    def __call__(
        self, model: Model, x: torch.Tensor, goal: Goal, *, eps: float, rng: Sequence[torch.Generator]
    ) -> torch.Tensor:
        return one_by_one(self._make, model, x, goal, norm=self.norm, eps=eps, rng=rng, closest=True)

    def _make(self, job: ImageAttack) -> Any:
        from art.attacks.evasion import CarliniLInfMethod

        return CarliniLInfMethod(
            job.classifier,
            confidence=self.confidence,
            targeted=job.targeted,
            learning_rate=self.learning_rate,
            max_iter=self.steps,
            decrease_factor=self.decrease,
            initial_const=10.0,
            largest_const=20.0,
            batch_size=1,
            verbose=False,
        )


@dataclass(frozen=True)
class ArtDeepFool:
    """ART's DeepFool (Moosavi-Dezfooli et al., https://arxiv.org/abs/1511.04599). It cannot aim at a person.

    Attributes:
        norm: by which pictures are chosen and judged; the attack itself always makes the L2 length small.
        steps: at most, as in the paper; a handful is usual.
        candidates: the likeliest people whose gradients it computes.
        overshoot: how far it goes beyond the boundary, as a fraction of the way; 0.02 in the paper, 1e-6 in ART.
    """

    one_by_one: ClassVar[bool] = True
    goals: ClassVar[tuple[str, ...]] = ("dodge",)

    norm: Norm = L2
    steps: int = 50
    candidates: int = 5
    overshoot: float = 0.02

    @property
    def gradient_steps(self) -> float:
        return 5.0 * self.candidates  # it rarely takes more steps than five

    def __call__(
        self, model: Model, x: torch.Tensor, goal: Goal, *, eps: float, rng: Sequence[torch.Generator]
    ) -> torch.Tensor:
        return one_by_one(self._make, model, x, goal, norm=self.norm, eps=eps, rng=rng, closest=True, dodge_only="DeepFool")

    def _make(self, job: ImageAttack) -> Any:
        from art.attacks.evasion import DeepFool

        settings = {"max_iter": self.steps, "nb_grads": self.candidates, "epsilon": self.overshoot}
        return DeepFool(job.classifier, batch_size=1, verbose=False, **settings)
