"""Fine-tune the recogniser to the people of a data set."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceenc.core import CheckpointError, Progress
from faceenc.data import FaceSet
from faceenc.faces import ALIGNED_SIZE
from faceenc.recognizers import FaceResNet, load_checkpoint, save_checkpoint
from faceenc.train.recipe import Training
from faceenc.train.trainer import Keeper, Trainer

log = logging.getLogger(__name__)

_NO_FACES = np.zeros((0, ALIGNED_SIZE, ALIGNED_SIZE, 3), np.uint8)


def trained(
    data: FaceSet, training: Training, *, folder: Path, device: str = "cpu", progress: Progress | None = None
) -> tuple[FaceResNet, Path]:
    """The recogniser for `data`: from `folder` if it was trained there before, else trained now and stored.

    Returns:
        The recogniser in evaluation mode on `device`, and its checkpoint; the file's name says data and training.
    """
    key = json.dumps({"data": data.sha256, "training": training.record()}, sort_keys=True)
    path = folder / f"{data.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"
    if path.exists():
        try:
            model, _ = load_checkpoint(path)
            log.info("recogniser trained before: %s", path)
            return model.to(device), path
        except CheckpointError as error:
            log.warning("%s; training anew", error)
    model, record = train(data, training, device=device, progress=progress)
    save_checkpoint(model, path, record)
    return model, path


def train(
    data: FaceSet,
    training: Training,
    *,
    unlabelled: NDArray[np.uint8] = _NO_FACES,
    keeper: Keeper | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> tuple[FaceResNet, dict[str, Any]]:
    """Train a recogniser; global random state is left as it was.

    Args:
        data: the people; with init "dlib" aligned crops of 224 pixels.
        training: how.
        unlabelled: (M, 224, 224, 3) aligned crops of other faces, for init "dlib".
        keeper: keeps each epoch's state, and hands over the one to go on from.
        device: "cpu" or "cuda".
        progress: called with the steps done.

    Returns:
        The recogniser of the best epoch in evaluation mode, and a JSON-like record: data, settings, accuracies in [0, 1],
        seconds.
    """
    return Trainer(data, training, unlabelled, keeper, device, progress).run()
