"""A person's embeddings from photos of them, and whether all these show the same person."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from faceenc.core import DataError
from faceenc.faces import FaceSearch, main_face
from faceenc.media import read_photo, to_tensor
from faceenc.recognizers.dlib.network import chip, load_dlibnet
from faceenc.recognizers.dlib.weights import MATCH_DISTANCE

if TYPE_CHECKING:
    from numpy.typing import NDArray


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """One photo of a person.

    Attributes:
        path: of the photo.
        sha256: of its file, hexadecimal.
        embedding: (128,) float32 by dlib's face net, of the photo's main face.
    """

    path: Path
    sha256: str
    embedding: NDArray[np.float32]


def read_portraits(paths: Sequence[Path], *, device: str = "cpu") -> list[Portrait]:
    """The photos with their main faces' embeddings, made on the device; of several copies of a photo the first one alone.

    Raises:
        DataError: a photo cannot be read or shows no face.
        AssetError: a model's file cannot be had.
    """
    net = load_dlibnet().to(device)
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
            found[digest] = Portrait(path, digest, net(to_tensor(chip(image, face)[None]).to(device))[0].cpu().numpy())
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
