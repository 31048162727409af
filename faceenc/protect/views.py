"""What recognisers may get to see of a face, drawn at random: the photo's way to them is attacked along with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from faceenc.faces import CHIP_SIZE, FaceWindow, cut_out
from faceenc.media import Diversity
from faceenc.recognizers import Recognizer, in_thresholds

# A face that is found anew, after the noise or in a copy, lies a little differently.
FOUND_ANEW = Diversity(degrees=3, zoom=0.03, shift=2 / CHIP_SIZE)
# Wider views, mirrored, coarser and darker ones: what holds for them holds for recognisers that are not attacked, and for
# photos that were reduced and recompressed.
WIDE = Diversity(degrees=8, zoom=0.1, shift=0.03, flip=0.5, coarsest=0.5, dimmest=0.5)


class FaceViews:
    """Surrogates, asked about views of one window's picture.

    Expectation over transformation (Athalye et al., https://arxiv.org/abs/1707.07397): every drawn view is another.

    Args:
        surrogates: the recognisers that are attacked.
        window: the face's window.
        rng: the source of all randomness.
    """

    def __init__(self, surrogates: Sequence[Recognizer], window: FaceWindow, rng: torch.Generator) -> None:
        self.surrogates = surrogates
        self.rng = rng
        self.crops = [[crop.moved(0, window.levels) for crop in own] for own in window.crops]
        self._turns = 0

    def draw(self, x: torch.Tensor, number: int) -> torch.Tensor:
        """(1, 3, h, w) -> (1, 1, D): one surrogate's embedding of a random view, in thresholds; its crops take turns."""
        surrogate, crops = self.surrogates[number], self.crops[number]
        self._turns += number == 0
        how = WIDE if surrogate.wide_views else FOUND_ANEW
        # The crop itself is moved: a view that is moved afterwards would be resampled twice.
        draw = (torch.rand(4, generator=self.rng) * 2 - 1).tolist()
        crop = crops[self._turns % len(crops)]
        moved = crop.jittered(
            draw, size=surrogate.size, degrees=how.degrees, zoom=how.zoom, shift=how.shift * surrogate.size
        )
        view = cut_out(x, [moved], size=surrogate.size)
        if how.flip and float(torch.rand((), generator=self.rng)) < how.flip:
            view = view.flip(-1)
        view = replace(how, degrees=0, zoom=0, shift=0, flip=0)(view, [self.rng])
        return in_thresholds(surrogate, view)[None]

    @torch.no_grad()
    def plain(self, x: torch.Tensor, number: int) -> torch.Tensor:
        """(1, 3, h, w) -> (1, V, D): one surrogate's embeddings of all crops as they were found, in thresholds."""
        surrogate = self.surrogates[number]
        return in_thresholds(surrogate, cut_out(x, self.crops[number], size=surrogate.size))[None]
