"""Photos of other people, as judges see them: who is nearer to a protected face than the person it shows?"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from faceenc.core import DataError, Detector
from faceenc.faces import main_face
from faceenc.media import by_reason, look_into, look_into_person, person_of, protected_copies, read_photo
from faceenc.recognizers.recognizer import Recognizer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceenc.core import Progress


logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """Embeddings of people's photos; made once, it serves any number of protected photos.

    Attributes:
        people: their names, in alphabetical order.
        embeddings: a judge's name -> a person's name -> (photos, D).
    """

    people: tuple[str, ...]
    embeddings: Mapping[str, Mapping[str, NDArray[np.float64]]]

    def photos_of(self, judge: Recognizer, person: str | None) -> list[NDArray[np.float64]]:
        """The embeddings of one person's photos; none of nobody's, nor of a stranger's."""
        return [] if person is None else list(self.embeddings[judge.name].get(person_of(person), ()))

    def rank(
        self,
        judge: Recognizer,
        face: NDArray[np.float64],
        own: Sequence[NDArray[np.float64]],
        *,
        person: str | None = None,
    ) -> int:
        """The place of a face's own person among everybody: 1 + how many other people have a photo nearer to the face.

        Args:
            judge: one that the gallery was made for.
            face: (D,) of the protected face.
            own: embeddings of the person's own photos, at least one.
            person: who of the gallery is that same person, and so no other.
        """
        nearest = min(judge.distance(face, photo) for photo in own)
        return 1 + sum(
            min(judge.distance(face, photo) for photo in photos) < nearest
            for name, photos in self.embeddings[judge.name].items()
            if person is None or name != person_of(person)
        )


def load_gallery(
    folder: Path, judges: Sequence[Recognizer], detector: Detector, *, progress: Progress | None = None
) -> Gallery:
    """The main face of each photo in a folder, as each judge sees it.

    A sub-folder is a person; a photo in the folder itself is one of its own. Photos that cannot be read or show no face are
    left out, with a warning in the log.

    Args:
        folder: the gallery.
        judges: with different names.
        detector: finds the faces.
        progress: called for every photo.

    Raises:
        DataError: no such folder, or no usable photo in it.
    """
    listed, left_out = _survey(folder)
    for line in by_reason(dict(sorted(left_out.items())), place=" of the gallery"):
        logger.warning("%s", line)
    total = sum(len(files) for files in listed.values())
    embeddings: dict[str, dict[str, NDArray[np.float64]]] = {judge.name: {} for judge in judges}
    done = 0
    for person, files in listed.items():
        crops: list[list[NDArray[np.uint8]]] = []
        for file in files:
            crops += _crops(file, judges, detector)
            done += 1
            if progress is not None:
                progress("gallery", done, total)
        for judge, own in zip(judges, zip(*crops, strict=True), strict=False):  # nothing if no photo is usable
            embeddings[judge.name][person] = judge.embed_crops(np.stack(own))
    people = tuple(name for name in listed if all(name in known for known in embeddings.values()))
    if not people:
        raise DataError(f"no face in any of the {total} photos in {folder}: put people there, a sub-folder a person")
    return Gallery(people, embeddings)


def _crops(file: Path, judges: Sequence[Recognizer], detector: Detector) -> list[list[NDArray[np.uint8]]]:
    """One row, of what each judge sees; none for an unusable photo."""
    try:
        image = read_photo(file).pixels
    except DataError as error:
        logger.warning("%s; left out of the gallery", error)
        return []
    faces = detector(image)
    if not faces:
        logger.warning("no face found in %s; left out of the gallery", file)
        return []
    face = main_face(faces, image.shape[1], image.shape[0])
    try:
        return [[judge.cut(image, face) for judge in judges]]
    except ValueError as error:  # key points on one another: no face after all
        logger.warning("no face found in %s (%s); left out of the gallery", file, error)
        return []


def list_people(folder: Path) -> dict[str, list[Path]]:
    """The photos of each person, without protected copies beside them, in alphabetical order; nothing is read yet.

    Raises:
        DataError: no such folder, or no photos in it.
    """
    return _survey(folder)[0]


def _survey(folder: Path) -> tuple[dict[str, list[Path]], dict[Path, str]]:
    """The same, and what else lies there -> why it is left out."""
    try:
        photos, folders, left_out = look_into(folder)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"cannot read the gallery {folder}: {reason}; check the path") from error
    people = {photo.name: [photo] for photo in _originals(photos)}
    for own in folders:
        inside = look_into_person(own, left_out)
        people[person_of(own)] = [*people.get(person_of(own), ()), *_originals(inside)]
    listed = {name: people[name] for name in sorted(people) if people[name]}
    if not listed:
        raise DataError(f"no photos in the gallery {folder}: expected photos in it, or in one sub-folder a person")
    return listed, left_out


def _originals(photos: Sequence[Path]) -> list[Path]:
    copies = protected_copies(photos)
    return [photo for photo in photos if photo not in copies]
