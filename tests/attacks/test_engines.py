"""Gradient engines against autograd by hand, in float32 and float64, and what happens when a fast one cannot be had."""

from __future__ import annotations

import copy
import gc
import logging
import sys
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from faceenc.attacks import ENGINES, Dodge, Exact, FusedResNet, cached_engine, gradient_engine
from faceenc.core import ConfigError, Goal
from faceenc.recognizers import FaceResNet
from tests.conftest import PEOPLE, smooth_images

# (images, height, width): one image, odd sizes, the usual batch, more than one pass, a full-size photo, not square.
SHAPES = [(1, 64, 64), (5, 65, 65), (16, 40, 40), (18, 33, 33), (1, 224, 224), (2, 113, 70)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
every_engine = pytest.mark.parametrize("name", ENGINES)


def batch(shape: tuple[int, int, int]) -> tuple[torch.Tensor, Dodge]:
    count, height, width = shape
    x = smooth_images(count, max(height, width), seed=3)[:, :, :height, :width]
    # Without noise, flat areas tie in the max pool, and rounding decides which pixel gets the gradient.
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(4))
    return 0.9 * x + 0.1 * noise, Dodge(torch.arange(count) % PEOPLE)


def by_hand(model: nn.Module, x: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and the gradient as ART has them: one mean cross-entropy, one backward pass."""
    model = copy.deepcopy(model).eval()
    x = x.clone().requires_grad_(True)
    logits = model(x)
    F.cross_entropy(logits, labels).backward()
    assert x.grad is not None
    return logits.detach(), x.grad


def errors(gradient: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """(N,) L2 error of each image's gradient, relative to the true one."""
    return (gradient - truth).flatten(1).norm(dim=1) / truth.flatten(1).norm(dim=1)


def small_network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten()]
        return nn.Sequential(*layers, nn.Linear(128, PEOPLE)).eval()


@every_shape
def test_exact_is_autograd_to_the_bit(recognizer: FaceResNet, shape: tuple[int, int, int]) -> None:
    x, goal = batch(shape)
    logits, gradient = by_hand(recognizer, x, goal.labels)
    answer = gradient_engine(recognizer, "exact")(x, goal)
    assert torch.equal(answer.outputs, logits)
    assert torch.equal(answer.gradient, gradient)
    assert torch.equal(answer.loss, F.cross_entropy(logits, goal.labels, reduction="none"))


@pytest.mark.parametrize("native", [True, False], ids=["oneDNN", "public"])
def test_fused_is_as_close_to_float64_as_eager(recognizer: FaceResNet, native: bool) -> None:
    plan = FusedResNet(recognizer.network, recognizer.mean, recognizer.std, dtype=torch.float32, native=native)
    double = copy.deepcopy(recognizer).double()
    ours, eagers = [], []
    for shape in SHAPES:
        x, goal = batch(shape)
        true_logits, truth = by_hand(double, x.double(), goal.labels)
        _, eager = by_hand(recognizer, x, goal.labels)
        answer = plan(x, goal)
        assert answer.gradient.is_contiguous()
        assert (answer.outputs - true_logits).norm() <= 1e-5 * true_logits.norm()
        ours.append(errors(answer.gradient, truth))
        eagers.append(errors(eager, truth))
    # Where rounding flips a relu, one image's error jumps, with either engine: hence medians, and a wide bound for all.
    assert torch.cat(ours).median() <= 5 * torch.cat(eagers).median()
    assert torch.cat(ours).max() < 0.05


def test_one_sign_step_differs_in_hardly_any_pixel(recognizer: FaceResNet) -> None:
    x, goal = batch((9, 80, 80))
    exact, fast = (gradient_engine(recognizer, name)(x, goal).gradient.flatten(1) for name in ("exact", "fused"))
    clear = exact.abs() > 1e-3 * exact.abs().mean(1, keepdim=True)
    assert clear.float().mean() > 0.9
    differs = ((exact.sign() != fast.sign()) & clear).float().mean(1)
    assert differs.median() <= 1e-4  # see above
    assert differs.mean() <= 2e-3


@every_shape
def test_bfloat16_points_the_same_way_and_closes_in_float32(recognizer: FaceResNet, shape: tuple[int, int, int]) -> None:
    x, goal = batch(shape)
    engine = gradient_engine(recognizer, "bf16")
    exact, fast, closing = gradient_engine(recognizer, "exact")(x, goal), engine(x, goal), engine(x, goal, last=True)
    assert torch.cosine_similarity(fast.gradient.flatten(), exact.gradient.flatten(), dim=0) > 0.9
    assert {t.dtype for t in fast} == {torch.float32}
    torch.testing.assert_close(fast.outputs, exact.outputs, rtol=0.1, atol=0.1)
    assert torch.equal(closing.gradient, gradient_engine(recognizer, "fused")(x, goal).gradient)


@every_engine
def test_touches_nothing(recognizer: FaceResNet, images: torch.Tensor, goal: Goal, name: str) -> None:
    model = copy.deepcopy(recognizer).train()
    model.network.layer1.eval()
    model.network.fc.weight.requires_grad_(False)
    flags = [p.requires_grad for p in model.parameters()]
    modes = [m.training for m in model.modules()]
    state, x, generator = copy.deepcopy(model.state_dict()), images.clone(), torch.get_rng_state()
    with torch.no_grad():
        answer = gradient_engine(model, name)(x, goal)
    assert torch.equal(x, images)
    assert not any(t.requires_grad for t in (x, *answer))
    assert [p.requires_grad for p in model.parameters()] == flags
    assert [m.training for m in model.modules()] == modes
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)
    # Train mode is evaluated as eval mode.
    torch.testing.assert_close(answer.outputs, recognizer(images).detach(), rtol=0.1, atol=0.1)


