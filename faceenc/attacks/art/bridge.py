"""What every adapter of ART needs: a recogniser as ART wants it, labels, seeded and silent calls.

Importing art takes seconds and writes a file into the home folder, so it happens inside functions only.

ART's pitfalls handled here: labels are always passed, since `y=None` means the model's own predictions; its randomness is
numpy's and Python's global generators, which are seeded and put back; it calls `loss.backward()`, so the weights are frozen
while it runs; its warnings about single images ("attack failed") are no news to somebody who judges every image anyway.
"""

from __future__ import annotations

import logging
import random
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from faceenc.attacks.art.embedders import CLASSES, SumOfLogits, TwoClasses
from faceenc.attacks.counting import Counted
from faceenc.attacks.goals import Dodge, Impersonate, LeadingGoal
from faceenc.core import ConfigError, Goal, Model

if TYPE_CHECKING:
    from art.estimators.classification import PyTorchClassifier


class AskedByArt(nn.Module):
    """A recogniser as the module that ART insists on; it owns no parameters, so ART can neither train nor move it."""

    def __init__(self, recognizer: Model, *, probabilities: bool = False) -> None:
        super().__init__()
        self._ask = recognizer.__call__
        self._probabilities = probabilities

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs = self._ask(x)
        return outputs.softmax(1) if self._probabilities else outputs


def art_classifier(model: Model, x: torch.Tensor, *, probabilities: bool = False) -> PyTorchClassifier:
    """`model` in ART's PyTorchClassifier, for images shaped like x (N, 3, H, W) in [0, 1].

    Args:
        model: asked once, uncounted, how many people it knows; of `TwoClasses`, whose loss is their goal's, that is known.
        x: the images.
        probabilities: put a softmax behind it, for the attacks that want one.
    """
    from art.estimators.classification import PyTorchClassifier

    pair = isinstance(model, TwoClasses)
    with torch.no_grad():
        classes = CLASSES if pair else uncounted(model)(x[:1]).shape[1]
    return PyTorchClassifier(
        model=AskedByArt(model, probabilities=probabilities).eval(),
        loss=SumOfLogits() if pair else nn.CrossEntropyLoss(),
        input_shape=tuple(x.shape[1:]),
        nb_classes=classes,
        clip_values=(0.0, 1.0),
        device_type="cpu" if x.device.type == "cpu" else "gpu",
    )


def uncounted(model: Model) -> Model:
    """The recogniser behind the counter, if there is one."""
    return model.recognizer if isinstance(model, Counted) else model


def refuse_embeddings(goal: Goal, why: str) -> None:
    """For attacks that declare by `no_embedders` why they cannot attack embedders.

    Raises:
        ConfigError: there is a reason, and the goal speaks of embeddings.
    """
    if why and isinstance(goal, LeadingGoal):
        raise ConfigError(f"no attack on embedders: {why}")


def labels_of(goal: Goal, *, dodge_only: str = "") -> tuple[torch.Tensor, bool]:
    """(N,) int64 labels as ART takes them, and whether they are targets.

    Args:
        goal: must speak of logits.
        dodge_only: the name of an attack that cannot aim at a person.

    Raises:
        ConfigError: ART cannot do this.
    """
    if isinstance(goal, Dodge):
        return goal.labels, False
    if not isinstance(goal, Impersonate):
        known = "Dodge or Impersonate of logits, or of embeddings one with a `lead`, such as MoveAway or MoveTo"
        raise ConfigError(f"ART cannot attack for {type(goal).__name__}: the goal must be {known}")
    if dodge_only:
        raise ConfigError(f"ART's {dodge_only} cannot aim at a chosen person: give it the goal Dodge")
    return goal.targets, True


@contextmanager
def seeded(rng: Sequence[torch.Generator]) -> Iterator[None]:
    """Seed numpy's and Python's global generators from the images' own; put back their state, and torch's too.

    torch's moves because ART loads its batches through a DataLoader.
    """
    state, pythons = np.random.get_state(), random.getstate()
    seeds = [generator.initial_seed() % 2**32 for generator in rng]
    np.random.seed(seeds)
    random.seed(repr(seeds))
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        np.random.set_state(state)
        random.setstate(pythons)


@contextmanager
def frozen(model: Model) -> Iterator[None]:
    """Keep the weights from taking gradients, which ART would compute and throw away."""
    inner = uncounted(model)
    learning = [p for p in inner.parameters() if p.requires_grad] if isinstance(inner, nn.Module) else []
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


@contextmanager
def silent() -> Iterator[None]:
    """Without ART's log messages and its arithmetic's warnings."""
    logger = logging.getLogger("art")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            yield
    finally:
        logger.setLevel(level)
