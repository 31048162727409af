"""Noise for recognisers that are never asked: PGD on a surrogate, made so that it holds for others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from faceenc.attacks.norms import LINF, Smoothed
from faceenc.attacks.pgd import PGD
from faceenc.attacks.views import OverViews, RandomViews
from faceenc.core import Goal, Model, Norm
from faceenc.media import Diversity


@dataclass(frozen=True)
class Transfer:
    """PGD over random views of the image, with momentum and a blurred gradient; no new loop, every part a known one.

    Each part is switched off alone, as said with it. `momentum` alone is MI-FGSM (https://arxiv.org/abs/1710.06081), with
    `coarsest` DI-MI-FGSM (https://arxiv.org/abs/1803.06978), `blur` is translation invariance
    (https://arxiv.org/abs/1904.02884), `dimmest` the scale ensemble (https://arxiv.org/abs/1908.06281), `blocks` structure
    invariance (https://arxiv.org/abs/2309.14700). The goal says whether to move away, to someone, or by contrast.

    Shape
        x (N, 3, H, W) float32 in [0, 1] -> the same shape, in [0, 1], within eps of x up to float32 rounding.

    Attributes:
        norm: LINF or L2.
        steps: gradient steps.
        rel_step: step size as a fraction of eps. With momentum large steps transfer best: they leave most pixels at the
            ball's border.
        random_start: start at a random point of the ball instead of x.
        momentum: decay of the accumulated gradient; 0 for none.
        views: random views a step, whose gradients are averaged.
        blur: of the gradient, sigma in pixels; 0 for none.
        jitter: how differently the face may lie in a view, 1 being 8 degrees, a tenth of the scale and 3 % of the side; 0
            leaves it.
        flip: probability of a mirrored view; 0 for none.
        coarsest: smallest resolution of a view, as a share; 1 keeps all.
        colour: change of a view's brightness, contrast and tint, as a share; 0 for none.
        dimmest: smallest brightness of a view; 1 keeps it.
        blocks: a view is cut into blocks x blocks parts that are changed apart; 0 leaves it whole.
        weight_noise: of the surrogate's weights, as a share of each tensor's deviation; 0 leaves them.
    """

    norm: Norm = LINF
    steps: int = 40
    rel_step: float = 0.5
    random_start: bool = True
    momentum: float = 1.0
    views: int = 4
    blur: float = 1.0
    jitter: float = 1.0
    flip: float = 0.5
    coarsest: float = 0.5
    colour: float = 0.2
    dimmest: float = 0.5
    blocks: int = 0
    weight_noise: float = 0.0

    def __call__(
        self, model: Model, x: torch.Tensor, goal: Goal, *, eps: float, rng: Sequence[torch.Generator]
    ) -> torch.Tensor:
        """See the class; every view is a query."""
        views = RandomViews(model, self.diversity, self.views, rng, weight_noise=self.weight_noise)
        norm = Smoothed(self.norm, self.blur) if self.blur else self.norm
        attack = PGD(
            norm=norm,
            steps=self.steps,
            rel_step=self.rel_step,
            random_start=self.random_start,
            momentum=self.momentum,
            engine="exact",
        )
        return attack(views, x, OverViews(goal), eps=eps, rng=rng)

    @property
    def diversity(self) -> Diversity:
        """How the views differ."""
        return Diversity(
            degrees=8 * self.jitter,
            zoom=0.1 * self.jitter,
            shift=0.03 * self.jitter,
            flip=self.flip,
            coarsest=self.coarsest,
            colour=self.colour,
            dimmest=self.dimmest,
            blocks=self.blocks,
        )


def mi_fgsm(norm: Norm = LINF, steps: int = 10, momentum: float = 1.0) -> Transfer:
    """The iterative method with momentum (Dong et al., https://arxiv.org/abs/1710.06081).

    Started at random, unlike the paper's: an embedder's distance to the image itself has no gradient there.
    """
    return Transfer(
        norm=norm, steps=steps, rel_step=1 / steps, momentum=momentum, views=1, blur=0, jitter=0, flip=0,
        coarsest=1, colour=0, dimmest=1,
    )  # fmt: skip


def di_mi_fgsm(
    norm: Norm = LINF, steps: int = 10, momentum: float = 1.0, coarsest: float = 0.7, jitter: float = 1.0
) -> Transfer:
    """MI-FGSM with input diversity (Xie et al., https://arxiv.org/abs/1803.06978): one resized and moved view a step."""
    return Transfer(
        norm=norm, steps=steps, rel_step=1 / steps, momentum=momentum, views=1, blur=0, jitter=jitter,
        flip=0, coarsest=coarsest, colour=0, dimmest=1,
    )  # fmt: skip
