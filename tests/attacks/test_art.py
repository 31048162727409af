"""ART's attacks behind our boundary: each reaches its goal, keeps to its ball and budget, and leaves the world as it was."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from faceenc.attacks import (
    CIRCLES,
    L2,
    LINF,
    ArtAPGD,
    ArtAutoAttack,
    ArtBoundary,
    ArtCarliniL2,
    ArtCarliniLinf,
    ArtDeepFool,
    ArtHopSkipJump,
    ArtSimBA,
    ArtSquare,
    ArtUniversal,
    BudgetedRecognizer,
    Dodge,
    Finished,
    Impersonate,
    apgd_dlr,
    image_generators,
    run_attack,
)
from faceenc.core import Attack, ConfigError, Goal, Norm, Outcome
from tests.conftest import smooth_images

# Generous: what is asked is whether an attack works at all.
EPS = {"linf": 32 / 255, "l2": 3.0}
BUDGET, PATIENT = 200, 800  # queries; who hears only names needs more
BLACK_BOX: list[Any] = [
    ArtSquare(max_queries=BUDGET),
    ArtSquare(L2, max_queries=BUDGET),
    ArtSimBA(max_queries=BUDGET, rel_step=0.3),
    ArtBoundary(max_queries=PATIENT),
    ArtHopSkipJump(max_queries=PATIENT, first_guesses=20),
    ArtHopSkipJump(LINF, max_queries=PATIENT, first_guesses=20),
]
CASES: list[Any] = [
    ArtAPGD(steps=5),
    ArtAPGD(L2, steps=5),
    apgd_dlr(steps=5),
    ArtAutoAttack(steps=5),
    ArtAutoAttack(L2, steps=5),
    ArtCarliniL2(steps=4, weights=1, weight=10.0),
    ArtCarliniLinf(steps=10),
    ArtDeepFool(candidates=3),
    ArtUniversal(passes=4, candidates=4),
    *BLACK_BOX,
]
AIMED = [case for case in CASES if not hasattr(case, "goals")]
IMAGES = 3
each_black_box = pytest.mark.parametrize("attack", BLACK_BOX, ids=repr)
Run = Callable[[Attack, str], Outcome]


class Templates(nn.Module):
    """Names the person whose own picture, reduced to 4 x 4 pixels, is nearest: linear, so few queries will do."""

    def __init__(self, pictures: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("templates", self._reduced(pictures))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -64 * torch.cdist(self._reduced(x), self.templates).square()

    @staticmethod
    def _reduced(x: torch.Tensor) -> torch.Tensor:
        return nn.functional.adaptive_avg_pool2d(x, 4).flatten(1)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """Of eight people who are much alike."""
    return (0.5 + 0.15 * (smooth_images(8, 16, seed=1) - 0.5)).mul(255).round().div(255)


@pytest.fixture(scope="module")
def recognizer(images: torch.Tensor) -> Templates:
    return Templates(images).eval()


class Spied(nn.Module):
    """Remembers every picture that the recogniser was asked about, and what it answered."""

    def __init__(self, recognizer: nn.Module) -> None:
        super().__init__()
        self.recognizer = recognizer
        self.pictures: list[torch.Tensor] = []
        self.answers: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.recognizer(x)
        self.pictures += x.detach().clone().split(1)
        self.answers += answer.detach().split(1)
        return answer


def goal_of(name: str, images: int = IMAGES) -> Goal:
    labels = torch.arange(images)
    return Dodge(labels) if name == "dodge" else Impersonate(labels + 1)


def attacked(
    attack: Attack, model: nn.Module, x: torch.Tensor, name: str, *, eps: float | None = None, seed: int = 0
) -> Outcome:
    """Aimed at the next person, whose photo is the next image."""
    aimed = name == "impersonate" and hasattr(attack, "needs_photo_of_target")
    start = x[1 : IMAGES + 1] if aimed else None
    size = EPS[attack.norm.name] if eps is None else eps
    return run_attack(attack, model, x[:IMAGES], goal_of(name), eps=size, seed=seed, start=start)


@pytest.fixture(scope="module")
def run(recognizer: nn.Module, images: torch.Tensor) -> Run:
    """Each attack once, for all the tests of what came out."""
    known: dict[tuple[Attack, str], Outcome] = {}

    def outcome(attack: Attack, name: str) -> Outcome:
        if (attack, name) not in known:
            known[attack, name] = attacked(attack, recognizer, images, name)
        return known[attack, name]

    return outcome


@pytest.mark.parametrize(
    ("attack", "name"),
    [*((case, "dodge") for case in CASES), *((case, "impersonate") for case in AIMED)],
    ids=lambda value: value if isinstance(value, str) else repr(value),
)
def test_reaches_its_goal_within_the_ball(attack: Attack, name: str, run: Run, images: torch.Tensor) -> None:
    outcome = run(attack, name)
    # Few queries do not take a search for one person's face to its end, and one noise seldom fits all.
    easy = not isinstance(attack, ArtUniversal) and (name == "dodge" or not hasattr(attack, "max_queries"))
    assert outcome.reached.sum() >= (IMAGES - 1 if easy else 1)
    eps = EPS[attack.norm.name]
    assert (outcome.size <= eps + 1e-6).all()
    assert (attack.norm.size(outcome.adversarial - images[:IMAGES]) <= eps + 1e-6).all()
    assert (outcome.overshoot <= 1e-6 * max(1.0, eps)).all(), "no proposal is left to be cut back"
    assert outcome.adversarial.min() >= 0
    assert outcome.adversarial.max() <= 1


@pytest.mark.parametrize("attack", [ArtAPGD(steps=2), ArtSquare(max_queries=9), ArtUniversal(passes=1)], ids=repr)
def test_leaves_the_world_as_it_was(
    attack: Attack, recognizer: nn.Module, images: torch.Tensor, caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    before = images.clone()
    flags = [p.requires_grad for p in recognizer.parameters()]
    states = np.random.get_state()[1].copy(), random.getstate(), torch.get_rng_state()  # type: ignore[union-attr]
    attacked(attack, recognizer, images, "dodge")
    assert (np.random.get_state()[1] == states[0]).all()  # type: ignore[union-attr]
    assert random.getstate() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert [p.requires_grad for p in recognizer.parameters()] == flags
    assert all(p.grad is None for p in recognizer.parameters())
    assert torch.equal(images, before)
    assert not caplog.records, "ART's messages stay inside"
    assert capfd.readouterr() == ("", ""), "and so do its progress bars"


@pytest.mark.parametrize("attack", CASES, ids=repr)
def test_eps_zero_is_identity(attack: Attack, recognizer: nn.Module, images: torch.Tensor) -> None:
    outcome = attacked(attack, recognizer, images, "dodge", eps=0.0)
    assert torch.equal(outcome.adversarial, images[:IMAGES])
    assert outcome.queries.sum() == 0


@pytest.mark.parametrize("attack", CASES, ids=repr)
def test_equal_parameters_make_equal_attacks_that_pickle(attack: Any) -> None:
    import pickle

    assert replace(attack) == attack
    assert hash(pickle.loads(pickle.dumps(attack))) == hash(attack)


def test_an_image_that_reaches_its_goal_is_left_alone(recognizer: nn.Module, images: torch.Tensor) -> None:
    """Nobody's double already: one question, no noise."""
    wrong = Dodge(torch.tensor([5]))
    for attack in (ArtAPGD(steps=2), ArtBoundary(), ArtDeepFool(), ArtAutoAttack()):
        outcome = run_attack(attack, recognizer, images[:1], wrong, eps=0.1, seed=0)
        assert torch.equal(outcome.adversarial, images[:1])
        assert outcome.queries.tolist() == [1]
        assert outcome.reached.all()


