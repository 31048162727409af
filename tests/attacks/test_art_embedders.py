"""ART's attacks on embedders, of two classes by the distance to a threshold; its PGD and FGSM held against ours."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import faceenc
from faceenc.attacks import (
    L2,
    LINF,
    PGD,
    ArtAPGD,
    ArtAutoAttack,
    ArtBoundary,
    ArtCarliniL2,
    ArtCarliniLinf,
    ArtDeepFool,
    ArtFGSM,
    ArtHopSkipJump,
    ArtPGD,
    ArtSimBA,
    ArtSquare,
    ArtUniversal,
    Contrast,
    LeadingGoal,
    MoveAway,
    MoveTo,
    apgd_dlr,
    fgsm,
    image_generators,
    run_attack,
)
from faceenc.core import Attack, ConfigError, Goal, Norm
from tests.conftest import smooth_images

PEOPLE, SIDE = 3, 16
THRESHOLD, NEAR = 0.4, 0.95  # one person's photos are 0.1 to 0.2 apart, those of two people 1.1 to 1.7
EPS = {"linf": 24 / 255, "l2": 3.2}


class Embedder(nn.Module):
    """The picture at 4 x 4 pixels, bent a little, as a vector of length 1."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.mix = nn.Linear(48, 16)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        coarse = nn.functional.adaptive_avg_pool2d(x, 4).flatten(1)
        return nn.functional.normalize(torch.tanh(self.dropout(self.mix(8 * (coarse - 0.5)))), dim=1)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder().eval()


@pytest.fixture(scope="module")
def photos() -> torch.Tensor:
    """(people, photos, 3, H, W): three photos of each of several people who are much alike."""
    people = 0.5 + 0.5 * (smooth_images(PEOPLE, SIDE, seed=5) - 0.5)
    noise = 0.04 * torch.randn(PEOPLE, 3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(6))
    return ((people[:, None] + noise).clamp(0, 1) * 255).round() / 255


def embeddings(embedder: nn.Module, photos: torch.Tensor) -> torch.Tensor:
    """(N, R, ...) photos -> (N, R, D)."""
    with torch.no_grad():
        return torch.stack([embedder(own) for own in photos])


@pytest.fixture(params=["away", "to", "contrast"])
def goal(request: pytest.FixtureRequest, embedder: nn.Module, photos: torch.Tensor) -> LeadingGoal:
    own = embeddings(embedder, photos[:, 1:])
    if request.param == "away":
        return MoveAway(own, THRESHOLD)
    if request.param == "to":
        return MoveTo(own.roll(-1, 0), THRESHOLD)
    return Contrast(own, own.flatten(0, 1)[None], THRESHOLD)


def test_the_lead_is_above_zero_where_the_goal_is_reached(goal: LeadingGoal, embedder: nn.Module) -> None:
    outputs = embedder(torch.rand(64, PEOPLE, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)).flatten(0, 1))
    some = goal.select(torch.arange(PEOPLE).repeat(64))
    assert torch.equal(some.lead(outputs) > 0, some.reached(outputs))
    assert isinstance(some, LeadingGoal)
    assert not isinstance(faceenc.Dodge(torch.zeros(1).long()), LeadingGoal)


@pytest.mark.parametrize("norm", [LINF, L2], ids=lambda norm: norm.name)
def test_exact_pgd_equals_arts(norm: Norm, goal: LeadingGoal, embedder: nn.Module, photos: torch.Tensor) -> None:
    x = photos[:, 0]
    for ours, theirs in (
        (PGD(norm=norm, steps=10, random_start=False, engine="exact"), ArtPGD(norm=norm, steps=10)),
        (fgsm(norm=norm, engine="exact"), ArtFGSM(norm=norm)),
    ):
        mine, art = (one(embedder, x, goal, eps=EPS[norm.name], rng=image_generators(0, x)) for one in (ours, theirs))
        assert (mine - art).abs().max() <= 1e-6
        assert (mine - x).abs().max() > 1 / 255, "nothing happened: the comparison would be empty"


def test_a_face_net_too(images: torch.Tensor, recognizer: Any) -> None:
    """A ResNet's logits taken for embeddings: deep enough for another order of sums to show."""
    with torch.no_grad():
        goals: dict[str, Goal] = {"dodge": MoveAway(recognizer(images.roll(1, 3)).unsqueeze(1), 4.0)}
    table = faceenc.crosscheck(recognizer, images, goals, steps=5, engines=["exact", "fused"])
    exact = table[table["engine"] == "exact"]
    assert set(exact["norm"]) == {"linf", "l2"}
    assert list(exact["step"]) == [1, 2, 3, 4, 5] * 2
    assert exact["max_difference"].max() <= 1e-6
    assert (table["agreement"] == 1).all()
    assert (table["clean_accuracy"] == 1).all()
    assert (table["accuracy"][table["norm"] == "linf"] < 1).all()


ATTACKS: list[Attack] = [
    ArtPGD(), ArtAPGD(restarts=2), ArtAutoAttack(squares=100), ArtCarliniL2(), ArtCarliniLinf(), ArtDeepFool(L2),
    ArtBoundary(max_queries=600), ArtHopSkipJump(max_queries=300), ArtHopSkipJump(LINF, max_queries=300),
    ArtSquare(max_queries=200), ArtSquare(L2, max_queries=200), ArtSimBA(max_queries=200), ArtSimBA(LINF, max_queries=400),
]  # fmt: skip


@pytest.mark.parametrize("how", ["away", "to"])
@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_every_attack_moves_embeddings(attack: Any, how: str, embedder: nn.Module, photos: torch.Tensor) -> None:
    x, own = photos[:, 0], embeddings(embedder, photos[:, 1:])
    goal: Any = MoveAway(own, THRESHOLD) if how == "away" else MoveTo(own.roll(-1, 0), NEAR)
    aimed = how == "to" and hasattr(attack, "needs_photo_of_target")
    start = photos[:, 1].roll(-1, 0) if aimed else None
    eps = EPS[attack.norm.name]
    with torch.no_grad():
        before = embedder(x)
    assert not goal.reached(before).any()
    outcome = run_attack(attack, embedder, x, goal, eps=eps, start=start)
    assert (outcome.size <= eps + 1e-6).all()
    assert (outcome.queries > 0).all()
    if hasattr(attack, "max_queries"):
        assert (outcome.queries <= attack.max_queries).all()
    assert torch.equal(outcome.reached, goal.reached(outcome.outputs))
    assert outcome.reached.any()


def test_what_cannot_be_is_declared_and_said_in_one_line(embedder: nn.Module, photos: torch.Tensor) -> None:
    x, own = photos[:, 0], embeddings(embedder, photos[:, 1:])
    attack: Any
    for attack in (ArtUniversal(), apgd_dlr()):
        assert attack.no_embedders
        with pytest.raises(ConfigError, match=f"no attack on embedders: {attack.no_embedders}") as caught:
            run_attack(attack, embedder, x, MoveAway(own, THRESHOLD), eps=0.1)
        assert "\n" not in str(caught.value)
    assert not any(getattr(attack, "no_embedders", "") for attack in ATTACKS)
    with pytest.raises(ConfigError, match="needs a photo of the person"):
        run_attack(ArtHopSkipJump(), embedder, x, MoveTo(own, THRESHOLD), eps=0.1)
