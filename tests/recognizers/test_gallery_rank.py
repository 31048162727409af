"""A person's own photos among 40 people: recognised before, not any more after; through the public names alone."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from faceenc.core import Face
from faceenc.data import enlarge, read_orl
from faceenc.faces import FaceDetector
from faceenc.protect import STRENGTHS, Protection, protect_faces
from faceenc.recognizers import load_ensemble, load_recognizer, rank_k

GALLERY = ("2", "3")  # photos of everybody; number 1 is the probe


@pytest.fixture(scope="module")
def album() -> dict[str, tuple[NDArray[np.uint8], Face]]:
    with FaceDetector() as detector:
        photos = {
            name: enlarge(picture)[::2, ::2].copy()
            for name, picture in read_orl().items()
            if name.split("/")[1] in (*GALLERY, "1")
        }
        return {name: (photo, detector(photo)[0]) for name, photo in photos.items() if detector(photo)}


@pytest.mark.slow  # the command: benchmarks/protect_evidence.py
@pytest.mark.parametrize("people", [3, 40])
def test_rank_1_falls(album: dict[str, tuple[NDArray[np.uint8], Face]], people: int) -> None:
    """At least 98 % before, at most 2 % after (so none of fewer than 50)."""
    judge, surrogates = load_recognizer("dlib-torch"), load_ensemble()
    gallery = {name: judge.embed_face(*found) for name, found in album.items() if name.split("/")[1] in GALLERY}
    probes = {name: found for name, found in album.items() if name.endswith("/1")}
    probes = dict(list(probes.items())[:people])
    before = np.stack([judge.embed_face(*found) for found in probes.values()])
    after = []
    for image, face in probes.values():
        protected, _ = protect_faces(image, [face], Protection(STRENGTHS["balanced"], surrogates))
        after.append(judge.embed_face(protected, face))

    def rank_1(vectors: NDArray[np.float64]) -> float:
        labels, known = ([name.split("/")[0] for name in names] for names in (probes, gallery))
        return rank_k(vectors, labels, np.stack(list(gallery.values())), known, k=1)

    assert rank_1(before) >= 0.98
    assert rank_1(np.stack(after)) <= 0.02
