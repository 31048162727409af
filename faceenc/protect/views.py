"""What recognisers may get to see of a face, drawn at random: the photo's way to them is attacked along with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from faceenc.faces import FaceWindow, Similarity, cut_out
from faceenc.media import PHOTO_TRANSFORMS, Diversity, RandomTransform
from faceenc.protect.strength import FOUND_ANEW, WIDE
from faceenc.recognizers import Recognizer, in_thresholds


class FaceViews:
    """A recogniser of one window's picture: all surrogates, each asked about several random views of it.

    Expectation over transformation (Athalye et al., https://arxiv.org/abs/1707.07397): every call draws anew.

    Shape
        (1, 3, h, w), as `FaceWindow.picture` -> (1, S, V, D): S surrogates, V views, embeddings in units of the threshold,
        filled up with zeros to the longest, which leaves all distances as they are.

    Args:
        surrogates: the recognisers that are attacked.
        window: the face's window.
        rng: the source of all randomness.
        transforms: what the photo may go through; without any, views are crops of the photo as it is.
        draws: views a call.
        diversity: how differently each crop of a surrogate with wide views may lie; None leaves all as they were found.
    """

    def __init__(
        self,
        surrogates: Sequence[Recognizer],
        window: FaceWindow,
        rng: torch.Generator,
        *,
        transforms: Sequence[RandomTransform] = PHOTO_TRANSFORMS,
        draws: int = 1,
        diversity: Diversity | None = WIDE,
    ) -> None:
        self.surrogates = surrogates
        self.rng = rng
        self.transforms = transforms
        self.draws = draws
        self.diversity = diversity
        self.views = 0
        self.crops = [[crop.moved(0, window.levels) for crop in own] for own in window.crops]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        sources = [self._transformed(x, self.views + draw) for draw in range(self.draws)]
        answers = []
        for surrogate, own in zip(self.surrogates, self.crops, strict=True):
            crops = []
            for draw, source in enumerate(sources):
                crop = own[(self.views + draw) % len(own)]
                crops.append(self._cut(source, crop, surrogate))
            answers.append(in_thresholds(surrogate, torch.cat(crops)))
        self.views += self.draws
        return stack_embeddings(answers)[None]

    @torch.no_grad()
    def plain(self, x: torch.Tensor) -> torch.Tensor:
        """(1, S, V, D) as from a call, of all crops as they were found, without chance."""
        parts = [in_thresholds(s, cut_out(x, own, size=s.size)) for s, own in zip(self.surrogates, self.crops, strict=True)]
        return stack_embeddings(parts)[None]

    def _transformed(self, x: torch.Tensor, view: int) -> torch.Tensor:
        """The photo as it is and transformed take turns."""
        if not (self.transforms and view % 2):
            return x
        return self.transforms[view // 2 % len(self.transforms)].draw(self.rng, x.shape[-1])(x)

    def _cut(self, x: torch.Tensor, crop: Similarity, surrogate: Recognizer) -> torch.Tensor:
        size = surrogate.size
        if self.diversity is None:
            return cut_out(x, [crop], size=size)
        how = self.diversity if surrogate.wide_views else FOUND_ANEW
        # The crop itself is moved: a view that is moved afterwards would be resampled twice.
        draw = (torch.rand(4, generator=self.rng) * 2 - 1).tolist()
        moved = crop.jittered(draw, size=size, degrees=how.degrees, zoom=how.zoom, shift=how.shift * size)
        view = cut_out(x, [moved], size=size)
        if how.flip and float(torch.rand((), generator=self.rng)) < how.flip:
            view = view.flip(-1)
        return replace(how, degrees=0, zoom=0, shift=0, flip=0)(view, [self.rng])


def stack_embeddings(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """S times (R, D) with different R and D -> (S, R, D): zeros behind short ones, the last row again for missing ones."""
    rows, length = max(len(part) for part in parts), max(part.shape[1] for part in parts)
    padded = [torch.nn.functional.pad(part, (0, length - part.shape[1])) for part in parts]
    return torch.stack([torch.cat([part, part[-1:].expand(rows - len(part), -1)]) for part in padded])
