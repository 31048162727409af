"""The last line about a protected photo: what was shown, and what was not."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from faceenc.media import Variant
from faceenc.protect.evidence.records import Evidence
from faceenc.recognizers import ensemble_networks

if TYPE_CHECKING:
    from faceenc.core import Box


_WORDS: dict[Variant, str] = {
    "saved": "as saved",
    "jpeg75": "after JPEG at quality 75",
    "half": "at half size",
    "blur": "blurred",
}
# The networks that `encrypt` attacks where nothing else is asked for.
_ENSEMBLE = frozenset(ensemble_networks())
# By reports/frontier: a preset -> per cent of photos whose person's other photos a recogniser that was not attacked
# (faceres or the net left out) matches no more; least and most of the sets of photos, recognisers and copies.
LEFT_OUT: Mapping[str, tuple[int, int]] = {"subtle": (8, 50), "balanced": (72, 100), "strong": (92, 100)}


def summary_line(evidence: Evidence, surrogates: Collection[str] | None = None, preset: str | None = None) -> str:
    """One line in plain words.

    Args:
        evidence: of one photo.
        surrogates: the `network` of every recogniser that was attacked; None if that is not known.
        preset: how strongly, if the recognisers that presets attack were; None if not, or if that is not known.
    """
    if not evidence.faces:
        return "; ".join(["no face was found, so nothing is shown about recognisers", *_not_done(evidence)])
    if math.isinf(evidence.psnr):
        return "the two photos are equal, pixel by pixel: nothing is protected"
    return "; ".join(
        [
            *_said(evidence, surrogates),
            *_aimed(evidence),
            *_found_by_others(evidence),
            *_missed(evidence),
            *_not_done(evidence),
            *_reservation(evidence, surrogates, preset),
        ]
    )


def _said(evidence: Evidence, surrogates: Collection[str] | None) -> Iterator[str]:
    """'attacked: dlib and sface no longer match the face as saved' and so on, judges that agree together."""
    agreed: dict[tuple[str, str], list[str]] = {}
    for judge, network in evidence.networks.items():
        agreed.setdefault((_kind(network, surrogates), _count(evidence, judge)), []).append(judge)
    for (kind, count), judges in sorted(agreed.items(), key=lambda one: one[0][0]):
        yield f"{kind}: {_listed_all(judges)} {count if len(judges) == 1 else _count(evidence, judges[0], match='match')}"


def _aimed(evidence: Evidence) -> Iterator[str]:
    """'dlib and sface take it for Ada as saved, mobilefacenet does not' of the faces that were to look like somebody."""
    if evidence.aim is None:
        return
    total = len(evidence.faces)
    for judge in dict.fromkeys(verdict.judge for face in evidence.faces for verdict in face.aimed):
        said = [v for face in evidence.faces for v in face.aimed if v.judge == judge]
        taken = sum(v.match for v in said if v.variant == "saved")
        later = sum(v.match for v in said if v.variant == "jpeg75")
        if taken:
            who = "the face" if total == 1 else f"{taken} of {total} faces"
            then = "also" if later == taken else str(later)
            yield f"{judge} takes {who} for {evidence.aim} as saved, {then} {_WORDS['jpeg75']}"
        else:
            yield f"{judge} does not take {'the face' if total == 1 else 'any face'} for {evidence.aim}"


def _kind(network: str, surrogates: Collection[str] | None) -> str:
    if surrogates is not None:
        return "attacked" if network in surrogates else "not attacked"
    return "attacked if encrypt's defaults were used" if network in _ENSEMBLE else "not attacked by encrypt's defaults"


def _count(evidence: Evidence, judge: str, match: str = "matches") -> str:
    """'no longer matches 2 of 2 faces as saved, 1 at half size' and so on."""
    judged = [face for face in evidence.faces if face.judged_by(judge)]
    unable = [number for number, face in enumerate(evidence.faces, 1) if not face.judged_by(judge)]
    about = f"cannot judge {_places(evidence, unable)}, too small or too blurred" if unable else ""
    if not judged:
        return about
    free: dict[Variant, int] = {}
    for verdict in (verdict for face in judged for verdict in face.verdicts if verdict.judge == judge):
        free[verdict.variant] = free.get(verdict.variant, 0) + (not verdict.match)
    matched = [
        number
        for number, face in enumerate(evidence.faces, 1)
        if face.judged_by(judge) and any(v.match for v in face.verdicts if v.judge == judge and v.variant == "saved")
    ]
    where = f" (still matched as saved: {_places(evidence, matched)})" if 0 < len(matched) < len(judged) else ""
    return f"{_freed(free, len(judged), match)}{where}{', and ' if about else ''}{about}"


def _freed(free: Mapping[Variant, int], total: int, match: str) -> str:
    if not any(free.values()):
        return f"still {match} {'the face' if total == 1 else f'all {total} faces'}"
    if set(free.values()) == {total}:
        *some, last = (_WORDS[variant] for variant in free)
        return f"no longer {match} {'the face' if total == 1 else f'any of {total} faces'} {_listed(some, last)}"
    counts = [f"{count} {_WORDS[variant]}" for variant, count in free.items()]
    first, _, rest = counts[0].partition(" ")
    return ", ".join([f"no longer {match} {first} of {total} {'face' if total == 1 else 'faces'} {rest}", *counts[1:]])


def _places(evidence: Evidence, numbers: Sequence[int]) -> str:
    """'face 2 at (310, 120)' and so on."""
    return _listed_all(f"face {number} at {_centre(evidence.faces[number - 1].box)}" for number in numbers)


def _centre(box: Box) -> str:
    return f"({(box.x0 + box.x1) / 2:.0f}, {(box.y0 + box.y1) / 2:.0f})"


def _listed_all(words: Iterable[str]) -> str:
    *some, last = words
    return f"{', '.join(some)} and {last}" if some else last


def _listed(some: Sequence[str], last: str) -> str:
    return f"{', '.join(some)} or {last}" if some else last


def _missed(evidence: Evidence) -> list[str]:
    missed = len(evidence.undetected())
    if not missed:
        return []
    return [f"the detector missed a face {missed} time{'s'[: missed > 1]}, which does not count as protection"]


def _found_by_others(evidence: Evidence) -> list[str]:
    """What strangers' detectors cut out that judges still match."""
    judges = evidence.networks
    still = [
        f"{seen.detector} finds face {number} at {_centre(face.box)} where {_listed_all(matching)} still"
        f" match{'es' if len(matching) == 1 else ''}"
        for number, face in enumerate(evidence.faces, 1)
        for seen in face.seen
        if (matching := [name for name in judges if seen.match([name])])
        and not any(verdict.match for verdict in face.verdicts if verdict.variant == "saved")
    ]
    strays = [s for s in evidence.strays if s.sure and s.seen.match(judges)]
    return still + [f"{s.seen.detector} finds a face at {_centre(s.face.box)} that is not protected" for s in strays]


