"""Recognisers on disk: safetensors with metadata (classes, input size, how it was trained, hash of the training data)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from faceenc.core import CheckpointError, write_atomically
from faceenc.faces import Framing
from faceenc.recognizers.resnet import FaceResNet

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
        raise CheckpointError(f"checkpoint {path} does not exist: check the path; `faceenc train` writes best.safetensors")
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


def load_weights(model: FaceResNet, path: Path) -> None:
    """Copy the weights of a file into `model`; its last layer only if the file knows the same people in the same order.

    Args:
        model: the recogniser.
        path: a faceenc checkpoint, or a ResNet-18 as torchvision saves it (`torch.save` of its state_dict).

    Raises:
        CheckpointError: the file is missing, damaged, or holds another network.
    """
    if path.suffix == ".safetensors":
        source, _ = load_checkpoint(path)
        state, classes = source.network.state_dict(), source.classes
    else:
        state, classes = _read_torch(path), ()
    if classes != model.classes:
        state = {name: value for name, value in state.items() if not name.startswith("fc.")}
    own = model.network.state_dict()
    if unfit := [name for name in own if name not in state and not name.startswith("fc.")]:
        raise CheckpointError(f"{path} holds no ResNet-18: {unfit[0]} is missing; use torchvision's or a faceenc file")
    try:
        model.network.load_state_dict({**own, **state})
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{path} holds no ResNet-18: {reason}; use torchvision's or a faceenc file") from error


def _read_torch(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise CheckpointError(
            f'init {str(path)!r} is no file: give "imagenet", "random", "dlib" or the path of a ResNet-18\'s weights'
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zipfile and torch each have errors of their own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path} cannot be read as weights ({reason}): fetch or save it anew") from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(f"{path} holds no state_dict of tensors: save one with torch.save(model.state_dict(), ...)")
    return state
