"""A recogniser's thresholds and baseline on somebody's photos: what `faceenc-bench thresholds` prints."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from faceenc.benchmark.transfer.lfw import PairsResult, judge_pairs
from faceenc.benchmark.verification.baseline import FARS, given_pairs
from faceenc.benchmark.verification.describing import Baseline, Shown, baseline_of_pairs, baseline_of_people
from faceenc.core import DataError, Progress
from faceenc.data import enlarge, read_orl, read_pair_file, read_pairs, read_tags
from faceenc.faces import ArcFaceCrop, FaceSearch, main_face
from faceenc.media import read_photo, take_photo
from faceenc.recognizers import Recognizer, list_people

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

ORL = "orl"
_ALIGNED = 112  # side of the crops in files of pairs: faces aligned as ArcFace wants them

_Photo = tuple[str, "Callable[[], NDArray[np.uint8]]"]  # its name or whom it shows, and how it is read


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """The photos with a usable face.

    Attributes:
        names: of N photos, or of whom they show.
        embeddings: (N, D).
        photos: that were to be read.
    """

    names: list[str]
    embeddings: NDArray[np.float64]
    photos: int


def measure_baseline(
    recognizer: Recognizer,
    data: str,
    *,
    pairs: Path | None = None,
    fmrs: Sequence[float] = FARS,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Baseline, PairsResult | None]:
    """Show a recogniser photos of people whom it was not trained on, all against all, or the pairs that a file names.

    Args:
        recognizer: of strangers.
        data: a folder with a sub-folder of photos a person, "orl", or a `.bin` of verification pairs.
        pairs: LFW's pairs file, or another of its kind: of the folder's photos these pairs only.
        fmrs: false match rates to find thresholds for.
        seed: of the draws that intervals are taken from.
        progress: called for "photos".

    Returns:
        The baseline, and what LFW's protocol says of the pairs where they are given.

    Raises:
        DataError: the data cannot be read, or shows fewer than two people.
    """

    def shown(seen: _Seen) -> Shown:
        left_out = seen.photos - len(seen.names)
        return Shown(recognizer.name, recognizer.network, recognizer.licence, data, seen.photos, left_out)

    with FaceSearch() as search:
        if data.endswith(".bin"):
            return _of_pair_file(recognizer, Path(data), search, shown, fmrs, seed, progress), None
        if pairs is not None:
            return _of_lfw(recognizer, Path(data), pairs, search, shown, fmrs, seed, progress)
        tags = {} if data == ORL else read_tags(Path(data))  # what is amiss there is said before the work
        seen = _look(recognizer, _photos(data), search, progress)
    if len(set(seen.names)) < 2:
        raise DataError(f"{data} shows {len(set(seen.names))} people with a usable photo: at least two are needed")
    return baseline_of_people(shown(seen), seen.embeddings, seen.names, tags=tags, fmrs=fmrs, seed=seed), None


def own_distance(recognizer: Recognizer, euclidean: float) -> float:
    """A Euclidean distance in the recogniser's own metric."""
    return euclidean if recognizer.metric == "euclidean" else euclidean**2 / 2


def _of_pair_file(
    recognizer: Recognizer,
    path: Path,
    search: FaceSearch,
    shown: Callable[[_Seen], Shown],
    fmrs: Sequence[float],
    seed: int,
    progress: Progress | None,
) -> Baseline:
    held = read_pair_file(path)
    pictures: list[_Photo] = [
        (str(number), lambda picture=picture: take_photo(picture).pixels)  # type: ignore[misc]
        for number, picture in enumerate(held.pictures)
    ]
    seen = _look(recognizer, pictures, search, progress, aligned=True)
    where = {int(name): row for row, name in enumerate(seen.names)}
    usable = [k for k in range(len(held.same)) if 2 * k in where and 2 * k + 1 in where]
    if not usable:
        raise DataError(f"{path}: no pair in which a face was found in both pictures")
    one, other = (seen.embeddings[[where[2 * k + side] for k in usable]] for side in (0, 1))
    pairs = given_pairs(np.linalg.norm(one - other, axis=1), np.array([held.same[k] for k in usable], bool))
    return baseline_of_pairs(shown(seen), pairs, people=0, fmrs=fmrs, seed=seed)


def _of_lfw(
    recognizer: Recognizer,
    folder: Path,
    file: Path,
    search: FaceSearch,
    shown: Callable[[_Seen], Shown],
    fmrs: Sequence[float],
    seed: int,
    progress: Progress | None,
) -> tuple[Baseline, PairsResult]:
    pairs = read_pairs(file)
    here = {f"{person}/{photo.stem}": photo for person, photos in list_people(folder).items() for photo in photos}
    wanted = sorted({name for pair in pairs for name in (pair.one, pair.other)} & set(here))
    if not wanted:
        raise DataError(f"none of the photos that {file} names is in {folder}: it takes LFW's own folders")
    seen = _look(recognizer, [(name, _reader(here[name])) for name in wanted], search, progress)
    where = {name: row for row, name in enumerate(seen.names)}
    usable = [pair for pair in pairs if pair.one in where and pair.other in where]
    if not usable:
        raise DataError(f"no pair of {file} has both its photos in {folder}, each with a face: give more of LFW's folders")
    rows = np.array([(where[pair.one], where[pair.other]) for pair in usable])
    names = sorted({name.split("/")[0] for pair in usable for name in (pair.one, pair.other)})
    people = np.array([[names.index(seen.names[row].split("/")[0]) for row in pair] for pair in rows], np.int64)
    distances = np.linalg.norm(seen.embeddings[rows[:, 0]] - seen.embeddings[rows[:, 1]], axis=1)
    found = given_pairs(distances, np.array([pair.same for pair in usable], bool), people)
    protocol = judge_pairs(pairs, dict(zip(seen.names, seen.embeddings, strict=True)))
    return baseline_of_pairs(shown(seen), found, people=len(names), fmrs=fmrs, seed=seed), protocol


def _photos(data: str) -> list[_Photo]:
    """Whom each photo shows, and how it is read."""
    if data == ORL:
        return [(name.split("/")[0], lambda picture=picture: enlarge(picture)) for name, picture in read_orl().items()]  # type: ignore[misc]
    listed = list_people(Path(data))
    return [(person, _reader(file)) for person, files in listed.items() for file in files]


def _reader(file: Path) -> Callable[[], NDArray[np.uint8]]:
    return lambda: read_photo(file).pixels


def _look(
    recognizer: Recognizer,
    photos: Sequence[_Photo],
    search: FaceSearch,
    progress: Progress | None,
    *,
    aligned: bool = False,
) -> _Seen:
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
    return _Seen(names, np.concatenate(list(_in_parts(recognizer, crops))), len(photos))


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
