"""Embeddings to move away from or to: a person's other photos, and people who do not exist."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from faceenc.core import DataError
from faceenc.data import enlarge, read_orl
from faceenc.faces import FaceDetector, cut_out, main_face
from faceenc.media import look_into, person_of, protected_copies, read_photo
from faceenc.protect.windows import face_window
from faceenc.recognizers import Recognizer, in_thresholds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceenc.core import Detector, Face


log = logging.getLogger(__name__)

_NOVEL = 1.0  # thresholds that a decoy keeps from each of the people whom it is mixed of
_DRAWS = 100


@torch.no_grad()
def embed_face(image: NDArray[np.uint8], face: Face, surrogates: Sequence[Recognizer]) -> list[torch.Tensor]:
    """For each surrogate the embeddings (crops, D) of one face, in units of its threshold."""
    window = face_window(image, face, surrogates)
    return [
        in_thresholds(s, cut_out(window.picture, [crop.moved(0, window.levels) for crop in crops], size=s.size))
        for s, crops in zip(surrogates, window.crops, strict=True)
    ]


def embed_person(folder: Path, surrogates: Sequence[Recognizer], detector: Detector) -> list[torch.Tensor]:
    """For each surrogate (R, D), the main faces of the photos in a folder.

    Raises:
        DataError: no such folder, or no face in any of its photos.
    """
    folders = look_into(folder.parent)[1] if folder.parent.is_dir() else []
    files = [file for own in folders if person_of(own) == person_of(folder) for file in look_into(own)[0]]
    copies = protected_copies(files)
    files = [file for file in files if file not in copies]
    if not files:
        raise DataError(f"no photos in {folder}: put photos of the person there, or leave `person` out")
    found = []
    for file in files:
        image = read_photo(file).pixels
        faces = detector(image)
        if faces:
            found.append(embed_face(image, main_face(faces, image.shape[1], image.shape[0]), surrogates))
        else:
            log.warning("no face found in %s; left out", file)
    if not found:
        raise DataError(f"no face found in any photo in {folder}: put clearer photos of the person there")
    return [torch.cat(parts) for parts in zip(*found, strict=True)]


def make_decoy(surrogates: Sequence[Recognizer], *, seed: int) -> list[torch.Tensor]:
    """For each surrogate the embedding (1, D) of a person who does not exist.

    The 40 people of the ORL faces span it: their mean, plus their deviations from it in random shares that give it their
    usual length. A draw that comes within the threshold of any of them is thrown away: a decoy is nobody.

    Args:
        surrogates: who are to see that person.
        seed: which person; the same for all photos that are to look like one.

    Raises:
        AssetError: the ORL faces cannot be fetched.
        DataError: no mixture keeps off everybody.
    """
    rng = torch.Generator().manual_seed(seed)
    people = _orl_people(surrogates)
    for _ in range(_DRAWS):
        shares = torch.randn(len(people[0]), generator=rng)
        decoys = [_mix(own, shares) for own in people]
        if all(float((own - decoy).norm(dim=1).min()) > _NOVEL for own, decoy in zip(people, decoys, strict=True)):
            return decoys
    raise DataError(f"no decoy found that resembles nobody (seed {seed}): take another `decoy` number")


def _mix(people: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    mean = people.mean(0)
    around = people - mean
    mixed = shares @ around
    decoy: torch.Tensor = mean + mixed * (around.norm(dim=1).mean() / mixed.norm())
    return decoy[None]


def _orl_people(surrogates: Sequence[Recognizer]) -> list[torch.Tensor]:
    """For each surrogate (40, D), the first photo of everybody."""
    found = []
    with FaceDetector() as detector:
        for name, picture in read_orl().items():
            if name.endswith("/1"):
                image = enlarge(picture)
                found.append([own[:1] for own in embed_face(image, detector(image)[0], surrogates)])
    return [torch.cat(parts) for parts in zip(*found, strict=True)]
