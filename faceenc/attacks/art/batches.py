"""ART's own PGD and FGSM behind the `Attack` boundary, batch by batch, to hold ours against.

Of an embedder they climb the goal's own loss, as ours do. ART's setters do not reach the inner attack, so every call makes
fresh objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from faceenc.attacks.art.bridge import art_classifier, frozen, labels_of, seeded
from faceenc.attacks.art.embedders import TwoClasses, not_yet
from faceenc.attacks.goals import LeadingGoal
from faceenc.attacks.norms import LINF
from faceenc.core import Goal, Model, Norm


@dataclass(frozen=True)
class ArtPGD:
    """ART's ProjectedGradientDescent (https://github.com/Trusted-AI/adversarial-robustness-toolbox).

    Attributes:
        norm: LINF or L2.
        steps: ART's max_iter.
        rel_step: ART's eps_step as a fraction of eps.
        random_starts: ART's num_random_init; 0 starts at the image itself.
    """

    norm: Norm = LINF
    steps: int = 10
    rel_step: float = 0.25
    random_starts: int = 0

    def __call__(
        self, model: Model, x: torch.Tensor, goal: Goal, *, eps: float, rng: Sequence[torch.Generator]
    ) -> torch.Tensor:
        from art.attacks.evasion import ProjectedGradientDescent

        settings = {"max_iter": self.steps, "num_random_init": self.random_starts, "verbose": False}
        return _generate(ProjectedGradientDescent, settings, self, model, x, goal, eps, rng)


@dataclass(frozen=True)
class ArtFGSM:
    """ART's FastGradientMethod: one step of size eps.

    Attributes:
        norm: LINF or L2.
        rel_step: ART's eps_step as a fraction of eps; only its minimal-perturbation mode reads it.
    """

    norm: Norm = LINF
    rel_step: float = 1.0

    def __call__(
        self, model: Model, x: torch.Tensor, goal: Goal, *, eps: float, rng: Sequence[torch.Generator]
    ) -> torch.Tensor:
        from art.attacks.evasion import FastGradientMethod

        return _generate(FastGradientMethod, {}, self, model, x, goal, eps, rng)


def _generate(
    attack_class: Any,
    settings: dict[str, Any],
    attack: ArtPGD | ArtFGSM,
    model: Model,
    x: torch.Tensor,
    goal: Goal,
    eps: float,
    rng: Sequence[torch.Generator],
) -> torch.Tensor:
    asked = model
    if isinstance(goal, LeadingGoal):
        asked, goal = TwoClasses(model, goal, len(x), with_loss=True), not_yet(x)
    labels, targeted = labels_of(goal)
    with frozen(model), seeded(rng):
        attacker = attack_class(
            art_classifier(asked, x),
            norm="inf" if attack.norm == LINF else 2,
            eps=eps,
            eps_step=attack.rel_step * eps,
            targeted=targeted,
            batch_size=len(x),
            **settings,
        )
        adversarial = attacker.generate(x.cpu().numpy(), y=labels.cpu().numpy())
    return torch.from_numpy(adversarial).to(x.device)
