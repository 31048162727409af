"""What an attack wants: goals that read a recogniser's outputs. Targeted or not is a goal, never a branch in an attack."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F

from faceenc.core import Goal


@runtime_checkable
class LeadingGoal(Goal, Protocol):
    """A goal over embeddings that says how far it is from being reached: ART's attacks take it for two classes."""

    def lead(self, outputs: torch.Tensor) -> torch.Tensor:
        """(N, D) -> (N,), in thresholds, differentiable; above 0 where the goal is reached."""
        ...

    def select(self, rows: torch.Tensor) -> LeadingGoal: ...


@dataclass(frozen=True, eq=False)
class Dodge:
    """Be recognised as anybody else (non-targeted).

    Attributes:
        labels: (N,) int64, the true identities.
    """

    labels: torch.Tensor

    def loss(self, outputs: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the true identity: (N, K) logits -> (N,)."""
        return F.cross_entropy(outputs, self.labels, reduction="none")

    def reached(self, outputs: torch.Tensor, margin: float = 0.0) -> torch.Tensor:
        """(N,) bool: some other logit leads the true one by more than `margin`."""
        own, other = _own_and_best_other(outputs, self.labels)
        return other - own > margin

    def select(self, rows: torch.Tensor) -> Dodge:
        return Dodge(self.labels[rows])


@dataclass(frozen=True, eq=False)
class Impersonate:
    """Be recognised as a chosen identity (targeted).

    Attributes:
        targets: (N,) int64, the identities to be taken for.
    """

    targets: torch.Tensor

    def loss(self, outputs: torch.Tensor) -> torch.Tensor:
        """Minus the cross-entropy of the target: (N, K) logits -> (N,)."""
        return -F.cross_entropy(outputs, self.targets, reduction="none")

    def reached(self, outputs: torch.Tensor, margin: float = 0.0) -> torch.Tensor:
        """(N,) bool: the target's logit leads all others by more than `margin`."""
        own, other = _own_and_best_other(outputs, self.targets)
        return own - other > margin

    def select(self, rows: torch.Tensor) -> Impersonate:
        return Impersonate(self.targets[rows])


@dataclass(frozen=True, eq=False)
class MoveAway:
    """Be no match of any reference embedding (dodging, for embedders).

    Attributes:
        references: (N, ..., R, D), each image's R embeddings to move away from; any axes between stand in the outputs too
            (views, surrogates), or are 1.
        threshold: at distances below this two faces match.
    """

    references: torch.Tensor
    threshold: float = 1.0

    def loss(self, outputs: torch.Tensor) -> torch.Tensor:
        """Mean Euclidean distance in thresholds: (N, ..., D) embeddings -> (N,)."""
        return self.distances(outputs).mean(1) / self.threshold

    def reached(self, outputs: torch.Tensor, margin: float = 0.0) -> torch.Tensor:
        """(N,) bool: the nearest of all references, in every view, is farther than the threshold by more than `margin`."""
        return self.distances(outputs).amin(1) > self.threshold + margin

    def lead(self, outputs: torch.Tensor) -> torch.Tensor:
        """(N,) by how many thresholds the nearest reference is beyond the threshold."""
        return self.distances(outputs).amin(1) / self.threshold - 1

    def select(self, rows: torch.Tensor) -> MoveAway:
        return MoveAway(self.references[rows], self.threshold)

    def distances(self, outputs: torch.Tensor) -> torch.Tensor:
        """(N, ...) from every view of an image to every reference."""
        distances: torch.Tensor = torch.linalg.vector_norm(outputs.unsqueeze(-2) - self.references, dim=-1).flatten(1)
        return distances


@dataclass(frozen=True, eq=False)
class MoveTo:
    """Match another embedding (impersonation, for embedders); the nearest of several counts as the target.

    Attributes:
        targets: (N, ..., R, D), as `MoveAway.references`.
        threshold: at distances below this two faces match.
    """

    targets: torch.Tensor
    threshold: float = 1.0

    def loss(self, outputs: torch.Tensor) -> torch.Tensor:
        """Minus the mean over views of the distance to the nearest target, in thresholds: (N, ..., D) -> (N,)."""
        return -self.distances(outputs).mean(1) / self.threshold

    def reached(self, outputs: torch.Tensor, margin: float = 0.0) -> torch.Tensor:
        """(N,) bool: in every view some target is nearer than the threshold by more than `margin`."""
        return self.distances(outputs).amax(1) < self.threshold - margin

    def lead(self, outputs: torch.Tensor) -> torch.Tensor:
        """(N,) by how many thresholds the target is within the threshold, in the worst view."""
        return 1 - self.distances(outputs).amax(1) / self.threshold

    def select(self, rows: torch.Tensor) -> MoveTo:
        return MoveTo(self.targets[rows], self.threshold)

    def distances(self, outputs: torch.Tensor) -> torch.Tensor:
        """(N, ...) from every view of an image to the nearest target."""
        nearest: torch.Tensor = torch.linalg.vector_norm(outputs.unsqueeze(-2) - self.targets, dim=-1).amin(-1)
        return nearest.reshape(len(outputs), -1)


@dataclass(frozen=True, eq=False)
class MoveApart:
    """Be no match of any reference embedding, and come nearer to another one.

    Who only moves away ends opposite the references, and so do all photos of one person. Here moving away counts until an
    image is about as far as a stranger is, and nearness to the `beacon` always.

    Attributes:
        references: (N, ..., R, D), as of `MoveAway`.
        beacon: (N, ..., 1, D), an embedding to come nearer to.
        far: thresholds from which on moving away counts no more.
        threshold: at distances below this two faces match.
    """

    references: torch.Tensor
    beacon: torch.Tensor
    far: float = 1.3
    threshold: float = 1.0

    def loss(self, outputs: torch.Tensor) -> torch.Tensor:
        """Mean distance from the references, up to `far`, less that to the beacon, in thresholds: (N, ..., D) -> (N,)."""
        away = (self.distances(outputs) / self.threshold).clamp(max=self.far).mean(1)
        nearness = torch.linalg.vector_norm(outputs.unsqueeze(-2) - self.beacon, dim=-1).flatten(1).mean(1) / self.threshold
        gain: torch.Tensor = away - nearness
        return gain

    def reached(self, outputs: torch.Tensor, margin: float = 0.0) -> torch.Tensor:
        """(N,) bool: as of `MoveAway`."""
        return MoveAway(self.references, self.threshold).reached(outputs, margin)

    def select(self, rows: torch.Tensor) -> MoveApart:
        return replace(self, references=self.references[rows], beacon=self.beacon[rows])

    def distances(self, outputs: torch.Tensor) -> torch.Tensor:
        """(N, ...) from every view of an image to every reference."""
        return MoveAway(self.references).distances(outputs)


@dataclass(frozen=True, eq=False)
class Contrast:
    """Be no longer distinguished from other people: contrastive learning turned round (InfoNCE, https://arxiv.org/abs/1807.03748).

    What a contrastive loss pulls together, the face and its own augmented views, is pushed apart; what it pushes apart, the
    face and other people, is pulled together. Being near counts by minus the squared distance, in thresholds.

    Attributes:
        positives: (N, ..., P, D), embeddings of the face's own views; axes between as in `MoveAway.references`.
        negatives: (N or 1, ..., M, D), other people's.
        threshold: at distances below this two faces match.
        temperature: how much the nearest of the others count before the rest.
    """

    positives: torch.Tensor
    negatives: torch.Tensor
    threshold: float = 1.0
    temperature: float = 0.5

    def loss(self, outputs: torch.Tensor) -> torch.Tensor:
        """InfoNCE, the mean over positives of -log of each one's share against the negatives: (N, ..., D) -> (N,)."""
        own, others = self._nearness(outputs, self.positives), self._nearness(outputs, self.negatives)
        against = torch.logaddexp(own, others.logsumexp(-1, keepdim=True))
        return (against - own).flatten(1).mean(1)

    def reached(self, outputs: torch.Tensor, margin: float = 0.0) -> torch.Tensor:
        """(N,) bool: in every view the nearest positive is farther than the threshold by more than `margin`."""
        return MoveAway(self.positives, self.threshold).reached(outputs, margin)

    def lead(self, outputs: torch.Tensor) -> torch.Tensor:
        """(N,) that of `MoveAway` from the positives."""
        return MoveAway(self.positives, self.threshold).lead(outputs)

    def select(self, rows: torch.Tensor) -> Contrast:
        others = self.negatives if len(self.negatives) == 1 else self.negatives[rows]
        return Contrast(self.positives[rows], others, self.threshold, self.temperature)

    def _nearness(self, outputs: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
        distances: torch.Tensor = torch.linalg.vector_norm(outputs.unsqueeze(-2) - references, dim=-1)
        return -((distances / self.threshold) ** 2) / self.temperature


def _own_and_best_other(outputs: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    index = labels.unsqueeze(1)
    own = outputs.gather(1, index).squeeze(1)
    other = outputs.scatter(1, index, float("-inf")).amax(1)
    return own, other
