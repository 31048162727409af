"""Properties that every attack has, and what the harness makes of a proposal. One table of attacks, one body a property."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
import torch

from faceenc.attacks import (
    ATTACKS,
    L2,
    LINF,
    PGD,
    ArtFGSM,
    ArtPGD,
    Counted,
    Dodge,
    Noise,
    bim,
    fgsm,
    image_generators,
    run_attack,
)
from faceenc.core import Attack, Goal, Model, Norm
from faceenc.recognizers import FaceResNet

EPS = {"linf": 4 / 255, "l2": 1.5}
CASES = [
    *(PGD(norm=norm, steps=4) for norm in (LINF, L2)),
    *(PGD(norm=norm, steps=4, momentum=0.9, restarts=2) for norm in (LINF, L2)),
    PGD(steps=4, early_stop=0.5),
    PGD(steps=4, engine="exact"),
    PGD(steps=4, engine="bf16"),
    bim(steps=4),
    *(fgsm(norm=norm) for norm in (LINF, L2)),
    *(ArtPGD(norm=norm, steps=4) for norm in (LINF, L2)),
    ArtPGD(steps=4, random_starts=1),
    *(ArtFGSM(norm=norm) for norm in (LINF, L2)),
    *(Noise(norm=norm) for norm in (LINF, L2)),
]
every_attack = pytest.mark.parametrize("attack", CASES, ids=repr)


def propose(attack: Attack, model: Model, x: torch.Tensor, goal: Goal, *, eps: float, seed: int = 0) -> torch.Tensor:
    return attack(model, x, goal, eps=eps, rng=image_generators(seed, x))


def mean_loss(model: Model, x: torch.Tensor, goal: Goal) -> float:
    with torch.no_grad():
        return float(goal.loss(model(x)).mean())


@every_attack
def test_stays_inside_ball_and_range_and_touches_nothing(
    attack: Attack, recognizer: FaceResNet, images: torch.Tensor, goal: Goal
) -> None:
    before, eps = images.clone(), EPS[attack.norm.name]
    global_state = torch.get_rng_state()
    proposal = propose(attack, recognizer, images, goal, eps=eps)
    assert proposal.shape == images.shape
    assert (attack.norm.size(proposal - images) <= eps + 1e-6).all()
    assert proposal.min() >= 0
    assert proposal.max() <= 1
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), global_state)
    assert all(p.requires_grad and p.grad is None for p in recognizer.parameters())


@every_attack
def test_eps_zero_is_identity(attack: Attack, recognizer: FaceResNet, images: torch.Tensor, goal: Goal) -> None:
    if isinstance(attack, ArtPGD | ArtFGSM):
        pytest.skip("ART refuses eps 0; the harness never asks an attack for it")
    assert torch.equal(propose(attack, recognizer, images, goal, eps=0.0), images)


@every_attack
def test_raises_the_loss_more_than_noise(attack: Attack, recognizer: FaceResNet, images: torch.Tensor, goal: Goal) -> None:
    if isinstance(attack, Noise):
        pytest.skip("this is the noise")
    eps = EPS[attack.norm.name]
    noise = propose(Noise(norm=attack.norm), recognizer, images, goal, eps=eps)
    attacked = propose(attack, recognizer, images, goal, eps=eps)
    assert mean_loss(recognizer, attacked, goal) > mean_loss(recognizer, noise, goal) + 0.1


@every_attack
def test_equal_parameters_make_equal_attacks_that_pickle(attack: Attack) -> None:
    import pickle

    assert replace(attack) == attack  # type: ignore[type-var]
    assert hash(pickle.loads(pickle.dumps(attack))) == hash(attack)


@pytest.mark.parametrize("norm", [LINF, L2], ids=lambda norm: norm.name)
def test_random_starts_depend_on_seed_and_image_only(norm: Norm, recognizer: FaceResNet, images: torch.Tensor) -> None:
    """A start shows in the first iterate; batch, order and neighbours must not."""

    def start(x: torch.Tensor, seed: int) -> torch.Tensor:
        iterates: list[torch.Tensor] = []
        goal = Dodge(torch.zeros(len(x), dtype=torch.long))
        attack = PGD(norm=norm, steps=1)
        attack(recognizer, x, goal, eps=0.1, rng=image_generators(seed, x), watch=lambda _, it: iterates.append(it.clone()))
        return iterates[0]

    whole = start(images, seed=5)
    assert not torch.equal(whole, images)
    assert torch.equal(start(images.flip(0), seed=5).flip(0), whole)
    assert torch.equal(start(images[3:4], seed=5), whole[3:4])
    assert not torch.equal(start(images, seed=6), whole)


def test_result_does_not_depend_on_batch_or_order(
    recognizer: FaceResNet, images: torch.Tensor, labels: torch.Tensor
) -> None:
    """Kernels round differently for other batch sizes, so one step is compared, but for a few signs of almost nothing."""
    attack = PGD(steps=1, rel_step=1.0)

    def result(order: torch.Tensor, batch_size: int) -> torch.Tensor:
        goal = Dodge(labels[order])
        outcome = run_attack(attack, recognizer, images[order], goal, eps=4 / 255, seed=7, batch_size=batch_size)
        return outcome.adversarial[order.argsort()]

    straight = result(torch.arange(8), 8)
    for order, batch_size in ((torch.arange(8), 3), (torch.arange(8).flip(0), 8)):
        assert (result(order, batch_size) != straight).float().mean() < 1e-3


def test_restarts_keep_the_best(recognizer: FaceResNet, images: torch.Tensor, labels: torch.Tensor) -> None:
    goal = Dodge(labels)
    attack = PGD(steps=2, engine="exact")
    rng = image_generators(0, images)
    singles = [attack(recognizer, images, goal, eps=1 / 255, rng=rng) for _ in range(3)]
    best = propose(replace(attack, restarts=3), recognizer, images, goal, eps=1 / 255)
    with torch.no_grad():
        losses = torch.stack([goal.loss(recognizer(x)) for x in singles])
        reached = torch.stack([goal.reached(recognizer(x)) for x in singles])
        final = recognizer(best)
    # A reached goal outranks any loss.
    expected = torch.where(reached == reached.any(0), losses, torch.tensor(float("-inf"))).amax(0)
    torch.testing.assert_close(goal.loss(final), expected, rtol=1e-4, atol=1e-4)
    assert len(set(losses.argmax(0).tolist())) > 1, "no restart should be best for all images: the test would show nothing"


def test_early_stop_saves_queries_and_keeps_the_margin(recognizer: FaceResNet, images: torch.Tensor, goal: Goal) -> None:
    full, early = PGD(steps=12), PGD(steps=12, early_stop=0.5)
    spent = {}
    for attack in (full, early):
        counted = Counted(recognizer, len(images))
        proposal = propose(attack, counted, images, goal, eps=24 / 255)
        with torch.no_grad():
            assert goal.reached(recognizer(proposal), 0.5 - 1e-3).all()
        spent[attack] = counted.queries
    assert (spent[full] == 12).all()
    assert (spent[early] < 12).all()
    assert len(set(spent[early].tolist())) > 1, "all images stopped at once: compaction was not exercised"


def test_early_stop_gives_each_image_what_it_gets_alone(recognizer: FaceResNet, images: torch.Tensor, goal: Goal) -> None:
    """Compaction must not mix images up: in a mixed batch each moves as it does alone, as far as kernels round alike."""
    attack = PGD(steps=6, early_stop=0.5, norm=L2)
    together = propose(attack, recognizer, images, goal, eps=3.0) - images
    for k in range(len(images)):
        alone = propose(attack, recognizer, images[k : k + 1], goal.select(torch.tensor([k])), eps=3.0) - images[k]
        likeness = torch.nn.functional.cosine_similarity(together.flatten(1), alone.flatten(1))
        assert likeness[k] > 0.9
        assert likeness.argmax() == k


@dataclass(frozen=True)
class Cheat:
    """Proposes far outside the ball and the range."""

    norm: Norm = LINF

    def __call__(
        self, model: Model, x: torch.Tensor, goal: Goal, *, eps: float, rng: Sequence[torch.Generator]
    ) -> torch.Tensor:
        return x + 3 * eps


@pytest.mark.parametrize("norm", [LINF, L2], ids=lambda norm: norm.name)
def test_harness_enforces_the_budget_and_tells(
    norm: Norm, recognizer: FaceResNet, images: torch.Tensor, labels: torch.Tensor
) -> None:
    eps = EPS[norm.name]
    outcome = run_attack(Cheat(norm), recognizer, images, Dodge(labels), eps=eps, seed=0, batch_size=3)
    assert (outcome.size <= eps + 1e-6).all()
    assert (outcome.overshoot > eps).all()
    assert outcome.adversarial.max() <= 1
    levels = outcome.adversarial * 255
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(outcome.outputs, recognizer(outcome.adversarial), rtol=1e-4, atol=1e-4)
    assert torch.equal(outcome.reached, Dodge(labels).reached(outcome.outputs))


def test_harness_counts_queries_of_ours_and_arts(recognizer: FaceResNet, images: torch.Tensor, labels: torch.Tensor) -> None:
    for attack, expected in ((PGD(steps=3), 3), (fgsm(), 1), (Noise(), 0), (PGD(steps=3, engine="exact"), 3)):
        outcome = run_attack(attack, recognizer, images, Dodge(labels), eps=4 / 255, seed=0, batch_size=3)
        assert outcome.queries.tolist() == [expected] * 8
    outcome = run_attack(ArtPGD(steps=3), recognizer, images, Dodge(labels), eps=4 / 255, seed=0)
    assert (outcome.queries >= 3).all(), "ART also predicts, for its log"


def test_eps_zero_returns_the_images(recognizer: FaceResNet, images: torch.Tensor, labels: torch.Tensor) -> None:
    outcome = run_attack(ArtPGD(), recognizer, images, Dodge(labels), eps=0.0, seed=0)
    assert torch.equal(outcome.adversarial, images)
    assert not outcome.reached.any()
    assert outcome.queries.sum() == 0


def test_art_leaves_numpys_generator_and_the_weights_as_they_were(
    recognizer: FaceResNet, images: torch.Tensor, labels: torch.Tensor
) -> None:
    import numpy as np

    before = np.random.get_state()[1].copy()  # type: ignore[union-attr]
    flags = [p.requires_grad for p in recognizer.parameters()]
    attack = ArtPGD(steps=2, random_starts=1)
    first = propose(attack, recognizer, images, Dodge(labels), eps=4 / 255, seed=1)
    assert (np.random.get_state()[1] == before).all()  # type: ignore[union-attr]
    assert [p.requires_grad for p in recognizer.parameters()] == flags
    assert torch.equal(propose(attack, recognizer, images, Dodge(labels), eps=4 / 255, seed=1), first)
    assert not torch.equal(propose(attack, recognizer, images, Dodge(labels), eps=4 / 255, seed=2), first)


def test_every_name_makes_an_attack() -> None:
    for name, factory in ATTACKS.items():
        kind = type(factory()).__name__
        assert kind.startswith("Art") == name.startswith("art-"), name
        assert replace(factory()) == factory()  # type: ignore[type-var]
