"""Does a protected photo still show the people of its original?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from faceenc.core import ConfigError, DataError, Progress
from faceenc.faces import FaceSearch
from faceenc.media import Picture, person_of, take_photo
from faceenc.protect.aligning import Aligned, align_original
from faceenc.protect.evidence.gathering import gather_evidence
from faceenc.protect.evidence.records import Evidence
from faceenc.recognizers import Gallery, Recognizer, list_people, load_gallery, load_judges

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def verify_photo(
    original: Picture,
    protected: Picture,
    *,
    judges: Sequence[str] = (),
    gallery: Path | None = None,
    person: str | None = None,
    thorough: bool = False,
    device: str = "cpu",
    trust_code: bool = False,
    progress: Progress | None = None,
) -> Evidence:
    """Ask recognisers whether a protected photo still shows the people of its original.

    Args:
        original: path of a photo, a photo file's bytes, (H, W, 3) uint8 RGB, or a Pillow image.
        protected: the same photo, perhaps scaled, recompressed or cropped a little; no other change of its size.
        judges: to ask besides dlib, as `load_recognizer` takes them.
        gallery: folder of other people, a sub-folder a person: adds the rank among them.
        person: the gallery's sub-folder with the person's own other photos.
        thorough: search the protected photo for faces at full size, however large it is.
        device: where nets compute.
        trust_code: whether judges may be code of others.
        progress: is told how far the gallery is.

    Raises:
        ConfigError: a person without a gallery, or of whom it has no photo.
        DataError: a photo cannot be read, the second is no copy of the first, or the original shows no face.
    """
    if person is not None and gallery is None:
        raise ConfigError("`person` names a sub-folder of the gallery: add `gallery=FOLDER`")
    before, after = (take_photo(picture).pixels for picture in (original, protected))
    recognizers = load_judges(judges, device=device, trust_code=trust_code)
    with FaceSearch() as search:
        known = None if gallery is None else _gallery(gallery, person, recognizers, search, progress)
        ask = partial(gather_evidence, judges=recognizers, search=search, gallery=known, person=person, thorough=thorough)
        if before.shape == after.shape:
            evidence = ask(before, after)
        else:
            aligned = _aligned(before, after, search)
            evidence = ask(aligned.picture, after, found=aligned.found, copy=aligned.copy)
    if not evidence.faces:
        name = original if isinstance(original, str | Path) else "the original"
        beside = " that the copy shows too" if evidence.copy is not None and evidence.copy.outside else ""
        raise DataError(f"no face found in {name}{beside}: use a photo with a larger or clearer face")
    return evidence


def _aligned(before: NDArray[np.uint8], after: NDArray[np.uint8], search: FaceSearch) -> Aligned:
    aligned = align_original(before, after, search)
    if aligned is None:
        sizes = " and ".join(f"{image.shape[1]} x {image.shape[0]}" for image in (before, after))
        raise DataError(
            f"the photos have {sizes} pixels, and the second is no scaled or slightly cropped copy of the first: compare a"
            " photo with its own copy"
        )
    return aligned


def _gallery(
    folder: Path, person: str | None, judges: Sequence[Recognizer], search: FaceSearch, progress: Progress | None
) -> Gallery:
    _check_person(person, tuple(list_people(folder)), folder)  # before the photos are looked at
    gallery = load_gallery(folder, judges, search, progress=progress)
    _check_person(person, gallery.people, folder)
    return gallery


def _check_person(person: str | None, people: Sequence[str], folder: Path) -> None:
    if person is not None and person_of(person) not in people:
        known = ", ".join(people[:5]) + (" ..." if len(people) > 5 else "")
        raise ConfigError(f"`person={person}`: nobody of that name with a usable photo in {folder}; there are {known}")