@every_engine
def test_built_once_and_again_when_weights_change(recognizer: FaceResNet, name: str) -> None:
    model = copy.deepcopy(recognizer)
    x, goal = batch((2, 64, 64))
    first = cached_engine(model, torch.float32)
    assert cached_engine(model, torch.float32) is first
    gradient_engine(model, name)(x, goal)
    with torch.no_grad():
        model.network.fc.weight.mul_(-2)
        model.network.bn1.running_mean.add_(0.1)
    assert cached_engine(model, torch.float32) is not first
    _, truth = by_hand(model, x, goal.labels)
    assert torch.cosine_similarity(gradient_engine(model, name)(x, goal).gradient.flatten(), truth.flatten(), dim=0) > 0.9


@every_engine
def test_keeps_no_recognizer_alive(name: str) -> None:
    model = small_network()
    gradient_engine(model, name)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    ("place", "attribute", "left"),
    [
        (torch.ops.mkldnn, "_convolution_pointwise", "FusedResNet"),
        (torch.ops.mkldnn, "_reorder_convolution_weight", "FusedResNet"),
        (sys.modules[FusedResNet.__module__], "_through_relu", "Traced"),
        (sys.modules[FusedResNet.__module__], "_phases", "Traced"),
    ],
)
def test_what_breaks_is_caught_and_replaced(
    recognizer: FaceResNet,
    images: torch.Tensor,
    labels: torch.Tensor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    place: object,
    attribute: str,
    left: str,
) -> None:
    # The first two stand for a private operation that a release of torch took away, the others for wrong results.
    right = getattr(place, attribute)
    wrong = {"_through_relu": lambda gradient, answer: gradient, "_phases": lambda weight: right(weight).flip(2)}
    monkeypatch.setattr(place, attribute, wrong.get(attribute))
    monkeypatch.setattr(
        "faceenc.attacks.engines.has_fast_packed_convolutions", lambda: True
    )  # else the first two are not even tried
    with caplog.at_level(logging.WARNING):
        engine = gradient_engine(copy.deepcopy(recognizer), "fused")
    assert type(engine).__name__ == left
    assert len(caplog.records) == 1
    _, truth = by_hand(recognizer, images, labels)
    # On one image rounding may flip a relu, which costs a few hundredths; a wrong gradient is wrong on all.
    assert errors(engine(images, Dodge(labels)).gradient, truth).median() < 1e-3


def test_not_a_resnet_falls_back_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    model = small_network()
    x, goal = batch((5, 64, 64))
    logits, truth = by_hand(model, x, goal.labels)
    with caplog.at_level(logging.INFO):
        answer = gradient_engine(model, "fused")(x, goal)
        gradient_engine(model, "fused")(x, goal)
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "not a ResNet" in caplog.text
    torch.testing.assert_close(answer.outputs, logits)
    assert errors(answer.gradient, truth).max() < 0.02


def test_a_plain_function_gets_the_exact_engine(
    recognizer: FaceResNet, labels: torch.Tensor, images: torch.Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    _, truth = by_hand(recognizer, images, labels)
    answer = gradient_engine(lambda x: recognizer(x), "fused")(images, Dodge(labels))
    assert torch.equal(answer.gradient, truth)
    assert "not a torch module" in caplog.text


def test_without_bfloat16_the_float32_engine_serves(
    recognizer: FaceResNet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("faceenc.attacks.engines.has_bfloat16", lambda device: False)
    assert isinstance(gradient_engine(copy.deepcopy(recognizer), "bf16"), FusedResNet)
    assert "no bfloat16" in caplog.text


def test_unknown_name_is_one_line(recognizer: FaceResNet) -> None:
    with pytest.raises(ConfigError, match=r"'fast'.*exact, fused, bf16") as caught:
        gradient_engine(recognizer, "fast")
    assert "\n" not in str(caught.value)


def test_who_is_all_done_costs_eager_no_way_back() -> None:
    class OneWay(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):  # type: ignore[no-untyped-def, override]
            return x.flatten(1)[:, :PEOPLE].clone()

        @staticmethod
        def backward(ctx, gradient):  # type: ignore[no-untyped-def, override]
            raise AssertionError("went back")

    x, goal = batch((2, 64, 64))
    engine = Exact(OneWay.apply)
    answer = engine(x, goal, margin=-100.0)
    assert torch.equal(answer.outputs, x.flatten(1)[:, :PEOPLE])
    assert answer.gradient.shape == (0, *x.shape[1:])
    with pytest.raises(AssertionError, match="went back"):
        engine(x, goal, margin=100.0)


@every_engine
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0], ids=lambda share: f"{share:.0%} done")
def test_margin_spares_who_is_done(name: str, share: float, recognizer: FaceResNet) -> None:
    """With the margin that this share of the images exceeds, the others get the very gradient they get without one."""
    x, goal = batch((18, 33, 33))
    engine = gradient_engine(recognizer, name)
    whole = engine(x, goal)
    logits = whole.outputs
    lead = logits.scatter(1, goal.labels[:, None], -torch.inf).amax(1) - logits.gather(1, goal.labels[:, None])[:, 0]
    margin = {0.0: float(lead.max()) + 1, 0.4: float(lead.quantile(0.6)), 1.0: float(lead.min()) - 1}[share]
    some = engine(x, goal, margin=margin)
    going = ~goal.reached(whole.outputs, margin)
    assert torch.equal(some.outputs, whole.outputs)
    assert torch.equal(some.loss, whole.loss)
    assert len(some.gradient) == int(going.sum()) == {0.0: 18, 0.4: 11, 1.0: 0}[share]
    error = (some.gradient - whole.gradient[going]).norm()
    assert error <= 0.02 * whole.gradient.norm()
