"""Projected gradient ascent, in the order of steps that ART uses, and the random noise that any attack must beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from faceenc.attacks.counting import Counted
from faceenc.attacks.engines import gradient_engine
from faceenc.attacks.norms import LINF
from faceenc.core import Goal, GradientEngine, Model, Norm

Watch = Callable[[int, torch.Tensor], None]


@dataclass(frozen=True)
class PGD:
    """Projected gradient descent (Madry et al., https://arxiv.org/abs/1706.06083).

    One step: gradient, the norm's direction of steepest ascent, add, clip to [0, 1], project onto the ball (ART's order).
    FGSM and BIM are the presets `fgsm` and `bim`; with `momentum` it is MI-FGSM (https://arxiv.org/abs/1710.06081).

    Shape
        x (N, 3, H, W) float32 in [0, 1] -> the same shape, in [0, 1], within eps of x up to float32 rounding.

    Attributes:
        norm: LINF or L2.
        steps: gradient steps of each restart.
        rel_step: step size as a fraction of eps.
        random_start: start at a random point of the ball instead of x.
        restarts: how many times to start anew; the best result is kept for each image: the goal reached first of all,
            then the higher loss.
        momentum: decay of the accumulated, L1-normalised gradient; 0 means none.
        engine: how gradients are computed: "exact", "fused" or "bf16" (see `faceenc.attacks.engines`).
        early_stop: an image whose goal is reached by more than this margin (in logits) leaves the batch; None runs all
            steps for all images. Early stop leaves less margin: never compare its result or its speed with a full run's.
    """

    norm: Norm = LINF
    steps: int = 10
    rel_step: float = 0.25
    random_start: bool = True
    restarts: int = 1
    momentum: float = 0.0
    engine: str = "fused"
    early_stop: float | None = None

    def __call__(
        self,
        model: Model,
        x: torch.Tensor,
        goal: Goal,
        *,
        eps: float,
        rng: Sequence[torch.Generator],
        start: torch.Tensor | None = None,
        watch: Watch | None = None,
    ) -> torch.Tensor:
        """See the class.

        Args:
            model: in evaluation mode.
            x: the images.
            goal: of these images.
            eps: size of the ball.
            rng: one generator an image.
            start: (N, 3, H, W) inside the ball, where the first restart begins (a warm start); None leaves it to
                `random_start`.
            watch: `watch(step, iterate)` is shown every iterate, the starting point as step 0.
        """
        recognizer, charge = (model.recognizer, model.charge) if isinstance(model, Counted) else (model, _ignore)
        engine = gradient_engine(recognizer, self.engine)
        best = self._ascend(engine, charge, x, goal, eps, start if start is not None else self._start(x, eps, rng), watch)
        for _ in range(1, self.restarts):
            candidate = self._ascend(engine, charge, x, goal, eps, self._start(x, eps, rng), watch)
            better = _better(model, goal, candidate, best)
            best = torch.where(better.view(-1, 1, 1, 1), candidate, best)
        return best

    def _start(self, x: torch.Tensor, eps: float, rng: Sequence[torch.Generator]) -> torch.Tensor:
        return (x + self.norm.sample(x, eps, rng)).clamp_(0, 1) if self.random_start else x.clone()

    def _ascend(
        self,
        engine: GradientEngine,
        charge: Callable[[torch.Tensor], None],
        x: torch.Tensor,
        goal: Goal,
        eps: float,
        current: torch.Tensor,
        watch: Watch | None,
    ) -> torch.Tensor:
        result, origin, rows = current, x, torch.arange(len(x))
        memory = torch.zeros_like(x) if self.momentum else None
        closing = self.steps - max(1, self.steps // 10)
        for step in range(self.steps):
            if watch is not None:
                watch(step, current)
            charge(rows)
            outputs, _, gradient = engine(current, goal, last=step >= closing, margin=self.early_stop)
            if self.early_stop is not None:
                going = ~goal.reached(outputs, self.early_stop)
                if not going.all():
                    # Compaction: who is done keeps the iterate that was just judged; the rest goes on in a smaller batch.
                    result = result.index_copy(0, rows.to(x.device), current)
                    rows, goal = rows[going.cpu()], goal.select(going)
                    current, origin = current[going], origin[going]
                    memory = memory[going] if memory is not None else None
                    if not len(rows):
                        return result
            if memory is not None:
                gradient = memory = self.momentum * memory + gradient / l1_norms(gradient)
            # Multiplied, then added: one call for both would round once, ART rounds twice.
            current = self.norm.steepest(gradient).mul_(self.rel_step * eps).add_(current).clamp_(0, 1)
            current = origin + self.norm.project(current - origin, eps)
        if watch is not None:
            watch(self.steps, current)
        return current if len(rows) == len(x) else result.index_copy(0, rows.to(x.device), current)


@dataclass(frozen=True)
class Noise:
    """The control: noise of exactly size eps that knows nothing of the recogniser.

    Random signs for Linf, a random direction for L2. What an attack reaches beyond it is due to the gradient.
    """

    norm: Norm = LINF

    def __call__(
        self, model: Model, x: torch.Tensor, goal: Goal, *, eps: float, rng: Sequence[torch.Generator]
    ) -> torch.Tensor:
        """(N, 3, H, W) in [0, 1] -> the same with noise, clipped to [0, 1]; neither `model` nor `goal` is asked."""
        draws = torch.stack([torch.randn(x.shape[1:], generator=g) for g in rng]).to(x.device)
        return torch.add(x, self.norm.steepest(draws), alpha=eps).clamp_(0, 1)


def fgsm(norm: Norm = LINF, engine: str = "fused") -> PGD:
    """The fast gradient sign method (Goodfellow et al., https://arxiv.org/abs/1412.6572): one step of size eps."""
    return PGD(norm=norm, steps=1, rel_step=1.0, random_start=False, engine=engine)


def bim(norm: Norm = LINF, steps: int = 10, engine: str = "fused") -> PGD:
    """The basic iterative method (Kurakin et al., https://arxiv.org/abs/1607.02533): small steps from the image itself."""
    return PGD(norm=norm, steps=steps, rel_step=1 / steps, random_start=False, engine=engine)


def _ignore(rows: torch.Tensor) -> None:
    """Nobody counts."""


def _better(model: Model, goal: Goal, candidate: torch.Tensor, best: torch.Tensor) -> torch.Tensor:
    """(N,) bool: the candidate reaches the goal and `best` does not, or both agree and its loss is higher."""
    with torch.no_grad():
        new, old = model(candidate), model(best)
        reached_new, reached_old = goal.reached(new), goal.reached(old)
        return torch.where(reached_new == reached_old, goal.loss(new) > goal.loss(old), reached_new)


def l1_norms(gradient: torch.Tensor) -> torch.Tensor:
    """(N, 1, 1, 1) L1 norm of each gradient, 1 where it is zero."""
    size = gradient.flatten(1).abs().sum(1)
    return torch.where(size > 0, size, torch.ones_like(size)).view(-1, 1, 1, 1)
