"""The one ruler: the harness enforces the budget on any proposal, rounds to 8 bits and asks the recogniser anew."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

import torch

from faceenc.attacks.counting import Counted
from faceenc.attacks.eager import evaluating
from faceenc.attacks.goals import Dodge
from faceenc.core import Attack, ConfigError, Goal, Model, Outcome
from faceenc.recognizers import ask

BATCH_SIZE = 16  # images that an attack gets at once, where nothing else is said


def image_generators(seed: int, x: torch.Tensor) -> list[torch.Generator]:
    """One generator an image, seeded by (seed, the image's 8-bit pixels): neither batch nor order matters.

    Args:
        seed: the run's seed.
        x: (N, 3, H, W) float32 on the 8-bit grid.
    """
    levels = (x * 255).round().to(torch.uint8).cpu()
    digests = [hashlib.sha256(str(seed).encode() + image.numpy().tobytes()).digest() for image in levels]
    return [torch.Generator().manual_seed(int.from_bytes(digest[:7], "big")) for digest in digests]


def run_attack(
    attack: Attack,
    model: Model,
    x: torch.Tensor,
    goal: Goal | torch.Tensor,
    *,
    eps: float,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
    progress: Callable[[int], None] | None = None,
    judge: Model | None = None,
    start: torch.Tensor | None = None,
) -> Outcome:
    """Attack images in batches and judge what comes out.

    Args:
        attack: proposes; its proposal is clipped to the ball and to [0, 1], rounded to 8 bits without leaving the ball,
            and only then shown to the recogniser.
        model: the recogniser, or any module, (N, 3, H, W) in [0, 1] -> (N, K) logits; is in evaluation mode meanwhile.
        x: (N, 3, H, W) float32 in [0, 1], taken to the 8-bit grid k/255.
        goal: what the attack wants of each of the N images; (N,) labels mean `Dodge`.
        eps: size of the ball in the attack's norm; 0 leaves the images as they are and attacks nothing.
        seed: with an image's pixels it determines all randomness.
        batch_size: images handed to the attack at once; an attack that takes one after the other gets them so, which shows
            its progress.
        progress: called with the number of images done after each batch.
        judge: asked about what comes out, instead of `model`, which is then a surrogate: the attack never meets the judge.
        start: (N, 3, H, W) where each image's attack begins, for attacks that take a `start`.

    Raises:
        ConfigError: x is no such batch, or there are not as many labels.
    """
    x = _on_grid(x)
    if isinstance(goal, torch.Tensor):
        if goal.shape != x.shape[:1] or goal.is_floating_point():
            what = f"labels {tuple(goal.shape)} of {goal.dtype}"
            raise ConfigError(f"{what} do not fit {len(x)} images: give ({len(x)},) int64, or a goal such as Impersonate")
        goal = Dodge(goal)
    outcomes = []
    alone = eps > 0 and getattr(attack, "one_by_one", False)
    with evaluating(model):
        for rows in torch.arange(len(x)).split(1 if alone else batch_size):
            begin = {} if start is None else {"start": start[rows]}
            outcomes.append(_attack_batch(attack, model, x[rows], goal.select(rows), eps, seed, judge or model, begin))
            if progress is not None:
                progress(len(rows))
    tensors = ("adversarial", "outputs", "reached", "size", "overshoot", "queries")
    joined = {name: torch.cat([getattr(outcome, name) for outcome in outcomes]) for name in tensors}
    return Outcome(**joined, seconds=sum(outcome.seconds for outcome in outcomes))


def _on_grid(x: torch.Tensor) -> torch.Tensor:
    if x.ndim != 4 or x.shape[1] != 3 or x.dtype != torch.float32 or not len(x):
        raise ConfigError(f"x is {tuple(x.shape)} of {x.dtype}: give (N, 3, H, W) float32, RGB in [0, 1]")
    low, high = float(x.min()), float(x.max())
    if not (low >= 0 and high <= 1):
        raise ConfigError(f"x lies in [{low:.3g}, {high:.3g}]: give pixels in [0, 1], and normalise inside the model")
    return (x * 255).round() / 255


def _attack_batch(
    attack: Attack,
    model: Model,
    x: torch.Tensor,
    goal: Goal,
    eps: float,
    seed: int,
    judge: Model,
    begin: dict[str, Any],
) -> Outcome:
    counted = Counted(model, len(x))
    started = time.perf_counter()
    proposal = attack(counted, x, goal, eps=eps, rng=image_generators(seed, x), **begin) if eps > 0 else x
    seconds = time.perf_counter() - started
    with torch.no_grad():
        delta = proposal - x
        overshoot = (attack.norm.size(delta) - eps).clamp(min=0)
        adversarial = attack.norm.quantize(x, attack.norm.project(delta, eps), eps)
        outputs = ask(judge, adversarial)
        return Outcome(
            adversarial=adversarial.cpu(),
            outputs=outputs.cpu(),
            reached=goal.reached(outputs).cpu(),
            size=attack.norm.size(adversarial - x).cpu(),
            overshoot=overshoot.cpu(),
            queries=counted.queries,
            seconds=seconds,
        )
