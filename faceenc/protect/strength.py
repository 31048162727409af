"""How much may be seen: the presets of `faceenc encrypt`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from faceenc.core import SLACK
from faceenc.media import Visibility


@dataclass(frozen=True, slots=True)
class Strength:
    """How much of a face's change may be seen, by the measures of `faceenc.media.Visibility`, and how long it is worked on.

    Attributes:
        noise: SSIMULACRA2 that the face must keep, below 100; minus infinity does not ask, and eps alone bounds the noise.
        butteraugli: the largest 3-norm.
        shape: the largest displacement in per cent of the face's size; 0 leaves every line where it is.
        eps: the largest change that noise makes to any channel of any pixel, as a share of the pixel range: single bright
            dots are seen more than these measures say.
        steps: gradient steps a face.
    """

    noise: float
    butteraugli: float
    shape: float
    eps: float
    steps: int

    @classmethod
    def bounded(cls, eps: float, steps: int) -> Strength:
        """Noise in a ball of eps, whatever is seen of it, as benchmarks of recognisers use it."""
        return cls(noise=-math.inf, butteraugli=math.inf, shape=0, eps=eps, steps=steps)

    @property
    def sees(self) -> bool:
        """Whether what people see is asked for at all."""
        return self.noise > -math.inf

    @property
    def rounds_away(self) -> bool:
        """Whether eps is less than one grey level: nothing of such noise is left in a file."""
        return self.eps * 255 < 1 - SLACK

    def kept(self, seen: Visibility) -> bool:
        """Whether a face shows no more than this."""
        # Of noise alone the measure of shape reads a little too.
        shaped = not self.shape or seen.shape <= self.shape
        return seen.noise >= self.noise and seen.butteraugli <= self.butteraugli and shaped


# By reports/frontier.
STRENGTHS: dict[str, Strength] = {
    "subtle": Strength(noise=75, butteraugli=3, shape=1.0, eps=12 / 255, steps=32),
    "balanced": Strength(noise=62, butteraugli=4, shape=1.2, eps=18 / 255, steps=60),
    "strong": Strength(noise=50, butteraugli=5.5, shape=1.6, eps=24 / 255, steps=80),
}
