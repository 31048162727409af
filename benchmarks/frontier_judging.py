"""What people and recognisers see of a protected face: the measures of `frontier.py`, and the embeddings it compares.

Convention
    Photos are (H, W, 3) uint8 RGB. Embeddings are rows of (N, D) float64; distances are those of `Recognizer.distance`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from faceres import load_faceres
from numpy.typing import NDArray

from faceenc.core import Box, Face, at_place, cached_arrays, fetch
from faceenc.faces import FaceSearch, main_face
from faceenc.media import PHOTO_SUFFIXES, Photo, Visibility, face_cut, measure_visibility, read_photo
from faceenc.recognizers import FAR, Recognizer, fit_threshold, load_recognizer, pair_scores

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

ENSEMBLE = ("dlib", "sface", "faceplugin", "mobilefacenet")
FACERES = "faceres"
VENDORS_OWN = {"dlib": 0.6}  # thresholds
REFERENCES = 5  # photos of a person, at most

_PHOTOS = 12  # of a person, at most, among which those with a face are looked for
_STRANGERS, _PAIRED = 1000, 500  # people of a gallery; those of them whose pairs give the thresholds
_AROUND, _DETECTED = 1.6, 640  # sides of YuNet's box that are looked at; pixels it is shown
# The first digits of the SHA-256 of the names of LFW's photos that show another person than the name says.
_WRONG = frozenset({"48d25b3bc2073aa6", "ba4e505e499eb63f", "ce6467de24e7c9d8"})
_VERSION = 2  # of how faces are found and embedded


@dataclass(frozen=True)
class Judging:
    """What all judging depends on; small, for it is sent to every process.

    Attributes:
        names: of the judges.
        others: the photos of other people, one each.
        cache: the folder where embeddings are kept.
    """

    names: tuple[str, ...]
    others: tuple[Path, ...]
    cache: Path


@dataclass(frozen=True, eq=False)
class Strangers:
    """Other people's embeddings by judge, and up to which distance each judge's faces match."""

    vectors: dict[str, Floats]
    thresholds: dict[str, float]


@dataclass(frozen=True, eq=False)
class Subject:
    """A person: the photo to protect, and by judge its embedding (D,) and those of the person's other photos."""

    photo: Photo
    face: Face
    own: dict[str, Floats]
    references: dict[str, Floats]


@cache
def face_search() -> FaceSearch:
    """This process's own."""
    return FaceSearch()


@cache
def recognizer(name: str) -> Recognizer:
    """One of the ensemble, or faceres."""
    return (
        load_faceres() if name == FACERES else replace(load_recognizer("dlib-torch" if name == "dlib" else name), name=name)
    )


def photos_of(person: Path) -> list[Path]:
    """A person's first photos, those with a wrong name left out."""
    photos = sorted(path for path in person.iterdir() if path.suffix.lower() in PHOTO_SUFFIXES)[:_PHOTOS]
    return [path for path in photos if hashlib.sha256(path.stem.encode()).hexdigest()[:16] not in _WRONG]


