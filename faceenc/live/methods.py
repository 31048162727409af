"""Three ways to make a face's noise for one frame: gradient steps from the last one's, a mask, or both as time allows.

All of them propose noise in the window's own pixels; `FaceWindow.add` rounds it and keeps it within eps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch

from faceenc.attacks import PGD, ShapedLinf, l1_norms
from faceenc.core import Goal, Gradient, GradientEngine
from faceenc.faces import FaceWindow, Similarity
from faceenc.live.face_view import FaceView
from faceenc.live.noise import FaceNoise

METHODS = ("pgd", "mask", "auto", "noise")
_FIRST_STEPS = 4  # of a face that was not there in the last frame: it has no noise yet
_GUESS = 0.05  # seconds a step, until it is measured
_WEIGHT = 0.2  # of the newest measurement
_FRESH = 3  # calls: for longer, noise that was made for one frame does worse than a mask made for all


@dataclass(frozen=True, eq=False)
class FaceInFrame:
    """One face of one frame.

    Attributes:
        window: the face's part of the frame.
        chip: where the face's chip lies in the window's picture.
        view: the recogniser's view of the picture.
        goal: what the noise shall reach.
        eps: the largest change, as a share of the pixel range.
        last: the noise of the frame before; None for a new face.
        name: whom the recogniser takes the face for without noise.
        seconds: that may be used.
    """

    window: FaceWindow
    chip: Similarity
    view: FaceView
    goal: Goal
    eps: float
    last: FaceNoise | None
    name: str | None
    seconds: float


class Method(Protocol):
    """Makes the noise of one face; called once a face and frame.

    It may answer with noise of an earlier frame, as it was made there: who shows it moves it to where the face is now.
    Resampling it frame after frame would wear it off.
    """

    def __call__(self, face: FaceInFrame) -> FaceNoise: ...


# The mask of the person that a recogniser took the face for, in shares of eps; None if there is none to use.
Masks = Callable[[str | None], FaceNoise | None]


@dataclass(frozen=True)
class PgdMethod:
    """Gradient steps, starting from the last frame's noise.

    Attributes:
        steps: a frame.
        first: steps for a new face.
        rel_step: step size as a share of eps. Small steps flicker less from frame to frame, large ones follow a face.
        momentum: share of what earlier frames' gradients came to in a step. Each step sees one crop of one frame; together
            they find what hides the face in others too. Where the face is recognised, they are forgotten.
        early_stop: rest while the goal is reached by this margin; None never rests.
        gradients: a gradient engine's name (see `faceenc.attacks.engines`).
    """

    steps: int = 1
    first: int = _FIRST_STEPS
    rel_step: float = 0.45
    momentum: float = 0.9
    early_stop: float | None = None
    gradients: str = "auto"

    def __call__(self, face: FaceInFrame) -> FaceNoise:
        steps = self.steps if face.last is not None else max(self.first, self.steps)
        return self.ascend(face, face.last, steps)

    def ascend(self, face: FaceInFrame, last: FaceNoise | None, steps: int) -> FaceNoise:
        """The noise after so many steps from `last`, which may be another frame's."""
        picture = face.window.picture
        norm = ShapedLinf(face.window.share)
        start = torch.zeros_like(picture) if last is None else last.moved_to(face.chip, picture.shape[-2:])
        start = norm.project(start, face.eps)
        memory = last.momentum_at(face.chip, picture.shape[-2:]) if last is not None and self.momentum else None
        if steps:
            view = _Remembering(face.view, self.momentum, memory)
            attack = PGD(norm=norm, steps=steps, rel_step=self.rel_step, engine=self.gradients, early_stop=self.early_stop)
            rng = [torch.Generator()]  # not asked: there is a start
            current = attack(view, picture, face.goal, eps=face.eps, rng=rng, start=(picture + start).clamp_(0, 1))
            if last is not None and view.memory is memory:
                return last  # it rests: resampled in every frame, noise would wear off
            start, memory = current - picture, view.memory
        return FaceNoise(start, face.chip, memory)


@dataclass(eq=False)
class _Remembering:
    """A view whose gradients are added to those of earlier frames (momentum: Dong et al., https://arxiv.org/abs/1710.06081).

    Attributes:
        view: of one face.
        decay: of what is remembered, with each gradient.
        memory: (1, 3, h, w), the sum so far; None before the first gradient.
    """

    view: FaceView
    decay: float
    memory: torch.Tensor | None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.view(x)

    def engine(self, name: str) -> GradientEngine:
        inner = self.view.engine(name)

        def gradients(x: torch.Tensor, goal: Goal, *, last: bool = False, margin: float | None = None) -> Gradient:
            answer = inner(x, goal, last=last, margin=margin)
            if not len(answer.gradient):
                return answer
            newest = answer.gradient / l1_norms(answer.gradient)
            if self.memory is not None and goal.reached(answer.outputs).all():  # else it has turned or is another
                newest += self.memory * self.decay
            self.memory = newest
            return answer._replace(gradient=self.memory)

        return gradients


@dataclass(frozen=True)
class MaskMethod:
    """A person's mask, laid over the face: no gradients at all.

    Attributes:
        masks: who has one.
    """

    masks: Masks

    def __call__(self, face: FaceInFrame) -> FaceNoise:
        return _scaled(self.masks(face.name), face.eps) or no_noise(face)


@dataclass
class AutoMethod:
    """Starts from the mask, if there is one, and refines it by as many gradient steps as there is time for.

    Attributes:
        masks: who has one.
        pgd: how to step; its `early_stop` says when to rest.
        most: steps a frame at most.
    """

    masks: Masks
    pgd: PgdMethod
    most: int = 4
    _seconds: float = field(default=_GUESS, init=False)  # a step takes
    _credit: float = field(default=0.0, init=False)  # seconds that earlier frames left over
    _rests: int = field(default=0, init=False)  # calls in a row without a step

    def __call__(self, face: FaceInFrame) -> FaceNoise:
        mask = _scaled(self.masks(face.name), face.eps)
        last = mask if mask is not None and self._rests > _FRESH else face.last or mask
        # A frame may have too little time for one step where two have enough.
        self._credit = min(max(self._credit, 0.0) + face.seconds, self.most * self._seconds)
        steps = max(0, int(self._credit / self._seconds + 1e-6))
        self._credit -= steps * self._seconds
        if last is None:  # nothing protects this face yet
            steps = max(steps, self.pgd.first)
        self._rests = 0 if steps else self._rests + 1
        if last is not None and not steps:
            return last
        start = time.perf_counter()
        noise = self.pgd.ascend(face, last, steps)
        self._seconds += _WEIGHT * ((time.perf_counter() - start) / steps - self._seconds)
        return noise


@dataclass(frozen=True, eq=False)
class NoiseMethod:
    """The control: random signs of size eps on the face, made once a face. What a method does beyond it is its own."""

    rng: torch.Generator

    def __call__(self, face: FaceInFrame) -> FaceNoise:
        if face.last is not None:
            return face.last
        draws = torch.randn(face.window.picture.shape, generator=self.rng)
        return FaceNoise(draws.sign() * face.window.share * face.eps, face.chip)


def no_noise(face: FaceInFrame) -> FaceNoise:
    """Leaves the face as it is."""
    return FaceNoise(torch.zeros_like(face.window.picture), face.chip)


def _scaled(mask: FaceNoise | None, eps: float) -> FaceNoise | None:
    return None if mask is None else replace(mask, delta=mask.delta * eps)
