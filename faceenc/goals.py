"""What an attack wants: goals that read a recogniser's outputs. Targeted or not is a goal, never a branch in an attack."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F


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

    def select(self, rows: torch.Tensor) -> MoveTo:
        return MoveTo(self.targets[rows], self.threshold)

    def distances(self, outputs: torch.Tensor) -> torch.Tensor:
        """(N, ...) from every view of an image to the nearest target."""
        nearest: torch.Tensor = torch.linalg.vector_norm(outputs.unsqueeze(-2) - self.targets, dim=-1).amin(-1)
        return nearest.reshape(len(outputs), -1)


def _own_and_best_other(outputs: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    index = labels.unsqueeze(1)
    own = outputs.gather(1, index).squeeze(1)
    other = outputs.scatter(1, index, float("-inf")).amax(1)
    return own, other
