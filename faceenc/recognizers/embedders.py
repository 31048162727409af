"""Recognisers as embedders of one common picture, the aligned crop of 224 pixels: each takes its own crop from it.

Noise made on one of them and judged by another is then noise in the same pixels, whatever each of them sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from faceenc.core import CheckpointError
from faceenc.faces import (
    ALIGNED_POINTS,
    ALIGNED_SIZE,
    ARCFACE_POINTS,
    ARCFACE_SIZE,
    CHIP_SIZE,
    Similarity,
    fit_similarity,
)
from faceenc.recognizers.checkpoint import load_checkpoint, weights_sha256
from faceenc.recognizers.defences import Transformed, defence
from faceenc.recognizers.dlib.network import DLIB, load_dlibnet
from faceenc.recognizers.ensemble import Centre, Ensemble
from faceenc.recognizers.frbench import load_frbench
from faceenc.recognizers.resnet import FaceResNet


@dataclass(frozen=True, eq=False)
class Embedder:
    """A recogniser of strangers.

    Attributes:
        name: in tables.
        network: fingerprint of its weights; an attack on the same network is white-box. Several are joined by "|".
        model: (N, 3, 224, 224) aligned pictures in [0, 1] -> (N, D) embeddings; differentiable, frozen, in evaluation mode.
    """

    name: str
    network: str
    model: nn.Module

    @property
    def joint(self) -> bool:
        """Whether several recognisers stand behind it: then it answers (N, S, D), in thresholds, and cannot judge."""
        return isinstance(self.model, Ensemble)

    def defended(self, by: str) -> Embedder:
        """The same behind a defence, such as "jpeg75"."""
        return Embedder(f"{self.name}+{by}", self.network, Transformed(self.model, defence(by)).eval())


class PooledFeatures(nn.Module):
    """The 512 features under a recogniser's last layer, of length 1: for people it was not trained on.

    Shape
        (N, 3, H, W) in [0, 1] -> (N, 512).
    """

    def __init__(self, recognizer: FaceResNet) -> None:
        super().__init__()
        self.recognizer = recognizer
        self.recognizer.network.fc = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.recognizer(x.contiguous(memory_format=torch.channels_last)), dim=1)


class Recut(nn.Module):
    """A recogniser that wants a crop of its own out of the common picture.

    Shape
        (N, 3, 224, 224) -> as the recogniser answers to (N, 3, size, size).
    """

    grid: torch.Tensor

    def __init__(self, recognizer: nn.Module, crop: Similarity, size: int) -> None:
        super().__init__()
        self.recognizer = recognizer
        axis = torch.arange(size, dtype=torch.float32)
        columns = crop.turn.real * axis[None, :] - crop.turn.imag * axis[:, None] + crop.shift.real
        rows = crop.turn.imag * axis[None, :] + crop.turn.real * axis[:, None] + crop.shift.imag
        self.register_buffer("grid", torch.stack([columns, rows], dim=-1) * (2 / (ALIGNED_SIZE - 1)) - 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        grid = self.grid.expand(len(x), -1, -1, -1)
        crops = F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
        answer: torch.Tensor = self.recognizer(crops)
        return answer


class _Called(nn.Module):
    """A callable as a module."""

    def __init__(self, recognizer: object) -> None:
        super().__init__()
        self.called = recognizer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert callable(self.called)
        answer: torch.Tensor = self.called(x)
        return answer


def load_embedder(source: str, name: str = "") -> Embedder:
    """An embedder by its source.

    Args:
        source: "dlib", the path of a checkpoint that `faceenc train` wrote, or "frbench:NAME".
        name: in tables; by default the source.

    Raises:
        AssetError: weights cannot be had.
        CheckpointError: no such checkpoint, damaged, or trained on crops that are not aligned ones of 224 pixels.
    """
    if source == DLIB:
        net = load_dlibnet().to(memory_format=torch.channels_last)
        return Embedder(name or DLIB, DLIB, Centre(net, CHIP_SIZE).eval())
    if source.startswith("frbench:"):
        found = load_frbench(source.removeprefix("frbench:"))
        crop = fit_similarity(ARCFACE_POINTS, ALIGNED_POINTS)
        return Embedder(name or source, found.fingerprint, Recut(_Called(found), crop, ARCFACE_SIZE).eval())
    model, _ = load_checkpoint(Path(source))
    if (model.framing, model.input_size) != ("aligned", ALIGNED_SIZE):
        raise CheckpointError(
            f"checkpoint {source} wants {model.framing} crops of {model.input_size} pixels: only recognisers of aligned"
            f' crops of {ALIGNED_SIZE} share one picture; train with framing = "aligned" and size = {ALIGNED_SIZE}'
        )
    fingerprint = weights_sha256(model)
    model.to(memory_format=torch.channels_last)
    return Embedder(name or source, fingerprint, PooledFeatures(model).eval().requires_grad_(False))


@torch.no_grad()
def embed(model: nn.Module, x: torch.Tensor, *, batch_size: int = 32) -> torch.Tensor:
    """(N, D) of (N, 3, 224, 224) pictures, batch by batch."""
    return torch.cat([model(part.contiguous(memory_format=torch.channels_last)) for part in x.split(batch_size)])


def joined(name: str, members: Sequence[Embedder], thresholds: Sequence[float]) -> Embedder:
    """Several embedders as one surrogate; each one's distances are in its own thresholds."""
    model = Ensemble([one.model for one in members], scales=thresholds).eval()
    return Embedder(name, "|".join(one.network for one in members), model)
