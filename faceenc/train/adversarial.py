"""Adversarial training: batches attacked by the very recogniser that learns from them."""

from __future__ import annotations

import torch
from torch import nn

from faceenc.attacks import PGD, Dodge
from faceenc.train.recipe import Training

_REACH = 2.5  # how often the steps together could cross eps


def adversarial_batch(
    model: nn.Module, x: torch.Tensor, labels: torch.Tensor, training: Training, rng: torch.Generator
) -> torch.Tensor:
    """The batch with its named images attacked as `training` says.

    The attack asks the recogniser in evaluation mode, so that batch norms keep their statistics, and leaves no gradients at
    its weights.

    Args:
        model: the recogniser as it is at this step.
        x: (N, 3, H, W) in [0, 1]; the first images are those with names, the rest are left as they are.
        labels: (M,) int64 identities of the first M images, M <= N.
        training: eps and steps.
        rng: the training's generator; each image's own one is seeded from it.
    """
    seeds = torch.randint(2**62, (len(labels),), generator=rng).tolist()
    steps = training.adversarial_steps
    attack = PGD(steps=steps, rel_step=min(1.0, _REACH / steps), engine="exact")
    own = [torch.Generator().manual_seed(seed) for seed in seeds]
    named = attack(model, x[: len(labels)], Dodge(labels), eps=training.adversarial, rng=own)
    return torch.cat([named, x[len(labels) :]]).contiguous(memory_format=torch.channels_last)
