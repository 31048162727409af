"""A recogniser's thresholds and baseline on somebody's photos: what `faceenc-bench thresholds` prints."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from faceenc.benchmark.verification.baseline import (
    FARS,
    OperatingRate,
    PairDistances,
    Rate,
    Spread,
    all_pairs,
    det_curve,
    equal_error,
    given_pairs,
    operating_rates,
    spread,
)
from faceenc.core import DataError, Progress
from faceenc.data import enlarge, read_orl, read_pair_file
from faceenc.faces import ArcFaceCrop, FaceSearch, main_face
from faceenc.media import read_photo, take_photo
from faceenc.recognizers import FAR, Recognizer, fit_threshold, list_people, rank_k

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

ORL = "orl"
RANKS = (1, 5, 10)
_ALIGNED = 112  # side of the crops in files of pairs: faces aligned as ArcFace wants them


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """How well a recogniser tells people apart, before any attack.

    Attributes:
        recognizer: its name.
        network: fingerprint of its weights.
        licence: of the weights; "" where nobody says.
        data: what it was shown.
        photos: that were to be read.
        not_acquired: of these, without a usable face: they are in no pair.
        people: with a usable photo; 0 where nobody knows whom the pairs show.
        genuine: pairs of one person.
        impostor: pairs of two.
        rates: at thresholds for given FMRs.
        eer: see there.
        ranks: the share of photos whose person is among the k nearest, by k; empty for given pairs.
        spread: over people, at an FMR of 1 %; None for given pairs.
        det: (P, 3): threshold, FMR, FNMR.
    """

    recognizer: str
    network: str
    licence: str
    data: str
    photos: int
    not_acquired: int
    people: int
    genuine: int
    impostor: int
    rates: Sequence[OperatingRate]
    eer: Rate
    ranks: dict[int, float]
    spread: Spread | None
    det: NDArray[np.float64]

    def to_json(self) -> dict[str, Any]:
        """JSON-like; what the pairs cannot show is None."""
        record = asdict(self) | {"det": self.det.tolist()}
        found: dict[str, Any] = _without_nan(record)
        return found


def measure_baseline(
    recognizer: Recognizer, data: str, *, fmrs: Sequence[float] = FARS, seed: int = 0, progress: Progress | None = None
) -> Baseline:
    """Show a recogniser photos of people whom it was not trained on, all against all, or the pairs that a file names.

    Args:
        recognizer: of strangers.
        data: a folder with a sub-folder of photos a person, "orl", or a `.bin` of verification pairs.
        fmrs: false match rates to find thresholds for.
        seed: of the draws that intervals are taken from.
        progress: called for "photos".

    Raises:
        DataError: the data cannot be read, or shows fewer than two people.
    """
    with FaceSearch() as search:
        if data.endswith(".bin"):
            return _of_pairs(recognizer, Path(data), search, fmrs, seed, progress)
        names, embeddings, photos = _embedded(recognizer, _photos(data), search, progress)
    if len(set(names)) < 2:
        raise DataError(f"{data} shows {len(set(names))} people with a usable photo: at least two are needed")
    pairs = all_pairs(embeddings, names)
    ranks = {k: rank_k(embeddings, names, embeddings, names, k=k, same_photos=True) for k in RANKS if k < len(set(names))}
    try:
        spreading = spread(pairs, fit_threshold(pairs.genuine, pairs.impostor, far=FAR))
    except ValueError:  # too few impostor pairs
        spreading = None
    return _baseline(recognizer, data, photos, photos - len(names), len(set(names)), pairs, fmrs, seed, ranks, spreading)


def own_distance(recognizer: Recognizer, euclidean: float) -> float:
    """A Euclidean distance in the recogniser's own metric."""
    return euclidean if recognizer.metric == "euclidean" else euclidean**2 / 2


