"""Defences as recognisers: what they do to a picture, that gradients pass them, and that attacks through them tell more."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from faceenc.attacks import PGD, Dodge, run_attack
from faceenc.core import ConfigError
from faceenc.media import BitDepth, Blur, Jpeg, RandomCrop, Resize
from faceenc.recognizers import FaceResNet, Transformed, ask, defence, defended

ALL = ("jpeg75", "resize50", "blur10", "bits3", "crop80")


def dice(x: torch.Tensor, seed: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed + k) for k in range(len(x))]


@pytest.mark.parametrize("name", ALL)
def test_a_defence_changes_the_picture_and_lets_gradients_through(name: str, images: torch.Tensor) -> None:
    one = defence(name)
    x = images[:2].clone().requires_grad_(True)
    seen = defended(x, one, dice(x))
    assert seen.shape == x.shape
    assert 0.001 < float((seen - x).detach().abs().mean()) < 0.2
    assert seen.detach().min() >= -1e-5
    assert seen.detach().max() <= 1 + 1e-5
    (gradient,) = torch.autograd.grad(seen.square().sum(), x)
    assert (gradient.abs().amax((1, 2, 3)) > 0.1).all()
    # With and without gradients it is the same picture.
    torch.testing.assert_close(defended(images[:2], one, dice(x)), seen.detach(), atol=1e-5, rtol=0)


def test_the_jpeg_defence_is_a_real_file(images: torch.Tensor) -> None:
    pixels = (images[0] * 255).round().byte().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=60)
    read = np.asarray(Image.open(file)).astype(np.float32) / 255
    seen = defended(images[:1].clone().requires_grad_(True), [Jpeg(60)], [])
    np.testing.assert_allclose(seen[0].detach().permute(1, 2, 0).numpy(), read, atol=1e-5)


def test_bits_leave_as_many_values(images: torch.Tensor) -> None:
    assert len(BitDepth(2)(images).unique()) == 4


def test_crops_depend_on_the_dice(images: torch.Tensor) -> None:
    crop = [RandomCrop(80)]
    assert torch.equal(defended(images, crop, dice(images)), defended(images, crop, dice(images)))
    assert not torch.equal(defended(images, crop, dice(images)), defended(images, crop, dice(images, seed=99)))


def test_names_say_which_in_which_order() -> None:
    assert defence("") == ()
    assert defence("crop90+jpeg75") == (RandomCrop(90), Jpeg(75))
    assert defence("resize40+blur15+bits4") == (Resize(0.4), Blur(1.5), BitDepth(4))


@pytest.mark.parametrize("name", ["jpg75", "jpeg", "jpeg0", "jpeg101", "bits9", "crop90,jpeg75", "75"])
def test_unknown_defences_are_refused_with_what_is_known(name: str) -> None:
    with pytest.raises(ConfigError, match=r"is not known: use jpeg1 to jpeg100.*joined by \+"):
        defence(name)


def test_one_image_has_one_answer_whatever_stands_beside_it(recognizer: FaceResNet, images: torch.Tensor) -> None:
    defended = Transformed(recognizer, defence("crop80"))
    whole = ask(defended, images)
    assert torch.equal(ask(defended, images), whole)
    torch.testing.assert_close(ask(defended, images[[4, 1]]), whole[[4, 1]], atol=1e-4, rtol=1e-4)
    assert defended.classes == recognizer.classes
    assert defended.input_size == recognizer.input_size


def test_an_attacker_meets_new_dice_at_each_question(recognizer: FaceResNet, images: torch.Tensor) -> None:
    x = images[:2].clone().requires_grad_(True)
    defended = Transformed(recognizer, defence("crop80"), draws=2)
    assert not torch.allclose(defended(x), defended(x))
    steady = Transformed(recognizer, defence("jpeg75"))
    assert steady.draws == 1  # nothing random: one answer is enough
    torch.testing.assert_close(steady(x), steady(x))


def test_only_recognisers_of_people_know_people(images: torch.Tensor) -> None:
    with pytest.raises(TypeError, match="knows no people"):
        _ = Transformed(torch.nn.Flatten(), ()).classes


@pytest.mark.parametrize("name", ["bits2", "jpeg30"])
def test_what_a_defence_seems_to_buy_falls_when_it_is_known(
    name: str, recognizer: FaceResNet, images: torch.Tensor, labels: torch.Tensor
) -> None:
    defended, goal, attack = Transformed(recognizer, defence(name)), Dodge(labels), PGD(steps=6, engine="exact")
    eps: dict[str, Any] = {"eps": 8 / 255, "seed": 0}
    unaware = run_attack(attack, recognizer, images, goal, **eps).adversarial
    aware = run_attack(attack, defended, images, goal, **eps)
    assert goal.loss(aware.outputs).mean() > 1.5 * goal.loss(ask(defended, unaware)).mean()
