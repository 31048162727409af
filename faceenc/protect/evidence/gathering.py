"""What recognisers make of a protected photo: each face against itself in the original, as saved and after some wear.

Every face of the original is searched anew in every variant of the protected photo, at its own place: a recogniser that is
given the photo finds it with a detector of its own. Where ours does not, the judge is asked about the place where it was in
the original, because another detector may find it: a missed face is no protection, and the record says that it was missed.
Besides, every detector there is searches the whole saved file, as a stranger's program would.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from faceenc.core import DataError, Face, moved, scaled, turned
from faceenc.faces import FaceSearch, Found, shared_part
from faceenc.media import VARIANTS, Variant, copy_window, vary
from faceenc.protect.evidence.quality import face_change, photo_change
from faceenc.protect.evidence.records import Evidence, FaceEvidence, Seen, Stray, Verdict
from faceenc.protect.evidence.sightings import Sighting, search_as_strangers
from faceenc.recognizers import Gallery, Recognizer, operating_point

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _Vectors = dict[str, NDArray[np.float64]]  # a judge's name -> its embedding of a face


# Share of the smaller of two boxes that lies in the other one, of the same up direction and of another.
_SAME_FACE, _SAME_FACE_TURNED = 0.5, 0.2


def gather_evidence(
    original: NDArray[np.uint8],
    protected: NDArray[np.uint8],
    *,
    judges: Sequence[Recognizer],
    search: FaceSearch,
    gallery: Gallery | None = None,
    person: str | None = None,
    variants: Sequence[Variant] = VARIANTS,
    found: Found | None = None,
    thorough: bool = False,
) -> Evidence:
    """Ask judges about every face of a photo.

    Of each face only the surroundings are read; the saved file is searched as a whole (`search_as_strangers`).

    Args:
        original: (H, W, 3) uint8 RGB.
        protected: the same photo, decoded from the saved file.
        judges: with different names.
        search: finds the original's faces, and each of them anew in every variant.
        gallery: of other people, made for these judges.
        person: of the gallery, whose photo this is: of several faces, the one nearest to that person's photos.
        variants: what is judged.
        found: in the original, if that is known already.
        thorough: search the saved file at full size.

    Returns:
        Without faces if the original shows none.

    Raises:
        DataError: the photos differ in size.
    """
    if original.shape != protected.shape:
        sizes = " and ".join(f"{image.shape[1]} x {image.shape[0]}" for image in (original, protected))
        raise DataError(f"the photos have {sizes} pixels: compare a photo with its copy, neither scaled nor cropped")
    if found is None:
        found = search.search(original)
        found = replace(found, faces=sorted(found.faces, key=lambda face: -face.box.area))  # numbered as by `encrypt`
    answers = [_ask(original, protected, face, judges, search, variants) for face in found.faces]
    verdicts: list[list[Verdict]] = [[] for _ in answers]
    for judge in judges:
        owner = _owner(judge, answers, gallery, person)
        for index, answer in enumerate(answers):
            verdicts[index] += answer.verdicts(judge, gallery, person if index == owner else None)
    narrowest = min((face.box.width for face in found.faces), default=math.inf)
    sightings, searched = search_as_strangers(protected, search, narrowest=narrowest, thorough=thorough)
    seen, strays = _compare(original, protected, found, answers, sightings, judges, search)
    psnr, largest = photo_change(original, protected)
    return Evidence(
        faces=tuple(
            FaceEvidence(face.box, *face_change(original, protected, face.box), tuple(said), tuple(here))
            for face, said, here in zip(found.faces, verdicts, seen, strict=True)
        ),
        psnr=psnr,
        max_change=largest,
        networks={judge.name: judge.network for judge in judges},
        doubtful=tuple(found.doubtful),
        left=tuple(found.left),
        strays=tuple(strays),
        smallest=(found.smallest, found.smallest_turned),
        searched=searched,
    )


def _compare(
    original: NDArray[np.uint8],
    protected: NDArray[np.uint8],
    found: Found,
    answers: Sequence[_Answers],
    sightings: Sequence[Sighting],
    judges: Sequence[Recognizer],
    search: FaceSearch,
) -> tuple[list[list[Seen]], list[Stray]]:
    """What judges say of each known face as strangers cut it out, and of faces that only strangers find."""
    best: dict[tuple[int, str], Sighting] = {}
    strays: list[Stray] = []
    known = [*found.faces, *found.left, *found.doubtful]
    for sighting in sorted(sightings, key=lambda one: -one.face.score):
        place = _place(sighting.face, known)
        if place is None:
            sure, doubtful = search.closer.settle(protected, [sighting.face])
            for face in sure or doubtful or ([sighting.face] if sighting.sure else []):
                if _place(face, [*known, *(stray.face for stray in strays)]) is None:
                    strays.append(_stray(original, protected, replace(sighting, face=face), judges, bool(sure)))
        elif place < len(found.faces):
            best.setdefault((place, sighting.detector), sighting)
    seen: list[list[Seen]] = [[] for _ in answers]
    for (index, _), sighting in best.items():
        seen[index].append(_judge_sighting(original, protected, sighting, judges, answers[index].original))
    return seen, strays


def _stray(
    original: NDArray[np.uint8],
    protected: NDArray[np.uint8],
    sighting: Sighting,
    judges: Sequence[Recognizer],
    sure: bool,
) -> Stray:
    if not (sure or sighting.sure):  # no judge is asked about what is hardly a face
        return Stray(sighting.face, Seen(sighting.detector, sighting.quarters, {}), False)
    own = {judge.name: judge.embed_face(original, sighting.face) for judge in judges}
    return Stray(sighting.face, _judge_sighting(original, protected, sighting, judges, own), True)


def _place(face: Face, known: Sequence[Face]) -> int | None:
    """Which of the known faces it is; None if none. A face seen from the wrong side may lie beside its own place."""
    shares = [shared_part(face.box, other.box) for other in known]
    index = max(range(len(known)), key=shares.__getitem__, default=None)
    if index is None:
        return None
    wrong_side = abs(cmath.phase(face.up / known[index].up)) > math.pi / 3
    return index if shares[index] > (_SAME_FACE_TURNED if wrong_side else _SAME_FACE) else None


def _judge_sighting(
    original: NDArray[np.uint8],
    protected: NDArray[np.uint8],
    sighting: Sighting,
    judges: Sequence[Recognizer],
    own: _Vectors,
) -> Seen:
    """What those judges say who match the untouched face where the stranger's detector cuts it out."""
    distances = {}
    for judge in judges:
        threshold = operating_point(judge).threshold
        crops = [judge.cut(image, sighting.face) for image in (original, protected)]
        before, after = (judge.distance(own[judge.name], vector) for vector in judge.embed_crops(np.stack(crops)))
        if before <= threshold:
            distances[judge.name] = after, threshold
    return Seen(sighting.detector, sighting.quarters, distances)


