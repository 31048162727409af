"""The parts of a live run, by the names that people use for them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from faceenc.core import ConfigError, ConsentError
from faceenc.faces import FaceDetector, YuNet
from faceenc.live.identifier import Identifier
from faceenc.live.masks import MaskBook, load_masks
from faceenc.live.methods import METHODS, AutoMethod, MaskMethod, Method, NoiseMethod, PgdMethod
from faceenc.live.tracking import NearOrWide
from faceenc.protect import audit, load_consent, read_consent, same_name
from faceenc.recognizers import DLIB, load_surrogate, threshold_doubt

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


log = logging.getLogger(__name__)

READ_EVERY = 10  # frames between two readings of a face: each costs almost as much as a gradient step in bfloat16
_MIN_SCORE = 0.6  # of a face: lower ones are often prints and patterns, and each costs as much time as a face


@contextmanager
def live_detector() -> Iterator[NearOrWide]:
    """The detector of the live loop. One thread at a time may use it."""
    with FaceDetector(min_score=_MIN_SCORE) as near, FaceDetector(model="full", min_score=_MIN_SCORE) as wide:
        yield NearOrWide(near, wide, YuNet(min_score=_MIN_SCORE))


def load_identifier(spec: str = DLIB, *, device: str = "cpu", trust_code: bool = False) -> tuple[Identifier, MaskBook]:
    """The recogniser to hide from, and the masks made against it; arguments and errors as of `load_surrogate`."""
    recognizer = load_surrogate(spec, device=device, trust_code=trust_code)
    if recognizer.classifier is not None and (doubt := threshold_doubt(recognizer.classifier.threshold, recognizer.record)):
        log.warning("%s: %s", spec, doubt)
    masks = load_masks(recognizer.network)
    return Identifier(recognizer, {mask.person: mask.answers for mask in masks}), MaskBook(masks)


def make_method(name: str, identifier: Identifier, masks: MaskBook, *, steps: int, gradients: str = "auto") -> Method:
    """A method by its name.

    Raises:
        ConfigError: no such method, or one that needs a mask where nobody is enrolled.
    """
    if name == "pgd":
        return PgdMethod(steps=steps, gradients=gradients)
    if name == "mask" and not masks.masks:
        raise ConfigError(
            "nobody is enrolled for this recogniser: make a mask with faceenc enroll NAME PHOTOS... (with the same"
            " `surrogate`), or use `method=pgd`"
        )
    if name == "mask":
        return MaskMethod(masks)
    if name == "auto":
        return AutoMethod(masks, PgdMethod(early_stop=identifier.margin, gradients=gradients), most=max(1, steps))
    if name == "noise":
        return NoiseMethod(torch.Generator().manual_seed(0))
    raise ConfigError(f"there is no method {name!r}: choose one of {', '.join(METHODS)}")


def read_targets(target: str | None, consents: Sequence[Path]) -> dict[str, NDArray[np.float32]]:
    """Whom faces may be made to look like: people whose consents are given. Name -> (N, 128) embeddings.

    Args:
        target: the first one; None hides people.
        consents: files of `faceenc consent`.

    Raises:
        ConfigError: consents without a target.
        ConsentError: no consent of the target, or one that does not hold.
    """
    if target is None:
        if consents:
            raise ConfigError("`consents` is for being taken for who signed it: add `target=NAME`, or leave it out")
        return {}
    found: dict[str, NDArray[np.float32]] = {}
    signers: dict[str, str] = {}
    for path in consents:
        consent = read_consent(path, name=load_consent(path).name)  # valid today
        found[consent.name] = consent.embeddings[DLIB]
        signers[consent.name] = consent.fingerprint
    first = next((name for name in found if same_name(name, target)), None)
    if first is None:
        raise ConsentError(
            f"to be taken for {target} needs their consent: ask them for the file that faceenc consent writes,"
            " and name it with `consents=FILE`"
        )
    audit("impersonate", fingerprints=sorted(signers.values()))
    return {first: found.pop(first), **found}
