"""The transfer measurement from pictures to report, with small recognisers built here; and each of its flags provoked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from torch import nn

from faceenc.attacks import PGD, Dodge, MoveAway, Noise, gradient_health
from faceenc.benchmark import (
    EMBEDDING_GOALS,
    AttackEntry,
    RunFolder,
    TransferMeasurement,
    TransferPlan,
    borrow,
    draw_pairs,
    estimate_transfer,
    goal_for,
    halves,
    judge_pairs,
    load_pictures,
    make_transfer_plan,
    pairs_table,
    read_transfer_config,
    run_benchmark,
    threshold_of,
    transfer_config,
)
from faceenc.cli import bench_main
from faceenc.core import AssetError, ConfigError, DataError, Model, RunError, find_config
from faceenc.data import FaceSet, read_pairs
from faceenc.recognizers import (
    FaceResNet,
    PictureModel,
    embed,
    joined,
    load_recognizer,
    offered_recognizers,
    picture_model,
    save_checkpoint,
)
from faceenc.report import (
    BORROWED,
    SUMMARY_COLUMNS,
    TRANSFER_CHECKS,
    heat_map,
    read_rows,
    render,
    strongest,
    survey_transfer,
)
from tests.conftest import smooth_images

PEOPLE, PHOTOS = 12, 5
COARSE = 7


class Pixels(nn.Module):
    """A recogniser simple enough to know what it does: the picture in coarse pixels, less the mean, turned at random."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        self.turn = nn.Parameter(torch.randn(3 * COARSE * COARSE, 24, generator=rng), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        small = F.adaptive_avg_pool2d(x, COARSE).flatten(1) - 0.5
        return F.normalize(small @ self.turn, dim=1)


def embedder(name: str, seed: int) -> PictureModel:
    return PictureModel(name, f"pixels {seed}", Pixels(seed).eval())


@pytest.fixture(scope="module")
def people() -> FaceSet:
    """Twelve blurry "people", five noisy pictures each."""
    rng = np.random.default_rng(0)
    base = (smooth_images(PEOPLE, 56, seed=4).permute(0, 2, 3, 1).numpy() * 30 + 100).astype(np.int16)
    tint = rng.integers(-3, 4, (PEOPLE, PHOTOS, 4, 4, 3)).repeat(14, 2).repeat(14, 3)
    noisy = (base[:, None] + tint).clip(0, 255).astype(np.uint8).repeat(4, 2).repeat(4, 3)
    index = np.arange(PEOPLE * PHOTOS)
    return FaceSet(
        name="blobs",
        classes=tuple(f"p{k:02d}" for k in range(PEOPLE)),
        images=noisy.reshape(-1, 224, 224, 3),
        labels=index // PHOTOS,
        files=tuple(f"p{k // PHOTOS:02d}/p{k // PHOTOS:02d}_{k % PHOTOS + 1:04d}.jpg" for k in index),
        train=index[:0],
        test=index,
        credit="made here",
        framing="aligned",
    )


def plan_for(people: FaceSet, **changes: Any) -> TransferPlan:
    one, other = embedder("one", 1), embedder("other", 2)
    entries = (
        AttackEntry("noise", Noise(), ("away",), (8 / 255,)),
        AttackEntry("pgd", PGD(steps=3, engine="exact"), ("away", "impersonate"), (8 / 255,)),
    )
    plan = TransferPlan(
        config={"name": "small"}, data=people, surrogates=[one], judges=[one, other], variants=("", "jpeg75"),
        entries=entries, borrowed="pgd", count=8, far=0.05,
    )  # fmt: skip
    return replace(plan, **changes)


def quiet(what: str, done: int, total: int) -> None:
    """Nobody watches."""


def run_transfer(plan: TransferPlan, folder: RunFolder) -> None:
    run_benchmark(TransferMeasurement(plan), folder, command="here", progress=quiet)


