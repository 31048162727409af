"""The recogniser, its checkpoints and its training."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torchvision.models import ResNet18_Weights, resnet18

from faceenc.attacks import Counted
from faceenc.core import CheckpointError
from faceenc.data import FaceSet
from faceenc.media import augment, resize
from faceenc.recognizers import (
    FaceResNet,
    accuracy,
    load_checkpoint,
    load_imagenet,
    save_checkpoint,
    weights_sha256,
)
from faceenc.train import Stage, Training, train, trained
from tests.conftest import PEOPLE, SIZE, smooth_images

QUICK = Training(init="random", stages=(Stage(32, 8, 2e-3), Stage(48, 4, 1e-3)), batch_size=8)


@pytest.fixture(scope="module")
def people() -> FaceSet:
    """Eight "people", four noisy pictures each; one of them for testing."""
    rng = np.random.default_rng(0)
    base = (smooth_images(PEOPLE, 48, seed=4).permute(0, 2, 3, 1).numpy() * 255).astype(np.int16)
    pictures = np.stack([base + rng.integers(-12, 13, base.shape) for _ in range(4)], 1).clip(0, 255).astype(np.uint8)
    index = np.arange(4 * PEOPLE)
    return FaceSet(
        name="blobs",
        classes=tuple(f"p{k}" for k in range(PEOPLE)),
        images=pictures.reshape(-1, 48, 48, 3),
        labels=index // 4,
        files=tuple(f"p{k // 4}/{k % 4}" for k in index),
        train=index[index % 4 < 3],
        test=index[index % 4 == 3],
        credit="made here",
    )


def test_normalisation_is_inside_forward(images: torch.Tensor) -> None:
    model = FaceResNet(("a", "b"), SIZE).eval()
    plain = resnet18(num_classes=2).eval()
    plain.load_state_dict(model.network.state_dict())
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normalised = (images.permute(0, 2, 3, 1).numpy() - mean) / std
    with torch.no_grad():
        expected = plain(torch.from_numpy(normalised.astype(np.float32)).permute(0, 3, 1, 2))
        torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-4)


def test_without_imagenet_weights_a_warning_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """A server that nobody listens at: port 9 of this machine."""
    weights = ResNet18_Weights.IMAGENET1K_V1
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    model = FaceResNet(("a", "b"), SIZE)
    before = model.network.conv1.weight.clone()
    with caplog.at_level(logging.WARNING):
        assert not load_imagenet(model)
    assert "training starts from random weights" in caplog.text
    assert torch.equal(model.network.conv1.weight, before)
    assert weights.url.startswith("https:"), "the proxy above would be bypassed"


def test_counted_counts_images_not_batches(recognizer: FaceResNet, images: torch.Tensor) -> None:
    counted = Counted(recognizer, len(images))
    counted(images)
    counted(images[:4])
    counted.charge(torch.tensor([0, 2]))
    assert counted.queries.tolist() == [2.5, 1.5, 2.5, *[1.5] * 5]


def test_checkpoint_round_trip(tmp_path: Path, recognizer: FaceResNet, images: torch.Tensor) -> None:
    path = tmp_path / "deep" / "model.safetensors"
    save_checkpoint(recognizer, path, {"epochs": 3})
    model, record = load_checkpoint(path)
    assert record == {"epochs": 3}
    assert model.classes == recognizer.classes
    assert model.input_size == SIZE
    with torch.no_grad():
        assert torch.equal(model(images), recognizer(images))
    assert list(path.parent.iterdir()) == [path]


def test_bad_checkpoints_get_one_line(tmp_path: Path, recognizer: FaceResNet) -> None:
    good = tmp_path / "good.safetensors"
    save_checkpoint(recognizer, good, {})
    content = good.read_bytes()
    bad = {
        "missing": None,
        "empty": b"",
        "truncated": content[: len(content) // 2],
        "noise": b"\xff" * 1000,
        "page": b"\n<!DOCTYPE html><html></html>",
        "pickle": b"\x80\x02}q\x00.",
        "zip": b"PK\x03\x04" + bytes(99),
        "deep": None,
    }
    says = {"page": "page of the web", "empty": "empty file", "pickle": "torch.save", "deep": "folder", "zip": "torch.save"}
    (tmp_path / "deep").mkdir()
    for name, damaged in bad.items():
        path = tmp_path / name
        if damaged is not None:
            path.write_bytes(damaged)
        with pytest.raises(CheckpointError) as caught:
            load_checkpoint(path)
        assert name in str(caught.value)
        assert says.get(name, "") in str(caught.value)
        assert "delete" not in str(caught.value), "what is not ours is nobody's to delete on our word"
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"threshold": "nan"}, "threshold is nan"),
        ({"threshold": "inf"}, "threshold is inf"),
        ({"threshold": "-1"}, "threshold is -1"),
        ({"input_size": "0"}, "input_size is 0"),
        ({"input_size": "20000"}, "input_size is 20000"),
        ({"input_size": "many"}, "many"),
        ({"classes": '{"a": 1}'}, "classes are not names"),
        ({"classes": "[1, 2, 3, 4, 5, 6, 7, 8]"}, "classes are not names"),
        ({"classes": json.dumps(["x" * 100_000] * 8)}, "classes are not names"),
        ({"classes": '["a", "b"]'}, "2 names for 8 people"),
        ({"training": "3"}, "training is no record"),
        ({"training": "{"}, "damaged"),
        ({"format": "x" * 9999}, "faceenc did not write"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_checkpoints_of_others_are_checked_whole(
    tmp_path: Path, recognizer: FaceResNet, changed: dict[str, str], says: str
) -> None:
    path = tmp_path / "theirs.safetensors"
    save_checkpoint(recognizer, path, {})
    with safe_open(path, framework="pt") as file:
        metadata = {**file.metadata(), **changed}
    save_file(recognizer.state_dict(), path, metadata)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 600


def test_weights_that_are_not_finite_are_refused(tmp_path: Path, recognizer: FaceResNet) -> None:
    theirs = FaceResNet(recognizer.classes, SIZE)
    with torch.no_grad():
        theirs.network.layer2[0].conv1.weight[3, 2] = float("nan")
    save_checkpoint(theirs, tmp_path / "theirs.safetensors", {})
    with pytest.raises(CheckpointError, match=r"layer2\.0\.conv1\.weight holds numbers that are not finite"):
        load_checkpoint(tmp_path / "theirs.safetensors")


def test_one_changed_weight_is_noticed(tmp_path: Path, recognizer: FaceResNet) -> None:
    path = tmp_path / "best.safetensors"
    save_checkpoint(recognizer, path, {})
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1  # the last bit of a float's fraction
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="its weights are not those that were saved"):
        load_checkpoint(path)


def test_foreign_safetensors_are_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="faceenc did not write"):
        load_checkpoint(tmp_path / "other.safetensors")


def test_training_learns_repeats_and_is_cached(tmp_path: Path, people: FaceSet) -> None:
    state = torch.get_rng_state()
    steps: list[tuple[int, int]] = []
    model, path = trained(people, QUICK, folder=tmp_path, progress=lambda what, done, total: steps.append((done, total)))
    assert torch.equal(torch.get_rng_state(), state), "global seeds are not ours to touch"
    assert steps[-1] == (36, 36)
    record = load_checkpoint(path)[1]
    assert record["test_accuracy"] == accuracy(model, people, people.test) > 0.3
    assert record["init"] == "random"
    again, record_again = train(people, QUICK)
    assert record_again["test_accuracy"] == record["test_accuracy"]
    for (name, value), other in zip(model.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(value, other), name
    steps.clear()
    trained(people, QUICK, folder=tmp_path, progress=lambda what, done, total: steps.append((done, total)))
    assert not steps, "the second time nothing is trained"


def test_a_damaged_cache_is_trained_anew(tmp_path: Path, people: FaceSet, caplog: pytest.LogCaptureFixture) -> None:
    training = Training(init="random", stages=(Stage(32, 1, 1e-3),), batch_size=8)
    model, path = trained(people, training, folder=tmp_path)
    path.write_bytes(path.read_bytes()[:1000])
    trained(people, training, folder=tmp_path)
    assert weights_sha256(load_checkpoint(path)[0]) == weights_sha256(model)
    assert "training anew" in caplog.text


def test_augmentation_without_range_is_identity(images: torch.Tensor) -> None:
    rng = torch.Generator().manual_seed(0)
    same = augment(images, rng, size=SIZE, degrees=0, zoom=0, flip=0)
    torch.testing.assert_close(same, images, rtol=0, atol=1e-5)
    torch.testing.assert_close(augment(images, rng, size=SIZE, degrees=0, zoom=0, flip=1), images.flip(3), rtol=0, atol=1e-5)


def test_augmentation_rotates_about_the_centre() -> None:
    dot = torch.zeros(64, 3, 65, 65)
    dot[:, :, 32, 52] = 1.0
    moved = augment(dot, torch.Generator().manual_seed(0), size=65, degrees=30, zoom=0.1, flip=0.5)
    where = moved[:, 0].flatten(1).argmax(1)
    y, x = (where // 65 - 32).float(), (where % 65 - 32).float()
    radius, angle = torch.hypot(x, y), torch.rad2deg(torch.atan2(y, x.abs()))
    assert ((radius > 20 * 0.9 - 1) & (radius < 20 * 1.1 + 1)).all()
    assert (angle.abs() <= 30 + 3).all()
    assert angle.max() > 15
    assert angle.min() < -15
    assert 0.2 < (x < 0).float().mean() < 0.8, "about half are mirrored"


def test_cropping_shows_random_parts_enlarged(images: torch.Tensor) -> None:
    """On a ramp from 0 to 1 a crop is a flatter ramp: its slope tells the share that is shown, its mean where."""
    ramp = torch.linspace(0, 1, 64).expand(200, 3, 64, 64)
    shown = augment(ramp, torch.Generator().manual_seed(0), size=32, degrees=0, zoom=0, flip=0, crop=0.5)
    assert shown.shape == (200, 3, 32, 32)
    share = (shown[:, 0, 16, -1] - shown[:, 0, 16, 0]) * 32 / 31
    assert ((share > 0.48) & (share < 1.02)).all()
    assert share.min() < 0.55
    assert share.max() > 0.95
    middle = shown[:, 0].mean((1, 2))
    assert ((middle - 0.5).abs() <= (1 - share) / 2 + 0.02).all()
    assert middle.std() > 0.05


def test_resize_is_the_identity_at_its_own_size(images: torch.Tensor) -> None:
    assert resize(images, SIZE) is images
    assert resize(images, 32).shape == (PEOPLE, 3, 32, 32)
