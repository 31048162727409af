"""Frozen layers and traced nets against autograd by hand, and which engine a net is said to have got."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from faceenc.attacks import (
    Exact,
    FrozenConv,
    FrozenNorm,
    FrozenPool,
    FrozenPReLU,
    Traced,
    engine_in_use,
    freeze,
    gradient_engine,
)
from tests.attacks.test_engines import batch, by_hand, errors
from tests.conftest import PEOPLE

LAID = torch.channels_last


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = make()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0, 0.3)
                nn.init.normal_(module.running_mean, 0, 0.1)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net.eval()


def agree(ours: nn.Module, theirs: nn.Module, *inputs: torch.Tensor, close: float = 1e-5) -> None:
    """Answers, and gradients to all inputs, are the same."""
    answers = []
    for module in (ours, theirs):
        leaves = [x.clone().requires_grad_(True) for x in inputs]
        y = module(*leaves)
        direction = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
        answers.append((y, *torch.autograd.grad((y * direction).sum(), leaves)))
    for got, want in zip(*answers, strict=True):
        assert (got - want).norm() <= close * want.norm()


# in, out, kernel, stride, padding, dilation, groups
CONVOLUTIONS = [
    (8, 16, 3, 1, 1, 1, 1), (8, 16, 1, 1, 0, 1, 1), (8, 16, 1, 2, 0, 1, 1), (8, 16, 3, 2, 1, 1, 1), (3, 8, 3, 2, 1, 1, 1),
    (3, 8, 7, 2, 3, 1, 1), (3, 8, 5, 3, 1, 1, 1), (3, 8, 8, 4, 2, 1, 1), (3, 8, 16, 16, 0, 1, 1), (8, 8, 3, 1, 1, 1, 8),
    (8, 8, 5, 2, 2, 1, 8), (8, 16, 3, 2, 0, 1, 4), (8, 16, 3, 1, 2, 2, 2), (8, 16, 1, 1, 1, 1, 1),
    (8, 16, (3, 1), (1, 2), (1, 0), 1, 1),
]  # fmt: skip


@pytest.mark.parametrize("native", [True, False], ids=["oneDNN", "public"])
@pytest.mark.parametrize("settings", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("side", [32, 35])
def test_a_convolution_is_torchs(native: bool, settings: tuple[Any, ...], side: int) -> None:
    conv = seeded(lambda: nn.Conv2d(*settings))
    assert isinstance(conv, nn.Conv2d)
    x = torch.randn(2, settings[0], side, side + 3, generator=torch.Generator().manual_seed(2)).contiguous(
        memory_format=LAID
    )
    layer = FrozenConv(conv, dtype=torch.float32, native=native)
    agree(layer, conv, x)
    summand = torch.randn(conv(x).shape, generator=torch.Generator().manual_seed(3))
    for layer.activation, bend in (("", nn.Identity()), ("relu", F.relu), ("relu6", lambda y: F.relu6(4 * y / 4))):
        agree(layer, lambda x, s, bend=bend: bend(conv(x) + s), x, summand)
        agree(layer, lambda x, s, bend=bend: bend(conv(x) + s), x, summand[:, :, :1, :1])


@pytest.mark.parametrize(
    ("frozen", "own"),
    [
        (FrozenPReLU, lambda: nn.PReLU(8, init=-0.2)),
        (FrozenPReLU, nn.PReLU),
        (FrozenNorm, lambda: nn.BatchNorm2d(8)),
        (FrozenNorm, lambda: nn.BatchNorm2d(8, affine=False)),
        (lambda _: FrozenPool(), lambda: nn.AdaptiveAvgPool2d(1)),
    ],
    ids=["PReLU of channels", "PReLU", "BatchNorm2d", "BatchNorm2d without weights", "pool"],
)
def test_a_layer_is_torchs(frozen: Callable[[nn.Module], nn.Module], own: Callable[[], nn.Module]) -> None:
    layer = own().eval()
    x = torch.randn(2, 8, 5, 6, generator=torch.Generator().manual_seed(2)).contiguous(memory_format=LAID)
    agree(frozen(layer), layer, x)


class Residual(nn.Module):
    """As of an IResNet: a norm in front, a PReLU inside, nothing behind the sum."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.first, self.conv1, self.second = (
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, out, 3, 1, 1),
            nn.BatchNorm2d(out),
        )
        self.bend, self.conv2, self.third = nn.PReLU(out), nn.Conv2d(out, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.down = None if stride == 1 else nn.Sequential(nn.Conv2d(channels, out, 1, stride), nn.BatchNorm2d(out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.third(self.conv2(self.bend(self.second(self.conv1(self.first(x))))))
        y += x if self.down is None else self.down(x)
        return y


class Face(nn.Module):
    """A face net with dropout, a linear layer and a norm at its end; its size decides, so that it cannot be traced whole."""

    def __init__(self, *, sizes: bool = False) -> None:
        super().__init__()
        self.sizes = sizes
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.PReLU(8))
        self.blocks = nn.Sequential(Residual(8, 16, 2), Residual(16, 16, 1), Residual(16, 16, 2))
        self.drop, self.pool = nn.Dropout(0.4), nn.AdaptiveAvgPool2d(4)
        self.head, self.last = nn.Linear(256, PEOPLE), nn.BatchNorm1d(PEOPLE)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.sizes and x.shape[-1] < 16:
            raise ValueError("too small")
        y = self.pool(self.blocks(self.stem((x - 0.5) / 0.5)))
        return F.normalize(self.last(self.head(self.drop(y.flatten(1)))))


class Squeeze(nn.Module):
    """Inverted residuals with swish, gates and what only functions say."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Sequential(nn.Conv2d(3, 16, 1), nn.BatchNorm2d(16), nn.SiLU(inplace=True))
        self.deep = nn.Sequential(nn.Conv2d(16, 16, 5, 2, 2, groups=16), nn.BatchNorm2d(16), nn.Hardswish(inplace=True))
        self.pool, self.gate = nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 16, 1)
        self.thin, self.norm = nn.Conv2d(16, 16, 1), nn.BatchNorm2d(16)
        self.again, self.head = nn.Conv2d(16, 16, 1), nn.Linear(16, PEOPLE)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.deep(self.wide(x))
        y = y * torch.sigmoid(self.gate(self.pool(y)))
        n = self.norm
        z = F.batch_norm(self.thin(y), n.running_mean, n.running_var, n.weight, n.bias, False, 0.1, n.eps)
        y = F.relu6(y + F.dropout(z, 0.2, training=self.training))
        y = F.relu(self.again(self.again(y)))  # one convolution, called twice
        return self.head(self.pool(y).flatten(1))


NETS: dict[str, Callable[[], nn.Module]] = {"face": Face, "face by parts": lambda: Face(sizes=True), "squeeze": Squeeze}
every_net = pytest.mark.parametrize("make", NETS.values(), ids=NETS)


@every_net
@pytest.mark.parametrize("native", [True, False], ids=["oneDNN", "public"])
def test_a_frozen_net_answers_the_same(make: Callable[[], nn.Module], native: bool) -> None:
    net = seeded(make)
    state = copy.deepcopy(net.state_dict())
    frozen = freeze(net.train(), dtype=torch.float32, native=native)
    assert net.training
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    for shape in ((1, 32, 32), (5, 41, 37)):
        x, _ = batch(shape)
        agree(frozen, net.eval(), x.contiguous(memory_format=LAID), close=1e-4)


def test_what_can_be_folded_is() -> None:
    kinds = [type(module) for module in freeze(seeded(Face), dtype=torch.float32, native=True).modules()]
    assert kinds.count(FrozenConv) == 9
    assert kinds.count(FrozenNorm) == 3  # those that stand before a convolution
    assert not {nn.BatchNorm1d, nn.BatchNorm2d, nn.Dropout, nn.PReLU} & set(kinds)
    frozen = freeze(seeded(Squeeze), dtype=torch.float32, native=True)
    assert not any(isinstance(module, nn.BatchNorm2d | FrozenNorm) for module in frozen.modules())


@every_net
def test_bfloat16_points_the_same_way(make: Callable[[], nn.Module]) -> None:
    net = seeded(make)
    x, goal = batch((4, 48, 48))
    exact, fast = Exact(net)(x, goal), Traced(net, torch.bfloat16)(x, goal)
    assert {t.dtype for t in fast} == {torch.float32}
    assert torch.cosine_similarity(fast.gradient.flatten(), exact.gradient.flatten(), dim=0) > 0.9
    torch.testing.assert_close(fast.outputs, exact.outputs, rtol=0.1, atol=0.1)


@pytest.mark.parametrize(
    "name",
    [
        "mobilenet_v3_small",
        "efficientnet_b0",
        pytest.param("resnet50", marks=pytest.mark.slow),
        pytest.param("densenet121", marks=pytest.mark.slow),
    ],
)
def test_nets_of_torchvision(name: str) -> None:
    import torchvision

    net = seeded(lambda: getattr(torchvision.models, name)(num_classes=PEOPLE))
    x, goal = batch((3, 64, 64))
    answer = gradient_engine(net, "fused")(x, goal)
    logits, truth = by_hand(net, x, goal.labels)
    assert engine_in_use(net, "fused") == "fused (traced graph)"
    assert (answer.outputs - logits).norm() <= 1e-4 * logits.norm()
    assert errors(answer.gradient, truth).median() < 0.02


class Fixed(Face):
    """Takes pictures of one size only, and does not say so."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(7)  # 112 -> 28 -> 4


def test_a_net_of_one_size_is_checked_at_that_size() -> None:
    assert engine_in_use(seeded(Fixed), "fused") == "fused (traced graph)"


class Two(nn.Module):
    """Answers otherwise while it is traced."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, PEOPLE, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).mean((2, 3)) * (1 if isinstance(x, torch.Tensor) else -1)


def test_who_answers_otherwise_when_traced_is_found_out() -> None:
    said = engine_in_use(seeded(Two), "fused")
    assert said.startswith("exact: the outputs in its self-check were off by 2 ")
    assert type(gradient_engine(seeded(Two), "fused")) is Exact


def test_engine_in_use_says_which_and_why(recognizer: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine_in_use(recognizer, "exact") == "exact"
    assert engine_in_use(recognizer, "fused") == "fused (plan of a ResNet)"
    assert engine_in_use(lambda x: x.flatten(1), "fused") == "exact: it is not a torch module"
    linear = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, PEOPLE))
    assert engine_in_use(linear, "fused") == "fused (channels last): it has no convolution to make faster"
    monkeypatch.setattr("faceenc.attacks.engines.has_bfloat16", lambda device: False)
    net = seeded(Face)
    assert engine_in_use(net, "bf16") == "fused (traced graph): the processor has no bfloat16"
    assert engine_in_use(net, "auto") == "fused (traced graph)"
    monkeypatch.setattr("faceenc.attacks.engines.has_bfloat16", lambda device: True)
    assert engine_in_use(seeded(Face), "bf16") == "bf16 (traced graph)"
