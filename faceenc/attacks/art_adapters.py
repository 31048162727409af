"""ART's attacks behind the `Attack` boundary; the only module that imports art (which takes seconds, so: inside functions).

ART's pitfalls handled here: its setters do not reach the inner attack, so every call makes fresh objects; labels are always
passed, since `y=None` means the model's own predictions; its randomness is numpy's global generator, which is seeded and
put back; it calls `loss.backward()`, so the weights are frozen while it runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from faceenc.goals import Dodge, Impersonate
from faceenc.models.wrappers import Counted
from faceenc.norms import LINF
from faceenc.types import FaceencError, Goal, Norm, Recognizer

if TYPE_CHECKING:
    from art.estimators.classification import PyTorchClassifier


class AskedByArt(nn.Module):
    """A recogniser as the module that ART insists on; it owns no parameters, so ART can neither train nor move it."""

    def __init__(self, recognizer: Recognizer) -> None:
        super().__init__()
        self._ask = recognizer.__call__

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._ask(x)


def art_classifier(model: Recognizer, x: torch.Tensor) -> PyTorchClassifier:
    """`model` in ART's PyTorchClassifier, for images shaped like x (N, 3, H, W) in [0, 1]."""
    from art.estimators.classification import PyTorchClassifier

    with torch.no_grad():
        classes = _uncounted(model)(x[:1]).shape[1]
    return PyTorchClassifier(
        model=AskedByArt(model).eval(),
        loss=nn.CrossEntropyLoss(),
        input_shape=tuple(x.shape[1:]),
        nb_classes=classes,
        clip_values=(0.0, 1.0),
        device_type="cpu" if x.device.type == "cpu" else "gpu",
    )


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
        self, model: Recognizer, x: torch.Tensor, goal: Goal, *, eps: float, rng: Sequence[torch.Generator]
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
        self, model: Recognizer, x: torch.Tensor, goal: Goal, *, eps: float, rng: Sequence[torch.Generator]
    ) -> torch.Tensor:
        from art.attacks.evasion import FastGradientMethod

        return _generate(FastGradientMethod, {}, self, model, x, goal, eps, rng)


def _generate(
    attack_class: Any,
    settings: dict[str, Any],
    attack: ArtPGD | ArtFGSM,
    model: Recognizer,
    x: torch.Tensor,
    goal: Goal,
    eps: float,
    rng: Sequence[torch.Generator],
) -> torch.Tensor:
    labels, targeted = _labels(goal)
    with _frozen(model), _seeded(rng):
        attacker = attack_class(
            art_classifier(model, x),
            norm="inf" if attack.norm == LINF else 2,
            eps=eps,
            eps_step=attack.rel_step * eps,
            targeted=targeted,
            batch_size=len(x),
            **settings,
        )
        adversarial = attacker.generate(x.cpu().numpy(), y=labels.cpu().numpy())
    return torch.from_numpy(adversarial).to(x.device)


def _uncounted(model: Recognizer) -> Recognizer:
    return model.recognizer if isinstance(model, Counted) else model


def _labels(goal: Goal) -> tuple[torch.Tensor, bool]:
    if isinstance(goal, Dodge):
        return goal.labels, False
    if isinstance(goal, Impersonate):
        return goal.targets, True
    raise FaceencError(f"ART attacks logits: the goal must be Dodge or Impersonate, not {type(goal).__name__}")


@contextmanager
def _seeded(rng: Sequence[torch.Generator]) -> Iterator[None]:
    """Seed numpy's global generator from the images' own; put back its state and torch's, which ART's loader moves."""
    state = np.random.get_state()
    np.random.seed([generator.initial_seed() % 2**32 for generator in rng])
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        np.random.set_state(state)


@contextmanager
def _frozen(model: Recognizer) -> Iterator[None]:
    """Keep the weights from taking gradients, which ART would compute and throw away."""
    inner = _uncounted(model)
    learning = [p for p in inner.parameters() if p.requires_grad] if isinstance(inner, nn.Module) else []
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
