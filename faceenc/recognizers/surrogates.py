"""Embedders to attack: what each one's crops are, and how far apart two faces have to be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from faceenc.faces import (
    ALIGNED_BORDER,
    ARCFACE_POINTS,
    ARCFACE_SIZE,
    CHIP_SIZE,
    SQUARE_MARGIN,
    Similarity,
    key_points_similarity,
    square_similarity,
)
from faceenc.recognizers.dlib.network import DLIB, load_dlibnet
from faceenc.recognizers.dlib.original import dlib_similarities, has_dlib
from faceenc.recognizers.dlib.weights import MATCH_DISTANCE
from faceenc.recognizers.verifiers import CosineJudge, FRBenchJudge, ResNetJudge

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from faceenc.core import Face, Model


Align = Callable[["NDArray[np.uint8]", "Face"], Sequence[Similarity]]


@dataclass(frozen=True, eq=False)
class Surrogate:
    """A white-box embedder that stands for recognisers nobody has.

    Attributes:
        name: as reports say it.
        network: what it computes with, as `faceenc.recognizers.Judge.network`.
        model: (N, 3, size, size) crops in [0, 1] -> (N, D) embeddings, differentiable.
        size: side of its crops in pixels.
        threshold: Euclidean distance below which it takes two faces for one person's.
        align: photo and face -> its crops; several where a recogniser may find its key points in several ways.
        diverse: attack wide views of it too. Recognisers of ours, trained on turned and mirrored faces, withstand those.
    """

    name: str
    network: str
    model: Model
    size: int
    threshold: float
    align: Align
    diverse: bool = False

    def embed(self, crops: torch.Tensor) -> torch.Tensor:
        """(N, 3, size, size) -> (N, D) in units of the threshold: faces at a distance below 1 match."""
        return self.model(crops.contiguous(memory_format=torch.channels_last)) / self.threshold


def load_surrogates(names: Sequence[str] = (DLIB,)) -> list[Surrogate]:
    """Surrogates by name: "dlib", the path of a checkpoint that `faceenc train` wrote, or "frbench:NAME".

    Raises:
        AssetError: weights cannot be had.
        CheckpointError: no such checkpoint, damaged, or not one of ours.
    """
    return [_load(name) for name in dict.fromkeys(names)]


def _load(name: str) -> Surrogate:
    if name == DLIB:
        return Surrogate(DLIB, DLIB, load_dlibnet(), CHIP_SIZE, MATCH_DISTANCE, _align_dlib, diverse=True)
    if name.startswith("frbench:"):
        judge = FRBenchJudge(name.removeprefix("frbench:"), mirrored=False)
        return _cosine(judge, ARCFACE_SIZE, lambda _, face: [key_points_similarity(face, points=ARCFACE_POINTS)])
    resnet = ResNetJudge(Path(name))
    size, model = resnet.model.input_size, resnet.model
    if model.framing == "aligned":
        return _cosine(resnet, size, lambda _, face: [key_points_similarity(face, size=size, border=ALIGNED_BORDER)])
    return _cosine(resnet, size, lambda _, face: [square_similarity(face.box, size=size, margin=SQUARE_MARGIN)])


def _cosine(judge: CosineJudge, size: int, align: Align) -> Surrogate:
    # Of two vectors of length 1: |a - b|^2 = 2 (1 - cosine).
    return Surrogate(judge.name, judge.network, judge.net, size, (2 * judge.threshold) ** 0.5, align)


def _align_dlib(image: NDArray[np.uint8], face: Face) -> list[Similarity]:
    own = dlib_similarities(image, face) if has_dlib() else []
    return [*own, key_points_similarity(face)]
