"""Classifiers of others: their classes matched to the people of the data."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from faceenc.core import CheckpointError
from faceenc.data import FaceSet

_NAMED = 5  # missing people in an error's line


class Reordered(nn.Module):
    """A classifier with the data's people as its first classes, in the data's order, and whoever else it knows behind them.

    Shape
        (N, 3, S, S) float32 RGB in [0, 1] -> (N, K) logits.

    Args:
        model: with `classes` and `input_size`.
        first: people that it knows.
    """

    order: torch.Tensor

    def __init__(self, model: nn.Module, first: tuple[str, ...]) -> None:
        super().__init__()
        known: tuple[str, ...] = tuple(getattr(model, "classes"))  # noqa: B009
        self.model = model
        self.classes = (*first, *(name for name in known if name not in set(first)))
        self.input_size: int = getattr(model, "input_size")  # noqa: B009
        self.register_buffer("order", torch.tensor([known.index(name) for name in self.classes]), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(x)
        return logits[:, self.order]


def matched_classes(model: Any, data: FaceSet, source: str) -> Any:
    """The classifier itself where it knows exactly the data's people in their order, else `Reordered`.

    Raises:
        CheckpointError: it does not know all of them; or its crops are not the data's.
    """
    missing = [name for name in data.classes if name not in set(model.classes)]
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise CheckpointError(
            f"{source} knows {len(model.classes)} people by name, but not {', '.join(missing[:_NAMED])}{more}: name the"
            " folders as its classes, or leave these people out"
        )
    size, framing = model.input_size, getattr(model, "framing", data.framing)
    if (size, framing) != (data.images.shape[1], data.framing):
        raise CheckpointError(
            f'{source} wants crops of {size} pixels, "{framing}", the data has them of {data.images.shape[1]},'
            f' "{data.framing}": set size = {size} and framing = "{framing}" in [data]'
        )
    return model if tuple(model.classes) == data.classes else Reordered(model, data.classes).eval()
