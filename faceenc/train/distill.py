"""Learning from dlib's face net: a recogniser that starts with its weights and keeps imitating its embeddings.

The teacher knows faces in general, the recogniser is to know some people. Imitation on many faces, named or not, keeps it
from learning its few photos by heart (distillation, https://arxiv.org/abs/1503.02531).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from faceenc.core import DataError, Progress
from faceenc.data import FaceSet
from faceenc.faces import ALIGNED_SIZE
from faceenc.media import to_tensor
from faceenc.recognizers import DlibNet, FaceResNet, chip_of_crop, features_of, load_dlibnet
from faceenc.train.transplant import embedding_head, start_classifier, transplant_weights

_OWN_SHARE = 0.6  # of a named face's target; the rest is the mean of the person's photos
_CALIBRATION = 256  # crops that set the transplanted batch norms
_FITTING = 4096  # crops, at most, that the embedding head is fitted to
_BATCH = 64

View = Callable[[torch.Tensor], torch.Tensor]


@dataclass(eq=False)
class Lesson:
    """What the recogniser learns from the teacher.

    Attributes:
        head: from the recogniser's pooled features (N, 512) to embeddings (N, 128); trained along.
        labelled: (N, 128) unit target for each image of the data set; of use for its training images only.
        unlabelled: (M, 128) unit target for each unlabelled face.
    """

    head: nn.Linear
    labelled: torch.Tensor
    unlabelled: torch.Tensor

    def loss(self, features: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """() mean of 1 - cosine between the head's embeddings of (B, 512) features and (B, 128) unit targets."""
        return 1 - F.cosine_similarity(self.head(features).float(), targets).mean()


def start_from_dlib(
    model: FaceResNet,
    data: FaceSet,
    rows: NDArray[np.int64],
    unlabelled: NDArray[np.uint8],
    *,
    view: View,
    precision: AbstractContextManager[object],
    progress: Progress | None = None,
) -> Lesson:
    """Put dlib's weights into `model`, fit an embedding head, and start the classifier from the people's mean embeddings.

    Args:
        model: on the CPU.
        data: aligned crops of 224 x 224 pixels.
        rows: the training images, every person at least once; no other image is used.
        unlabelled: (M, 224, 224, 3) aligned crops of other faces; M may be 0.
        view: what training will show of (N, 3, 224, 224) crops, without its randomness.
        precision: autocast or not, for the passes through the recogniser.
        progress: called with the teacher's work.

    Raises:
        DataError: the crops are not aligned ones of 224 pixels.
        AssetError: the face net cannot be had.
    """
    if data.framing != "aligned" or data.images.shape[1:3] != (ALIGNED_SIZE, ALIGNED_SIZE):
        raise DataError(
            f"a start from the dlib net needs aligned crops of {ALIGNED_SIZE} pixels, {data.name} has {data.framing} ones of"
            f" {data.images.shape[1]}: use a folder of photos with size = {ALIGNED_SIZE}, or another init"
            ' ("imagenet", "random")'
        )
    net = load_dlibnet()
    known, total = data.images[rows], len(rows) + len(unlabelled)
    embeddings = teach(net, known, lambda done: progress("teacher", done, total) if progress else None)
    others = teach(net, unlabelled, lambda done: progress("teacher", len(rows) + done, total) if progress else None)
    # All faces share most of their embedding: only without its mean do cosines distinguish people.
    mean = torch.cat([embeddings, others]).mean(0)
    embeddings, others = F.normalize(embeddings - mean), F.normalize(others - mean)
    labels = torch.from_numpy(data.labels[rows])
    centres = F.normalize(torch.zeros(len(data.classes), embeddings.shape[1]).index_add_(0, labels, embeddings))
    transplant_weights(model, net, view(to_tensor(known[:: max(1, len(known) // _CALIBRATION)])).contiguous())
    stride = max(1, -(-total // _FITTING))
    sample = np.concatenate([known[::stride], unlabelled[::stride]])
    features = []
    with torch.no_grad(), features_of(model) as latest, precision:
        for start in range(0, len(sample), _BATCH):
            model(view(to_tensor(sample[start : start + _BATCH])).contiguous(memory_format=torch.channels_last))
            features.append(latest[0].float())
    head = embedding_head(torch.cat(features), torch.cat([embeddings[::stride], others[::stride]]))
    start_classifier(model, head, centres)
    targets = torch.zeros(len(data.images), embeddings.shape[1])
    targets[torch.from_numpy(rows)] = F.normalize(_OWN_SHARE * embeddings + (1 - _OWN_SHARE) * centres[labels])
    return Lesson(head, targets, others)


@torch.no_grad()
def teach(net: DlibNet, crops: NDArray[np.uint8], progress: Callable[[int], None] = lambda done: None) -> torch.Tensor:
    """(N, 128) unit embeddings of (N, 224, 224, 3) aligned crops, each averaged over the picture and its mirror image."""
    parts = [torch.zeros(0, 128)]
    for start in range(0, len(crops), _BATCH):
        x = to_tensor(np.ascontiguousarray(chip_of_crop(crops[start : start + _BATCH])))
        parts.append(F.normalize(F.normalize(net(x)) + F.normalize(net(x.flip(-1)))))
        progress(min(start + _BATCH, len(crops)))
    return torch.cat(parts)
