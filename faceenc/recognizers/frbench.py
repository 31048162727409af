"""Recognisers of the package `frbench` (ArcFace and its kin), where it and its weights are installed. The only user of it.

https://pypi.org/project/frbench; its weights come from its own release page, fetched by its own command. Nothing is fetched
here: what is missing is an error that says how to get it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from faceenc.core import AssetError, window_around
from faceenc.faces import ARCFACE_SIZE
from faceenc.media import to_tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from faceenc.core import Face


_NOSE, _MOUTH = 2, 3
_AROUND = 1.0  # box sides on each side of a face that the crop may reach to


class FRBenchNet(nn.Module):
    """One of frbench's recognisers, frozen.

    Shape
        (N, 3, 112, 112) float32 RGB in [0, 1], cut out by `crop` -> (N, D) embeddings of length 1; differentiable.

    Attributes:
        name: backbone_loss_dataset, as `frbench-download --list-models` lists it.
        fingerprint: changes with the weights.
        mirrored: whether each answer is the mean over the face and its mirror image, as frbench itself answers.
    """

    def __init__(self, model: Any, name: str, fingerprint: str, *, mirrored: bool = False) -> None:
        super().__init__()
        self.name = name
        self.fingerprint = fingerprint
        self.mirrored = mirrored
        self._model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        import frbench

        views = ("flip_horizontal",) if self.mirrored else ()
        # It suspects values in [0, 1] where a crop is all black.
        with frbench.configure_scoped(verbose=False):
            found = self._model(x * 255, need_crop=False, tta=views, l2_normalize=False).embeddings
        return F.normalize(found.float(), dim=-1)

    def with_mirror_image(self) -> FRBenchNet:
        """The same net answering in frbench's own way, at twice the cost."""
        return FRBenchNet(self._model, self.name, self.fingerprint, mirrored=True)

    def crop(self, image: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
        """The face brought by eyes, nose tip and mouth to ArcFace's places, by frbench's own sampler.

        Args:
            image: (H, W, 3) uint8 RGB.
            face: as detected in this very image.

        Returns:
            (112, 112, 3) uint8 RGB.
        """
        import frbench

        height, width = image.shape[:2]
        x0, y0, x1, y1 = window_around(face.box, width, height, margin=_AROUND)
        wanted = frbench.arcface_template((ARCFACE_SIZE, ARCFACE_SIZE))
        five = face.landmarks.get("arcface")
        if five is None:  # MediaPipe knows the mouth's centre only: it stands for both corners
            wanted = torch.cat([wanted[:3], wanted[3:].mean(0).expand(2, 2)])
            six = face.landmarks["mediapipe"]
            five = tuple(six[k] for k in (0, 1, _NOSE, _MOUTH, _MOUTH))
        points = torch.tensor([five], dtype=torch.float32)
        found = points - torch.tensor([x0 + 0.5, y0 + 0.5])  # frbench counts from the first pixel's centre
        window = to_tensor(image[None, y0:y1, x0:x1])[0] * 255
        crops = frbench.align(window, found, wanted, (ARCFACE_SIZE, ARCFACE_SIZE))
        pixels: NDArray[np.uint8] = crops[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
        return pixels


def load_frbench(name: str) -> FRBenchNet:
    """One of frbench's recognisers, from the weights in its cache.

    Args:
        name: backbone_loss_dataset, "mobilefacenet_arcface_ms1m" say.

    Raises:
        AssetError: the package is not installed, the name is unknown, or its weights are not there or damaged.
    """
    try:
        import frbench
    except ImportError as error:
        raise AssetError(f"frbench cannot be loaded ({error}): pip install 'faceenc[frbench]'") from error
    entry = _cached_entry(Path(frbench.CACHE), name)
    parts = name.rsplit("_", 2)
    try:
        with frbench.configure_scoped(verbose=False, update_check=False):
            # A detector object instead of a name: that needs no weights until it is asked.
            model = frbench.FR(*parts, detector=frbench.FaceDetector(), eager_load=True)
    except Exception as error:  # frbench, torch and yaml each have errors of their own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise AssetError(f"frbench cannot load {name} ({reason}): try frbench-download --force {name}") from error
    fingerprint = hashlib.sha256(json.dumps([name, entry], sort_keys=True).encode()).hexdigest()
    return FRBenchNet(model.eval().requires_grad_(False), name, fingerprint)


def _cached_entry(cache: Path, name: str) -> dict[str, Any]:
    """What frbench's own list says about a recogniser whose files are all there."""
    remedy = f"frbench-download {name}"
    try:
        manifest = json.loads((cache / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AssetError(f"frbench's list of recognisers is not in {cache}: get it with {remedy}") from error
    entry = manifest.get(name)
    if not isinstance(entry, dict) or len(name.rsplit("_", 2)) != 3:
        raise AssetError(f"frbench knows no recogniser {name!r}: frbench-download --list-models shows their names")
    files = [cache / str(entry.get("target_name")) / str(file) for file in dict(entry.get("contents", {})).values()]
    if not files or not all(file.is_file() for file in files):
        raise AssetError(f"the weights of {name} are not in {cache}: get them with {remedy}")
    return entry