def _not_done(evidence: Evidence) -> list[str]:
    """What was not protected and not searched for."""
    doubtful = [face.box for face in evidence.doubtful] + [s.face.box for s in evidence.strays if not s.sure]
    upright, turned = evidence.smallest
    said = []
    if evidence.left:
        left = "1 more face is" if len(evidence.left) == 1 else f"{len(evidence.left)} more faces are"
        said.append(f"{left} left as in the original: {_listed_all(_centre(face.box) for face in evidence.left)}")
    if doubtful:
        what = "a place" if len(doubtful) == 1 else f"{len(doubtful)} places"
        said.append(f"{what} that one detector weakly takes for a face got no noise: {_listed_all(map(_centre, doubtful))}")
    if upright:
        said.append(f"faces narrower than {upright} pixels, turned ones than {turned}, were not searched for")
    return said


def _reservation(evidence: Evidence, surrogates: Collection[str] | None, preset: str | None) -> Iterator[str]:
    """What this photo's judges cannot show."""
    if not set(evidence.networks.values()) - set(_ENSEMBLE if surrogates is None else surrogates):
        attacked = "encrypt's defaults do not attack" if surrogates is None else "was not attacked"
        yield f"no recogniser that {attacked} was asked"
    if preset is None or preset not in LEFT_OUT:
        yield "newer recognisers may still match"
        return
    least, most = LEFT_OUT[preset]
    share = f"{least} to {most} % of photos (reports/frontier)"
    yield f"at this strength recognisers that were not attacked matched no other photo of the person for {share}"
    yield "newer ones may still match"
