"""Random views of the images under attack: one recogniser that sees each image in many ways stands for many recognisers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from faceenc.attacks.counting import Counted
from faceenc.core import Goal, Model
from faceenc.media import Diversity


class RandomViews:
    """A recogniser asked about several random views of each image; every call draws anew.

    Shape
        (N, 3, H, W) -> (N, V, ...): what the recogniser answers to each view.

    Args:
        recognizer: in evaluation mode.
        diversity: how views differ.
        count: V.
        rng: one generator an image.
        weight_noise: the recogniser's own weights differ as well, from view to view, by noise of this share of each weight
            tensor's standard deviation: many similar networks instead of one. 0 leaves them; else it must be a torch module.
    """

    def __init__(
        self,
        recognizer: Model,
        diversity: Diversity,
        count: int,
        rng: Sequence[torch.Generator],
        *,
        weight_noise: float = 0.0,
    ) -> None:
        self.recognizer = recognizer
        self.diversity = diversity
        self.count = count
        self.rng = rng
        self.weights = _Shaken(recognizer, weight_noise) if weight_noise else None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        answers = []
        for _ in range(self.count):
            view = self.diversity(x, self.rng).contiguous(memory_format=torch.channels_last)
            answers.append(self._answer(view))
        return torch.stack(answers, dim=1)

    def _answer(self, view: torch.Tensor) -> torch.Tensor:
        if self.weights is None:
            return self.recognizer(view)
        if isinstance(self.recognizer, Counted):
            self.recognizer.charge(torch.arange(len(view)))
        return self.weights(view)


class _Shaken:
    """A copy of a recogniser whose weights get new noise at each call.

    The noise does not depend on the images: its generator is its own.
    """

    def __init__(self, recognizer: Model, share: float) -> None:
        inner = recognizer.recognizer if isinstance(recognizer, Counted) else recognizer
        if not isinstance(inner, nn.Module):
            raise ValueError(f"weight noise needs a torch module, {type(inner).__name__} is none")
        self.model = copy.deepcopy(inner).requires_grad_(False)
        self.share = share
        self.clean = [parameter.clone() for parameter in self.model.parameters()]
        self.rng = torch.Generator().manual_seed(0)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        # New tensors, not changes in place: the last view's graph still holds its weights.
        names = [name for name, _ in self.model.named_parameters()]
        noisy = {
            name: clean + self.share * clean.std() * torch.randn(clean.shape, generator=self.rng).to(clean.device)
            if clean.ndim > 1
            else clean
            for name, clean in zip(names, self.clean, strict=True)
        }
        answer: torch.Tensor = torch.func.functional_call(self.model, noisy, (x,))
        return answer


@dataclass(frozen=True, eq=False)
class OverViews:
    """A goal that is wanted in every view: it reads (N, V, ...) outputs of `RandomViews`.

    Attributes:
        goal: what is wanted of (N, ...) outputs.
    """

    goal: Goal

    def loss(self, outputs: torch.Tensor) -> torch.Tensor:
        """Mean over the views, (N,)."""
        return torch.stack([self.goal.loss(view) for view in outputs.unbind(1)]).mean(0)

    def reached(self, outputs: torch.Tensor, margin: float = 0.0) -> torch.Tensor:
        """(N,) bool: in all views."""
        return torch.stack([self.goal.reached(view, margin) for view in outputs.unbind(1)]).all(0)

    def select(self, rows: torch.Tensor) -> OverViews:
        return OverViews(self.goal.select(rows))
