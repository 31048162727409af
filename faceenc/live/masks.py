"""Masks: a person's noise, made once by `faceenc enroll` and laid over the face in every frame.

They lie in the user's data folder of this platform, below masks; `FACEENC_MASKS` names another folder. One safetensors
file a person and network: the noise, and embeddings of the person's photos by which the live loop knows whose face it sees.
Those are measurements of a face: the files are readable by their owner alone, and nothing sends them anywhere.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from faceenc.core import DataError, atomic_file, open_file
from faceenc.faces import ALIGNED_SIZE, CHIP_SIZE, Similarity
from faceenc.live.noise import FaceNoise

log = logging.getLogger(__name__)

FORMAT = "faceenc-mask-1"

# Where the face's chip lies in a mask: a mask is an aligned crop's size.
CHIP = Similarity(1 + 0j, (ALIGNED_SIZE - CHIP_SIZE) / 2 * (1 + 1j))

_BAD = re.compile(r'[\x00-\x1f/\\:*?"<>|]')


@dataclass(frozen=True, eq=False)
class Mask:
    """A person's mask.

    Attributes:
        person: the name.
        network: of the recogniser it was made against (`Identifier.network`).
        noise: (1, 3, ALIGNED_SIZE, ALIGNED_SIZE) in [-1, 1], shares of eps; the chip lies at `CHIP`.
        answers: (N, K) the recogniser's answers about the person's photos.
    """

    person: str
    network: str
    noise: torch.Tensor
    answers: torch.Tensor


def masks_dir() -> Path:
    """The folder of the masks, absolute: `FACEENC_MASKS`, else one in the user's data folder. It need not exist yet."""
    chosen = os.environ.get("FACEENC_MASKS")
    folder = Path(chosen) if chosen else Path(platformdirs.user_data_dir("faceenc", appauthor=False)) / "masks"
    return folder.expanduser().absolute()


def save_mask(mask: Mask) -> Path:
    """Writes a mask, in place of an older one of the same person and network; the file.

    Raises:
        DataError: a name that cannot be a file's, or it cannot be written.
    """
    folder = masks_dir()
    path = folder / _filename(mask.person, mask.network)
    metadata = {"format": FORMAT, "person": json.dumps(mask.person), "network": mask.network}
    data = save({"noise": mask.noise.contiguous(), "answers": mask.answers.contiguous()}, metadata)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(path, private=True) as file:
            file.write(data)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}; set FACEENC_MASKS to a writable folder") from error
    return path


def load_masks(network: str) -> list[Mask]:
    """All masks made against a network, by name; a file that cannot be read is warned about and left out."""
    masks = []
    for path in sorted(masks_dir().glob("*.safetensors")):
        try:
            open_file(path).close()
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT or metadata.get("network") != network:
                    continue
                noise, answers = file.get_tensor("noise"), file.get_tensor("answers")
                if noise.shape != (1, 3, ALIGNED_SIZE, ALIGNED_SIZE) or not noise.isfinite().all():
                    raise ValueError("another size than masks have")
                masks.append(Mask(json.loads(metadata["person"]), network, noise.float().clamp(-1, 1), answers.float()))
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            log.warning("mask %s left out (%s): enroll the person again", path, str(error).partition("\n")[0])
    return masks


@dataclass(frozen=True)
class MaskBook:
    """The masks for the methods: a person's own, or else anybody's, for some protection is better than none."""

    masks: Sequence[Mask]

    def __call__(self, name: str | None) -> FaceNoise | None:
        """In shares of eps; None where nobody is enrolled."""
        own = [mask for mask in self.masks if name is not None and mask.person.casefold() == name.casefold()]
        found = own or self.masks
        return FaceNoise(found[0].noise, CHIP) if found else None


def _filename(person: str, network: str) -> str:
    if not person.strip() or not person.isprintable():
        raise DataError(f"{person!r} is no name: use letters that can be seen")
    # The name for people; the digest tells apart what looks the same in a file's name.
    digest = hashlib.sha256(f"{person.casefold()} {network}".encode()).hexdigest()[:12]
    return f"{_BAD.sub('_', person)[:60].strip('. ')}-{digest}.safetensors"
