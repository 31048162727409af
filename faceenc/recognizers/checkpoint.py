"""Recognisers on disk: safetensors with metadata (classes, input size, how it was trained, hash of the training data)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from faceenc.core import RANGES, CheckpointError, shortened, write_atomically
from faceenc.faces import Framing
from faceenc.recognizers.resnet import FaceResNet

FORMAT = "faceenc-resnet18-1"
_HEAD = "network.fc.weight"
_LONGEST = 255  # characters of a name, as of a folder's

_TORCH = "a file of torch.save: give a faceenc checkpoint (.safetensors), or train from it, `faceenc train --init FILE`"
_PICTURE = "a picture: give the recogniser's file (.safetensors)"
_PAGE = "a page of the web: fetch the file itself, by the page's link for downloads"
# How files begin that people take for a recogniser, in small letters.
_KINDS = {
    b"pk\x03\x04": _TORCH, b"\x80\x02": _TORCH, b"\x80\x04": _TORCH, b"<!doctype": _PAGE, b"<html": _PAGE,
    b"version https://git-lfs": "a pointer of Git LFS: fetch the file itself with `git lfs pull`",
    b"\x89png": _PICTURE, b"\xff\xd8\xff": _PICTURE,
    b"\x89hdf": "a file of Keras (HDF5): give a faceenc checkpoint (.safetensors)",
}  # fmt: skip


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
        "sha256": weights_sha256(model),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, save({name: value.contiguous() for name, value in model.state_dict().items()}, metadata))


def load_checkpoint(path: Path) -> tuple[FaceResNet, dict[str, Any]]:
    """The recogniser of `path`, in evaluation mode, and the record of its training.

    Raises:
        CheckpointError: the file is missing, damaged, or not one of ours.
    """
    refuse_other_files(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise CheckpointError(
                    f"{path} holds weights that faceenc did not write (format {shortened(metadata.get('format'))}): give the"
                    " best.safetensors of `faceenc train`"
                )
            framing = metadata.get("framing", "square")
            if framing not in get_args(Framing):
                raise CheckpointError(f"{path} wants its crops {shortened(framing)}, which is unknown here: update faceenc")
            people = file.get_slice(_HEAD).get_shape()[0]
            facts = _checked_facts(metadata, people)
            model = FaceResNet(facts.classes, facts.input_size, framing)
            model.threshold = facts.threshold
            model.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 (not a dict)
            if unfit := [name for name, value in model.state_dict().items() if not value.isfinite().all()]:
                raise ValueError(f"{unfit[0]} holds numbers that are not finite")
            if "sha256" in metadata and metadata["sha256"] != weights_sha256(model):  # files of before do not say
                raise ValueError("its weights are not those that were saved")
    except (SafetensorError, OSError, RuntimeError, KeyError, ValueError, IndexError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"checkpoint {path} is damaged or was made otherwise ({reason}): copy it anew from where it was trained"
        ) from error
    return model.eval(), facts.training


class _Facts(NamedTuple):
    """What a checkpoint says of itself."""

    classes: tuple[str, ...]
    input_size: int
    threshold: float
    training: dict[str, Any]


def _checked_facts(metadata: dict[str, str], people: int) -> _Facts:
    """Whoever wrote them; a ValueError or KeyError where they make no sense.

    Args:
        metadata: of the file.
        people: that its last layer tells apart.
    """
    classes, training = json.loads(metadata["classes"]), json.loads(metadata["training"])
    if not isinstance(classes, list) or not all(isinstance(name, str) and 0 < len(name) <= _LONGEST for name in classes):
        raise ValueError(f"classes are not names of at most {_LONGEST} characters")
    if len(set(classes)) != len(classes) or len(classes) != people:
        raise ValueError(f"{len(set(classes))} names for {people} people")
    size, threshold = int(metadata["input_size"]), float(metadata.get("threshold", 0))
    if size not in RANGES["size"]:
        raise ValueError(f"input_size is {shortened(size)}, expected {RANGES['size']}")
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold is {threshold}, expected 0 to 1")
    if not isinstance(training, dict):
        raise ValueError("training is no record")
    return _Facts(tuple(classes), size, threshold, training)


def refuse_other_files(path: Path) -> None:
    """Says what a file is that cannot be a checkpoint.

    Raises:
        CheckpointError: it is something else, or nothing.
    """
    if path.is_dir():
        inside = path / "best.safetensors"
        raise CheckpointError(f"{path} is a folder: give {inside if inside.is_file() else 'the file of a recogniser in it'}")
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path} does not exist: check the path; `faceenc train` writes best.safetensors")
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise CheckpointError(f"checkpoint {path} cannot be read ({error.strerror}): check its permissions") from error
    if not head:
        raise CheckpointError(f"{path} is an empty file: copy or fetch the recogniser anew")
    for begin, what in _KINDS.items():
        if head.lstrip().lower().startswith(begin):
            raise CheckpointError(f"{path} is {what}")


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
