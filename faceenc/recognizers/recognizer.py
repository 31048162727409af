"""One recogniser: a net, how its crops are cut out of photos, and how far apart two of its embeddings are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import nn

from faceenc.media import to_tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceenc.core import Face
    from faceenc.faces import CropRule, Similarity
    from faceenc.recognizers.foreign.net import ForeignClassifier
    from faceenc.recognizers.resnet import FaceResNet

_BATCH = 32


class OnDevice(nn.Module):
    """A net that computes on another device than its pictures are on; its answers come back to them."""

    def __init__(self, net: nn.Module, device: str) -> None:
        super().__init__()
        self.net = net.to(device)
        self.device = device

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.net(x.to(self.device)).to(x.device)
        return answer


@dataclass(frozen=True, eq=False)
class Recognizer:
    """A recogniser of faces, made by `load_recognizer`.

    A benchmark measures it; a judge is asked whether two faces match; a surrogate is attacked; the webcam hides from one.
    The distance up to which its faces match is no part of it: see `operating_point`.

    Shape
        Crops are (N, 3, size, size) float32 RGB in [0, 1], or (N, size, size, 3) uint8 RGB at rest.

    Attributes:
        name: in tables and records.
        network: fingerprint of the weights; an attack on the same network is white-box.
        crops: how its crops are cut out of a photo.
        embedding: crops -> (N, D) embeddings; frozen, in evaluation mode, with gradients where it is `differentiable`.
        metric: "euclidean", or "cosine": 1 - cosine of embeddings of length 1, in [0, 2].
        licence: of the weights; "" where nobody says.
        classifier: crops -> (N, K) logits of the people it knows by name (its `classes`, its `threshold` for strangers);
            None for a recogniser of strangers only.
        device: where its nets compute; crops and answers stay where the caller has them.
        record: of its training, as its checkpoint has it; of one of others, how it is fed; empty where there is none.
        judging: answers instead of `embedding` where it judges, in its vendor's way that costs more.
        describe: one uint8 crop -> (D,) by the vendor's own code: slow, and exact.
        wide_views: noise made over wide views of it holds for other recognisers. Ours, trained on turned and mirrored faces,
            withstand such noise themselves.
        differentiable: it gives gradients; what does not judges, and is attacked by attacks that only ask.
    """

    name: str
    network: str
    crops: CropRule
    embedding: nn.Module
    metric: Literal["euclidean", "cosine"] = "cosine"
    licence: str = ""
    classifier: FaceResNet | ForeignClassifier | None = None
    device: str = "cpu"
    record: Mapping[str, Any] = field(default_factory=dict)
    judging: nn.Module | None = None
    describe: Callable[[NDArray[np.uint8]], NDArray[np.float64]] | None = None
    wide_views: bool = False
    differentiable: bool = True

    def on(self, device: str) -> Recognizer:
        """The same with its nets on another device; this one must not be used any more."""
        if self.classifier is not None:
            self.classifier.to(device)
        judging = None if self.judging is None else OnDevice(self.judging, device)
        return replace(self, embedding=OnDevice(self.embedding, device), judging=judging, device=device)

    @property
    def size(self) -> int:
        """Side of its crops in pixels."""
        return self.crops.size

    def cut(self, image: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
        """(size, size, 3) uint8 RGB: what it sees of a face detected in this (H, W, 3) uint8 RGB image.

        Raises:
            ValueError: the face's key points lie on one another.
        """
        return self.crops.cut(image, face)

    def align(self, image: NDArray[np.uint8], face: Face) -> Sequence[Similarity]:
        """Where its crop may lie in the photo."""
        return self.crops.similarities(image, face)

    def embed(self, crops: torch.Tensor) -> torch.Tensor:
        """(N, 3, size, size) -> (N, D), with gradients. Channels-last halves the time of convolutions on a processor."""
        embeddings: torch.Tensor = self.embedding(crops.contiguous(memory_format=torch.channels_last))
        return embeddings

    @torch.no_grad()
    def embed_crops(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(N, size, size, 3) uint8 -> (N, D), as a judge: the same as `embed_face` up to rounding, quicker for many."""
        ask = self.judging or self.embedding
        parts = [ask(part.contiguous(memory_format=torch.channels_last)) for part in to_tensor(crops).split(_BATCH)]
        found: NDArray[np.float64] = torch.cat(parts).double().numpy()
        return found

    def embed_face(self, image: NDArray[np.uint8], face: Face) -> NDArray[np.float64]:
        """(D,) of a face detected in this (H, W, 3) uint8 RGB image, by the vendor's own code where that is at hand."""
        crop = self.cut(image, face)
        if self.describe is not None:
            return self.describe(crop)
        embedding: NDArray[np.float64] = self.embed_crops(crop[None])[0]
        return embedding

    def distance(self, one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
        """Between two (D,) embeddings; 0 or more."""
        if self.metric == "euclidean":
            return float(np.linalg.norm(one - other))
        return max(0.0, 1 - float(one @ other))
