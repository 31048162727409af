"""How much noise: the presets of `faceenc encrypt`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Strength:
    """How much noise, and how long it is worked on.

    Attributes:
        eps: the largest change of any channel of any pixel, as a share of the pixel range.
        steps: gradient steps a face, at most; twice as many for one that they hardly protect.
        flat: the share of eps that flat skin gets.
        margin: the face counts as protected when it is so many thresholds beyond the threshold, in every look at it.
    """

    eps: float
    steps: int
    flat: float
    margin: float


STRENGTHS: dict[str, Strength] = {
    "subtle": Strength(eps=6 / 255, steps=50, flat=0.5, margin=0.4),
    "balanced": Strength(eps=10 / 255, steps=50, flat=0.6, margin=0.8),
    "strong": Strength(eps=16 / 255, steps=80, flat=0.7, margin=1.1),
}
