"""What a recogniser is shown of its pictures while it is trained, and on average.

Shape
    Every image is (N, 3, H, W) float32 in [0, 1].
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from faceenc.media.transforms import resize


def augment(
    x: torch.Tensor,
    rng: torch.Generator,
    *,
    size: int,
    degrees: float = 30.0,
    zoom: float = 0.1,
    flip: float = 0.5,
    crop: float = 1.0,
    centre: float = 1.0,
    jitter: float = 0.0,
) -> torch.Tensor:
    """The student report's augmentation: one random rotation, zoom and mirroring for each image; more, if asked for.

    Args:
        x: (N, 3, H, W) with H == W.
        rng: the source of all randomness.
        size: side of what comes out.
        degrees: rotation is uniform in [-degrees, degrees].
        zoom: the scale is uniform in [1 - zoom, 1 + zoom].
        flip: probability of a horizontal mirror image.
        crop: the smallest share of the picture's side that is shown; where it lies is random.
        centre: the share of the picture's side, around its centre, that counts as the picture.
        jitter: brightness, contrast and saturation are multiplied by factors uniform in [1 - jitter, 1 + jitter].

    Returns:
        (N, 3, size, size); what comes from outside the picture repeats its border.
    """
    n = len(x)
    angle = (torch.rand(n, generator=rng) * 2 - 1) * math.radians(degrees)
    closeness = 1 + torch.rand(n, generator=rng) * (1 / crop - 1)
    scale = closeness * (1 + (torch.rand(n, generator=rng) * 2 - 1) * zoom)
    shift = (torch.rand(n, 2, generator=rng) * 2 - 1) * (1 - 1 / closeness).unsqueeze(1)
    mirror = 1 - 2 * (torch.rand(n, generator=rng) < flip).float()
    # affine_grid maps output to input: rotation by -angle, divided by the scale, mirrored in x.
    cos, sin = angle.cos() * centre / scale, angle.sin() * centre / scale
    rows = [torch.stack([cos * mirror, -sin, shift[:, 0]], 1), torch.stack([sin * mirror, cos, shift[:, 1]], 1)]
    grid = F.affine_grid(torch.stack(rows, 1).to(x.device), [n, 3, size, size], align_corners=False)
    # grid_sample does not antialias: what is to be reduced is reduced before.
    source = resize(x, min(x.shape[-1], round(size / (crop * centre))))
    shown = F.grid_sample(source, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return _jittered(shown, rng, jitter) if jitter else shown


def _jittered(x: torch.Tensor, rng: torch.Generator, jitter: float) -> torch.Tensor:
    brightness, contrast, saturation = 1 + jitter * (2 * torch.rand(3, len(x), 1, 1, 1, generator=rng).to(x.device) - 1)
    x = x * brightness
    mean = x.mean((1, 2, 3), keepdim=True)
    x = mean + contrast * (x - mean)
    grey = x.mean(1, keepdim=True)
    shown: torch.Tensor = (grey + saturation * (x - grey)).clamp_(0, 1)
    return shown


def centred(x: torch.Tensor, size: int, centre: float = 1.0) -> torch.Tensor:
    """The middle of each picture, `centre` of its side, resized to (N, 3, size, size): what `augment` shows on average."""
    border = round(x.shape[-1] * (1 - centre) / 2)
    return resize(x[..., border : x.shape[-2] - border, border : x.shape[-1] - border], size)
