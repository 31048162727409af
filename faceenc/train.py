"""Fine-tune the recogniser to the people of a data set."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from faceenc.attacks.harness import ask
from faceenc.data import FaceSet
from faceenc.devices import has_bfloat16
from faceenc.images import to_tensor
from faceenc.models.checkpoint import load_checkpoint, save_checkpoint
from faceenc.models.resnet import FaceResNet, load_imagenet
from faceenc.transforms import augment
from faceenc.types import CheckpointError, Progress

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """A stretch of training at one image size: cheap small images first, the recogniser's own size at the end.

    Attributes:
        size: side of the training images in pixels.
        epochs: passes over the training images.
        learning_rate: peak of the one-cycle schedule.
        crop: training images show random parts, down to this share of the side. A stage at a lower size than the last one
            wants it: faces then look as large as they will (FixRes, https://arxiv.org/abs/1906.06423).
    """

    size: int
    epochs: int
    learning_rate: float
    crop: float = 1.0


@dataclass(frozen=True)
class Training:
    """How a recogniser is trained; the defaults are the student report's 25 epochs at 224 pixels.

    Attributes:
        init: "imagenet" (torchvision's weights, random ones with a warning where they cannot be fetched) or "random".
        stages: run one after the other, each with its own AdamW and one-cycle schedule.
        batch_size: images a step.
        weight_decay: AdamW's.
        label_smoothing: of the cross-entropy.
        degrees: augmentation: rotation within +-degrees.
        zoom: augmentation: scale within 1 +- zoom.
        noise: augmentation: Gaussian noise whose standard deviation is uniform in [0, noise], pixels in [0, 1].
        seed: of the initial weights, the order of the images and the augmentation.
    """

    init: str = "imagenet"
    stages: tuple[Stage, ...] = field(default=(Stage(224, 25, 1e-3),))
    batch_size: int = 28
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    degrees: float = 30.0
    zoom: float = 0.1
    noise: float = 0.0
    seed: int = 0


def trained(
    data: FaceSet, training: Training, *, folder: Path, device: str = "cpu", progress: Progress | None = None
) -> tuple[FaceResNet, Path]:
    """The recogniser for `data`: from `folder` if it was trained there before, else trained now and stored.

    Returns:
        The recogniser in evaluation mode on `device`, and its checkpoint; the file's name says data and training.
    """
    key = json.dumps({"data": data.sha256, "training": asdict(training)}, sort_keys=True)
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
    data: FaceSet, training: Training, *, device: str = "cpu", progress: Progress | None = None
) -> tuple[FaceResNet, dict[str, Any]]:
    """Train from scratch or from ImageNet weights; global random state is left as it was.

    Returns:
        The recogniser in evaluation mode, and a JSON-like record: data, settings, accuracies in [0, 1], seconds.
    """
    start = time.perf_counter()
    rng = torch.Generator().manual_seed(training.seed)
    with torch.random.fork_rng():
        torch.manual_seed(training.seed)
        model = FaceResNet(data.classes, data.images.shape[1])
    pretrained = training.init == "imagenet" and load_imagenet(model)
    model.to(device).to(memory_format=torch.channels_last)
    batches = _batches(data, training, rng)
    total = sum(stage.epochs * _steps(data, training) for stage in training.stages)
    done = 0
    for stage in training.stages:
        steps = stage.epochs * _steps(data, training)
        optimizer = torch.optim.AdamW(model.parameters(), lr=stage.learning_rate, weight_decay=training.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, stage.learning_rate, total_steps=steps)
        model.train()
        for _ in range(steps):
            x, labels = next(batches)
            x = augment(x, rng, size=stage.size, degrees=training.degrees, zoom=training.zoom, crop=stage.crop)
            if training.noise:
                strength = training.noise * torch.rand(len(x), 1, 1, 1, generator=rng)
                x = (x + strength * torch.randn(x.shape, generator=rng)).clamp_(0, 1)
            x = x.to(device, memory_format=torch.channels_last)
            with torch.autocast(device, torch.bfloat16, enabled=has_bfloat16(device)):
                logits = model(x)
            loss = F.cross_entropy(logits.float(), labels.to(device), label_smoothing=training.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            done += 1
            if progress is not None:
                progress("training", done, total)
    # Back to the plain layout: the exact engine's parity with ART is a matter of which kernels run.
    model.eval().to(memory_format=torch.contiguous_format)
    record = {
        "data": data.name,
        "data_sha256": data.sha256,
        "settings": asdict(training),
        "init": "imagenet" if pretrained else "random",
        "train_accuracy": accuracy(model, data, data.train),
        "test_accuracy": accuracy(model, data, data.test),
        "seconds": round(time.perf_counter() - start, 1),
    }
    return model, record


def accuracy(model: FaceResNet, data: FaceSet, rows: Any) -> float:
    """Share of the images `rows` of `data` that `model` names rightly, in [0, 1]."""
    device = next(model.parameters()).device
    right = 0
    for start in range(0, len(rows), 32):
        part = rows[start : start + 32]
        predictions = ask(model, to_tensor(data.images[part]).to(device)).argmax(1).cpu()
        right += int((predictions == torch.from_numpy(data.labels[part])).sum())
    return right / len(rows)


def _steps(data: FaceSet, training: Training) -> int:
    """Steps an epoch; the last, smaller batch is dropped unless it is the only one."""
    return max(1, len(data.train) // training.batch_size)


def _batches(data: FaceSet, training: Training, rng: torch.Generator) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless (images (B, 3, S, S), labels (B,)), shuffled anew each epoch."""
    labels = torch.from_numpy(data.labels)
    while True:
        order = torch.from_numpy(data.train)[torch.randperm(len(data.train), generator=rng)]
        for step in range(_steps(data, training)):
            rows = order[step * training.batch_size : (step + 1) * training.batch_size]
            yield to_tensor(data.images[rows.numpy()]), labels[rows]
