"""The face nets that registry packages carry: fetched, turned into torch modules, and kept so in the cache folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

from faceenc.core import ASSETS, AssetError, cache_dir, fetch
from faceenc.recognizers.cached_weights import keep_weights, read_weights
from faceenc.recognizers.packaged.onnx_file import read_onnx
from faceenc.recognizers.packaged.tflite_file import read_tflite
from faceenc.recognizers.packaged.twin import FaceTwin, Step, Wiring

_VERSION = 1  # counted up when the wiring of a file changes


class PackagedNet(NamedTuple):
    """How a net's file is read.

    Attributes:
        read: the reader of its format.
        mean: as of `Wiring`, where the file does not say it; as is `scale`.
        scale: see there.
    """

    read: Callable[..., Wiring]
    mean: float = 0.0
    scale: float = 1.0


# By the name of its asset. All take ArcFace's crops of 112 pixels, RGB.
PACKAGED = {
    "sface": PackagedNet(read_onnx),
    "faceplugin": PackagedNet(read_onnx, 127, 128),
    "mobilefacenet": PackagedNet(read_tflite, 127.5, 128),
}


def load_packaged(name: str) -> FaceTwin:
    """One of `PACKAGED`, frozen, in evaluation mode.

    Raises:
        AssetError: its file, or the package that reads it, cannot be had.
    """
    path, key = cache_dir() / f"{name}.safetensors", f"{_VERSION} {ASSETS[name].sha256}"
    kept = read_weights(path, key)
    if kept is not None:
        weights, record = kept
        steps = [Step(kind, tuple(i), o, s, tuple(p), g) for kind, i, o, s, p, g in json.loads(record["steps"])]
        return FaceTwin(Wiring(steps, weights, float(record["mean"]), float(record["scale"])))
    net = PACKAGED[name]
    try:
        wiring = net.read(fetch(name), mean=net.mean, scale=net.scale)
    except ImportError as error:
        raise AssetError(f"{name} is read by a package that is missing ({error}): pip install {error.name}") from error
    record = {"steps": json.dumps(wiring.steps), "mean": repr(wiring.mean), "scale": repr(wiring.scale)}
    keep_weights(path, key, dict(wiring.weights), record)
    return FaceTwin(wiring)
