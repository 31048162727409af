"""How much noise: the presets of `faceenc encrypt`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Strength:
    """How much noise, and how long it is worked on.

    Attributes:
        eps: the largest change of any channel of any pixel, as a share of the pixel range.
        steps: gradient steps a face, at most.
        flat: the share of eps that flat skin gets.
        margin: the face counts as protected when it is so many thresholds beyond the threshold, in every look at it.
    """

    eps: float
    steps: int
    flat: float
    margin: float


STRENGTHS: dict[str, Strength] = {
    "subtle": Strength(eps=5 / 255, steps=60, flat=0.4, margin=0.25),
    "balanced": Strength(eps=8 / 255, steps=40, flat=0.5, margin=0.45),
    "strong": Strength(eps=16 / 255, steps=100, flat=0.6, margin=0.9),
}
