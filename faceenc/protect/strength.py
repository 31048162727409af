"""How much noise: the presets of `faceenc encrypt`."""

from __future__ import annotations

from dataclasses import dataclass

from faceenc.core import SLACK
from faceenc.faces import CHIP_SIZE
from faceenc.media import Diversity

# A face that is found anew, after the noise or in a copy, lies a little differently.
FOUND_ANEW = Diversity(degrees=3, zoom=0.03, shift=2 / CHIP_SIZE)
# Wider views make noise that recognisers which are not attacked see as well. They cost some of the distance on those that
# are: too much for little noise.
WIDE = Diversity(degrees=8, zoom=0.1, shift=0.03, flip=0.5, dimmest=0.5)


@dataclass(frozen=True, slots=True)
class Strength:
    """How much noise, and how long it is worked on.

    Attributes:
        eps: the largest change of any channel of any pixel, as a share of the pixel range.
        steps: gradient steps a face, at most; twice as many for one that they hardly protect.
        flat: the share of eps that flat skin gets.
        margin: no more steps are taken when the face is so many thresholds beyond the threshold, in every view of it.
        diversity: of the views that are attacked, of diverse surrogates; None shows every crop as it was found.
    """

    eps: float
    steps: int
    flat: float
    margin: float
    diversity: Diversity | None = WIDE

    @property
    def rounds_away(self) -> bool:
        """Whether eps is less than one grey level: nothing of such noise is left in a file."""
        return self.eps * 255 < 1 - SLACK


STRENGTHS: dict[str, Strength] = {
    "subtle": Strength(eps=6 / 255, steps=50, flat=0.5, margin=0.4, diversity=FOUND_ANEW),
    "balanced": Strength(eps=10 / 255, steps=50, flat=0.6, margin=0.8),
    "strong": Strength(eps=16 / 255, steps=80, flat=0.7, margin=1.1),
}
