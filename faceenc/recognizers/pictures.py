"""Recognisers asked about one common picture, the aligned crop of 224 pixels: each takes its own crop from it.

Noise made on one of them and judged by another is then noise in the same pixels, whatever each of them sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from faceenc.faces import ALIGNED_SIZE, Similarity
from faceenc.recognizers.defences import Transformed, defence
from faceenc.recognizers.ensemble import Ensemble
from faceenc.recognizers.recognizer import Recognizer


@dataclass(frozen=True, eq=False)
class PictureModel:
    """A recogniser of aligned pictures.

    Attributes:
        name: in tables.
        network: fingerprint of its weights; an attack on the same network is white-box. Several are joined by "|".
        licence: of its weights; "" where nobody says.
        model: (N, 3, 224, 224) aligned pictures in [0, 1] -> (N, D) embeddings; differentiable, frozen, in evaluation mode.
    """

    name: str
    network: str
    model: nn.Module
    licence: str = ""

    @property
    def joint(self) -> bool:
        """Whether several recognisers stand behind it: then it answers (N, S, D), in thresholds, and cannot judge."""
        return isinstance(self.model, Ensemble)

    def defended(self, by: str) -> PictureModel:
        """The same behind a defence, such as "jpeg75"."""
        return PictureModel(f"{self.name}+{by}", self.network, Transformed(self.model, defence(by)).eval(), self.licence)


def picture_model(recognizer: Recognizer, name: str = "") -> PictureModel:
    """A recogniser's view of aligned pictures, by its own name or another.

    Crops that lie by the face's box instead of its key points are those of an average face.
    """
    crop, size = recognizer.crops.in_picture(), recognizer.size
    whole = (crop, size) == (Similarity(1 + 0j, 0j), ALIGNED_SIZE)
    model = recognizer.embedding if whole else Recut(recognizer.embedding, crop, size)
    return PictureModel(name or recognizer.name, recognizer.network, model.eval(), recognizer.licence)


def joined(name: str, members: Sequence[PictureModel], thresholds: Sequence[float]) -> PictureModel:
    """Several as one surrogate; each one's distances are in its own thresholds."""
    model = Ensemble([one.model for one in members], scales=thresholds).eval()
    return PictureModel(name, "|".join(one.network for one in members), model)


@torch.no_grad()
def embed(model: nn.Module, x: torch.Tensor, *, batch_size: int = 32) -> torch.Tensor:
    """(N, D) of (N, 3, 224, 224) pictures, batch by batch."""
    return torch.cat([model(part.contiguous(memory_format=torch.channels_last)) for part in x.split(batch_size)])


class Recut(nn.Module):
    """A recogniser that wants a crop of its own out of the common picture.

    Shape
        (N, 3, 224, 224) -> as the recogniser answers to (N, 3, size, size).

    Args:
        recognizer: what is shown the crop.
        crop: where it lies in the picture; a crop on whole pixels is taken as it is.
        size: its side in pixels.
    """

    grid: torch.Tensor

    def __init__(self, recognizer: nn.Module, crop: Similarity, size: int) -> None:
        super().__init__()
        self.recognizer = recognizer
        self.size = size
        left, top = round(crop.shift.real), round(crop.shift.imag)
        self.corner = (top, left) if (crop.turn, crop.shift) == (1, complex(left, top)) and min(top, left) >= 0 else None
        axis = torch.arange(size, dtype=torch.float32)
        columns = crop.turn.real * axis[None, :] - crop.turn.imag * axis[:, None] + crop.shift.real
        rows = crop.turn.imag * axis[None, :] + crop.turn.real * axis[:, None] + crop.shift.imag
        self.register_buffer("grid", torch.stack([columns, rows], dim=-1) * (2 / (ALIGNED_SIZE - 1)) - 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.corner is not None:
            top, left = self.corner
            crops = x[..., top : top + self.size, left : left + self.size].contiguous(memory_format=torch.channels_last)
        else:
            grid = self.grid.expand(len(x), -1, -1, -1)
            crops = F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
        answer: torch.Tensor = self.recognizer(crops)
        return answer
