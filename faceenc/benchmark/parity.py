"""Our PGD against ART's, step by step, from the same start on the same images in the same batch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from faceenc.attacks import L2, LINF, PGD, ArtPGD, Counted, Dodge, Impersonate, image_generators
from faceenc.core import Goal, Model, Norm, Progress

if TYPE_CHECKING:
    import pandas as pd


EPS: dict[str, float] = {LINF.name: 8 / 255, L2.name: 1.0}


@dataclass(frozen=True, eq=False)
class _Run:
    """One attack's iterates (steps + 1 of them), the outputs at the last one, and the attack's seconds."""

    iterates: list[torch.Tensor]
    outputs: torch.Tensor
    seconds: float


class _Recorded(Counted):
    """Remembers every image batch that a gradient is asked for: the iterates of an attack that shows none."""

    def __init__(self, recognizer: Model, images: int) -> None:
        super().__init__(recognizer, images)
        self.iterates: list[torch.Tensor] = []

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if x.requires_grad:
            self.iterates.append(x.detach().clone())
        return super().__call__(x)


def crosscheck(
    model: Model,
    x: torch.Tensor,
    labels: torch.Tensor | Mapping[str, Goal],
    *,
    steps: int = 10,
    engines: tuple[str, ...] = ("exact", "fused"),
    progress: Progress,
) -> pd.DataFrame:
    """Compare for {Linf, L2} x {dodge, impersonate} and each engine, without random start or early stop.

    Args:
        model: the recogniser, a classifier or an embedder.
        x: (N, 3, H, W) in [0, 1], one batch.
        labels: (N,) true identities, and the target of each image is the identity after its own; of an embedder goals by
            name, such as {"dodge": MoveAway(references, threshold)}. A reference must be another photo than the image, at
            which the distance has no gradient.
        steps: PGD steps of both.
        engines: of our PGD.
        progress: called after each case.

    Returns:
        One row per norm, goal, engine and step: max_difference and identical_pixels (share of equal values) of the iterates
        after that step, and, repeated on each row of the pair, what both end with: agreement (share of equal predictions),
        clean_accuracy, accuracy and art_accuracy, loss and art_loss (mean, to be maximised), seconds and art_seconds. An
        embedder's prediction is whether the goal is reached, and its accuracy the share of images where it is not.
    """
    import pandas as pd

    with torch.no_grad():
        clean = model(x)
    if isinstance(labels, torch.Tensor):
        goals: Mapping[str, Goal] = {"dodge": Dodge(labels), "impersonate": Impersonate((labels + 1) % clean.shape[1])}
    else:
        goals = labels
    cases = [(norm, goal) for norm in (LINF, L2) for goal in goals]
    rows: list[dict[str, Any]] = []
    for number, (norm, name) in enumerate(cases):
        progress("cross-check", number, len(cases))
        goal, eps = goals[name], EPS[norm.name]
        art = _run_art(model, x, goal, norm, eps, steps)
        for engine in engines:
            ours = _run_ours(model, x, goal, PGD(norm=norm, steps=steps, random_start=False, engine=engine), eps)
            pair = {"norm": norm.name, "goal": name, "eps": eps, "engine": engine, "images": len(x)}
            ends = _ends(clean, goal, labels if isinstance(labels, torch.Tensor) else None, ours, art)
            rows += [
                {**pair, "step": step, **_difference(ours.iterates[step], art.iterates[step]), **ends}
                for step in range(1, steps + 1)
            ]
    progress("cross-check", len(cases), len(cases))
    return pd.DataFrame(rows)


def _run_art(model: Model, x: torch.Tensor, goal: Goal, norm: Norm, eps: float, steps: int) -> _Run:
    recorded = _Recorded(model, len(x))
    start = time.perf_counter()
    final = ArtPGD(norm=norm, steps=steps)(recorded, x, goal, eps=eps, rng=image_generators(0, x))
    return _finish(model, [*recorded.iterates, final], time.perf_counter() - start)


def _run_ours(model: Model, x: torch.Tensor, goal: Goal, attack: PGD, eps: float) -> _Run:
    iterates: list[torch.Tensor] = []
    rng = image_generators(0, x)
    start = time.perf_counter()
    attack(model, x, goal, eps=eps, rng=rng, watch=lambda step, iterate: iterates.append(iterate.clone()))
    return _finish(model, iterates, time.perf_counter() - start)


@torch.no_grad()
def _finish(model: Model, iterates: list[torch.Tensor], seconds: float) -> _Run:
    return _Run(iterates, model(iterates[-1]), seconds)


def _difference(ours: torch.Tensor, art: torch.Tensor) -> dict[str, float]:
    return {
        "max_difference": float((ours - art).abs().max()),
        "identical_pixels": float((ours == art).float().mean()),
    }


def _ends(clean: torch.Tensor, goal: Goal, labels: torch.Tensor | None, ours: _Run, art: _Run) -> dict[str, float]:
    def share(hits: torch.Tensor) -> float:
        return float(hits.float().mean())

    if labels is None:
        before, predictions, art_predictions = (goal.reached(outputs) for outputs in (clean, ours.outputs, art.outputs))
        labels = torch.zeros_like(before)
    else:
        before, predictions, art_predictions = (outputs.argmax(1) for outputs in (clean, ours.outputs, art.outputs))
    return {
        "agreement": share(predictions == art_predictions),
        "clean_accuracy": share(before == labels),
        "accuracy": share(predictions == labels),
        "art_accuracy": share(art_predictions == labels),
        "loss": float(goal.loss(ours.outputs).mean()),
        "art_loss": float(goal.loss(art.outputs).mean()),
        "seconds": ours.seconds,
        "art_seconds": art.seconds,
    }
