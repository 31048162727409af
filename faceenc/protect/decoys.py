"""Embeddings to move away from or near to: a person's other photos, and people who do not exist."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from faceenc.core import ASSETS, DataError, cached_arrays
from faceenc.data import enlarge, read_orl
from faceenc.faces import FaceDetector, cut_out, main_face
from faceenc.media import look_into, person_of, protected_copies, read_photo
from faceenc.protect.windows import face_window
from faceenc.recognizers import Recognizer, in_thresholds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceenc.core import Detector, Face


log = logging.getLogger(__name__)

_RECIPE = 1  # raised when the people are cut out in another way
_NOVEL = 1.0  # thresholds that somebody who does not exist keeps from those who do
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


@dataclass(frozen=True, eq=False)
class Crowd:
    """The 40 people of the ORL faces: whoever does not exist is mixed of them.

    A mixture is their mean, plus their deviations from it in random shares that give it their usual length. A draw that
    comes within the threshold of somebody is thrown away: it is to be nobody.

    Attributes:
        people: for each surrogate (40, D) embeddings, in units of its threshold.
    """

    people: Sequence[torch.Tensor]

    @classmethod
    def seen_by(cls, surrogates: Sequence[Recognizer]) -> Crowd:
        """As these see the first photo of everybody; kept in the cache folder.

        Raises:
            AssetError: the ORL faces cannot be fetched.
        """
        return cls([_people(surrogate) for surrogate in surrogates])

    def decoy(self, seed: int) -> list[torch.Tensor]:
        """For each surrogate (1, D): the person of this number, the same for all photos that are to look like one.

        Raises:
            DataError: no mixture keeps off everybody.
        """
        return self._draw(torch.Generator().manual_seed(seed), self.people)

    def way_of(self, photo: bytes, face: int, own: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """For each surrogate (1, D): where one face of one photo goes, elsewhere than those of other photos.

        Who does not have the untouched photo cannot tell which way that was.

        Args:
            photo: a digest of the untouched photo and of what else is to tell ways apart.
            face: its number.
            own: for each surrogate (R, D), what it has to keep off besides the crowd.

        Raises:
            DataError: no mixture keeps off everybody.
        """
        seed = int.from_bytes(hashlib.sha256(photo + face.to_bytes(4, "big")).digest()[:6], "big")
        known = [torch.cat(pair) for pair in zip(self.people, own, strict=True)]
        return self._draw(torch.Generator().manual_seed(seed), known)

    def _draw(self, rng: torch.Generator, known: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        for _ in range(_DRAWS):
            shares = torch.randn(len(self.people[0]), generator=rng)
            mixed = [_mix(own, shares) for own in self.people]
            if all(float((there - one).norm(dim=1).min()) > _NOVEL for there, one in zip(known, mixed, strict=True)):
                return mixed
        raise DataError("nobody can be mixed of the ORL faces who resembles nobody: take another `decoy` or `seed`")


def _mix(people: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    mean = people.mean(0)
    around = people - mean
    mixed = shares @ around
    person: torch.Tensor = mean + mixed * (around.norm(dim=1).mean() / mixed.norm())
    return person[None]


def _people(surrogate: Recognizer) -> torch.Tensor:
    """(40, D), the first photo of everybody."""
    key = hashlib.sha256(f"{surrogate.network} {ASSETS['orl-faces'].sha256} {_RECIPE}".encode()).hexdigest()

    def build() -> dict[str, NDArray[np.float32]]:
        found = []
        with FaceDetector() as detector:
            for name, picture in read_orl().items():
                if name.endswith("/1"):
                    image = enlarge(picture)
                    found.append(embed_face(image, detector(image)[0], [surrogate])[0][:1])
        return {"people": torch.cat(found).numpy()}

    return torch.from_numpy(cached_arrays(f"people-{key[:16]}.npz", key, build)["people"])
