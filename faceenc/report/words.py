"""What is counted, in words: photos that a classifier recognises, or pairs that a recogniser of strangers matches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

VERIFICATION = "verification"


@dataclass(frozen=True, slots=True)
class Words:
    """Captions and sentences that depend on the task.

    Attributes:
        kept: what accuracy counts.
        lost: what the success of dodging counts.
        taken: what the success of impersonation counts.
        photos: of what there are so many.
        untouched: "{judge}", "{clean}" and "{n}" in a sentence.
        under: of an attack's sentence, before the figure.
        aimed: the same, aimed at another person.
        accuracy_note: below the picture.
        interval_note: below the tables.
        targeted_note: above the tables of impersonation.
        worst_note: above the worst case.
        lost_title: of a section.
    """

    kept: str
    lost: str
    taken: str
    photos: str
    untouched: str
    under: str
    aimed: str
    accuracy_note: str
    interval_note: str
    targeted_note: str
    worst_note: str
    lost_title: str


_BANDS = (
    " against the size of the noise: under Linf at 8/255 no colour value moves by more than 8 of its 255 steps. Bands are"
    " Wilson 95 % intervals of the in-house attacks; hollow markers are ART's. The scale is logarithmic from the smallest"
    " noise on."
)

PHOTOS = Words(
    kept="Photos still recognised",
    lost="No longer recognised, % of the photos recognised untouched",
    taken="Taken for the target, % of all photos",
    photos="photos",
    untouched="{judge} recognises {clean} % of {n} untouched test photos.",
    under="it recognises",
    aimed="it still recognises",
    accuracy_note=f"Photos still recognised{_BANDS}",
    interval_note="Intervals are Wilson 95 % intervals over distinct photos; with several seeds each photo counts"
    " once, with its mean. Photos of one person are alike, so the true uncertainty about other people is larger.",
    targeted_note="A targeted attack is reported twice: the tables above count photos no longer recognised as their"
    " owner; this one counts photos taken for the chosen other person.",
    worst_note="A photo counts only if it is recognised untouched and under every attack, goal and seed that was run"
    " at this size, random noise included.",
    lost_title="Success over the photos recognised untouched",
)

PAIRS = Words(
    kept="Genuine pairs that still match",
    lost="No longer matched, % of the genuine pairs matched untouched",
    taken="Impostor pairs that match, % of all",
    photos="pairs",
    untouched="{judge} matches {clean} % of {n} untouched genuine pairs.",
    under="it matches",
    aimed="it matches",
    accuracy_note=f"Pairs that match{_BANDS} Left genuine pairs, of which noise shall leave none (dodging: 100 % less"
    " the false non-match rate); right impostor pairs, of which it shall make as many as it can (impersonation: the"
    " false match rate).",
    interval_note="Intervals are Wilson 95 % intervals over pairs. Pairs share people, so the true uncertainty about"
    " other people is larger.",
    targeted_note="Impersonation: the attack knows a photo of somebody else, and counts where the two match. At eps 0"
    " this is the false match rate of these pairs.",
    worst_note="A genuine pair counts only if it matches untouched and under every attack on it and seed that was run"
    " at this size, random noise included.",
    lost_title="Success of dodging over the pairs matched untouched",
)


def is_verification(run: Mapping[str, Any]) -> bool:
    """Whether a run is of pairs."""
    return run.get("kind") == VERIFICATION


def words_of(run: Mapping[str, Any]) -> Words:
    """Those of a run's task."""
    return PAIRS if is_verification(run) else PHOTOS