def strangers_photos(folder: Path) -> tuple[Path, ...]:
    """One photo each of up to 1000 people of a folder, spread evenly over it."""
    people = sorted(path for path in folder.iterdir() if path.is_dir())
    chosen = [people[k * len(people) // _STRANGERS] for k in range(_STRANGERS)] if len(people) > _STRANGERS else people
    return tuple(next(iter(sorted(person.iterdir()))) for person in chosen)


@cache
def strangers(judging: Judging, *, at_once: int) -> Strangers:
    """Embedded `at_once` photos at a time, as they are cached; thresholds are at a false match rate of 1 %."""
    parts = [embedded(judging.others[k : k + at_once], judging)[1] for k in range(0, len(judging.others), at_once)]
    vectors = {name: np.concatenate([part[name] for part in parts if len(part[name])]) for name in judging.names}
    thresholds = {}
    for name in judging.names:
        # Every second person or so: galleries are sorted by name.
        some = vectors[name][:: max(1, len(vectors[name]) // _PAIRED)][:_PAIRED]
        _, impostor = pair_scores(some, range(len(some)))
        euclidean = fit_threshold([], impostor, far=FAR)
        fitted = euclidean if recognizer(name).metric == "euclidean" else euclidean**2 / 2
        thresholds[name] = VENDORS_OWN.get(name, fitted)
    return Strangers(vectors, thresholds)


@lru_cache(maxsize=2)
def subject(photos: tuple[Path, ...], judging: Judging) -> Subject | None:
    """A person; None if fewer than two photos show a face."""
    found, vectors = embedded(photos, judging)
    if found.sum() < 2:
        return None
    photo = read_photo(photos[int(found.argmax())])
    face = _face_of(photo.pixels)
    assert face is not None
    own = {name: rows[0] for name, rows in vectors.items()}
    return Subject(photo, face, own, {name: rows[1 : 1 + REFERENCES] for name, rows in vectors.items()})


def embedded(photos: Sequence[Path], judging: Judging) -> tuple[NDArray[np.bool_], dict[str, Floats]]:
    """Which photos show a face, and their embeddings by judge; read from the cache, or computed and kept there."""
    contents = [_sha256(path) for path in photos]

    @cache
    def faces() -> list[tuple[Pixels, Face | None]]:
        pictures = [read_photo(path).pixels for path in photos]
        places = [_face_of(picture) for picture in pictures]
        return [(pixels, place and found_at(pixels, place)[0]) for pixels, place in zip(pictures, places, strict=True)]

    def build(judge: Recognizer) -> dict[str, NDArray[Any]]:
        vectors = [judge.embed_face(picture, face) for picture, face in faces() if face is not None]
        found = np.array([face is not None for _, face in faces()])
        return {"found": found, "vectors": np.stack(vectors) if vectors else np.zeros((0, 1))}

    arrays = {}
    for name in judging.names:
        judge = recognizer(name)
        key = hashlib.sha256(" ".join([str(_VERSION), judge.network, *contents]).encode()).hexdigest()
        file = judging.cache.absolute() / f"{name}-{key[:24]}.npz"
        arrays[name] = cached_arrays(str(file), key, lambda judge=judge: build(judge))  # type: ignore[misc]
    return arrays[judging.names[0]]["found"], {name: part["vectors"] for name, part in arrays.items()}


def found_at(image: Pixels, place: Face) -> tuple[Face, bool]:
    """The face at a place, as it is found there, and whether it is; the place itself if not.

    Untouched photos are looked at in the same way, so that an unchanged copy is at distance 0.
    """
    if (look := face_search().closer.look(image, place)) is not None:
        return look.face, True
    faces = face_search()(image)
    box = at_place([face.box for face in faces], place.box)
    return (place, False) if box is None else (next(face for face in faces if face.box == box), True)


def distances(judge: Recognizer, vector: Floats, others: Floats) -> Floats:
    """(D,), (N, D) -> (N,): `Recognizer.distance` of many."""
    found: Floats = np.linalg.norm(others - vector, axis=1) if judge.metric == "euclidean" else 1 - others @ vector
    return found.clip(0)


def seen(original: Pixels, changed: Pixels, face: Face) -> Visibility:
    """How much people see of a face's change, in YuNet's own box: what the levels are promised by."""
    box = at_place(_yunets_boxes(original.tobytes(), original.shape[0], original.shape[1]), face.box) or face.box
    side = max(box.width, box.height)
    reach, x, y = side * _AROUND / 2, (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    x0, y0 = max(0, round(x - reach)), max(0, round(y - reach))
    place = x0, y0, min(original.shape[1], round(x + reach)), min(original.shape[0], round(y + reach))
    before, after = (face_cut(photo, place) for photo in (original, changed))
    return measure_visibility(before, after, side=side * max(before.shape) / max(place[2] - x0, place[3] - y0))


@lru_cache(maxsize=4)
def _yunets_boxes(pixels: bytes, height: int, width: int) -> list[Box]:
    """YuNet's own boxes: `faceenc.faces.YuNet` gives them as MediaPipe would draw them, so OpenCV is asked."""
    image = np.frombuffer(pixels, np.uint8).reshape(height, width, 3)
    share = min(1.0, _DETECTED / max(height, width))
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # OpenCV 5.1 warns of a target that nobody set
    found: list[Box] = []
    for scale in (share, 1.0) if share < 1 and height * width <= 12_500_000 else (share,):
        size = round(width * scale), round(height * scale)
        picture = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
        detector = cv2.FaceDetectorYN.create(str(fetch("yunet")), "", size, 0.6, 0.3, 500)
        _, rows = detector.detect(np.ascontiguousarray(picture[..., ::-1]))
        boxes = (
            [Box(x, y, x + w, y + h) for x, y, w, h in (np.asarray(rows)[:, :4] / scale).tolist()]
            if rows is not None
            else []
        )
        # What was found in the smaller picture keeps its box.
        found += [box for box in boxes if at_place(found, box) is None]
    return found


def _face_of(image: Pixels) -> Face | None:
    faces = face_search()(image)
    return main_face(faces, image.shape[1], image.shape[0]) if faces else None


@lru_cache(maxsize=4096)
def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
