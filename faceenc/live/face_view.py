"""A recogniser's view of a face in a frame: what gradients go through on their way to the frame's own pixels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from faceenc.attacks import gradient_engine
from faceenc.core import Goal, Gradient, GradientEngine, Model
from faceenc.faces import BY_KEY_POINTS, Similarity, cut_out
from faceenc.media import Diversity, RandomTransform


@dataclass(frozen=True, eq=False)
class FaceView:
    """A recogniser of a window's picture: its network behind the crop of the face.

    With a generator every call draws a crop that is a little off, and what became of the frame before; over the frames the
    noise then fits many of them (expectation over transformation, Athalye et al., https://arxiv.org/abs/1707.07397).

    Shape
        (1, 3, h, w) -> (1, K), as the network answers.

    Attributes:
        network: what is shown the crop.
        cut: where the crop lies in the picture.
        size: side of the crop in pixels.
        rng: draws crops and transforms; None cuts out the face as it lies, in the frame as it is.
        diversity: by how much crops are off; its turn, zoom and shift count.
        transforms: what the frame may go through; one of them is drawn, or none.
    """

    network: Model
    cut: Similarity
    size: int
    rng: torch.Generator | None = None
    diversity: Diversity = BY_KEY_POINTS
    transforms: tuple[RandomTransform, ...] = ()

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(self.crop(x))

    def crop(self, x: torch.Tensor) -> torch.Tensor:
        """(1, 3, h, w) -> (1, 3, size, size), differentiable."""
        cut, size, how = self.cut, self.size, self.diversity
        if self.rng is not None:
            *draw, which = torch.rand(5, generator=self.rng).tolist()
            draw = [2 * value - 1 for value in draw]
            cut = cut.jittered(draw, size=size, degrees=how.degrees, zoom=how.zoom, shift=how.shift * size)
            number = int(which * (len(self.transforms) + 1))
            if number < len(self.transforms):
                x = self.transforms[number].draw(self.rng, x.shape[-1])(x)
        return _reduced_cut(x, cut, size)

    def engine(self, name: str) -> GradientEngine:
        """The network's own fast engine, its gradient taken back through the crop."""
        return _Back(self, gradient_engine(self.network, name))


def _reduced_cut(x: torch.Tensor, cut: Similarity, size: int) -> torch.Tensor:
    """A crop whose pixels are means over what they cover, as of recognisers that reduce a large face without aliasing."""
    parts = max(1, round(cut.scale))
    if parts == 1:
        return cut_out(x, [cut], size=size)
    first = cut((1 - parts) / (2 * parts) * (1 + 1j))  # where the first part of the first pixel lies
    fine = cut_out(x, [Similarity(cut.turn / parts, first)], size=size * parts)
    return F.avg_pool2d(fine, parts)


@dataclass(frozen=True, eq=False)
class _Back:
    view: FaceView
    inner: GradientEngine

    def __call__(self, x: torch.Tensor, goal: Goal, *, last: bool = False, margin: float | None = None) -> Gradient:
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            crop = self.view.crop(x)
        # Never `last`: with one step a frame every step would be a closing one, and low precision would never be used.
        answer = self.inner(crop.detach(), goal, last=False, margin=margin)
        if not len(answer.gradient):
            return answer._replace(gradient=x.detach()[:0])
        (gradient,) = torch.autograd.grad(crop, x, answer.gradient)
        return answer._replace(gradient=gradient)
