"""Recognisers around recognisers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn


class Ensemble(nn.Module):
    """Several recognisers asked about the same picture: noise made for all of them holds for others more often.

    Shape
        Embedders: (N, 3, H, W) -> (N, S, D), filled up with zeros to the longest, which leaves distances as they are; goals
        with references (N, S, R, D) or (N, 1, R, D) read them. Classifiers of the same people: mean logits, (N, K).

    Args:
        recognizers: at least one.
        scales: what each one's outputs are divided by: thresholds, so that distances mean the same to all.
        mean: average the outputs instead of stacking them; the scales are for embedders only.
    """

    def __init__(self, recognizers: Sequence[nn.Module], *, scales: Sequence[float] = (), mean: bool = False) -> None:
        super().__init__()
        if not recognizers or (scales and len(scales) != len(recognizers)):
            raise ValueError(f"{len(recognizers)} recognisers and {len(scales)} scales: one scale each, or none")
        self.recognizers = nn.ModuleList(recognizers)
        self.scales = tuple(scales) or (1.0,) * len(recognizers)
        self.mean = mean

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answers = [one(x) / scale for one, scale in zip(self.recognizers, self.scales, strict=True)]
        if self.mean:
            return torch.stack(answers).mean(0)
        length = max(answer.shape[-1] for answer in answers)
        return torch.stack([F.pad(answer, (0, length - answer.shape[-1])) for answer in answers], dim=1)