@each_black_box
@pytest.mark.parametrize("budget", [1, 2, 31])
def test_budget_is_kept_to_the_question(attack: Any, budget: int, recognizer: nn.Module, images: torch.Tensor) -> None:
    """Counted by the recogniser itself; the harness asks once more for each image, to judge."""
    spied = Spied(recognizer).eval()
    tiny = {"linf": 1 / 255, "l2": 0.1}[attack.norm.name]
    outcome = attacked(replace(attack, max_queries=budget), spied, images, "dodge", eps=tiny)
    assert not outcome.reached.any(), "the budget was to be used up"
    assert (outcome.queries <= budget).all()
    assert len(spied.pictures) == outcome.queries.sum() + IMAGES
    if not isinstance(attack, ArtSquare):  # whose squares may change nothing, and cost nothing
        assert (outcome.queries == budget).all()


@each_black_box
def test_more_queries_are_not_worse(attack: Any, run: Run, recognizer: nn.Module, images: torch.Tensor) -> None:
    few = attacked(replace(attack, max_queries=12), recognizer, images, "dodge")
    many = run(attack, "dodge")
    assert few.reached.sum() <= many.reached.sum()
    if not isinstance(attack, ArtSquare):  # whose squares shrink on the budget's schedule
        assert (few.reached <= many.reached).all()
        assert (few.queries <= many.queries).all()


