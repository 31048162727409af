"""Operating points: up to which distance a recogniser's faces match, at which false match rate, and fitted on whom."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from faceenc.core import ASSETS, Face, cached_arrays
from faceenc.data import enlarge, read_orl
from faceenc.faces import FaceSearch
from faceenc.recognizers.dlib.network import DLIB
from faceenc.recognizers.dlib.weights import MATCH_DISTANCE
from faceenc.recognizers.matching import FAR, fit_threshold, pair_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceenc.recognizers.recognizer import Recognizer


logger = logging.getLogger(__name__)

_PEOPLE = 40  # of the ORL faces
_PHOTOS = 3  # of each
_RECIPE = 2  # raised when faces are cut out in another way


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Where matches end.

    Attributes:
        threshold: faces at most so far apart match, in the recogniser's own metric.
        euclidean: the same as a Euclidean distance between embeddings, which attacks measure.
        fmr: the false match rate that it was fitted to, in (0, 1); None for the vendor's own threshold.
        fitted_on: the people it was fitted on, or who set it.
        pairs: of two people that it was fitted on; 0 where it was set.
    """

    threshold: float
    euclidean: float
    fmr: float | None
    fitted_on: str
    pairs: int


def operating_point(recognizer: Recognizer, *, fmr: float = FAR) -> OperatingPoint:
    """Dlib's own 0.6; for others the distance that a share `fmr` of ORL's pairs of two people do not exceed.

    Fitted at first use (which takes seconds) and kept in the cache folder. dlib's own 0.6 lets 2 % of the same pairs pass:
    about as strict as the usual 1 %.
    """
    if recognizer.network == DLIB:
        return OperatingPoint(MATCH_DISTANCE, MATCH_DISTANCE, None, "dlib", 0)
    key = hashlib.sha256(f"{recognizer.network} {ASSETS['orl-faces'].sha256} {fmr} {_PHOTOS} {_RECIPE}".encode()).hexdigest()
    if key not in _fitted():

        def fit() -> dict[str, NDArray[np.float64]]:
            logger.info("%s: fitting its threshold on the ORL faces", recognizer.name)
            return {"threshold": np.array(_fit(recognizer, fmr))}

        threshold = float(cached_arrays(f"threshold-{key[:16]}.npz", key, fit)["threshold"])
        # Of two vectors of length 1: |a - b|^2 = 2 (1 - cosine).
        euclidean = threshold if recognizer.metric == "euclidean" else (2 * threshold) ** 0.5
        pairs = _PEOPLE * (_PEOPLE - 1) // 2 * _PHOTOS**2
        _fitted()[key] = OperatingPoint(threshold, euclidean, fmr, "ORL", pairs)
    return _fitted()[key]


def in_thresholds(recognizer: Recognizer, crops: torch.Tensor) -> torch.Tensor:
    """(N, 3, size, size) -> (N, D) embeddings in units of the usual threshold: faces less than 1 apart match."""
    return recognizer.embed(crops) / operating_point(recognizer).euclidean


@cache
def _fitted() -> dict[str, OperatingPoint]:
    """Of this process: who attacks asks at every step."""
    return {}


def _fit(recognizer: Recognizer, fmr: float) -> float:
    pictures, faces = read_orl(), _orl_faces()
    crops = [recognizer.cut(enlarge(pictures[name]), face) for name, face in faces]
    people = [name.split("/")[0] for name, _ in faces]
    genuine, impostor = pair_scores(recognizer.embed_crops(np.stack(crops)), people)
    found = fit_threshold(genuine, impostor, far=fmr)
    return found if recognizer.metric == "euclidean" else found**2 / 2


@cache
def _orl_faces() -> list[tuple[str, Face]]:
    """The faces that thresholds are fitted on, by their pictures' names, found as evidence finds faces."""
    faces = []
    with FaceSearch() as search:
        for name, picture in read_orl().items():
            large = enlarge(picture)
            if int(name.split("/")[1]) <= _PHOTOS and (places := search.whole(large)):
                look = search.closer.look(large, places[0])
                faces.append((name, look.face if look else places[0]))
    return faces
