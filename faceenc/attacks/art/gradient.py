"""ART's attacks with gradients and a ball: APGD, AutoAttack, and one noise for many images.

Of all pictures that ART asks about, and of the one that it hands back, the best is proposed (see `BudgetedRecognizer`).
`gradient_steps` is what an attack costs for one image, in gradient steps, to foretell a run's time.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from faceenc.attacks.art.bridge import art_classifier, frozen, labels_of, refuse_embeddings, seeded, silent
from faceenc.attacks.art.embedders import CLASSES
from faceenc.attacks.art.single import GRADIENT_STEP, ImageAttack, one_by_one
from faceenc.attacks.norms import LINF
from faceenc.core import ConfigError, Goal, Model, Norm

LOSSES = ("cross_entropy", "difference_logits_ratio")


@dataclass(frozen=True)
class ArtAPGD:
    """ART's AutoProjectedGradientDescent (Croce and Hein, https://arxiv.org/abs/2003.01690).

    ART hands back the last iterate where that reaches the goal, and else a random start; here the best iterate is kept.

    Attributes:
        norm: LINF or L2.
        steps: iterations of each restart. The paper's 100 are for defended recognisers; these fall in far fewer.
        rel_step: the first step as a fraction of eps, 2 in the paper; it is halved where the loss no longer rises.
        restarts: each begins at a random point of the ball, and only if the one before did not reach the goal.
        loss: "cross_entropy" or "difference_logits_ratio", which does not change with the scale of the logits.
    """

    one_by_one: ClassVar[bool] = True

    norm: Norm = LINF
    steps: int = 20
    rel_step: float = 2.0
    restarts: int = 1
    loss: str = "cross_entropy"

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ConfigError(f"APGD's loss {self.loss!r} is not known: use one of {', '.join(LOSSES)}")

    @property
    def least_people(self) -> int:
        """The difference of logits ratio is about three."""
        return 3 if self.loss == LOSSES[1] else 2

    @property
    def no_embedders(self) -> str:
        """Why it cannot attack embedders; empty if it can."""
        return "the difference of logits ratio is about three people, use art-apgd" if self.loss == LOSSES[1] else ""

    @property
    def gradient_steps(self) -> float:
        return self.restarts * self.steps * (1 + 1 / GRADIENT_STEP)

    def __call__(
        self, model: Model, x: torch.Tensor, goal: Goal, *, eps: float, rng: Sequence[torch.Generator]
    ) -> torch.Tensor:
        refuse_embeddings(goal, self.no_embedders)
        return one_by_one(self._make, model, x, goal, norm=self.norm, eps=eps, rng=rng)

    def _make(self, job: ImageAttack) -> Any:
        return _apgd(job, self.loss, self.steps, self.rel_step, self.restarts, targeted=job.targeted)


def apgd_dlr(norm: Norm = LINF, steps: int = 20, rel_step: float = 2.0, restarts: int = 1) -> ArtAPGD:
    """APGD on the difference of logits ratio."""
    return ArtAPGD(norm, steps, rel_step, restarts, loss="difference_logits_ratio")


@dataclass(frozen=True)
class ArtAutoAttack:
    """ART's AutoAttack: APGD on both losses, DeepFool and Square, one after the other until the image falls.

    (The paper's has targeted APGD and FAB where ART has DeepFool.) It asks only whether an image falls, so it ends there: as
    soon as the rounded picture reaches the goal. It cannot aim at a person by name. On embedders it runs without the second
    loss, which is about three people.

    Attributes:
        norm: LINF or L2.
        steps: of each APGD; the paper's 100 only matter where an image stands for long.
        restarts: of each APGD.
        squares: iterations of Square; 5000 in the paper.
    """

    one_by_one: ClassVar[bool] = True
    goals: ClassVar[tuple[str, ...]] = ("dodge",)
    least_people: ClassVar[int] = 3

    norm: Norm = LINF
    steps: int = 50
    restarts: int = 1
    squares: int = 1000

    @property
    def gradient_steps(self) -> float:
        """Of an image that falls to the first attack within a few steps, as those of undefended recognisers do."""
        return 10.0

    def __call__(
        self, model: Model, x: torch.Tensor, goal: Goal, *, eps: float, rng: Sequence[torch.Generator]
    ) -> torch.Tensor:
        with _without_pools():
            return one_by_one(
                self._make, model, x, goal, norm=self.norm, eps=eps, rng=rng, stop=True, dodge_only="AutoAttack"
            )

    def _make(self, job: ImageAttack) -> Any:
        from art.attacks.evasion import AutoAttack, DeepFool, SquareAttack

        losses = LOSSES if job.classifier.nb_classes > CLASSES else LOSSES[:1]
        attacks = [_apgd(job, loss, self.steps, 2.0, self.restarts, targeted=False) for loss in losses]
        attacks.append(DeepFool(job.classifier, max_iter=self.steps, epsilon=0.02, verbose=False))
        attacks.append(
            SquareAttack(
                job.classifier, norm=job.norm, eps=job.eps, max_iter=self.squares, p_init=0.1, batch_size=1, verbose=False
            )
        )
        return AutoAttack(
            job.classifier, norm=job.norm, eps=job.eps, eps_step=2 * job.eps, attacks=attacks, batch_size=1, targeted=False
        )


@contextmanager
def _without_pools() -> Iterator[None]:
    """ART's AutoAttack imports `multiprocess`, which ART does not depend on, for pools that nobody asks for here."""
    missing = importlib.util.find_spec("multiprocess") is None
    if missing:
        sys.modules["multiprocess"] = multiprocessing
    try:
        yield
    finally:
        if missing:
            del sys.modules["multiprocess"]


def _apgd(job: ImageAttack, loss: str, steps: int, rel_step: float, restarts: int, *, targeted: bool) -> Any:
    from art.attacks.evasion import AutoProjectedGradientDescent

    if loss == LOSSES[1] and job.classifier.nb_classes < 3:
        raise ConfigError("the difference of logits ratio needs at least three people: use APGD's loss cross_entropy")
    return AutoProjectedGradientDescent(
        job.classifier,
        norm=job.norm,
        eps=job.eps,
        eps_step=rel_step * job.eps,
        max_iter=steps,
        targeted=targeted,
        nb_random_init=restarts,
        batch_size=1,
        loss_type=loss,
        verbose=False,
    )


@dataclass(frozen=True)
class ArtUniversal:
    """ART's UniversalPerturbation (Moosavi-Dezfooli et al., https://arxiv.org/abs/1610.08401): one noise for the batch.

    The noise is made of DeepFool's steps on the very images it is judged on, so `batch_size` belongs to its result: it is no
    claim about other images. Queries are shared evenly. It cannot aim at a person.

    Attributes:
        norm: LINF or L2.
        passes: over the batch, at most; 20 in ART, with little left to gain after a few.
        share: of the batch that must be fooled to end earlier.
        steps: of DeepFool on one image.
        candidates: the likeliest people whose gradients DeepFool computes.
    """

    goals: ClassVar[tuple[str, ...]] = ("dodge",)
    no_embedders: ClassVar[str] = "one noise for a batch is made of single images, and ART does not say of which"

    norm: Norm = LINF
    passes: int = 3
    share: float = 0.9
    steps: int = 5
    candidates: int = 5

    @property
    def gradient_steps(self) -> float:
        return self.passes * self.steps * self.candidates

    def __call__(
        self, model: Model, x: torch.Tensor, goal: Goal, *, eps: float, rng: Sequence[torch.Generator]
    ) -> torch.Tensor:
        from art.attacks.evasion import UniversalPerturbation

        refuse_embeddings(goal, self.no_embedders)
        labels, _ = labels_of(goal, dodge_only="UniversalPerturbation")
        inner = {"max_iter": self.steps, "nb_grads": self.candidates, "epsilon": 0.02, "verbose": False}
        with frozen(model), seeded(rng), silent():
            attacker = UniversalPerturbation(
                art_classifier(model, x),
                attacker="deepfool",
                attacker_params=inner,
                delta=1 - self.share,
                max_iter=self.passes,
                eps=eps,
                norm="inf" if self.norm == LINF else 2,
                batch_size=len(x),
                verbose=False,
            )
            found = torch.from_numpy(attacker.generate(x.cpu().numpy(), y=labels.cpu().numpy())).to(x.device)
        # float32 sums of k/255 may leave the ball by its last digit.
        return x + self.norm.project(found - x, eps)
