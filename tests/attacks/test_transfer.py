"""The transfer attack: each of its parts does what it says, alone; views depend on the image and the seed only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from faceenc.attacks import (
    ATTACKS,
    L2,
    LINF,
    Contrast,
    Counted,
    Dodge,
    MoveAway,
    MoveTo,
    Noise,
    OverViews,
    RandomViews,
    Smoothed,
    Transfer,
    di_mi_fgsm,
    image_generators,
    mi_fgsm,
    run_attack,
)
from faceenc.core import Goal, Model
from faceenc.media import Diversity, coarsened, dimmed, posed, recoloured, shuffled
from faceenc.recognizers import Ensemble, FaceResNet

PLAIN = Transfer(
    steps=4, rel_step=0.25, momentum=0.0, views=1, blur=0.0, jitter=0.0, flip=0.0, coarsest=1.0, colour=0.0, dimmest=1.0
)
PARTS = {
    "momentum": {"momentum": 1.0},
    "views": {"views": 2, "jitter": 0.5},
    "blur": {"blur": 1.5},
    "jitter": {"jitter": 1.0},
    "flip": {"flip": 0.5},
    "coarsest": {"coarsest": 0.5},
    "colour": {"colour": 0.2},
    "dimmest": {"dimmest": 0.3},
    "blocks": {"blocks": 3},
    "weight_noise": {"weight_noise": 0.1},
}
VIEWS = {
    "posed": lambda x, rng: posed(x, rng, degrees=8, zoom=0.1, shift=0.05, flip=0.5),
    "coarsened": lambda x, rng: coarsened(x, rng, least=0.3),
    "recoloured": lambda x, rng: recoloured(x, rng, strength=0.3),
    "dimmed": lambda x, rng: dimmed(x, rng, least=0.3),
    "shuffled": lambda x, rng: shuffled(x, rng, blocks=3),
}


def rng_of(x: torch.Tensor, seed: int = 0) -> Sequence[torch.Generator]:
    return image_generators(seed, x)


def propose(attack: Transfer, model: Model, x: torch.Tensor, goal: Goal, eps: float = 8 / 255) -> torch.Tensor:
    return attack(model, x, goal, eps=eps, rng=rng_of(x))


@pytest.mark.parametrize("name", VIEWS)
def test_views_keep_shape_and_range_and_depend_on_the_image_alone(name: str, images: torch.Tensor) -> None:
    view = VIEWS[name]
    seen = view(images, rng_of(images))
    assert seen.shape == images.shape
    assert seen.min() >= 0
    assert seen.max() <= 1 + 1e-6
    assert ((seen - images).abs().amax((1, 2, 3)) > 0.01).float().mean() > 0.5
    order = torch.tensor([3, 0])
    assert torch.equal(view(images[order], rng_of(images[order])), seen[order])
    assert not torch.equal(view(images, rng_of(images, seed=1)), seen)


@pytest.mark.parametrize("name", VIEWS)
def test_views_carry_gradients(name: str, images: torch.Tensor) -> None:
    x = images[:2].clone().requires_grad_(True)
    VIEWS[name](x, rng_of(images[:2])).square().sum().backward()
    assert x.grad is not None
    assert (x.grad.abs().amax((1, 2, 3)) > 0).all()


def test_a_pose_of_nothing_is_the_picture_and_a_sure_flip_its_mirror_image(images: torch.Tensor) -> None:
    still = posed(images, rng_of(images), degrees=0, zoom=0, shift=0, flip=0)
    torch.testing.assert_close(still, images, atol=1e-5, rtol=0)
    mirrored = posed(images, rng_of(images), degrees=0, zoom=0, shift=0, flip=1)
    torch.testing.assert_close(mirrored, images.flip(3), atol=1e-5, rtol=0)


def test_more_parts_than_pixels_leave_no_empty_ones(images: torch.Tensor) -> None:
    seen = shuffled(images[:1, :, :7, :7], rng_of(images[:1]), blocks=3)
    assert seen.shape == (1, 3, 7, 7)


def test_without_its_parts_it_is_plain_pgd(recognizer: FaceResNet, images: torch.Tensor, labels: torch.Tensor) -> None:
    plain = ATTACKS["pgd"](steps=4, engine="exact")

    def channels_last(x: torch.Tensor) -> torch.Tensor:  # as the views ask; it rounds in another way
        return recognizer(x.contiguous(memory_format=torch.channels_last))

    expected = plain(channels_last, images, Dodge(labels), eps=8 / 255, rng=rng_of(images))
    same = (propose(PLAIN, recognizer, images, Dodge(labels)) - expected).abs() < 1e-6
    assert same.float().mean() > 0.98


@pytest.mark.parametrize("part", PARTS)
def test_each_part_alone_changes_the_noise_and_still_leads_somewhere(
    part: str, recognizer: FaceResNet, images: torch.Tensor, labels: torch.Tensor
) -> None:
    attack = replace(PLAIN, **PARTS[part])
    goal = Dodge(labels)
    assert (propose(attack, recognizer, images, goal) - propose(PLAIN, recognizer, images, goal)).abs().amax() > 1 / 255
    outcome = run_attack(attack, recognizer, images, goal, eps=8 / 255, seed=0)
    control = run_attack(Noise(), recognizer, images, goal, eps=8 / 255, seed=0)
    # Through changing views the gradient is blunter on this one recogniser; that it leads somewhere must still show.
    assert goal.loss(outcome.outputs).mean() > 1.2 * goal.loss(control.outputs).mean()
    assert outcome.size.max() <= 8 / 255 + 1e-6


def test_a_result_depends_on_neither_batch_nor_order(
    recognizer: FaceResNet, images: torch.Tensor, labels: torch.Tensor
) -> None:
    attack = Transfer(steps=1, rel_step=1.0, random_start=True, views=2, blocks=2)
    whole = propose(attack, recognizer, images, Dodge(labels))
    rows = torch.tensor([5, 2])
    part = propose(attack, recognizer, images[rows], Dodge(labels[rows]))
    # Kernels round by batch, and a sign makes much of that in few pixels.
    assert ((part - whole[rows]).abs() < 1e-6).float().mean() > 0.97


def test_every_view_is_a_query_with_shaken_weights_too(
    recognizer: FaceResNet, images: torch.Tensor, labels: torch.Tensor
) -> None:
    for share in (0.0, 0.1):
        counted = Counted(recognizer, len(images))
        propose(replace(PLAIN, steps=2, views=3, weight_noise=share), counted, images, Dodge(labels))
        assert counted.queries.tolist() == [6.0] * len(images)


def test_shaken_weights_leave_the_recogniser_alone(recognizer: FaceResNet, images: torch.Tensor) -> None:
    before = {name: value.clone() for name, value in recognizer.state_dict().items()}
    views = RandomViews(recognizer, Diversity(), 2, rng_of(images), weight_noise=0.05)
    with torch.no_grad():
        first, second = views(images).unbind(1)
        plain = recognizer(images)
    assert not torch.allclose(first, second)
    assert (first - plain).norm() < plain.norm()
    assert all(torch.equal(value, before[name]) for name, value in recognizer.state_dict().items())


def test_weight_noise_wants_weights(images: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="torch module"):
        RandomViews(lambda x: x.mean((2, 3)), Diversity(), 1, rng_of(images), weight_noise=0.1)


def test_a_goal_over_views_is_the_mean_and_all_of_them() -> None:
    outputs = torch.tensor([[[2.0, 0.0], [0.0, 1.0]], [[0.0, 3.0], [0.0, 1.0]]])  # two images, two views, two people
    goal = OverViews(Dodge(torch.tensor([0, 0])))
    single = Dodge(torch.tensor([0, 0]))
    torch.testing.assert_close(goal.loss(outputs), (single.loss(outputs[:, 0]) + single.loss(outputs[:, 1])) / 2)
    assert goal.reached(outputs).tolist() == [False, True]
    assert goal.select(torch.tensor([1])).reached(outputs[1:]).tolist() == [True]


def test_presets_are_the_papers_methods() -> None:
    assert mi_fgsm(steps=5) == replace(PLAIN, steps=5, rel_step=0.2, momentum=1.0)
    assert di_mi_fgsm(steps=5).coarsest < 1
    assert {"mi-fgsm", "di-mi-fgsm", "transfer"} <= set(ATTACKS)


@pytest.mark.parametrize("norm", [LINF, L2], ids=["linf", "l2"])
def test_a_smoothed_norm_bounds_as_before_and_steps_in_larger_grains(norm: object) -> None:
    assert norm in (LINF, L2)
    base = LINF if norm == LINF else L2
    smooth = Smoothed(base, 2.0)
    gradient = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert smooth.name == base.name
    assert torch.equal(smooth.size(gradient), base.size(gradient))
    assert torch.equal(smooth.project(gradient, 0.1), base.project(gradient, 0.1))
    rough, fine = base.steepest(gradient), smooth.steepest(gradient)

    def neighbours(direction: torch.Tensor) -> float:
        pairs = direction[..., 1:].flatten(), direction[..., :-1].flatten()
        return float(torch.nn.functional.cosine_similarity(*pairs, dim=0))

    assert neighbours(fine) > 0.5 > neighbours(rough)
    torch.testing.assert_close(smooth.size(fine), base.size(rough))


def test_an_ensemble_of_embedders_keeps_distances(images: torch.Tensor) -> None:
    asked = torch.nn.Flatten()
    short, long = torch.nn.AdaptiveAvgPool2d(1), torch.nn.AdaptiveAvgPool2d(2)
    both = Ensemble([torch.nn.Sequential(short, asked), torch.nn.Sequential(long, asked)], scales=[1.0, 2.0])
    outputs = both(images)
    assert outputs.shape == (len(images), 2, 12)
    distances = torch.linalg.vector_norm(outputs[0] - outputs[1], dim=1)
    expected = [(short(images[0]) - short(images[1])).norm(), (long(images[0]) - long(images[1])).norm() / 2]
    torch.testing.assert_close(distances, torch.stack(expected))
    goal = MoveAway(outputs[:, :, None])
    assert torch.equal(goal.distances(outputs), torch.zeros(len(images), 2))


def test_an_ensemble_of_classifiers_averages_logits(recognizer: FaceResNet, images: torch.Tensor) -> None:
    both = Ensemble([recognizer, recognizer], mean=True)
    with torch.no_grad():
        torch.testing.assert_close(both(images), recognizer(images))
    with pytest.raises(ValueError, match="one scale each"):
        Ensemble([recognizer], scales=[1.0, 2.0])


POSITIVES = torch.tensor([[[0.0, 0.0], [0.1, 0.0]], [[5.0, 0.0], [5.0, 0.2]]])  # two images' own views
NEGATIVES = torch.tensor([[[1.0, 0.0], [-1.0, 0.0], [0.0, 9.0]]])  # other people


def test_contrast_is_infonce_with_negative_squared_distances() -> None:
    outputs = torch.tensor([[0.3, 0.0], [4.0, 0.0]])
    goal = Contrast(POSITIVES, NEGATIVES, threshold=0.5, temperature=0.7)
    near = lambda a, b: -((torch.cdist(a[None], b) / 0.5) ** 2) / 0.7  # noqa: E731
    for image in range(2):
        others = near(outputs[image][None], NEGATIVES[0])[0, 0].exp().sum()
        own = near(outputs[image][None], POSITIVES[image])[0, 0].exp()
        expected = -(own / (own + others)).log().mean()
        torch.testing.assert_close(goal.loss(outputs)[image], expected)
        torch.testing.assert_close(goal.select(torch.tensor([image])).loss(outputs[image][None])[0], expected)


def test_contrast_pushes_from_oneself_and_pulls_to_the_nearest_other() -> None:
    outputs = torch.tensor([[0.4, 0.0]], requires_grad=True)
    goal = Contrast(POSITIVES[:1], NEGATIVES, threshold=0.5)
    (gradient,) = torch.autograd.grad(goal.loss(outputs).sum(), outputs)
    assert gradient[0, 0] > 0  # away from 0 and 0.1, to 1
    assert goal.reached(outputs.detach()).tolist() == [False]
    assert goal.reached(torch.tensor([[0.7, 0.0]])).tolist() == [True]
    assert goal.reached(torch.tensor([[0.7, 0.0]]), margin=0.2).tolist() == [False]


def test_goals_without_views_read_plain_embeddings() -> None:
    targets = torch.tensor([[[3.0, 4.0], [0.0, 1.0]]])
    assert MoveTo(targets).distances(torch.zeros(1, 2)).tolist() == [[1.0]]
    assert MoveTo(targets).loss(torch.zeros(1, 2)).tolist() == [-1.0]


def test_contrast_with_a_stack_of_surrogates() -> None:
    outputs = torch.stack([torch.tensor([[0.3, 0.0]]), torch.tensor([[0.3, 0.0]])], 1)  # (1, 2, 2)
    single = Contrast(POSITIVES[:1], NEGATIVES)
    both = Contrast(POSITIVES[:1, None], NEGATIVES[:, None])
    torch.testing.assert_close(both.loss(outputs), single.loss(outputs[:, 0]))