def _of_pairs(
    recognizer: Recognizer, path: Path, search: FaceSearch, fmrs: Sequence[float], seed: int, progress: Progress | None
) -> Baseline:
    held = read_pair_file(path)

    def pictures() -> Iterator[tuple[str, Callable[[], NDArray[np.uint8]]]]:
        for number, picture in enumerate(held.pictures):
            yield str(number), lambda picture=picture: take_photo(picture).pixels  # type: ignore[misc]

    found, embeddings, photos = _embedded(recognizer, list(pictures()), search, progress, aligned=True)
    where = {int(name): row for row, name in enumerate(found)}
    usable = [k for k in range(len(held.same)) if 2 * k in where and 2 * k + 1 in where]
    if not usable:
        raise DataError(f"{path}: no pair in which a face was found in both pictures")
    one, other = (embeddings[[where[2 * k + side] for k in usable]] for side in (0, 1))
    pairs = given_pairs(np.linalg.norm(one - other, axis=1), np.array([held.same[k] for k in usable], bool))
    return _baseline(recognizer, str(path), photos, photos - len(found), 0, pairs, fmrs, seed, {}, None)


def _baseline(
    recognizer: Recognizer,
    data: str,
    photos: int,
    not_acquired: int,
    people: int,
    pairs: PairDistances,
    fmrs: Sequence[float],
    seed: int,
    ranks: dict[int, float],
    spreading: Spread | None,
) -> Baseline:
    return Baseline(
        recognizer=recognizer.name, network=recognizer.network, licence=recognizer.licence, data=data, photos=photos,
        not_acquired=not_acquired, people=people, genuine=len(pairs.genuine), impostor=len(pairs.impostor),
        rates=operating_rates(pairs, fmrs, seed=seed), eer=equal_error(pairs, seed=seed), ranks=ranks, spread=spreading,
        det=det_curve(pairs),
    )  # fmt: skip


def _photos(data: str) -> list[tuple[str, Callable[[], NDArray[np.uint8]]]]:
    """Whom each photo shows, and how it is read."""
    if data == ORL:
        return [(name.split("/")[0], lambda picture=picture: enlarge(picture)) for name, picture in read_orl().items()]  # type: ignore[misc]
    listed = list_people(Path(data))
    return [
        (person, lambda file=file: read_photo(file).pixels)  # type: ignore[misc]
        for person, files in listed.items()
        for file in files
    ]


def _embedded(
    recognizer: Recognizer,
    photos: Sequence[tuple[str, Callable[[], NDArray[np.uint8]]]],
    search: FaceSearch,
    progress: Progress | None,
    *,
    aligned: bool = False,
) -> tuple[list[str], NDArray[np.float64], int]:
    """The names of those with a usable face, their (N, D) embeddings, and how many photos there were."""
    names, crops = [], []
    for number, (name, read) in enumerate(photos, 1):
        try:
            crop = _crop(recognizer, read(), search, aligned=aligned)
        except DataError as error:
            logger.warning("%s; left out", error)
            crop = None
        if crop is not None:
            names.append(name)
            crops.append(crop)
        if progress is not None:
            progress("photos", number, len(photos))
    if not crops:
        raise DataError("no face was found in any of the photos: choose others")
    return names, np.concatenate(list(_in_parts(recognizer, crops))), len(photos)


def _crop(
    recognizer: Recognizer, pixels: NDArray[np.uint8], search: FaceSearch, *, aligned: bool
) -> NDArray[np.uint8] | None:
    """What the recogniser sees of the main face; None without one."""
    fits = aligned and pixels.shape[:2] == (_ALIGNED, _ALIGNED) and recognizer.size == _ALIGNED
    if fits and isinstance(recognizer.crops, ArcFaceCrop):
        return pixels  # cut out as it wants it already
    faces = search(pixels)
    if not faces:
        return None
    try:
        return recognizer.cut(pixels, main_face(faces, pixels.shape[1], pixels.shape[0]))
    except ValueError:  # key points on one another: no face after all
        return None


def _in_parts(recognizer: Recognizer, crops: Sequence[NDArray[np.uint8]]) -> Iterable[NDArray[np.float64]]:
    for start in range(0, len(crops), 256):
        yield recognizer.embed_crops(np.stack(crops[start : start + 256]))


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value
