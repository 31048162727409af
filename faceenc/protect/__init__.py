"""Protection of the faces in a photo: noise in its own pixels that recognisers stumble over."""

from __future__ import annotations

from faceenc.protect.engine import FaceOutcome, Protection, protect_faces
from faceenc.protect.people import embed_person, make_decoy
from faceenc.protect.strength import STRENGTHS, Strength
from faceenc.protect.surrogates import Surrogate, load_surrogates

__all__ = [
    "STRENGTHS",
    "FaceOutcome",
    "Protection",
    "Strength",
    "Surrogate",
    "embed_person",
    "load_surrogates",
    "make_decoy",
    "protect_faces",
]
