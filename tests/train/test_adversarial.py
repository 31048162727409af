"""Adversarial training: what a batch becomes, that it is recorded, and that it makes a recogniser withstand more."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from faceenc.attacks import PGD, Dodge, run_attack
from faceenc.cli import main
from faceenc.core import ConfigError
from faceenc.media import to_tensor
from faceenc.recognizers import FaceResNet, load_checkpoint
from faceenc.train import Stage, Training, adversarial_batch, train
from tests.conftest import noisy_people
from tests.face_photos import write_people

EPS = 12 / 255
HARD = Training(init="random", stages=(Stage(32, 12, 2e-3),), batch_size=16, degrees=5, adversarial=EPS, adversarial_steps=2)


def test_only_named_images_are_attacked_within_eps(
    recognizer: FaceResNet, images: torch.Tensor, labels: torch.Tensor
) -> None:
    training = replace(HARD, adversarial=4 / 255)
    rng = torch.Generator().manual_seed(0)
    recognizer.train()
    try:
        before = {name: value.clone() for name, value in recognizer.state_dict().items()}
        x = adversarial_batch(recognizer, images, labels[:5], training, rng)
        assert recognizer.training
    finally:
        recognizer.eval()
    assert torch.equal(x[5:], images[5:])
    change = (x - images)[:5].abs().amax((1, 2, 3))
    assert (change > 2 / 255).all()
    assert (change <= 4 / 255 + 1e-6).all()
    with torch.no_grad():
        assert Dodge(labels[:5]).loss(recognizer(x[:5])).mean() > Dodge(labels[:5]).loss(recognizer(images[:5])).mean() + 0.1
    assert all(torch.equal(value, before[name]) for name, value in recognizer.state_dict().items()), "batch norms moved"
    assert all(parameter.grad is None for parameter in recognizer.parameters())


@pytest.mark.slow
def test_it_withstands_more_and_says_how_it_was_trained() -> None:
    data = noisy_people(4, 12, 32)
    x, labels = to_tensor(data.images[data.test]), torch.from_numpy(data.labels[data.test])
    stands = {}
    for name, training in (("plain", replace(HARD, adversarial=0.0)), ("hard", HARD)):
        model, record = train(data, training)
        assert record["test_accuracy"] > 0.9
        assert record["settings"] == training.record()
        outcome = run_attack(PGD(steps=10, engine="exact"), model, x, Dodge(labels), eps=EPS, seed=0)
        stands[name] = 1 - float(outcome.reached.float().mean())
    assert stands["hard"] >= stands["plain"] + 0.2, stands


def test_clean_trainings_are_recorded_as_ever() -> None:
    clean = Training()
    assert {"adversarial", "adversarial_steps"} & set(clean.record()) == set()
    assert clean.record() | {"adversarial": 0.0, "adversarial_steps": 3} == asdict(clean)
    assert HARD.record()["adversarial"] == EPS


@pytest.mark.parametrize("wrong", [{"adversarial": -0.1}, {"adversarial": 0.6}, {"adversarial_steps": 0}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Training(**wrong)  # type: ignore[arg-type]


def test_the_command_trains_so_and_the_checkpoint_says_it(tmp_path: Path) -> None:
    write_people(tmp_path / "album", {"s1": 4, "s2": 4})
    config = tmp_path / "quick.toml"
    config.write_text(
        f'[data]\nsource = "{tmp_path / "album"}"\nsize = 32\n[training]\ninit = "random"\nbatch_size = 4\n'
        "stages = [{ size = 32, epochs = 1, learning_rate = 1e-3 }]\n",
        encoding="utf-8",
    )
    result = CliRunner().invoke(main, ["train", str(config), "--output", str(tmp_path / "run"), "--adversarial", "4/255"])
    assert result.exit_code == 0, result.output
    _, record = load_checkpoint(tmp_path / "run" / "best.safetensors")
    assert record["settings"]["adversarial"] == pytest.approx(4 / 255)
    assert json.loads((tmp_path / "run" / "train.json").read_text())["finished"]
    refused = CliRunner().invoke(main, ["train", str(config), "--output", str(tmp_path / "x"), "--adversarial", "four"])
    assert refused.exit_code == 2
    assert "eps 'four' is not a number" in refused.output
