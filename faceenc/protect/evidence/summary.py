"""The last line about a protected photo: what was shown, and what was not."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from faceenc.media import Variant
from faceenc.protect.evidence.gathering import Evidence, Verdict
from faceenc.recognizers import DLIB

_WORDS: dict[Variant, str] = {
    "saved": "as saved",
    "jpeg75": "after JPEG at quality 75",
    "half": "at half size",
    "blur": "blurred",
}


def summary_line(evidence: Evidence, surrogates: Collection[str] | None = None) -> str:
    """One line in plain words.

    Args:
        evidence: of one photo.
        surrogates: the `network` of every recogniser that the noise was made against; None if that is not known.
    """
    if not evidence.faces:
        return "no face was found, so nothing is shown about recognisers"
    if math.isinf(evidence.psnr):
        return "the two photos are equal, pixel by pixel: nothing is protected"
    judges = evidence.networks.items()
    said = [f"{judge} ({_kind(network, surrogates)}) {_count(evidence, judge)}" for judge, network in judges]
    return "; ".join([*said, *_missed(evidence), _reservation(evidence, surrogates)])


def _kind(network: str, surrogates: Collection[str] | None) -> str:
    if surrogates is not None:
        return "white-box: the noise was made against its network" if network in surrogates else "unseen judge"
    if network == DLIB:
        return "white-box if encrypt made the noise with its defaults"
    return "unseen judge, unless the noise was made against it"


def _count(evidence: Evidence, judge: str) -> str:
    """'no longer matches 2 of 2 faces as saved, 1 at half size' and so on."""
    free: dict[Variant, int] = {}
    for verdict in _verdicts(evidence):
        if verdict.judge == judge:
            free[verdict.variant] = free.get(verdict.variant, 0) + (not verdict.match)
    total = len(evidence.faces)
    if not any(free.values()):
        return f"still matches {'the face' if total == 1 else f'all {total} faces'}"
    if set(free.values()) == {total}:
        *some, last = (_WORDS[variant] for variant in free)
        return f"no longer matches {'the face' if total == 1 else f'any of {total} faces'} {_listed(some, last)}"
    counts = [f"{count} {_WORDS[variant]}" for variant, count in free.items()]
    first, _, rest = counts[0].partition(" ")
    return ", ".join([f"no longer matches {first} of {total} {'face' if total == 1 else 'faces'} {rest}", *counts[1:]])


def _listed(some: Sequence[str], last: str) -> str:
    return f"{', '.join(some)} or {last}" if some else last


def _missed(evidence: Evidence) -> list[str]:
    missed = len(evidence.undetected())
    if not missed:
        return []
    return [f"the detector missed a face {missed} time{'s'[: missed > 1]}, which does not count as protection"]


def _reservation(evidence: Evidence, surrogates: Collection[str] | None) -> str:
    unseen = set(evidence.networks.values()) - set({DLIB} if surrogates is None else surrogates)
    return f"{'' if unseen else 'no unseen judge was asked, and '}newer recognisers may still match"


def _verdicts(evidence: Evidence) -> Sequence[Verdict]:
    return [verdict for face in evidence.faces for verdict in face.verdicts]
