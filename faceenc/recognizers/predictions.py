"""What a recogniser answers for the images of a data set, and how often that is right."""

from __future__ import annotations

from typing import Any

import torch

from faceenc.core import Model
from faceenc.data import FaceSet
from faceenc.media import centred, to_tensor
from faceenc.recognizers.defences import Transformed
from faceenc.recognizers.foreign.net import ForeignClassifier
from faceenc.recognizers.resnet import FaceResNet


@torch.no_grad()
def ask(model: Model, x: torch.Tensor) -> torch.Tensor:
    """Outputs for (N, 3, H, W) images in float32. Channels-last halves the time of convolutions on a CPU."""
    return model(x.contiguous(memory_format=torch.channels_last))


def accuracy(model: FaceResNet | ForeignClassifier | Transformed, data: FaceSet, rows: Any) -> float:
    """Share of the images `rows` of `data` that `model` names rightly, in [0, 1]."""
    predictions = logits_of(model, data, rows).argmax(1)
    return float((predictions == torch.from_numpy(data.labels[rows])).float().mean())


def logits_of(
    model: FaceResNet | ForeignClassifier | Transformed,
    data: FaceSet,
    rows: Any,
    *,
    size: int | None = None,
    centre: float = 1.0,
) -> torch.Tensor:
    """(N, K) float32 logits for the images `rows` of `data`, or for their middles (`centre`) at another size."""
    device = next((weight.device for weight in model.parameters()), torch.device("cpu"))
    parts = [torch.zeros(0, len(model.classes))]
    for start in range(0, len(rows), 32):
        x = to_tensor(data.images[rows[start : start + 32]])
        parts.append(ask(model, centred(x, size or x.shape[-1], centre).to(device)).float().cpu())
    return torch.cat(parts)
