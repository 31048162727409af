"""Weights kept in the cache folder as safetensors: what was read from another file, verified each time it is read back."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from faceenc.core import write_atomically

log = logging.getLogger(__name__)

Weights = dict[str, torch.Tensor]


def keep_weights(path: Path, key: str, weights: Weights, record: Mapping[str, str] | None = None) -> None:
    """Write weights with what `read_weights` checks; a folder that cannot be written to is a warning.

    Args:
        path: in the cache folder.
        key: what they were made from, and how.
        weights: by name.
        record: anything else.
    """
    metadata = {**(record or {}), "key": key, "sha256": _digest(weights)}
    try:
        write_atomically(path, save(weights, metadata))
    except OSError as error:
        log.warning("weights not kept in %s: %s; set FACEENC_CACHE to a writable folder", path, error.strerror or error)


def read_weights(path: Path, key: str) -> tuple[Weights, dict[str, str]] | None:
    """The weights and the record; None if there are none, they are of another key, or one byte of them has changed."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            if metadata.get("key") != key:
                return None
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        log.info("rebuilding %s: %s", path, error)
        return None
    if metadata.get("sha256") != _digest(weights):
        log.warning("%s is damaged and is made anew", path)
        return None
    return weights, metadata


def damaged_weights(folder: Path) -> list[Path]:
    """Files of weights in a folder of `keep_weights` of which a byte has changed, or that cannot be read."""
    found = []
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        except (SafetensorError, OSError):
            found.append(path)
            continue
        if "key" in metadata and metadata.get("sha256") != _digest(weights):
            found.append(path)
    return found


def _digest(weights: Weights) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(f"{name} {tuple(weights[name].shape)}".encode())
        digest.update(weights[name].detach().contiguous().numpy().data)
    return digest.hexdigest()