@pytest.fixture(scope="module")
def finished(people: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("transfer") / "run"
    pairs = folder.parent / "pairs.txt"
    pairs.write_text("1\t2\np00\t1\t2\np01\t1\t3\np00\t1\tp02\t1\nnobody\t1\tp02\t1\n", encoding="utf-8")
    run_transfer(plan_for(people, lfw_pairs=pairs), RunFolder(folder, resume=False))
    render(folder)
    return folder


def test_people_are_halved_by_name_and_thresholds_know_the_first_half_only(people: FaceSet) -> None:
    both = halves(people)
    assert both.shared == 0
    assert sorted([*both.fit, *both.test]) == list(range(PEOPLE * PHOTOS))
    assert len(set(people.labels[both.fit])) == PEOPLE // 2
    judge = embedder("one", 1)
    spoilt = replace(people, images=people.images.copy())
    spoilt.images[both.test] = 0
    assert threshold_of(judge, people, both.fit, far=0.05) == threshold_of(judge, spoilt, both.fit, far=0.05)
    with pytest.raises(DataError, match="1 / far"):
        threshold_of(judge, people, both.fit, far=1e-5)
    with pytest.raises(DataError, match="aligned"):
        _ = plan_for(replace(people, framing="square")).halves


def test_pairs_are_of_one_person_and_everyone_comes_first_once(people: FaceSet) -> None:
    rows = halves(people).test
    pairs = draw_pairs(people, rows, count=8, seed=0)
    person = people.labels
    assert (person[pairs.probes] == person[pairs.references]).all()
    assert (pairs.probes != pairs.references).all()
    assert (person[pairs.probes] != person[pairs.targets]).all()
    assert len(set(pairs.probes)) == 8
    assert len(set(person[pairs.probes][:6])) == 6
    assert set(pairs.probes) | set(pairs.targets) <= set(rows)
    assert np.array_equal(draw_pairs(people, rows, count=8, seed=0).probes, pairs.probes)
    with pytest.raises(DataError, match="two photos of one person"):
        draw_pairs(people, rows[::PHOTOS], count=8, seed=0)


def test_lent_noise_is_the_next_images(people: FaceSet) -> None:
    x = torch.full((3, 3, 2, 2), 100 / 255)
    y = x + torch.tensor([1, 2, 3]).view(3, 1, 1, 1) / 255
    torch.testing.assert_close(borrow(x, y)[:, 0, 0, 0] * 255, torch.tensor([103.0, 101.0, 102.0]))


def test_rows_and_summary_say_what_judges_saw(finished: Path) -> None:
    rows = read_rows(finished)
    names = {"one", "one+jpeg75", "other", "other+jpeg75"}
    assert set(rows["judge"]) == names
    assert rows.groupby(["judge", "attack", "goal"]).size().to_dict() == {
        (judge, attack, goal): 8
        for judge in names
        for attack, goal in (("noise", "dodge"), ("pgd", "dodge"), ("pgd", "impersonate"), (BORROWED, "dodge"))
    }
    assert (rows["linf"] <= 8 / 255 + 1e-6).all()
    dodged = rows[(rows["attack"] == "pgd") & (rows["goal"] == "dodge") & (rows["judge"] == "one")]
    # A loss above 1 is a distance above the threshold: no match.
    assert ((dodged["loss"] > 1) == dodged["success"]).all()
    summary = pd.read_csv(finished / "summary.csv").set_index(["judge", "attack", "goal"])
    assert list(pd.read_csv(finished / "summary.csv").columns) == SUMMARY_COLUMNS
    success = summary["success_rate"]
    assert success[("one", "pgd", "dodge")] > success[("one", "noise", "dodge")] + 0.3
    assert summary.loc[("one", "pgd", "dodge"), "clean_accuracy"] > 0.7


def test_the_report_shows_matrix_verification_and_pairs(finished: Path) -> None:
    text = (finished / "report.md").read_text(encoding="utf-8")
    for part in ("Dodging, noise made on one, eps 8/255", "Impersonation", BORROWED, "rank-50", "3 of 4", "None raised"):
        assert part in text, part
    assert (finished / "matrix.png").read_bytes()[:4] == b"\x89PNG"
    view = pd.read_csv(finished / "verification.csv").set_index(["judge", "attack", "goal"]).sort_index()
    clean, noisy = view[view["eps"] == 0].reset_index(), view.loc[[("one", "pgd", "dodge")]].iloc[0]
    assert clean["judge"].tolist() == ["one", "one+jpeg75", "other", "other+jpeg75"]
    assert noisy["tar_far1"] < clean["tar_far1"][0] - 0.3
    assert noisy["rank50"] == 1, "six people: everyone is among the first fifty"
    run = json.loads((finished / "run.json").read_text())
    assert run["finished"]
    assert run["data"]["fit_and_test_photos_shared"] == 0


def test_the_report_command_writes_the_same_report_anew(finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    names = ("report.md", "summary.csv", "flags.csv", "matrix.png")
    for name in names:
        (copy / name).unlink()
    done = CliRunner().invoke(bench_main, ["report", str(copy)], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.output.endswith(f"report: {copy / 'report.md'}\n")
    for name in names:
        assert (copy / name).read_bytes() == (finished / name).read_bytes()


def test_a_killed_run_goes_on_to_the_same_rows(people: FaceSet, finished: Path, tmp_path: Path) -> None:
    whole = (finished / "rows.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "run.json").write_text((finished / "run.json").read_text())
    (tmp_path / "rows.csv").write_text("\n".join(whole[:30]) + "\n")
    run_transfer(plan_for(people), RunFolder(tmp_path, resume=True))

    def without_times(lines: list[str]) -> list[str]:
        return sorted(line.rpartition(",")[0] for line in lines)

    again = (tmp_path / "rows.csv").read_text(encoding="utf-8").splitlines()
    assert without_times(again) == without_times(whole)


def test_a_run_of_another_configuration_is_not_gone_on_with(people: FaceSet, finished: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text((finished / "run.json").read_text())
    other = replace(plan_for(people), config={"name": "another"})
    with pytest.raises(RunError, match="holds a run of another config: resume with the same"):
        run_transfer(other, RunFolder(tmp_path, resume=True))
    assert (tmp_path / "run.json").read_text() == (finished / "run.json").read_text()


def test_the_heat_map_takes_the_strongest_attack_and_no_noise(finished: Path) -> None:
    best = strongest(pd.read_csv(finished / "summary.csv"))
    assert set(best["attack"]) <= {"pgd", BORROWED}
    assert len(best) == 2 * 4
    assert heat_map(pd.read_csv(finished / "summary.csv")) == heat_map(pd.read_csv(finished / "summary.csv"))


@pytest.mark.parametrize("how", EMBEDDING_GOALS)
def test_every_goal_also_works_on_several_surrogates(how: str, people: FaceSet) -> None:
    both = joined("both", [embedder("one", 1), embedder("other", 2)], [0.5, 0.7])
    assert both.network == "pixels 1|pixels 2"
    x, others = torch.rand(2, 3, 224, 224), torch.rand(3, 3, 224, 224)
    for model in (both.model, embedder("one", 1).model):
        goal = goal_for(how, model, x, threshold=1.0, seed=0, targets=others[:2], others=others)
        start = (x + 0.05 * torch.randn(x.shape)).clamp(0, 1).requires_grad_(True)
        outputs = model(start)
        assert goal.loss(outputs).shape == goal.reached(outputs).shape == (2,)
        (gradient,) = torch.autograd.grad(goal.loss(outputs).sum(), start)
        assert (gradient.abs().amax((1, 2, 3)) > 0).all()
        torch.testing.assert_close(goal.select(torch.tensor([1])).loss(outputs[1:]), goal.loss(outputs)[1:])


def test_an_unknown_goal_is_refused(people: FaceSet) -> None:
    x = torch.rand(1, 3, 224, 224)
    with pytest.raises(ValueError, match="choose one of away"):
        goal_for("hide", embedder("one", 1).model, x, threshold=1.0, seed=0, targets=x, others=x)


def test_checkpoints_become_embedders_of_unit_features(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = FaceResNet(("a", "b"), 224, "aligned")
        small = FaceResNet(("a", "b"), 64, "square")
    save_checkpoint(model, tmp_path / "m.safetensors", {})
    save_checkpoint(small, tmp_path / "s.safetensors", {})
    found = picture_model(load_recognizer(str(tmp_path / "m.safetensors")), "mine")
    embeddings = embed(found.model, torch.rand(2, 3, 224, 224))
    assert (found.name, embeddings.shape) == ("mine", (2, 512))
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(2))
    square = picture_model(load_recognizer(str(tmp_path / "s.safetensors")))
    assert embed(square.model, torch.rand(2, 3, 224, 224)).shape == (2, 512)
    with pytest.raises(AssetError):
        load_recognizer("frbench:no_such_model")
    assert found.defended("jpeg75").name == "mine+jpeg75"


class Masked(nn.Module):
    """Hides its gradient: the picture in few grey levels, by an honest staircase."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps: torch.Tensor = self.inner(x.detach() + 0 * x)
        return steps


class Pretended(Masked):
    """Its gradient is another's: nothing that it promises comes true."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        other = Pixels(77)(x)
        answer: torch.Tensor = self.inner(x.detach()) + other - other.detach()
        return answer


class Dice(Masked):
    """Answers another picture each time."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.inner(x * torch.randn_like(x))
        return answer


class Softmax(Masked):
    """Answers probabilities, and is sure of them."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (2000 * self.inner(x)).softmax(1)


Build = Callable[[nn.Module], nn.Module]


@pytest.mark.parametrize(
    ("build", "flag", "words"),
    [
        (Masked, "gradients-masked", "zero for 100%"),
        (Pretended, "gradients-masked", "false: the loss rises by"),
        (Dice, "gradients-masked", "random: asked twice"),
        (Softmax, "surrogate-answers-probabilities", "probabilities"),
        (nn.Identity, "", ""),
    ],
)
def test_recognisers_built_to_deserve_it_raise_the_flags_of_gradients(
    build: Build, flag: str, words: str, people: FaceSet, finished: Path
) -> None:
    inner = Pixels(1)
    model: Model = inner if build is nn.Identity else build(inner)
    x = torch.from_numpy(people.images[:6]).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        answers = model(x)
    goal = Dodge(answers.argmax(1)) if build is Softmax else MoveAway(answers[:, None])
    diagnosis = {"recognizer": "one", **gradient_health(model, x, goal, seed=0)}
    run = json.loads((finished / "run.json").read_text()) | {"diagnostics": [diagnosis]}
    raised = survey_transfer(read_rows(finished), run)
    hit = {name: [one.saw for one in found or []] for name, found in raised.items()}
    gradients = {name: saws for name, saws in hit.items() if "gradients" in name or "probabilities" in name}
    if not flag:
        assert not any(gradients.values()), gradients
        assert diagnosis["slope_ratio"] == pytest.approx(1, abs=0.3)
        return
    assert any(words in saw for saw in gradients[flag]), (diagnosis, gradients)


def run_of(rows: pd.DataFrame, surrogates: Mapping[str, str], judges: Mapping[str, str], shared: int = 0) -> dict[str, Any]:
    return {
        "surrogates": [{"name": name, "network": network} for name, network in surrogates.items()],
        "judges": [{"name": name, "network": network, "threshold": 1.0} for name, network in judges.items()],
        "data": {"fit_and_test_photos_shared": shared},
    }


def raised(rows: pd.DataFrame, run: Mapping[str, Any]) -> set[str]:
    return {name for name, found in survey_transfer(rows, run).items() if found}


def test_a_judge_that_masks_its_gradients_falls_to_transfer_alone(people: FaceSet, tmp_path: Path) -> None:
    """Its own white-box attack gets nowhere; noise made on the same network without the mask does."""
    hidden = PictureModel("hidden", "masked", Masked(Pixels(1)).eval())
    plain = embedder("plain", 1)
    plan = plan_for(
        people, surrogates=[hidden, plain], judges=[hidden], variants=("",), borrowed="",
        entries=(AttackEntry("pgd", PGD(steps=3, engine="exact"), ("away",), (8 / 255,)),),
    )  # fmt: skip
    run_transfer(plan, RunFolder(tmp_path / "r", resume=False))
    rows, run = read_rows(tmp_path / "r"), json.loads((tmp_path / "r" / "run.json").read_text())
    assert raised(rows, run) == {"transfer-beats-white-box", "diagonal-not-maximum", "gradients-masked"}


def test_the_other_flags_and_none_without_reason(people: FaceSet, finished: Path) -> None:
    rows = read_rows(finished)
    judges = {"one": "pixels 1", "one+jpeg75": "pixels 1", "other": "pixels 2", "other+jpeg75": "pixels 2"}
    assert raised(rows, run_of(rows, {"one": "pixels 1"}, judges)) == set()
    assert raised(rows, run_of(rows, {"one": "pixels 1|pixels 2"}, judges)) == {"judge-is-surrogate"}
    assert raised(rows, run_of(rows, {"one": "pixels 1"}, {**judges, "twin": "pixels 1"})) == {"judge-is-surrogate"}
    assert raised(rows, run_of(rows, {"one": "pixels 1"}, judges, shared=3)) == {"threshold-fitted-on-test"}
    assert {check.flag for check in TRANSFER_CHECKS} == set(survey_transfer(rows, run_of(rows, {}, {})))


def test_lfw_pairs_are_read_and_judged_by_the_other_folds(people: FaceSet, tmp_path: Path) -> None:
    lines = ["3\t2"]
    for fold in range(3):
        own, other = f"p{fold:02d}", f"p{fold + 5:02d}"
        lines += [f"{own}\t1\t2", f"{own}\t2\t3", f"{own}\t1\t{other}\t4", f"{own}\t1\tgone\t1"]
    path = tmp_path / "pairs.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    pairs = read_pairs(path)
    assert [pair.fold for pair in pairs] == [0] * 4 + [1] * 4 + [2] * 4
    assert (pairs[2].one, pairs[2].other, pairs[2].same) == ("p00/p00_0001", "p05/p05_0004", False)
    flat = {name: np.array([float(name[1:3]), 0.0]) for pair in pairs for name in (pair.one, pair.other) if name[0] == "p"}
    result = judge_pairs(pairs, flat)
    assert (result.pairs, result.used, result.same, result.folds) == (12, 9, 6, 3)
    assert (result.accuracy, result.eer) == (1.0, 0.0)
    wrong = dict(flat) | {"p00/p00_0002": np.array([50.0, 0.0])}
    assert judge_pairs(pairs, wrong).accuracy == pytest.approx((1 / 3 + 1 + 1) / 3)
    text = pairs_table(path, [embedder("one", 1)], people)
    assert text.splitlines()[1].startswith("one,12,9,6,3,")
    with pytest.raises(DataError, match="none of the photos"):
        pairs_table(path, [], replace(people, files=tuple(f"x{k}.jpg" for k in range(len(people.files)))))


@pytest.mark.parametrize("text", ["", "10 300\nx\t1\n", "1\t2\np00\t1\t2\n", "a\tb\n"])
def test_files_that_are_no_pairs_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"pairs\.txt"):
        read_pairs(tmp_path / "pairs.txt")


GOOD: dict[str, Any] = {
    "name": "t",
    "eps": ["8/255"],
    "recognizers": [{"name": "dlib", "source": "dlib"}, {"name": "a", "source": "a.safetensors"}],
    "attacks": [{"name": "transfer", "goals": ["away", "contrast"], "blur": 0.0}, {"name": "noise"}],
}


def test_a_configuration_names_everything() -> None:
    config = transfer_config(GOOD | {"surrogates": ["dlib", "dlib+a"], "borrowed": "transfer"})
    assert config.entries[0].goals == ("away", "contrast")
    assert config.entries[0].eps == (8 / 255,)
    assert config.surrogates == ("dlib", "dlib+a")
    assert json.dumps(config.resolved())


def test_the_old_name_of_a_key_is_read_for_one_release(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING"):
        old = transfer_config(GOOD | {"lent": "transfer"})
    [record] = caplog.records
    assert "'lent' is now called 'borrowed'" in record.getMessage()
    caplog.clear()
    assert transfer_config(GOOD | {"borrowed": "transfer"}) == old
    assert not caplog.records
    with pytest.raises(ConfigError, match="both are given"):
        transfer_config(GOOD | {"lent": "transfer", "borrowed": "transfer"})
    with pytest.raises(ConfigError, match="names no attack"):
        transfer_config(GOOD | {"lent": "pgd"})


def test_a_run_of_the_old_name_is_resumed(people: FaceSet, finished: Path, tmp_path: Path) -> None:
    """As a 0.1 transfer run left it, unfinished: the stored config says "lent"."""
    plan = plan_for(people, config={"name": "small", "borrowed": "pgd"})
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    stored = json.loads((folder / "run.json").read_text()) | {"finished": False}
    lines = (folder / "rows.csv").read_text().splitlines(keepends=True)

    def store(config: dict[str, Any]) -> None:
        (folder / "run.json").write_text(json.dumps(stored | {"config": config}))

    store({"name": "small", "lent": "noise"})
    with pytest.raises(RunError, match="another config"):
        run_transfer(plan, RunFolder(folder, resume=True))
    store({"name": "small", "lent": "pgd"})
    (folder / "rows.csv").write_text("".join(lines[:-3]))
    run_transfer(plan, RunFolder(folder, resume=True))
    run = json.loads((folder / "run.json").read_text())
    assert run["finished"]
    assert run["config"] == {"name": "small", "borrowed": "pgd"}
    shown = ["judge", "attack", "goal", "eps", "image", "adversarial_prediction", "loss", "success", "linf"]
    order = ["judge", "attack", "goal", "image"]
    before, after = (read_rows(one)[shown].sort_values(order, ignore_index=True) for one in (finished, folder))
    pd.testing.assert_frame_equal(before, after, check_exact=True)


def test_a_record_names_no_folder_of_this_machine(tmp_path: Path) -> None:
    sources = [{"name": "dlib", "source": "dlib"}, {"name": "a", "source": str(tmp_path / "a.safetensors")}]
    more = {"recognizers": sources, "data": {"source": str(tmp_path / "people")}, "lfw_pairs": str(tmp_path / "pairs.txt")}
    record = transfer_config(GOOD | more).resolved()
    assert str(tmp_path) not in json.dumps(record)
    assert [one["source"] for one in record["recognizers"]] == ["dlib", "a.safetensors"]
    assert (record["data"]["source"], record["lfw_pairs"]) == ("people", "pairs.txt")


def test_a_record_of_0_1_means_the_same_attacks() -> None:
    config = transfer_config(GOOD)
    record = json.loads(json.dumps(config.resolved() | {"limit": 8}))
    assert record["attacks"][0]["parameters"]["blur"] == 0.0
    assert config.means(record, limit=8, device="cpu")
    for one, entry in zip(record["attacks"], config.entries, strict=True):
        one["parameters"] = repr(entry.attack)
    del record["batch_size"]
    assert config.means(record, limit=8, device="cpu")
    assert not config.means(record, limit=None, device="cpu")
    assert not config.means(record, limit=8, device="cuda")
    record["attacks"][0]["parameters"] = repr(replace(config.entries[0].attack, steps=3))  # type: ignore[type-var]
    assert not config.means(record, limit=8, device="cpu")
    record["attacks"][0]["parameters"] = "__import__('os').abort()"
    assert not config.means(record, limit=8, device="cpu")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"surrogates": ["b"]}, "none of the recognizers"),
        ({"variants": ["jpg"]}, "is not known: use jpeg1"),
        ({"borrowed": "pgd"}, "names no attack"),
        ({"attacks": [{"name": "pgd", "goals": ["dodge"]}]}, "must be some of away"),
        ({"recognizers": [{"name": "a+b", "source": "dlib"}]}, "has no +"),
        ({"far": 0.0}, "far is .*expected above 0 and below 1"),
        ({"pear": 1}, "unknown key 'pear'"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("+", r"\+")):
        transfer_config(GOOD | change)


def test_all_that_is_missing_is_named_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("FACEENC_DATA", "FACEENC_RUNS"):
        monkeypatch.delenv(name, raising=False)
    for words in ([], ["--dry-run"]):
        done = CliRunner().invoke(bench_main, ["transfer", "transfer-lfw", *words])
        assert done.exit_code == 2
        assert done.stderr.startswith("error: 3 things are missing: (1) '$FACEENC_DATA/lfw' names the variable")
        assert "`faceenc train ... --output $FACEENC_RUNS/resnet-b` makes it" in done.stderr
        assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_default_plans_its_work_from_what_packages_carry() -> None:
    config = read_transfer_config(find_config("transfer"))
    assert config.data.source == "orl"
    assert {one.source for one in config.recognizers} <= {one.name for one in offered_recognizers() if one.licence}
    # One net of the four, so that this takes no minute.
    small = replace(config, recognizers=config.recognizers[:1], pairs=3)
    data = load_pictures(small, progress=quiet)
    assert data.images.shape == (400, 224, 224, 3)
    plan = make_transfer_plan(small, data, limit=None, progress=quiet)
    table = estimate_transfer(plan)
    assert table["attack"].tolist() == [entry.name for entry in config.entries]
    assert (table["seconds"] > 0).all()
    assert (table["photos"] == 3).all()
