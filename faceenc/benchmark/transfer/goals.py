"""What an attack on an embedder may have to do, by name: goals made from the attacked photos and other people's."""

from __future__ import annotations

import torch
from torch import nn

from faceenc.attacks import Contrast, MoveAway, MoveTo, RandomViews, image_generators
from faceenc.benchmark.verification.judging import IMPERSONATE
from faceenc.core import Goal
from faceenc.media import Diversity
from faceenc.recognizers import embed

AWAY, CONTRAST = "away", "contrast"
EMBEDDING_GOALS = (AWAY, CONTRAST, IMPERSONATE)
NEGATIVES = 256  # other people's photos that are worth having

_POSITIVES = 8
_OWN_VIEWS = Diversity(degrees=8, zoom=0.1, shift=0.03, flip=0.5, coarsest=0.5, colour=0.2)
_BATCH = 16


def goal_for(
    how: str,
    model: nn.Module,
    x: torch.Tensor,
    *,
    threshold: float,
    seed: int,
    targets: torch.Tensor,
    others: torch.Tensor,
) -> Goal:
    """The goal for attacks on one surrogate; nothing of a judge's, no gallery and no second photo, is needed.

    Args:
        how: "away": from the photo's own embedding. "contrast": from its own augmented views, to other people.
            "impersonate": to the target's photo.
        model: (N, 3, H, W) -> (N, D), or (N, S, D) of several surrogates.
        x: (N, 3, H, W), the photos attacked.
        threshold: at distances below this two faces match.
        seed: of the augmented views.
        targets: (N, 3, H, W), for "impersonate".
        others: (M, 3, H, W) of other people, for "contrast".
    """
    if how == IMPERSONATE:
        return MoveTo(embed(model, targets).unsqueeze(-2), threshold)
    own = embed(model, x)
    away = MoveAway(own.unsqueeze(-2), threshold)
    if how == AWAY:
        return away
    if how != CONTRAST:
        raise ValueError(f"there is no goal {how!r}: choose one of {', '.join(EMBEDDING_GOALS)}")
    elsewhere = embed(model, others)
    rng = image_generators(seed, x)
    with torch.no_grad():
        parts = [
            RandomViews(model, _OWN_VIEWS, _POSITIVES, rng[start : start + _BATCH])(x[start : start + _BATCH])
            for start in range(0, len(x), _BATCH)
        ]
    # Views stand before surrogates in the answers, references behind them in the goals.
    return Contrast(torch.cat(parts).movedim(1, -2), elsewhere.movedim(0, -2)[None], threshold)
