"""One image under attack: every question about it is counted, a query budget ends the search, and the best picture is kept.

An implementation from outside (ART's) hands back what it likes, counts nothing and knows no budget. So it is given a
`BudgetedRecognizer` to ask instead of the recogniser, and what it hands back matters less than what it has asked about.
"""

from __future__ import annotations

import hashlib

import torch

from faceenc.core import SLACK, Goal, Model, Norm

CIRCLES = 100  # answers from memory in a row: whoever asks so goes in circles


class Finished(Exception):  # noqa: N818 - no error: the way out of somebody else's loop
    """The search is over: the budget is used up, or what was searched for is found."""


class BudgetedRecognizer:
    """A recogniser for the attack of one image.

    The best picture is, in this order: within eps and reaching the goal; then, if `closest`, reaching the goal at a larger
    distance, else within eps. Among equals it is the closest one, or without `closest` the one of the higher loss.

    Pictures within eps that reach the goal are asked about once more after rounding to 8 bits, as the harness will do (that
    question counts too): an attack that stops on the boundary itself often loses what it had by rounding.

    Args:
        recognizer: in evaluation mode.
        x: (1, 3, H, W) in [0, 1], the image itself.
        goal: of this image.
        norm: measures the distance from `x`.
        eps: size of the ball.
        closest: prefer the smaller distance, as attacks do that search for the minimal perturbation.
        stop: end the search at the first picture whose rounded version is within eps and reaches the goal.
        budget: questions allowed, the query budget; None is without limit.

    Attributes:
        queries: questions asked so far, one a picture. A picture that was asked about alone and without gradient is
            remembered: asked about again (ART's Square does it all the time), it costs nothing.
        best: (1, 3, H, W) in [0, 1], within eps of `x` or projected there.
        searching: whether questions are counted and judged; off while an attack is being set up.
    """

    def __init__(
        self,
        recognizer: Model,
        x: torch.Tensor,
        goal: Goal,
        norm: Norm,
        eps: float,
        *,
        closest: bool = False,
        stop: bool = False,
        budget: int | None = None,
    ) -> None:
        self.recognizer, self.x, self.goal, self.norm, self.eps = recognizer, x, goal, norm, eps
        self.closest, self.stop, self.budget = closest, stop, budget
        self.queries = 0
        self.searching = False
        self._picture = x
        self._rank = (-1, 0.0)
        self._memory: dict[bytes, torch.Tensor] = {}
        self._remembered = 0

    @property
    def best(self) -> torch.Tensor:
        return self.x + self.norm.project(self._picture - self.x, self.eps)

    def begin(self) -> None:
        """Ask about the image itself and count from here on.

        Raises:
            Finished: it reaches the goal as it is, so nothing is left to do.
        """
        self.searching = True
        if self.reached(self.x):
            raise Finished

    def reached(self, picture: torch.Tensor) -> bool:
        """Whether a (1, 3, H, W) picture reaches the goal; a question like any other."""
        with torch.no_grad():
            return bool(self.goal.reached(self(picture)))

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(M, 3, H, W) -> (M, K), as the recogniser answers.

        Raises:
            Finished: the search is over; what the rest of the budget allowed to ask has been asked and judged.
        """
        if not self.searching:
            return self.recognizer(x)
        x = x.float()
        key = _digest(x) if len(x) == 1 and not x.requires_grad else b""
        if key in self._memory:
            self._remembered += 1
            if self._remembered > CIRCLES:
                raise Finished
            return self._memory[key]
        self._remembered = 0
        allowed = len(x) if self.budget is None else min(len(x), self.budget - self.queries)
        if not allowed:
            raise Finished
        outputs = self._ask(x[:allowed])
        if key:
            self._memory[key] = outputs.detach()
        self._judge(x[:allowed].detach(), outputs.detach())
        if allowed < len(x):
            raise Finished
        return outputs

    def _ask(self, asked: torch.Tensor) -> torch.Tensor:
        self.queries += len(asked)
        if asked.requires_grad:
            return self.recognizer(asked)
        with torch.no_grad():
            if len(asked) > 1:  # channels-last is faster for several pictures, much slower for a small one
                asked = asked.contiguous(memory_format=torch.channels_last)
            return self.recognizer(asked)

    @torch.no_grad()
    def _judge(self, asked: torch.Tensor, outputs: torch.Tensor) -> None:
        goal = self.goal.select(torch.zeros(len(asked), dtype=torch.long, device=asked.device))
        size = self.norm.size(asked - self.x)
        reached, inside = goal.reached(outputs), size <= self.eps + SLACK * max(1.0, self.eps)
        value = -size if self.closest else goal.loss(outputs)
        level = torch.where(inside & reached, 2, torch.where(reached if self.closest else inside, 1, 0))
        # A number that is none compares with nothing, and must not win by that.
        level = torch.where(value.isfinite(), level, 0)
        top = int(torch.where(level == level.max(), value, -torch.inf).argmax())
        rank = (int(level[top]), float(value[top]))
        if rank[0] and rank > self._rank:
            if rank[0] == 2 and (self.closest or self.stop):
                self._confirm(asked[top : top + 1], rank)
            else:
                self._keep(asked[top : top + 1], rank)

    def _confirm(self, picture: torch.Tensor, rank: tuple[int, float]) -> None:
        """Keep a picture that reaches the goal within eps, if it still does so after rounding."""
        rounded = self.norm.quantize(self.x, picture - self.x, self.eps)
        moved = float((rounded - picture).abs().max()) > SLACK
        if moved and self.queries == self.budget:
            self._keep(rounded, rank)  # nobody may be asked any more: the harness will see
            return
        if moved and not self.goal.reached(self._ask(rounded)):
            return
        self._keep(rounded, (2, -float(self.norm.size(rounded - self.x)) if self.closest else rank[1]))
        if self.stop:
            raise Finished

    def _keep(self, picture: torch.Tensor, rank: tuple[int, float]) -> None:
        self._picture, self._rank = picture.clone(), rank


def _digest(picture: torch.Tensor) -> bytes:
    return hashlib.blake2b(picture.cpu().numpy().tobytes(), digest_size=16).digest()