def test_some_black_box_gains_by_more_queries(run: Run, recognizer: nn.Module, images: torch.Tensor) -> None:
    def reached_by_few(attack: Any) -> torch.Tensor:
        return attacked(replace(attack, max_queries=12), recognizer, images, "dodge").reached.sum()

    assert any(run(attack, "dodge").reached.sum() > reached_by_few(attack) for attack in BLACK_BOX)


@each_black_box
def test_what_was_found_is_what_is_judged(attack: Any, run: Run) -> None:
    """Who stops before the budget has seen the rounded picture reach the goal."""
    outcome = run(attack, "dodge")
    stopped = outcome.queries < attack.max_queries
    assert stopped.any()
    assert outcome.reached[stopped].all()


@pytest.mark.parametrize("attack", [ArtBoundary(max_queries=60), ArtHopSkipJump(max_queries=60)], ids=repr)
def test_the_closest_picture_is_kept(attack: Any, recognizer: nn.Module, images: torch.Tensor) -> None:
    """Where nothing is found within the ball: the closest of all pictures that reached the goal, projected."""
    spied, x, eps, goal = Spied(recognizer).eval(), images[:1], 0.2, Dodge(torch.tensor([0]))
    proposal = attack(spied, x, goal, eps=eps, rng=image_generators(0, x))
    pictures, answers = torch.cat(spied.pictures), torch.cat(spied.answers)
    reached = Dodge(torch.zeros(len(answers), dtype=torch.long)).reached(answers)
    distances = torch.where(reached, L2.size(pictures - x), torch.inf)
    closest = pictures[distances.argmin()][None]
    assert distances.min() > eps
    torch.testing.assert_close(proposal, x + L2.project(closest - x, eps))


def test_result_depends_on_seed_and_image_only(recognizer: nn.Module, images: torch.Tensor) -> None:
    for attack in (ArtSquare(max_queries=8), ArtHopSkipJump(max_queries=40, first_guesses=10), ArtAPGD(steps=2)):
        eps = {"linf": 2 / 255, "l2": 0.5}[attack.norm.name]

        def propose(x: torch.Tensor, rows: torch.Tensor, seed: int, attack: Any = attack, eps: float = eps) -> torch.Tensor:
            found: torch.Tensor = attack(recognizer, x, Dodge(rows), eps=eps, rng=image_generators(seed, x))
            return found

        rows = torch.arange(2)
        both = propose(images[:2], rows, 1)
        assert torch.equal(propose(images[:2], rows, 1), both)
        assert torch.equal(propose(images[1:2], rows[1:], 1), both[1:])
        assert torch.equal(propose(images[:2].flip(0), rows.flip(0), 1).flip(0), both)
        assert not torch.equal(propose(images[:2], rows, 2), both)


