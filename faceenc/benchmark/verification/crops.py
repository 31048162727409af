"""The photos of a verification, each cut out by every recogniser's own rule: found once, kept in the cache folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from faceenc.benchmark.verification.pairs import FITTED
from faceenc.core import ASSETS, DataError, Face, Progress, cached_arrays
from faceenc.data import Complaints, DataConfig, FaceSet, LabelledPhoto, enlarge, expand, list_photos, read_orl
from faceenc.faces import FaceSearch, main_face
from faceenc.media import read_image
from faceenc.recognizers import Recognizer

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RECIPE = "verification 1"  # count up when faces are found or chosen in another way


@dataclass(frozen=True, eq=False)
class Crops:
    """What recognisers see of the people.

    Attributes:
        faces: by the recogniser's name in the configuration; the same photos in the same order for all.
        looked_at: photos.
        missed: files that show no face, or cannot be read: no recogniser is asked about them.
    """

    faces: Mapping[str, FaceSet]
    looked_at: int
    missed: tuple[str, ...]


def load_crops(config: DataConfig, recognizers: Mapping[str, Recognizer], *, progress: Progress) -> Crops:
    """The main face of each photo, as each recogniser itself cuts it out; of a person at most twelve photos.

    Args:
        config: the people: "orl" or a folder with one sub-folder a person; sizes and framings are the recognisers' own.
        recognizers: by their names in the configuration.
        progress: called with photos.

    Raises:
        DataError: no such folder, or none of its photos shows a face.
        AssetError: a detector cannot be had.
    """
    photos: Sequence[LabelledPhoto | str]
    states: list[Any]
    if config.source == "orl":
        credit, name = ASSETS["orl-faces"].credit, "orl"
        photos, states = list(read_orl()), [ASSETS["orl-faces"].sha256]
    else:
        root = expand(config.source).absolute()
        credit, name = "", root.name
        found = [photo for _, own in groupby(list_photos(root), _person) for photo in list(own)[:FITTED]]
        photos, states = found, [(one.person, one.file, (s := one.path.stat()).st_size, s.st_mtime_ns) for one in found]
    nets = [(label, one.network, one.size) for label, one in recognizers.items()]
    detectors = [ASSETS[name].sha256 for name in ("blazeface-short", "blazeface-full-sparse", "yunet")]
    key = hashlib.sha256(json.dumps([_RECIPE, nets, detectors, states]).encode()).hexdigest()
    stem = hashlib.sha256(str(expand(config.source).absolute()).encode(errors="surrogateescape")).hexdigest()[:16]
    stored = cached_arrays(f"verification-{stem}.npz", key, lambda: _cut(photos, recognizers, progress))
    missed = tuple(stored["missed"].tolist())
    Complaints("no face found, photo left out", list(missed)).log()
    files, people = tuple(stored["files"].tolist()), stored["people"].tolist()
    if not files:
        raise DataError(
            f"none of the {len(photos)} photos in {name} shows a face: give photos with faces, one folder a person"
        )
    classes = tuple(dict.fromkeys(people))
    labels = np.array([classes.index(person) for person in people], np.int64)
    none = np.zeros(0, np.int64)
    faces = {
        label: FaceSet(name, classes, stored[f"crops{k}"], labels, files, none, np.arange(len(files)), credit)
        for k, label in enumerate(recognizers)
    }
    return Crops(faces, len(photos), missed)


def _person(photo: LabelledPhoto) -> str:
    return photo.person


def _cut(
    photos: Sequence[LabelledPhoto | str], recognizers: Mapping[str, Recognizer], progress: Progress
) -> dict[str, NDArray[Any]]:
    crops: list[list[NDArray[np.uint8]]] = [[] for _ in recognizers]
    files, people, missed = [], [], []
    with FaceSearch() as search:
        for done, (file, person, image, face) in enumerate(_faces(photos, search), 1):
            try:
                own = [] if face is None else [one.cut(image, face) for one in recognizers.values()]
            except ValueError:  # key points on one another: no face after all
                own = []
            if own:
                files.append(file)
                people.append(person)
                for column, crop in zip(crops, own, strict=True):
                    column.append(crop)
            else:
                missed.append(file)
            progress("faces", done, len(photos))
    sizes = [one.size for one in recognizers.values()]
    pictures = [np.array(column, np.uint8).reshape(-1, s, s, 3) for column, s in zip(crops, sizes, strict=True)]
    texts = {"files": np.array(files, str), "people": np.array(people, str), "missed": np.array(missed, str)}
    return texts | {f"crops{k}": column for k, column in enumerate(pictures)}


def _faces(
    photos: Sequence[LabelledPhoto | str], search: FaceSearch
) -> Iterator[tuple[str, str, NDArray[np.uint8], Face | None]]:
    """File, person, pixels and main face, found as evidence finds faces."""
    orl = read_orl() if photos and isinstance(photos[0], str) else {}
    nothing = np.zeros((1, 1, 3), np.uint8)
    for photo in photos:
        if isinstance(photo, str):  # the heads fill these pictures, so there is no need to search at every size
            large = enlarge(orl[photo])
            places = search.whole(large)
            look = search.closer.look(large, places[0]) if places else None
            yield photo, photo.split("/")[0], large, look.face if look else places[0] if places else None
            continue
        try:
            image = read_image(photo.path)
        except (DataError, OSError):
            yield photo.file, photo.person, nothing, None
            continue
        found = search(image)
        yield photo.file, photo.person, image, main_face(found, image.shape[1], image.shape[0]) if found else None
