"""What was found out about a protected photo, and how that is written as JSON."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from faceenc.core import Box, Face
from faceenc.media import Variant, Visibility


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
        able: whether the judge recognises the untouched face at half its size; if not, it is too small or too blurred to be
            judged, and no match says nothing.
    """

    judge: str
    variant: Variant
    distance: float
    threshold: float
    rank: int | None
    found: bool
    able: bool = True

    @property
    def match(self) -> bool:
        return self.distance <= self.threshold


@dataclass(frozen=True, slots=True)
class Seen:
    """A face of the saved file as one stranger's detector cuts it out.

    Attributes:
        detector: "MediaPipe", "YuNet" or "dlib".
        quarters: how many quarter turns to the left the photo was turned.
        distances: a judge's name -> the distance to the face of the original, and the judge's threshold; of those judges who
            match the untouched face where this detector cuts it out.
    """

    detector: str
    quarters: int
    distances: Mapping[str, tuple[float, float]]

    def match(self, judges: Collection[str]) -> bool:
        """Whether one of these judges matches it."""
        return any(distance <= threshold for name, (distance, threshold) in self.distances.items() if name in judges)


@dataclass(frozen=True, slots=True)
class Stray:
    """What a stranger's detector takes for a face where ours found none.

    Attributes:
        face: in pixels of the photo.
        seen: by whom; the distance is to the same place of the original.
        sure: a closer look, or the detector alone, leaves no doubt that it is a face.
    """

    face: Face
    seen: Seen
    sure: bool


@dataclass(frozen=True, slots=True)
class FaceEvidence:
    """One face of the original.

    Attributes:
        box: in pixels of the photo.
        ssim: of the face and a fifth of its size around it, at most 1; nan for one of a few pixels.
        psnr: of the same part, in dB; infinite if nothing has changed.
        visible: how much people see of its change, in the saved file; None where too little of it lies in the photo.
        verdicts: judge by judge, variant by variant.
        aimed: the same of the person whom the face was to look like: the distance is to the nearest of their photos.
        seen: as strangers' detectors find it in the saved file, at most once each.
        places: where it was found anew in the saved file, in pixels of the photo: by us, and by strangers' detectors.
    """

    box: Box
    ssim: float
    psnr: float
    visible: Visibility | None
    verdicts: tuple[Verdict, ...]
    seen: tuple[Seen, ...] = ()
    places: tuple[Face, ...] = ()
    aimed: tuple[Verdict, ...] = ()

    def judged_by(self, judge: str) -> bool:
        """Whether what the judge says of this face counts."""
        return all(verdict.able for verdict in self.verdicts if verdict.judge == judge)


