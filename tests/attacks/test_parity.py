"""Our PGD is ART's: to the bit with the exact engine, to rounding with a fast one (see shared facts: PGD is chaotic)."""

from __future__ import annotations

import pytest
import torch

from faceenc.attacks import L2, LINF, PGD, ArtFGSM, ArtPGD, fgsm, image_generators, run_attack
from faceenc.core import Attack, Goal, Norm
from faceenc.recognizers import FaceResNet

EPS = {"linf": 16 / 255, "l2": 3.0}
STEPS = 10
each_norm = pytest.mark.parametrize("norm", [LINF, L2], ids=lambda norm: norm.name)


def attacked(attack: Attack, model: FaceResNet, x: torch.Tensor, goal: Goal) -> torch.Tensor:
    return attack(model, x, goal, eps=EPS[attack.norm.name], rng=image_generators(0, x))


def ours(norm: Norm, steps: int, engine: str) -> PGD:
    return PGD(norm=norm, steps=steps, random_start=False, engine=engine)


@each_norm
def test_exact_pgd_equals_arts(norm: Norm, recognizer: FaceResNet, images: torch.Tensor, goal: Goal) -> None:
    mine = attacked(ours(norm, STEPS, "exact"), recognizer, images, goal)
    theirs = attacked(ArtPGD(norm=norm, steps=STEPS), recognizer, images, goal)
    assert (mine - theirs).abs().max() <= 1e-6
    assert (mine - images).abs().max() > 1 / 255, "nothing happened: the comparison would be empty"


@each_norm
def test_exact_fgsm_equals_arts(norm: Norm, recognizer: FaceResNet, images: torch.Tensor, goal: Goal) -> None:
    mine = attacked(fgsm(norm=norm, engine="exact"), recognizer, images, goal)
    theirs = attacked(ArtFGSM(norm=norm), recognizer, images, goal)
    assert (mine - theirs).abs().max() <= 1e-6


def test_fused_engine_agrees_after_one_step(recognizer: FaceResNet, images: torch.Tensor, goal: Goal) -> None:
    mine = attacked(ours(LINF, 1, "fused"), recognizer, images, goal)
    theirs = attacked(ArtPGD(steps=1), recognizer, images, goal)
    differing = ((mine - theirs).abs() > 1e-6).flatten(1).float().mean(1)
    # On one image rounding may flip a relu, which moves the signs of a few pixels more.
    assert differing.median() <= 1e-4
    assert differing.max() <= 5e-3


@each_norm
def test_fast_engines_reach_what_art_reaches(norm: Norm, recognizer: FaceResNet, images: torch.Tensor, goal: Goal) -> None:
    reached, losses = [], []
    for attack in (ArtPGD(norm=norm, steps=STEPS), ours(norm, STEPS, "fused"), ours(norm, STEPS, "bf16")):
        outcome = run_attack(attack, recognizer, images, goal, eps=EPS[norm.name], seed=0)
        reached.append(float(outcome.reached.float().mean()))
        losses.append(float(goal.loss(outcome.outputs).mean()))
    assert reached == [reached[0]] * 3
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=0.02, abs=0.02)
