"""Recognisers on disk: safetensors with metadata (classes, input size, how it was trained, hash of the training data)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, get_args

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from faceenc.files import write_atomically
from faceenc.images import Framing
from faceenc.models.resnet import FaceResNet
from faceenc.types import CheckpointError

FORMAT = "faceenc-resnet18-1"


def weights_sha256(model: FaceResNet) -> str:
    """Fingerprint of what the recogniser computes: its weights by name, and its classes."""
    digest = hashlib.sha256(json.dumps(model.classes).encode())
    for name, value in model.state_dict().items():
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_checkpoint(model: FaceResNet, path: Path, training: dict[str, Any]) -> None:
    """Write `model` to `path` atomically.

    Args:
        model: the recogniser.
        path: the file; its folder is made if need be.
        training: JSON-like record of data and training, kept as it is.
    """
    metadata = {
        "format": FORMAT,
        "classes": json.dumps(model.classes),
        "input_size": str(model.input_size),
        "framing": model.framing,
        "threshold": str(model.threshold),
        "training": json.dumps(training),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, save({name: value.contiguous() for name, value in model.state_dict().items()}, metadata))


def load_checkpoint(path: Path) -> tuple[FaceResNet, dict[str, Any]]:
    """The recogniser of `path`, in evaluation mode, and the record of its training.

    Raises:
        CheckpointError: the file is missing, damaged, or not one of ours.
    """
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path} does not exist: check the path, or leave it out to train a recogniser")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise CheckpointError(f"{path} is not a faceenc checkpoint (format {metadata.get('format')!r}): train one")
            framing = metadata.get("framing", "square")
            if framing not in get_args(Framing):
                raise CheckpointError(f"{path} wants its crops {framing!r}, unknown to this release: update faceenc")
            model = FaceResNet(tuple(json.loads(metadata["classes"])), int(metadata["input_size"]), framing)
            model.threshold = float(metadata.get("threshold", 0))
            model.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, RuntimeError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"checkpoint {path} cannot be read ({reason}): delete it and train again") from error
    return model.eval(), json.loads(metadata["training"])
