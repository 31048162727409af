"""Embedders as ART knows classifiers: of two classes, "not yet" and "reached", told apart by a goal's lead.

So whatever ART does with names it does with distances to a threshold, towards a person as well as away from one: to be taken
out of the class "not yet" is what the goal wants, whichever it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from faceenc.attacks.goals import Dodge, LeadingGoal
from faceenc.core import ConfigError, Model

CLASSES = 2


class TwoClasses:
    """Two logits, (loss - lead) / 2 of "not yet" and (loss + lead) / 2 of "reached": the loss is their sum.

    Args:
        embedder: counted or not; (N, 3, H, W) -> (N, D).
        goal: of these images.
        images: how many they are. Of one image any number of pictures may be asked, of several all at once.
        with_loss: else the loss is left out, which makes logits of opposite sign.
    """

    def __init__(self, embedder: Model, goal: LeadingGoal, images: int, *, with_loss: bool) -> None:
        self.embedder, self.goal, self.images, self.with_loss = embedder, goal, images, with_loss

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(M, 3, H, W) -> (M, 2)."""
        goal = self.goal
        if len(x) != self.images:
            if self.images != 1:
                raise ConfigError(
                    f"{len(x)} pictures of {self.images} images: an embedder's goal must know which; ask all at once"
                )
            goal = goal.select(torch.zeros(len(x), dtype=torch.long, device=x.device))
        outputs = self.embedder(x)
        lead = goal.lead(outputs)
        loss = goal.loss(outputs) if self.with_loss else torch.zeros_like(lead)
        return torch.stack((loss - lead, loss + lead), 1) / 2


class SumOfLogits(nn.Module):
    """The goal's mean loss, as the loss of ART's PyTorchClassifier, which ignores labels then."""

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return logits.sum(1).mean()


@dataclass(frozen=True, eq=False)
class LeaveNotYet(Dodge):
    """The goal of `TwoClasses`: all images are "not yet" there. What is maximised is the lead."""

    def loss(self, outputs: torch.Tensor) -> torch.Tensor:
        """(N, 2) -> (N,)."""
        return outputs[:, 1] - outputs[:, 0]

    def select(self, rows: torch.Tensor) -> LeaveNotYet:
        return LeaveNotYet(self.labels[rows])


def not_yet(x: torch.Tensor) -> LeaveNotYet:
    """The goal for the images x."""
    return LeaveNotYet(torch.zeros(len(x), dtype=torch.long, device=x.device))