@dataclass(frozen=True, slots=True, eq=False)
class _Answers:
    """The judges' embeddings of one face: in the original, at half its size, in each variant; and where it was found."""

    original: _Vectors
    halved: _Vectors
    variants: Mapping[Variant, _Vectors]
    found: Mapping[Variant, bool]

    def verdicts(self, judge: Recognizer, gallery: Gallery | None, person: str | None) -> Iterator[Verdict]:
        own, threshold = self.original[judge.name], operating_point(judge).threshold
        able = judge.distance(own, self.halved[judge.name]) <= threshold
        for variant, vectors in self.variants.items():
            face = vectors[judge.name]
            rank = None
            if gallery is not None:
                rank = gallery.rank(judge, face, [own, *gallery.photos_of(judge, person)], person=person)
            yield Verdict(
                judge.name,
                variant,
                judge.distance(own, face),
                threshold,
                rank,
                found=self.found[variant],
                able=able,
            )


def _owner(judge: Recognizer, answers: Sequence[_Answers], gallery: Gallery | None, person: str | None) -> int | None:
    """Which face is `person`'s."""
    photos = [] if gallery is None else gallery.photos_of(judge, person)
    if not photos or not answers:
        return None
    return min(
        range(len(answers)),
        key=lambda k: min(judge.distance(answers[k].original[judge.name], photo) for photo in photos),
    )


def _ask(
    original: NDArray[np.uint8],
    protected: NDArray[np.uint8],
    face: Face,
    judges: Sequence[Recognizer],
    search: FaceSearch,
    variants: Sequence[Variant],
) -> _Answers:
    window, here = _surroundings(original, face)
    changed, _ = _surroundings(protected, face)
    # In the same way as below, so that equal pictures are no distance apart.
    same, _ = _find_again(search, window, here)
    views: dict[Variant, tuple[NDArray[np.uint8], Face]] = {}
    found: dict[Variant, bool] = {}
    for variant in variants:
        again, found[variant] = _find_again(search, *(picture := _varied(changed, here, variant)))
        views[variant] = picture[0], again
    answers: dict[Variant, _Vectors] = {variant: {} for variant in variants}
    for judge in judges:
        for variant, vector in _embed(judge, views).items():
            answers[variant][judge.name] = vector
    half, there = _varied(window, here, "half")
    there, _ = _find_again(search, half, there)
    own = {judge.name: judge.embed_face(window, same) for judge in judges}
    halved = {judge.name: judge.embed_crops(judge.cut(half, there)[None])[0] for judge in judges}
    return _Answers(own, halved, answers, found)


def _surroundings(image: NDArray[np.uint8], face: Face) -> tuple[NDArray[np.uint8], Face]:
    """The surroundings of a face, turned by quarters towards upright, and the face in them."""
    x0, y0, x1, y1 = copy_window(face.box, image.shape[1], image.shape[0])
    window = np.ascontiguousarray(np.rot90(image[y0:y1, x0:x1], face.quarters))
    return window, turned(moved(face, -x0, -y0), face.quarters, x1 - x0, y1 - y0)


def _varied(window: NDArray[np.uint8], face: Face, variant: Variant) -> tuple[NDArray[np.uint8], Face]:
    picture = vary(window, variant, face_width=face.box.width)
    return picture, scaled(face, picture.shape[1] / window.shape[1], picture.shape[0] / window.shape[0])


def _find_again(search: FaceSearch, picture: NDArray[np.uint8], place: Face) -> tuple[Face, bool]:
    """The face at a place, found anew, and whether it was; else the place."""
    look = search.closer.look(picture, place)
    return (place, False) if look is None else (look.face, True)


def _embed(judge: Recognizer, views: Mapping[Variant, tuple[NDArray[np.uint8], Face]]) -> dict[Variant, NDArray[np.float64]]:
    """Of the photo as saved by the judge's very own way, which may be slow; of the others together."""
    crops = {variant: judge.cut(*view) for variant, view in views.items() if variant != "saved"}
    vectors = dict(zip(crops, judge.embed_crops(np.stack(list(crops.values()))), strict=True)) if crops else {}
    return vectors | ({"saved": judge.embed_face(*views["saved"])} if "saved" in views else {})
