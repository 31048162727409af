"""ART's attacks on one image at a time, each with a `BudgetedRecognizer` that counts, stops and keeps the best picture.

One image at a time, because ART does what it likes with a batch: Square shares one square over it, DeepFool takes the
gradients of all classes that any of its images might become, and nobody says which image a question is about. So the result
depends on the seed and the image only, as everywhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch

from faceenc.attacks.art.bridge import art_classifier, frozen, labels_of, seeded, silent, uncounted
from faceenc.attacks.art.budget import BudgetedRecognizer, Finished
from faceenc.attacks.art.embedders import TwoClasses, not_yet
from faceenc.attacks.counting import Counted
from faceenc.attacks.goals import LeadingGoal
from faceenc.core import ConfigError, Goal, Model, Norm

if TYPE_CHECKING:
    from art.estimators.classification import PyTorchClassifier


GRADIENT_STEP = 3.0  # a gradient takes about as long as three questions without one


class ImageAttack(NamedTuple):
    """One image's attack, ready to begin: what an adapter needs to make ART's attack object."""

    classifier: PyTorchClassifier
    budgeted: BudgetedRecognizer
    targeted: bool
    eps: float
    norm: float | str  # as ART writes it: "inf" or 2
    rng: torch.Generator
    row: int  # which image of the batch


class Generates(Protocol):
    """ART's attack objects."""

    def generate(self, x: Any, y: Any = None, **kwargs: Any) -> Any: ...


Make = Callable[[ImageAttack], Generates | tuple[Generates, dict[str, Any]]]


def one_by_one(
    make: Make,
    model: Model,
    x: torch.Tensor,
    goal: Goal,
    *,
    norm: Norm,
    eps: float,
    rng: Sequence[torch.Generator],
    closest: bool = False,
    stop: bool = False,
    budget: int | None = None,
    probabilities: bool = False,
    dodge_only: str = "",
) -> torch.Tensor:
    """The best picture found for each image; images that reach their goal untouched are left alone.

    Args:
        make: from a job to ART's attack object, made anew for each image; with it, perhaps, what else its `generate` wants.
        model: counted or not.
        x: (N, 3, H, W) in [0, 1].
        goal: Dodge or Impersonate, or of embeddings one with a `lead`, which ART takes for two classes.
        norm: by which pictures are measured.
        eps: size of the ball.
        rng: one generator an image.
        closest: as of `BudgetedRecognizer`.
        stop: as of `BudgetedRecognizer`.
        budget: as of `BudgetedRecognizer`.
        probabilities: ART's attack wants a softmax behind the recogniser.
        dodge_only: the name of an attack that cannot aim at a person by name.

    Raises:
        ConfigError: ART cannot do this.
    """
    labels, targeted = labels_of(not_yet(x) if isinstance(goal, LeadingGoal) else goal, dodge_only=dodge_only)
    best = []
    with frozen(model), silent():
        for row in range(len(x)):
            only = torch.tensor([row], device=x.device)
            asked, wanted = uncounted(model), goal.select(only)
            if isinstance(wanted, LeadingGoal):
                asked, wanted = TwoClasses(asked, wanted, 1, with_loss=False), not_yet(x[only])
            budgeted = BudgetedRecognizer(asked, x[only], wanted, norm, eps, closest=closest, stop=stop, budget=budget)
            with suppress(Finished), seeded(rng[row : row + 1]):
                budgeted.begin()
                classifier = art_classifier(budgeted, x[only], probabilities=probabilities)
                kind = "inf" if norm.name == "linf" else 2
                _attack(make, ImageAttack(classifier, budgeted, targeted, eps, kind, rng[row], row), labels[only])
            if isinstance(model, Counted):
                model.queries[row] += budgeted.queries
            best.append(budgeted.best)
    return torch.cat(best)


def _attack(make: Make, job: ImageAttack, label: torch.Tensor) -> None:
    budgeted = job.budgeted
    # What ART's constructors ask (whether an all-white picture gets probabilities, say) is no question about this image.
    budgeted.searching = False
    try:
        made = make(job)
    except ValueError as error:
        raise ConfigError(f"ART refuses this recogniser or these settings: {' '.join(str(error).split())}") from error
    attacker, more = made if isinstance(made, tuple) else (made, {})
    budgeted.searching = True
    wanted = torch.nn.functional.one_hot(label, job.classifier.nb_classes).float()
    # A copy, since Square and SimBA write into what they are given.
    found = attacker.generate(budgeted.x.cpu().numpy().copy(), y=wanted.cpu().numpy(), **more)
    # DeepFool, for one, hands back a picture that it never asked about.
    budgeted(torch.from_numpy(found).to(budgeted.x.device))