@dataclass(frozen=True, slots=True)
class Copy:
    """What a protected photo of another size is of the original.

    Attributes:
        original: width and height in pixels.
        size: of the copy.
        part: of the original that the copy shows, in its pixels.
        outside: faces of the original that lie beside that part.
    """

    original: tuple[int, int]
    size: tuple[int, int]
    part: Box
    outside: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that was found out about one protected photo.

    Attributes:
        faces: of the original, as detected.
        psnr: of the whole photo, in dB; infinite if nothing has changed, nan in a copy of another size.
        max_change: the largest change of a pixel's value, 0 to 255; None in a copy of another size.
        networks: the judges' names and the networks that they compute with.
        doubtful: places of the original that one detector weakly takes for a face: not protected and not judged.
        left: faces of the original that were to be left as they are.
        strays: faces of the saved file that only strangers' detectors find.
        smallest: pixels: narrower faces of the original were not searched for, upright and turned.
        searched: a stranger's detector -> the width in pixels below which it was not searched for faces.
        copy: what the protected photo is of the original, if they differ in size; boxes are in its pixels then.
        aim: name of the person whom the faces were to look like.
    """

    faces: tuple[FaceEvidence, ...]
    psnr: float
    max_change: int | None
    networks: Mapping[str, str]
    doubtful: tuple[Face, ...] = ()
    left: tuple[Face, ...] = ()
    strays: tuple[Stray, ...] = ()
    smallest: tuple[int, int] = (0, 0)
    searched: Mapping[str, int] = field(default_factory=dict)
    copy: Copy | None = None
    aim: str | None = None

    def matched_faces(self, variant: Variant = "saved", *, networks: Collection[str] | None = None) -> list[int]:
        """Faces, counted from 1, that some judge still matches; as saved also where a stranger's detector puts them.

        Args:
            variant: of the protected photo.
            networks: only judges with one of these count, if they are given.
        """
        judges = {name for name, network in self.networks.items() if networks is None or network in networks}
        return [
            number
            for number, face in enumerate(self.faces, 1)
            if any(v.match for v in face.verdicts if v.variant == variant and v.judge in judges)
            or (variant == "saved" and any(seen.match(judges) for seen in face.seen))
        ]

    def matches(self, variant: Variant = "saved", *, networks: Collection[str] | None = None) -> int:
        """How many faces some judge still matches, with the strays that are faces; arguments as of `matched_faces`."""
        judges = {name for name, network in self.networks.items() if networks is None or network in networks}
        strays = [s for s in self.strays if s.sure and s.seen.match(judges)] if variant == "saved" else []
        return len(self.matched_faces(variant, networks=networks)) + len(strays)

    def unlike(self, networks: Collection[str]) -> int:
        """How many faces some judge with one of these networks does not take, as saved, for the person aimed at."""
        judges = {name for name, network in self.networks.items() if network in networks}
        return sum(any(not v.match for v in face.aimed if v.variant == "saved" and v.judge in judges) for face in self.faces)

    def undetected(self) -> list[tuple[int, Variant]]:
        """Faces, counted from 1, and the variants in which they were not found; see `Verdict.found`."""
        missed = {(k, v.variant): None for k, face in enumerate(self.faces, 1) for v in face.verdicts if not v.found}
        return list(missed)

    def to_json(self) -> dict[str, Any]:
        """For `json.dumps`; infinite PSNR and what is undefined become null, which JSON has no other word for."""
        faces = [
            {
                "box": _corners(face.box),
                "ssim": _rounded(face.ssim),
                "psnr": _rounded(face.psnr),
                **_visible_record(face.visible),
                "judges": [_record(verdict) for verdict in face.verdicts],
                **({} if self.aim is None else {"aimed": [_record(verdict) for verdict in face.aimed]}),
                "seen": [_seen_record(seen) for seen in face.seen],
            }
            for face in self.faces
        ]
        return {
            **({} if self.copy is None else {"copy": _copy_record(self.copy)}),
            "faces": faces,
            "photo": {"psnr": _rounded(self.psnr), "max_change": self.max_change},
            "doubtful": [
                {"box": _corners(f.box), "score": round(f.score, 3), "detector": f.detector} for f in self.doubtful
            ],
            "left": [_corners(face.box) for face in self.left],
            "strays": [{"box": _corners(s.face.box), "sure": s.sure, **_seen_record(s.seen)} for s in self.strays],
            "searched": {"upright": self.smallest[0], "turned": self.smallest[1], "saved": dict(self.searched)},
        }


def _copy_record(copy: Copy) -> dict[str, Any]:
    sizes = {"original": list(copy.original), "size": list(copy.size)}
    return {**sizes, "part": _corners(copy.part), "faces_outside": copy.outside}


def _visible_record(seen: Visibility | None) -> dict[str, float | None]:
    if seen is None:
        return {"noise": None, "butteraugli": None, "shape": None}
    return {"noise": round(seen.noise, 1), "butteraugli": round(seen.butteraugli, 2), "shape": round(seen.shape, 2)}


def _record(verdict: Verdict) -> dict[str, Any]:
    return {
        "judge": verdict.judge,
        "variant": verdict.variant,
        "distance": round(verdict.distance, 4),
        "threshold": round(verdict.threshold, 4),
        "match": verdict.match,
        "rank": verdict.rank,
        "able": verdict.able,
    }


def _seen_record(seen: Seen) -> dict[str, Any]:
    return {
        "detector": seen.detector,
        "turned": 90 * seen.quarters,
        "judges": [
            {"judge": name, "distance": round(distance, 4), "threshold": round(threshold, 4), "match": distance <= threshold}
            for name, (distance, threshold) in seen.distances.items()
        ],
    }


def _corners(box: Box) -> list[float]:
    return [round(value, 1) for value in (box.x0, box.y0, box.x1, box.y1)]


def _rounded(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
