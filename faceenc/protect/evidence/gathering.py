"""What recognisers make of a protected photo: each face against itself in the original, as saved and after some wear.

Every face of the original is searched anew in every variant of the protected photo, at its own place: a recogniser that is
given the photo finds it with a detector of its own. Where ours does not, the judge is asked about the place where it was in
the original, because another detector may find it: a missed face is no protection, and the record says that it was missed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from faceenc.core import Box, DataError, Detector, Face, moved, scaled
from faceenc.faces import detect_at
from faceenc.media import VARIANTS, Variant, copy_window, vary
from faceenc.protect.evidence.quality import face_change, photo_change
from faceenc.recognizers import Gallery, Recognizer, operating_point

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _Vectors = dict[str, NDArray[np.float64]]  # a judge's name -> its embedding of a face


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one judge says about one variant of one face.

    Attributes:
        judge: its name.
        variant: of the protected photo.
        distance: from the same face of the original, in the judge's own measure.
        threshold: the judge takes faces at most so far apart for one person.
        rank: of the person among the gallery's people, 1 = nearest; None without a gallery.
        found: whether the face was detected in this variant; if not, its place in the original was used.
    """

    judge: str
    variant: Variant
    distance: float
    threshold: float
    rank: int | None
    found: bool

    @property
    def match(self) -> bool:
        return self.distance <= self.threshold