class Unknown:
    """A goal that is none of ours."""

    def select(self, rows: torch.Tensor) -> Unknown:
        return self


class _Linear(nn.Module):
    """Few people, distinguished by the mean of the picture."""

    def __init__(self, people: int, *, softmax: bool = False) -> None:
        super().__init__()
        self.people, self.softmax = people, softmax

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = x.flatten(1).mean(1, keepdim=True) * torch.linspace(-9, 9, self.people)
        return scores.softmax(1) if self.softmax else scores


@pytest.mark.parametrize(
    ("attack", "goal", "says"),
    [
        (ArtDeepFool(), Impersonate(torch.tensor([1])), "cannot aim at a chosen person"),
        (ArtAutoAttack(), Impersonate(torch.tensor([1])), "cannot aim at a chosen person"),
        (ArtUniversal(), Impersonate(torch.tensor([1])), "cannot aim at a chosen person"),
        (ArtBoundary(), Impersonate(torch.tensor([1])), "needs a photo of the person"),
        (ArtSquare(), Unknown(), "ART cannot attack for Unknown"),
    ],
)
def test_what_art_cannot_do_is_one_clear_line(attack: Attack, goal: Goal, says: str, images: torch.Tensor) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        attack(_Linear(3), images[:1], goal, eps=0.1, rng=image_generators(0, images[:1]))
    assert "\n" not in str(caught.value)


def test_recognisers_that_art_refuses_are_named(images: torch.Tensor) -> None:
    x = images[:1]
    for attack, model, says in (
        (ArtAPGD(), _Linear(3, softmax=True), "predict probabilities"),
        (apgd_dlr(), _Linear(2), "at least three people"),
    ):
        with pytest.raises(ConfigError, match=says):
            attack(model, x, Dodge(torch.tensor([model.people - 1])), eps=0.1, rng=image_generators(0, x))
    with pytest.raises(ConfigError, match='use norm = "linf"'):
        ArtCarliniLinf(L2)
    with pytest.raises(ConfigError, match="square images"):
        ArtSimBA()(_Linear(3), x[..., :8], Dodge(torch.tensor([2])), eps=0.1, rng=image_generators(0, x))


def budgeted(norm: Norm = LINF, **settings: Any) -> BudgetedRecognizer:
    """Of a grey image of level 128 whose label, 2 of 3, holds as long as its mean is above level 127.7."""
    x = torch.full((1, 3, 8, 8), 128 / 255)
    goal = Dodge(torch.tensor([2]))
    found = BudgetedRecognizer(lambda picture: _Linear(3)(picture - 127.7 / 255), x, goal, norm, 4 / 255, **settings)
    found.begin()
    return found


def test_budgeted_recognizer_ends_a_search_in_circles() -> None:
    """A loop that asks for the same picture for ever would never use up its budget."""
    one, picture = budgeted(budget=10), torch.full((1, 3, 8, 8), 0.9)
    for _ in range(CIRCLES + 1):
        one(picture)
    with pytest.raises(Finished):
        one(picture)
    assert one.queries == 2


def test_budgeted_recognizer_believes_rounded_pictures_only() -> None:
    """A hundredth of a level below the boundary: within eps, reached, and gone after rounding."""
    one = budgeted(stop=True)
    one(torch.full((1, 3, 8, 8), 127.69 / 255))
    assert one.queries == 3, "the image, the picture, and the picture rounded"
    assert torch.equal(one.best, one.x)
    with pytest.raises(Finished):
        one(torch.full((1, 3, 8, 8), 127 / 255 - 1e-5))
    torch.testing.assert_close(one.best, torch.full((1, 3, 8, 8), 127 / 255))


def test_budgeted_recognizer_prefers_as_it_was_asked_to() -> None:
    near, far = (torch.full((1, 3, 8, 8), level / 255) for level in (126, 125))
    for closest, best in ((True, near), (False, far)):
        one = budgeted(closest=closest)
        one(torch.cat([near, far, far - 0.5, torch.full_like(far, torch.nan)]))
        torch.testing.assert_close(one.best, best)
