"""Training at length: batches, validation, early stop, the folder, and going on after a kill."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from faceenc.cli import main
from faceenc.core import CheckpointError, DataError, RunError
from faceenc.data import FaceSet, load_folder
from faceenc.media import augment, centred, to_tensor
from faceenc.recognizers import FaceResNet, load_checkpoint, load_weights, logits_of, save_checkpoint, weights_sha256
from faceenc.train import Stage, TrainFolder, Training, ahead, epoch_batches, holdout, train
from tests.conftest import PEOPLE, noisy_people, smooth_images
from tests.face_photos import write_blank, write_people

QUICK = Training(init="random", stages=(Stage(32, 3, 2e-3), Stage(48, 3, 1e-3)), batch_size=24, validation=0.25)


@pytest.fixture(scope="module")
def people() -> FaceSet:
    return noisy_people(PEOPLE, 10, 48)


def test_holdout_takes_a_share_of_each_person(people: FaceSet) -> None:
    kept, held = holdout(people, 0.25)
    assert sorted([*kept, *held]) == people.train.tolist()
    assert np.bincount(people.labels[held]).tolist() == [2] * PEOPLE
    none, every = holdout(people, 0.0)
    assert (none.tolist(), every.size) == (people.train.tolist(), 0)
    assert np.bincount(people.labels[holdout(people, 0.99)[0]]).tolist() == [1] * PEOPLE, "never all"


def test_an_epoch_shows_each_image_once_and_fills_up_with_others(people: FaceSet) -> None:
    others = people.images[:20]
    rng = torch.Generator().manual_seed(0)
    batches = list(epoch_batches(people, people.train, others, sizes=(8, 4), steps=8, augment=lambda x: x, rng=rng))
    assert sorted(torch.cat([b.rows for b in batches]).tolist()) == people.train.tolist()
    seen = torch.bincount(torch.cat([b.others for b in batches]), minlength=20)
    assert seen.sum() == 4 * len(batches) == 32
    assert seen.max() <= 2, "all once before any a third time"
    for batch in batches:
        expected = np.concatenate([people.images[batch.rows.numpy()], others[batch.others.numpy()]])
        assert torch.equal(batch.x, to_tensor(expected))


def test_few_images_come_more_than_once(people: FaceSet) -> None:
    rng = torch.Generator().manual_seed(0)
    few = people.train[:5]
    batches = list(epoch_batches(people, few, people.images[:0], sizes=(8, 0), steps=3, augment=lambda x: x, rng=rng))
    assert len(batches) == 3
    seen = torch.bincount(torch.cat([b.rows for b in batches]), minlength=5)[few]
    assert seen.max() - seen.min() <= 1
    _, record = train(people, replace(QUICK, stages=(Stage(32, 1, 1e-3),), least_steps=9), keeper=(keeper := Memory()))
    assert record["epochs"] == 1
    assert keeper.state is not None
    assert keeper.state["schedule"]["last_epoch"] == 9


def test_work_ahead_keeps_order_and_passes_errors_on() -> None:
    def items() -> Any:
        yield from range(5)
        raise RuntimeError("no more")

    seen: list[int] = []
    with pytest.raises(RuntimeError, match="no more"):
        seen.extend(ahead(items()))
    assert seen == [0, 1, 2, 3, 4]
    endless = ahead(iter(int, 1))
    assert next(endless) == 0
    endless.close()  # must not hang


class Memory:
    """A keeper that remembers, and raises after so many epochs."""

    def __init__(self, die_after: int | None = None, state: dict[str, Any] | None = None) -> None:
        self.state, self.die_after = state, die_after
        self.best: list[int] = []

    def load(self) -> dict[str, Any] | None:
        return self.state

    def save(self, state: dict[str, Any], model: FaceResNet, *, best: bool) -> None:
        import copy

        self.state = copy.deepcopy(state)
        if best:
            self.best.append(len(state["epochs"]))
        if self.die_after == len(state["epochs"]):
            raise KeyboardInterrupt


def test_a_resumed_training_ends_the_same(people: FaceSet) -> None:
    short = replace(QUICK, stages=(Stage(32, 2, 2e-3), Stage(48, 2, 1e-3)))
    model, record = train(people, short, keeper=Memory())
    assert record["epochs"] == 4
    for epochs in (1, 2):  # inside a stage, between stages
        broken = Memory(die_after=epochs)
        with pytest.raises(KeyboardInterrupt):
            train(people, short, keeper=broken)
        again, record_again = train(people, short, keeper=Memory(state=broken.state))
        assert weights_sha256(again) == weights_sha256(model), f"killed after {epochs} epochs"
        assert {**record, "seconds": 0} == {**record_again, "seconds": 0}


def test_the_best_epoch_by_validation_is_taken(people: FaceSet) -> None:
    keeper = Memory()
    middle = replace(QUICK, stages=(QUICK.stages[0], Stage(40, 3, 1e-3, centre=0.8)))
    model, record = train(people, middle, keeper=keeper)
    assert keeper.state is not None
    last_stage = [e for e in keeper.state["epochs"] if e["size"] == 40]
    values = [e["validation_accuracy"] for e in last_stage]
    assert record["best_epoch"] == max(e["epoch"] for e in last_stage if e["validation_accuracy"] == max(values))
    _, held = holdout(people, 0.25)
    assert record["images"] == {"train": 48, "validation": 16, "test": 16}
    right = logits_of(model, people, held).argmax(1).numpy() == people.labels[held]
    assert record["validation_accuracy"] == right.mean()
    best = keeper.state["epochs"][record["best_epoch"] - 1]
    assert [best[f"{part}_accuracy"] for part in ("validation", "test")] == pytest.approx(
        [record["validation_accuracy"], record["test_accuracy"]], abs=1e-6
    ), "the curve says what the record says"
    assert 0 < model.threshold <= 0.5


def test_a_plateau_ends_a_stage(people: FaceSet) -> None:
    """At a learning rate of nearly nothing the validation accuracy cannot rise."""
    stuck = replace(QUICK, stages=(Stage(32, 9, 1e-12), Stage(48, 1, 1e-12)), patience=2)
    _, record = train(people, stuck, keeper=(keeper := Memory()))
    assert keeper.state is not None
    sizes = [e["size"] for e in keeper.state["epochs"]]
    assert sizes[-1] == 48
    assert 3 <= len(sizes) - 1 < 9
    assert record["epochs"] == len(sizes)


def test_augmentation_shows_the_centre() -> None:
    ramp = torch.linspace(0, 1, 64).expand(8, 3, 64, 64)
    shown = augment(ramp, torch.Generator().manual_seed(0), size=32, degrees=0, zoom=0, flip=0, centre=0.5)
    torch.testing.assert_close(shown, centred(ramp, 32, 0.5), rtol=0, atol=1e-5)
    assert torch.equal(centred(ramp, 32, 0.5), ramp[:, :, 16:48, 16:48])


def test_jitter_changes_brightness_contrast_and_saturation_within_its_range() -> None:
    x = smooth_images(1, 32, seed=3).mul(0.2).add(0.3).expand(100, -1, -1, -1)
    shown = augment(x, torch.Generator().manual_seed(0), size=32, degrees=0, zoom=0, flip=0, jitter=0.2)
    ratio = shown.mean((1, 2, 3)) / x.mean((1, 2, 3))
    assert 0.79 < ratio.min() < 0.85
    assert 1.15 < ratio.max() < 1.21
    contrast = shown.mean(1).flatten(1).std(1) / x.mean(1).flatten(1).std(1) / ratio
    assert 0.79 < contrast.min() < 0.85
    assert 1.15 < contrast.max() < 1.21


def test_weights_of_a_file(tmp_path: Path, recognizer: FaceResNet) -> None:
    """A checkpoint of the same people gives its head too; one of others, and torchvision's, all but the head."""
    save_checkpoint(recognizer, tmp_path / "own.safetensors", {})
    torch.save(recognizer.network.state_dict(), tmp_path / "plain.pth")
    same, other, plain = (FaceResNet(names) for names in (recognizer.classes, ("a", "b"), recognizer.classes))
    load_weights(same, tmp_path / "own.safetensors")
    load_weights(other, tmp_path / "own.safetensors")
    load_weights(plain, tmp_path / "plain.pth")
    assert weights_sha256(same) == weights_sha256(recognizer)
    for model in (other, plain):
        assert torch.equal(model.network.conv1.weight, recognizer.network.conv1.weight)
    assert not torch.equal(plain.network.fc.weight, recognizer.network.fc.weight)


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "noise.pth").write_bytes(b"\x80" * 500)
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    for name in ("noise.pth", "other.pth", "list.pth", "missing.pth"):
        with pytest.raises(CheckpointError) as caught:
            load_weights(FaceResNet(("a", "b")), tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_the_folder_refuses_what_would_mix_trainings(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no training to resume"):
        TrainFolder(tmp_path / "t", {"seed": 0}, resume=True)
    folder = TrainFolder(tmp_path / "t", {"seed": 0}, resume=False)
    assert not any((tmp_path / "t").iterdir()), "what fails before the first epoch has begun nothing"
    model = FaceResNet(("a", "b"))
    folder.save({"epochs": [{"epoch": 1, "size": 32, "train_accuracy": 0.5}]}, model, best=True)
    with pytest.raises(RunError, match="already holds"):
        TrainFolder(tmp_path / "t", {"seed": 0}, resume=False)
    with pytest.raises(RunError, match="seed"):
        TrainFolder(tmp_path / "t", {"seed": 1}, resume=True)
    state = TrainFolder(tmp_path / "t", {"seed": 0}, resume=True).load()
    assert state == {"epochs": [{"epoch": 1, "size": 32, "train_accuracy": 0.5}]}
    (tmp_path / "t" / "state.pt").write_bytes(b"PK damaged")
    with pytest.raises(RunError, match="cannot be read"):
        folder.load()
    folder.finish(model, {})
    with pytest.raises(RunError, match="finished"):
        TrainFolder(tmp_path / "t", {"seed": 0}, resume=True)


def test_a_folder_that_another_training_writes_is_left_to_it(tmp_path: Path) -> None:
    code = (
        "from faceenc.train import TrainFolder; from pathlib import Path\n"
        "folder = TrainFolder(Path('t'), {}, resume=False); folder.load(); print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        folder = TrainFolder(tmp_path / "t", {}, resume=False)
        with pytest.raises(RunError, match="is being written by another run"):
            folder.load()
        other.kill()
    (tmp_path / "t" / ".state.pt.0123abcd.tmp").write_bytes(b"left by a killed writer")
    assert folder.load() is None
    folder.close()
    assert not any((tmp_path / "t").iterdir())


def test_what_a_kill_at_the_very_end_left_goes(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text('{"finished": true}')
    (tmp_path / "state.pt").write_bytes(b"of 180 MB")
    (tmp_path / ".faceenc.lock").write_bytes(b"")
    with pytest.raises(RunError, match="is finished, nothing is left to resume"):
        TrainFolder(tmp_path, {}, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["train.json"]


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("album") / "family"
    write_people(root, {f"s{k}": 10 for k in range(1, 7)})
    return root


@pytest.mark.slow  # the command: benchmarks/linear_head.py
def test_the_start_from_dlib_needs_no_training_to_know_people(album: Path) -> None:
    """One step at a learning rate of nearly nothing: what is known comes from the transplanted weights."""
    data = load_folder(album)
    still = Training(init="dlib", stages=(Stage(160, 1, 1e-9, centre=0.714286),), batch_size=64)
    model, record = train(data, still, unlabelled=data.images[data.train[:4]])
    assert record["init"] == "dlib"
    assert record["unlabelled_images"] == 4
    with torch.no_grad():
        x = centred(to_tensor(data.images[data.test]), 160, 0.714286)
        right = model.eval()(x).argmax(1).numpy() == data.labels[data.test]
    assert right.mean() > 0.6, "chance is one in six"
    square = load_folder(album, framing="square")
    with pytest.raises(DataError, match="aligned"):
        train(square, still)


def command(album: Path, output: Path, *more: str) -> list[str]:
    config = output.parent / "quick.toml"
    config.write_text(
        f'[data]\nsource = "{album}"\nsize = 48\n[training]\ninit = "random"\nvalidation = 0.2\nbatch_size = 16\n'
        "stages = [{ size = 32, epochs = 3, learning_rate = 1e-3 }, { size = 48, epochs = 1, learning_rate = 1e-3 }]\n",
        encoding="utf-8",
    )
    return ["train", str(config), "--output", str(output), *more]


@pytest.mark.slow
def test_kill_and_resume_by_the_command(album: Path, tmp_path: Path) -> None:
    assert CliRunner().invoke(main, command(album, tmp_path / "whole")).exit_code == 0
    run = [sys.executable, "-c", "from faceenc.cli import main; main()"]
    killed = subprocess.Popen([*run, *command(album, tmp_path / "killed")], stderr=subprocess.DEVNULL)
    table = tmp_path / "killed" / "epochs.csv"
    end = time.monotonic() + 120
    while not (table.exists() and len(table.read_text().splitlines()) > 2):
        assert killed.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not json.loads((tmp_path / "killed" / "train.json").read_text())["finished"]
    result = CliRunner().invoke(main, command(album, tmp_path / "killed", "--resume"))
    assert result.exit_code == 0, result.output
    assert "recogniser:" in result.output
    whole, again = (load_checkpoint(tmp_path / name / "best.safetensors") for name in ("whole", "killed"))
    assert weights_sha256(whole[0]) == weights_sha256(again[0])
    assert whole[0].threshold == again[0].threshold
    records = [json.loads((tmp_path / name / "train.json").read_text()) for name in ("whole", "killed")]
    assert {**records[0], "seconds": 0} == {**records[1], "seconds": 0}
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert [row["epoch"] for row in rows] == list("1234")
    assert {row["size"] for row in rows} == {"32", "48"}
    with Image.open(tmp_path / "killed" / "curve.png") as curve:
        assert curve.width > 600
    assert sorted(p.name for p in (tmp_path / "killed").iterdir()) == [
        "best.safetensors", "curve.png", "epochs.csv", "last.safetensors", "train.json",
    ]  # fmt: skip


def test_bad_orders_end_in_one_line(album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_PLACE", raising=False)
    (tmp_path / "unset.toml").write_text('[data]\nsource = "$NO_SUCH_PLACE/faces"\n', encoding="utf-8")
    (tmp_path / "typo.toml").write_text("[training]\nepoch = 3\n", encoding="utf-8")
    (tmp_path / "part.toml").write_text('[data]\non_no_face = "ask"\n', encoding="utf-8")
    for name, line in (("none", "stages = []"), ("all", "validation = 1.0"), ("zero", "batch_size = 0")):
        (tmp_path / f"{name}.toml").write_text(f"[training]\n{line}\n", encoding="utf-8")
    blank = tmp_path / "blank"
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        (blank / name).parent.mkdir(parents=True, exist_ok=True)
        write_blank(blank / name)
    cases = [
        (["train", "nobody"], "nobody does not exist"),
        (["train", "demo"], "faceenc-bench run"),
        (["train", str(tmp_path / "unset.toml")], "NO_SUCH_PLACE"),
        (["train", str(tmp_path / "typo.toml")], "unknown key 'epoch'"),
        (["train", str(tmp_path / "part.toml")], "skip, whole, fail"),
        (["train", str(tmp_path / "none.toml")], "at least one stage"),
        (["train", str(tmp_path / "all.toml")], "validation is 1.0"),
        (["train", str(tmp_path / "zero.toml")], "batch_size is 0"),
        (["train", str(album), "--resume"], "--output"),
        (["train", str(blank), "--on-no-face", "fail"], "no face found"),
        (["train", str(album), "--output", str(tmp_path / "x"), "--resume"], "no training to resume"),
        (["train", str(album), "--output", str(tmp_path / "y"), "--init", "no-such.pth"], "no-such.pth"),
    ]
    for words, reason in cases:
        result = CliRunner().invoke(main, words)
        assert result.exit_code != 0, words
        error = [line for line in result.output.splitlines() if line.startswith("error:")]
        assert len(error) == 1, result.output
        assert reason in error[0]
