"""A person's embeddings from photos of them, and whether all these show the same person."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from faceenc.core import DataError
from faceenc.faces import FaceSearch, main_face
from faceenc.media import read_photo, to_tensor
from faceenc.recognizers.dlib.network import DLIB
from faceenc.recognizers.dlib.weights import MATCH_DISTANCE
from faceenc.recognizers.loading import load_ensemble

if TYPE_CHECKING:
    from numpy.typing import NDArray


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """One photo of a person.

    Attributes:
        path: of the photo.
        sha256: of its file, hexadecimal.
        embeddings: of the photo's main face; a net's `Recognizer.network` -> (D,) float32.
    """

    path: Path
    sha256: str
    embeddings: Mapping[str, NDArray[np.float32]]

    @property
    def embedding(self) -> NDArray[np.float32]:
        """dlib's, (128,)."""
        return self.embeddings[DLIB]


def read_portraits(paths: Sequence[Path], *, device: str = "cpu") -> list[Portrait]:
    """The photos with what the ensemble's nets make of their main faces; of several copies of a photo the first one alone.

    Raises:
        DataError: a photo cannot be read or shows no face.
        AssetError: a model's file cannot be had.
    """
    nets = load_ensemble(device=device)
    found: dict[str, Portrait] = {}
    with FaceSearch() as search:
        for path in paths:
            image = read_photo(path).pixels
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if digest in found:
                log.info("%s is a copy of %s and adds nothing", path, found[digest].path)
                continue
            faces = search(image)
            if not faces:
                raise DataError(f"no face found in {path}: choose one that shows the person from near and the front")
            if len(faces) > 1:
                log.info("%s shows %d faces: taking the main one", path, len(faces))
            face = main_face(faces, image.shape[1], image.shape[0])
            answers = {net.network: net.embed(to_tensor(net.cut(image, face)[None]))[0].cpu().numpy() for net in nets}
            found[digest] = Portrait(path, digest, answers)
    return list(found.values())


def strangers(portraits: Sequence[Portrait]) -> list[Portrait]:
    """Those that show someone else than the others do: their median distance to the others is beyond dlib's 0.6.

    Pairs are compared, not each with the mean of all: the mean of many people's faces is within 0.6 of each of them.
    """
    found = []
    for portrait in portraits:
        apart = [np.linalg.norm(portrait.embedding - other.embedding) for other in portraits if other is not portrait]
        if apart and np.median(apart) > MATCH_DISTANCE:
            found.append(portrait)
    return found