@dataclass(frozen=True, slots=True)
class FaceEvidence:
    """One face of the original.

    Attributes:
        box: in pixels of the photo.
        ssim: of the face and a fifth of its size around it, at most 1; nan for one of a few pixels.
        psnr: of the same part, in dB; infinite if nothing has changed.
        verdicts: judge by judge, variant by variant.
    """

    box: Box
    ssim: float
    psnr: float
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that was found out about one protected photo.

    Attributes:
        faces: of the original, as detected.
        psnr: of the whole photo, in dB; infinite if nothing has changed.
        max_change: the largest change of a pixel's value, 0 to 255.
        networks: the judges' names and the networks that they compute with.
    """

    faces: tuple[FaceEvidence, ...]
    psnr: float
    max_change: int
    networks: Mapping[str, str]

    def matches(self, variant: Variant = "saved", *, networks: Collection[str] | None = None) -> int:
        """How many faces some judge still matches; only judges with one of `networks` count, if these are given."""
        judges = {name for name, network in self.networks.items() if networks is None or network in networks}
        said = ([v for v in face.verdicts if v.variant == variant and v.judge in judges] for face in self.faces)
        return sum(any(verdict.match for verdict in verdicts) for verdicts in said)

    def undetected(self) -> list[tuple[int, Variant]]:
        """Faces, counted from 1, and the variants in which they were not found; see `Verdict.found`."""
        missed = {(k, v.variant): None for k, face in enumerate(self.faces, 1) for v in face.verdicts if not v.found}
        return list(missed)

    def to_json(self) -> dict[str, Any]:
        """For `json.dumps`; infinite PSNR and undefined SSIM become null, which JSON has no other word for."""
        faces = [
            {
                "box": [round(v, 1) for v in (face.box.x0, face.box.y0, face.box.x1, face.box.y1)],
                "ssim": _rounded(face.ssim),
                "psnr": _rounded(face.psnr),
                "judges": [_record(verdict) for verdict in face.verdicts],
            }
            for face in self.faces
        ]
        return {"faces": faces, "photo": {"psnr": _rounded(self.psnr), "max_change": self.max_change}}


def gather_evidence(
    original: NDArray[np.uint8],
    protected: NDArray[np.uint8],
    *,
    judges: Sequence[Recognizer],
    detector: Detector,
    gallery: Gallery | None = None,
    person: str | None = None,
    variants: Sequence[Variant] = VARIANTS,
    faces: Sequence[Face] | None = None,
) -> Evidence:
    """Ask judges about every face of a photo.

    Only the surroundings of each face are read, so that a large photo takes little longer than a small one.

    Args:
        original: (H, W, 3) uint8 RGB.
        protected: the same photo, decoded from the saved file.
        judges: with different names.
        detector: finds the original's faces, and each of them anew in every variant.
        gallery: of other people, made for these judges.
        person: of the gallery, whose photo this is: of several faces, the one nearest to that person's photos.
        variants: what is judged.
        faces: of the original, if they are known already.

    Returns:
        Without faces if the original shows none.

    Raises:
        DataError: the photos differ in size.
    """
    if original.shape != protected.shape:
        sizes = " and ".join(f"{image.shape[1]} x {image.shape[0]}" for image in (original, protected))
        raise DataError(f"the photos have {sizes} pixels: compare a photo with its copy, neither scaled nor cropped")
    known = list(detector(original) if faces is None else faces)
    answers = [_ask(original, protected, face, judges, detector, variants) for face in known]
    verdicts: list[list[Verdict]] = [[] for _ in known]
    for judge in judges:
        owner = _owner(judge, answers, gallery, person)
        for index, answer in enumerate(answers):
            verdicts[index] += answer.verdicts(judge, gallery, person if index == owner else None)
    psnr, largest = photo_change(original, protected)
    return Evidence(
        faces=tuple(
            FaceEvidence(face.box, *face_change(original, protected, face.box), tuple(said))
            for face, said in zip(known, verdicts, strict=True)
        ),
        psnr=psnr,
        max_change=largest,
        networks={judge.name: judge.network for judge in judges},
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Answers:
    """The judges' embeddings of one face: in the original and in each variant; and in which variants it was found."""

    original: _Vectors
    variants: Mapping[Variant, _Vectors]
    found: Mapping[Variant, bool]

    def verdicts(self, judge: Recognizer, gallery: Gallery | None, person: str | None) -> Iterator[Verdict]:
        own, threshold = self.original[judge.name], operating_point(judge).threshold
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
    detector: Detector,
    variants: Sequence[Variant],
) -> _Answers:
    height, width = original.shape[:2]
    x0, y0, x1, y1 = copy_window(face.box, width, height)
    here = moved(face, -x0, -y0)
    window = original[y0:y1, x0:x1]
    same, _ = detect_at(window, here, detector)  # in the same way as below, so that equal pictures are no distance apart
    views: dict[Variant, tuple[NDArray[np.uint8], Face]] = {}
    found: dict[Variant, bool] = {}
    for variant in variants:
        picture = vary(protected[y0:y1, x0:x1], variant, face_width=face.box.width)
        place = scaled(here, picture.shape[1] / window.shape[1], picture.shape[0] / window.shape[0])
        again, found[variant] = detect_at(picture, place, detector)
        views[variant] = picture, again
    answers: dict[Variant, _Vectors] = {variant: {} for variant in variants}
    for judge in judges:
        for variant, vector in _embed(judge, views).items():
            answers[variant][judge.name] = vector
    return _Answers({judge.name: judge.embed_face(window, same) for judge in judges}, answers, found)


def _embed(judge: Recognizer, views: Mapping[Variant, tuple[NDArray[np.uint8], Face]]) -> dict[Variant, NDArray[np.float64]]:
    """Of the photo as saved by the judge's very own way, which may be slow; of the others together."""
    crops = {variant: judge.cut(*view) for variant, view in views.items() if variant != "saved"}
    vectors = dict(zip(crops, judge.embed_crops(np.stack(list(crops.values()))), strict=True)) if crops else {}
    return vectors | ({"saved": judge.embed_face(*views["saved"])} if "saved" in views else {})


def _record(verdict: Verdict) -> dict[str, Any]:
    return {
        "judge": verdict.judge,
        "variant": verdict.variant,
        "distance": round(verdict.distance, 4),
        "threshold": round(verdict.threshold, 4),
        "match": verdict.match,
        "rank": verdict.rank,
    }


def _rounded(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
