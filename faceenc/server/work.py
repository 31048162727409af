"""What a worker does: one photo protected, or two compared, with nets that stay loaded."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from faceenc.core import DataError
from faceenc.protect import Options, Protector, Step, verify_photo
from faceenc.recognizers import load_ensemble

MEDIA_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "TIFF": "image/tiff", "HEIF": "image/heif"}
_MAGIC = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"RIFF": "WEBP", b"II*\0": "TIFF", b"MM\0*": "TIFF"}


@dataclass(frozen=True)
class Wish:
    """What is asked of a worker.

    Attributes:
        photo: a photo file's bytes; of a comparison the original.
        options: how it is protected; None compares.
        other: the protected photo of a comparison.
        max_faces: of the photo.
    """

    photo: bytes
    options: Options | None = None
    other: bytes = b""
    max_faces: int = 0


@dataclass(frozen=True)
class Done:
    """What a worker made.

    Attributes:
        evidence: as `faceenc encrypt --json` and `faceenc verify --json` give it.
        attacked: names of the judges that were attacked.
        data: the protected photo's file.
        media_type: of it.
    """

    evidence: dict[str, Any]
    attacked: tuple[str, ...] = ()
    data: bytes = b""
    media_type: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of the evidence as canonical JSON: keys sorted, no blanks."""
        text = json.dumps(self.evidence, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def open_nets(threads: int) -> Protector:
    """A worker's nets and detectors, to compute with so many threads."""
    torch.set_num_threads(threads)
    return Protector(Options())


def judges() -> list[dict[str, Any]]:
    """Who is attacked and asked, for /v1/judges; their files are fetched, and thresholds fitted, before workers start."""
    return [{"name": one.name, "attacked": True, "licence": one.licence} for one in load_ensemble()]


def fulfil(nets: Protector, wish: Wish, tell: Callable[[dict[str, Any]], None]) -> Done:
    """The task of the server's workers; `tell` gets the data of "progress" events."""
    if wish.options is None:
        return Done(verify_photo(wish.photo, wish.other).to_json())
    tell({"what": "looking for faces", "share": 0.0})
    began = time.monotonic()

    def watch(what: str, step: Step) -> None:
        if step.faces > wish.max_faces:
            raise DataError(
                f"the photo has {step.faces} faces, more than {wish.max_faces}: ask for the largest ones with `faces`"
            )
        spent = time.monotonic() - began
        tell(
            {
                "what": what, "share": round(step.share, 4), "face": step.face, "faces": step.faces, "step": step.step,
                "steps": step.steps, "distances": {name: round(value, 3) for name, value in step.distances.items()},
                "seconds_left": round(spent * (1 - step.share) / max(step.share, 1e-3), 1),
            }
        )  # fmt: skip

    protector = nets.with_options(wish.options)
    found = protector(wish.photo, watch=watch)
    networks = found.evidence.networks
    attacked = tuple(name for name, network in networks.items() if network in found.attacked)
    return Done(found.to_json(), attacked, found.image, _media_type(found.image))


def _media_type(data: bytes) -> str:
    return MEDIA_TYPES[next((name for magic, name in _MAGIC.items() if data.startswith(magic)), "HEIF")]
