"""From a configuration to the objects of a run: faces loaded, recognisers trained or read, the machine described."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from faceenc.accuracy import accuracy
from faceenc.assets import cache_dir
from faceenc.config import Config, DataConfig, RecognizerConfig, expand
from faceenc.data import FaceSet
from faceenc.grid import Plan, Subject
from faceenc.images import Framing
from faceenc.models.checkpoint import load_checkpoint, weights_sha256
from faceenc.models.defences import Transformed, defence
from faceenc.train import trained
from faceenc.types import CheckpointError, Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceenc.data.crops import OnNoFace

PACKAGES = (
    "faceenc", "torch", "torchvision", "adversarial-robustness-toolbox", "mediapipe", "numpy", "pandas", "pillow", "kornia",
)  # fmt: skip


def load_data(config: DataConfig, *, progress: Progress) -> FaceSet:
    """The people that the configuration names: the built-in ORL faces or a folder of folders."""
    from faceenc.data.demo import load_orl
    from faceenc.data.folder import load_folder

    tell = partial(progress, "faces")
    if config.source == "orl":
        return load_orl(config.size, progress=tell)
    return load_folder(
        expand(config.source),
        config.size,
        framing=cast(Framing, config.framing),
        test_share=config.test_share,
        min_images=config.min_images,
        on_no_face=cast("OnNoFace", config.on_no_face),
        progress=tell,
    )


def load_unlabelled(config: DataConfig, *, progress: Progress) -> NDArray[np.uint8]:
    """(M, S, S, 3) the faces of the configuration's unlabelled folders."""
    from faceenc.data.folder import load_faces

    parts = [np.zeros((0, config.size, config.size, 3), np.uint8)]
    for folder in map(expand, config.unlabelled):
        tell = partial(progress, folder.name)
        parts.append(load_faces(folder, config.size, framing=cast(Framing, config.framing), progress=tell)[0])
    return np.concatenate(parts)


def make_plan(config: Config, data: FaceSet, *, limit: int | None, device: str, progress: Progress) -> Plan:
    """Everything a run needs; recognisers without a checkpoint are trained unless they were before.

    Raises:
        CheckpointError: a checkpoint cannot be read or knows other people.
    """
    return Plan(
        config={**config.resolved(), "limit": limit, "device": device},
        data=data,
        subjects=tuple(_subject(part, data, device, progress) for part in config.recognizers),
        entries=config.entries,
        seeds=config.seeds,
        batch_size=config.batch_size,
        limit=limit,
        example_eps=config.example_eps,
        crosscheck_images=config.crosscheck,
        environment=environment(),
        minimum=config.minimum,
        device=device,
    )


def _subject(config: RecognizerConfig, data: FaceSet, device: str, progress: Progress) -> Subject:
    if config.checkpoint:
        path = expand(config.checkpoint)
        model, record = load_checkpoint(path)
        if model.classes != data.classes:
            raise CheckpointError(
                f"checkpoint {path} knows {len(model.classes)} people, the data has {len(data.classes)}"
                " (or others): use the data it was trained on, or train anew by leaving `checkpoint` out"
            )
        if model.framing != data.framing:
            raise CheckpointError(
                f'checkpoint {path} wants its crops "{model.framing}", the data has them "{data.framing}":'
                f' set framing = "{model.framing}" in [data]'
            )
        model.to(device)
    else:
        folder = cache_dir() / "recognizers"
        model, path = trained(data, config.training, folder=folder, device=device, progress=progress)
        record = load_checkpoint(path)[1]
    known: dict[str, Any] = {"sha256": weights_sha256(model), "train": record}
    if not config.defence:
        return Subject(config.name, model, known | {"clean_accuracy": accuracy(model, data, data.test)})
    defended = Transformed(model, defence(config.defence)).eval()
    known |= {"clean_accuracy": accuracy(defended, data, data.test), "defence": config.defence, "aware": config.aware}
    return Subject(config.name, defended, known, None if config.aware else (f"{config.name}, bare", model))


def environment() -> dict[str, Any]:
    """Versions, machine and revision, as run.json keeps them."""
    import torch

    return {
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "machine": {
            "platform": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "memory_gb": _memory_gb(),
        },
        "git": _revision(),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):  # no such name on this system
        return None


def _revision() -> str | None:
    """The checkout's commit, with "-dirty" if it was changed; None outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
