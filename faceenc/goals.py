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


def _own_and_best_other(outputs: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    index = labels.unsqueeze(1)
    own = outputs.gather(1, index).squeeze(1)
    other = outputs.scatter(1, index, float("-inf")).amax(1)
    return own, other
