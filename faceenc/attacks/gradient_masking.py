"""Gradient masking: zero, random or false gradients make every attack by gradient appear weak.

After Athalye et al., "Obfuscated Gradients Give a False Sense of Security", https://arxiv.org/abs/1802.00420.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from faceenc.attacks.engines import gradient_engine
from faceenc.core import Goal, Model

_SUM = 1e-3  # how near to 1 probabilities sum
_STEP = 0.5 / 255  # of the test along the gradient
# A goal's gradient may vanish at the clean image, such as that of the distance to it: measure well beside it, at smooth
# noise, which no network averages away.
_START = 8 / 255
_GRAINS = 8  # a side


def gradient_health(model: Model, x: torch.Tensor, goal: Goal, *, seed: int) -> dict[str, float | bool]:
    """Four measurements of the gradient of the goal's loss near the images; asks the recogniser six times about each.

    Args:
        model: in evaluation mode.
        x: (N, 3, H, W) in [0, 1].
        goal: of these images.
        seed: of the point near each image at which is measured.

    Returns:
        zero_gradient_share: images whose gradient is zero everywhere.
        repeat_cosine: mean cosine of the gradient asked for twice; 1 unless there are dice.
        slope_ratio: median of how far the loss really rises along the gradient's signs, over what the gradient promises;
            near 1 where the loss is smooth, near 0 where the gradient says nothing. nan without any gradient.
        probabilities: the outputs are positive and sum to 1: a softmax that saturates.
    """
    grains = torch.rand(len(x), 3, _GRAINS, _GRAINS, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    noise = F.interpolate(grains, size=x.shape[-2:], mode="bilinear", align_corners=False).to(x.device)
    start = (x + _START * noise).clamp(0, 1)
    engine = gradient_engine(model, "exact")
    first, second = (engine(start, goal).gradient.flatten(1) for _ in range(2))
    size = first.abs().amax(1)
    alive = size > 0
    with torch.no_grad():
        step = _STEP * first.sign().view_as(start)
        rise = goal.loss(model(start + step)) - goal.loss(model(start - step))
        outputs = model(x)
    # The engine's gradient is that of the mean loss.
    promised = 2 * _STEP * first.abs().sum(1) * len(x)
    return {
        "zero_gradient_share": float((~alive).float().mean()),
        "repeat_cosine": float(F.cosine_similarity(first, second).mean()) if alive.any() else 0.0,
        "slope_ratio": float((rise / promised)[alive].median()) if alive.any() else float("nan"),
        "probabilities": bool((outputs >= 0).all() and ((outputs.flatten(1).sum(1) - 1).abs() < _SUM).all()),
    }
