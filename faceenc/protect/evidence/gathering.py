"""What recognisers make of a protected photo: each face against itself in the original, as saved and after some wear.

Every face of the original is searched anew in every variant of the protected photo, at its own place: a recogniser that is
given the photo finds it with a detector of its own. Where ours does not, the judge is asked about the place where it was in
the original, because another detector may find it: a missed face is no protection, and the record says that it was missed.
Besides, every detector there is searches the whole saved file, as a stranger's program would.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from faceenc.core import DataError, Face, moved, scaled, turned
from faceenc.faces import FaceSearch, Found
from faceenc.media import VARIANTS, Variant, Visibility, copy_window, vary
from faceenc.protect.evidence.detections import Judging, compare_detections, search_as_strangers
from faceenc.protect.evidence.quality import face_change, photo_change
from faceenc.protect.evidence.records import Copy, Evidence, FaceEvidence, Verdict
from faceenc.protect.visible import face_visibility
from faceenc.recognizers import Gallery, Recognizer, operating_point

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _Vectors = dict[str, NDArray[np.float64]]  # a judge's name -> its embedding of a face
    _Saved = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True, eq=False)
class Aim:
    """Whom faces are to look like.

    Attributes:
        name: of the person.
        embeddings: a net's `Recognizer.network` -> (N, D), one a photo of them; other judges are not asked.
    """

    name: str
    embeddings: Mapping[str, NDArray[np.float32]]


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
    as_saved: _Saved | None = None,
    copy: Copy | None = None,
    aim: Aim | None = None,
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
        as_saved: what saving does to (H, W, 3) uint8 RGB: what people see is measured against the original saved so too;
            None measures against the original as it is.
        copy: what the protected photo is of an original of another size, here brought to its size: nothing is measured.
        aim: whom the faces are to look like.

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
    detections, searched = search_as_strangers(protected, search, narrowest=narrowest, thorough=thorough)
    references = [answer.original for answer in answers]
    seen, strays = compare_detections(Judging(original, protected, judges), found, references, detections, search)
    places = [[*answer.places, *(face for _, face in here)] for answer, here in zip(answers, seen, strict=True)]
    psnr, largest = photo_change(original, protected) if copy is None else (math.nan, None)
    return Evidence(
        faces=tuple(
            FaceEvidence(
                face.box,
                *(face_change(original, protected, face.box) if copy is None else (math.nan, math.nan)),
                _visible(original, protected, face, as_saved) if copy is None else None,
                tuple(said),
                tuple(one for one, _ in here),
                tuple(there),
                () if aim is None else tuple(answer.aimed(judges, aim)),
            )
            for face, answer, said, here, there in zip(found.faces, answers, verdicts, seen, places, strict=True)
        ),
        psnr=psnr,
        max_change=largest,
        networks={judge.name: judge.network for judge in judges},
        doubtful=tuple(found.doubtful),
        left=tuple(found.left),
        strays=tuple(strays),
        smallest=(found.smallest, found.smallest_turned),
        searched=searched,
        copy=copy,
        aim=None if aim is None else aim.name,
    )


def _visible(
    original: NDArray[np.uint8], protected: NDArray[np.uint8], face: Face, as_saved: _Saved | None
) -> Visibility | None:
    """On the surroundings of the face alone, which lie on the grid of JPEG's blocks."""
    x0, y0, x1, y1 = copy_window(face.box, original.shape[1], original.shape[0])
    before, after = (np.ascontiguousarray(image[y0:y1, x0:x1]) for image in (original, protected))
    return face_visibility(as_saved(before) if as_saved else before, after, moved(face, -x0, -y0))


@dataclass(frozen=True, slots=True, eq=False)
class _Answers:
    """The judges' embeddings of one face: in the original, at half its size, in each variant; and where it was found.

    `places` are in pixels of the photo, of those variants that are as large.
    """

    original: _Vectors
    halved: _Vectors
    variants: Mapping[Variant, _Vectors]
    found: Mapping[Variant, bool]
    places: Sequence[Face]

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

    def aimed(self, judges: Sequence[Recognizer], aim: Aim) -> Iterator[Verdict]:
        """Whether the face is taken for the person aimed at."""
        for judge in judges:
            known = np.asarray(aim.embeddings.get(judge.network, ()), np.float64)
            threshold = operating_point(judge).threshold
            for variant, vectors in self.variants.items() if len(known) else ():
                nearest = min(judge.distance(photo, vectors[judge.name]) for photo in known)
                yield Verdict(judge.name, variant, nearest, threshold, None, found=self.found[variant])


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
    places = [
        _back(views[variant][1], face, original.shape) for variant in variants if views[variant][0].shape == window.shape
    ]
    return _Answers(own, halved, answers, found, places)


def _surroundings(image: NDArray[np.uint8], face: Face) -> tuple[NDArray[np.uint8], Face]:
    """The surroundings of a face, turned by quarters towards upright, and the face in them."""
    x0, y0, x1, y1 = copy_window(face.box, image.shape[1], image.shape[0])
    window = np.ascontiguousarray(np.rot90(image[y0:y1, x0:x1], face.quarters))
    return window, turned(moved(face, -x0, -y0), face.quarters, x1 - x0, y1 - y0)


def _back(found: Face, face: Face, shape: tuple[int, ...]) -> Face:
    """A face of a window of `_surroundings` in pixels of the photo, which has that shape."""
    x0, y0, x1, y1 = copy_window(face.box, shape[1], shape[0])
    wide, high = (y1 - y0, x1 - x0) if face.quarters % 2 else (x1 - x0, y1 - y0)
    return moved(turned(found, -face.quarters, wide, high), x0, y0)


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
