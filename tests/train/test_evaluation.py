"""The evaluation of a recogniser: on logits with known answers, and the command on photos with a small recogniser."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from sklearn.metrics import top_k_accuracy_score

from faceenc.cli import Group, main
from faceenc.core import CheckpointError, DataError
from faceenc.data import FaceSet, load_folder
from faceenc.recognizers import FaceResNet, save_checkpoint
from faceenc.report import wilson
from faceenc.train import STRANGER, Evaluation, evaluate, evaluate_model, write_evaluation
from tests.face_photos import write_people

pytestmark = pytest.mark.usefixtures("cache")

SIZE = 64
NAMES = ("Ada", "Bo", "Cy", "Di", "Ed", "Flo")

# Who it is, the likeliest answer and its probability; the others share the rest.
SAID = [
    *((0, 0, 0.9), (0, 0, 0.7), (0, 1, 0.55), (0, 1, 0.3)),
    *((1, 1, 0.9), (1, 1, 0.9)),
    *((2, 0, 0.95), (2, 3, 0.65)),
    *((STRANGER, 0, 0.35), (STRANGER, 5, 0.8)),
]


def logits_for(said: Sequence[tuple[int, int, float]], classes: int = len(NAMES)) -> np.ndarray[Any, np.dtype[np.float64]]:
    logits = np.zeros((len(said), classes))
    for row, (_, answer, probability) in enumerate(said):
        logits[row] = np.log((1 - probability) / (classes - 1))
        logits[row, answer] = np.log(probability)
    return logits + 7  # softmax does not mind


@pytest.fixture
def found() -> Evaluation:
    labels = np.array([label for label, *_ in SAID])
    people = [*(NAMES[label] for label in labels[:-2]), "Zoe", "Yan"]
    files = [f"photo {row}" for row in range(len(SAID))]
    return evaluate(logits_for(SAID), labels, NAMES, people=people, files=files, threshold=0.5, bins=5)


def test_numbers_counted_by_hand(found: Evaluation) -> None:
    record = found.record
    assert (record["images"], record["people"], record["classes"]) == (10, 3, 6)
    assert (record["top1"]["right"], record["top1"]["images"], record["top1"]["share"]) == (4, 8, 0.5)
    assert record["top1"]["wilson"] == list(wilson(4, 8))
    assert record["mean_person_accuracy"] == pytest.approx((0.5 + 1 + 0) / 3)
    assert record["known"]["named_rightly"]["right"] == 4
    assert record["known"]["named_wrongly"]["right"] == 3
    assert record["known"]["called_unknown"]["right"] == 1
    assert record["strangers"]["people"] == 2
    assert record["strangers"]["called_unknown"]["share"] == 0.5
    calibration = record["calibration"]
    assert [b["images"] for b in calibration["bins"]] == [1, 1, 2, 4]
    assert calibration["mean_probability"] == pytest.approx(5.85 / 8)
    assert calibration["accuracy"] == 0.5
    # Wrong at 0.3; wrong at 0.55; 0.7 right and 0.65 wrong; 0.9 right three times and 0.95 wrong.
    assert calibration["ece"] == pytest.approx((0.3 + 0.55 + 2 * (0.675 - 0.5) + 4 * (0.9125 - 0.75)) / 8)
    assert calibration["mce"] == pytest.approx(0.55)
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_face_at_the_threshold_keeps_its_name() -> None:
    """As in `faceenc recognize`: unknown is what lies below."""
    for threshold, unknown in ((0.5, 0), (np.nextafter(0.5, 1), 2)):
        record = evaluate(np.zeros((2, 2)), np.array([0, 1]), ["a", "b"], threshold=threshold).record
        assert record["known"]["called_unknown"]["right"] == unknown


def test_tables_counted_by_hand(found: Evaluation) -> None:
    lines = found.identities.to_dict("records")
    assert [line["person"] for line in lines] == ["Cy", "Ada", "Bo"]
    assert [(line["images"], line["right"], line["called_unknown"]) for line in lines] == [(2, 0, 0), (4, 2, 1), (2, 2, 0)]
    assert [line["most_taken_for"] for line in lines][1:] == ["Bo", ""]
    assert (lines[1]["ci_low"], lines[1]["ci_high"]) == wilson(2, 4)
    assert lines[1]["probability"] == pytest.approx(0.6125)
    confusions = found.confusions.to_dict("records")
    assert [(line["person"], line["taken_for"], line["images"]) for line in confusions] == [
        ("Ada", "Bo", 2), ("Cy", "Ada", 1), ("Cy", "Di", 1),
    ]  # fmt: skip
    assert confusions[0]["share"] == 0.5
    assert confusions[0]["probability"] == pytest.approx(0.425)
    table = found.predictions
    assert table["file"].tolist() == [f"photo {row}" for row in range(10)]
    assert table["person"].tolist()[-3:] == ["Cy", "Zoe", "Yan"]
    assert table["predicted"].tolist() == [NAMES[answer] for _, answer, _ in SAID]
    assert table["probability"].tolist() == pytest.approx([probability for *_, probability in SAID])
    assert table["correct"].tolist() == [True, True, False, False, True, True, False, False, False, False]
    assert table["called_unknown"].tolist() == [probability < 0.5 for *_, probability in SAID]


def test_top_k_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(500, 12)), rng.integers(0, 12, 500)
    record = evaluate(logits, labels, [str(k) for k in range(12)]).record
    assert record["top1"]["share"] == top_k_accuracy_score(labels, logits, k=1)
    assert record["top5"]["share"] == top_k_accuracy_score(labels, logits, k=5)
    assert record["strangers"] is None


def test_equal_logits_and_few_people() -> None:
    """A recogniser that says nothing is right once in K, not always."""
    labels = np.arange(10)
    record = evaluate(np.zeros((10, 10)), labels, [str(k) for k in labels]).record
    assert (record["top1"]["right"], record["top5"]["right"]) == (1, 5)
    assert evaluate(np.eye(5), np.arange(5), list("abcde")).record["top5"] is None
    wide = evaluate(np.array([[1e4, -1e4], [-1e4, 1e4]], np.float32), np.array([0, 1]), ["a", "b"])
    assert wide.predictions["probability"].tolist() == [1, 1]


def test_intervals_resample_people() -> None:
    """A hundred photos of each of ten people, half of them always recognised and half never."""
    labels = np.repeat(np.arange(10), 100)
    answers = np.where(labels < 5, labels, (labels + 1) % 10)
    top = evaluate(np.eye(10)[answers], labels, [str(k) for k in range(10)]).record["top1"]
    assert top["share"] == 0.5
    assert top["by_person"] == pytest.approx([0.2, 0.8], abs=0.01)
    assert top["wilson"] == pytest.approx([0.469, 0.531], abs=1e-3)
    same = evaluate(np.eye(10)[labels], labels, [str(k) for k in range(10)]).record["top1"]
    assert same["by_person"] == [1, 1]
    assert same["wilson"][0] < 1


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros((2, 3)), [0, 1], "logits for these"),
        (np.full((2, 2), np.nan), [0, 1], "finite"),
        (np.zeros((2, 2)), [0, 2], "columns 0 to 1"),
        (np.zeros((2, 2)), [-2, 0], "columns 0 to 1"),
        (np.zeros((2, 2)), [STRANGER, STRANGER], "only strangers"),
    ],
)
def test_nonsense_is_refused(logits: np.ndarray[Any, Any], labels: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(logits, np.array(labels), ["a", "b"])


def test_files_say_the_same(found: Evaluation, tmp_path: Path) -> None:
    found.predictions.loc[0, "file"] = "Ada/\udcff.jpg"  # a name that is no UTF-8
    write_evaluation(found, tmp_path / "new" / "folder")
    names = {path.name: path for path in (tmp_path / "new" / "folder").iterdir()}
    assert set(names) == {"evaluation.json", "identities.csv", "confusions.csv", "predictions.csv", "reliability.png"}
    assert json.loads(names["evaluation.json"].read_text()) == found.record
    text = names["predictions.csv"].read_text(encoding="utf-8", errors="surrogateescape")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == ["file", "person", "predicted", "probability", "correct", "known", "called_unknown"]
    assert [row["file"] for row in rows] == found.predictions["file"].tolist()
    assert sum(row["correct"] == "True" for row in rows) == 4
    for name, lines in (("identities", 3), ("confusions", 3)):
        assert len(names[f"{name}.csv"].read_text().splitlines()) == 1 + lines
    with Image.open(names["reliability.png"]) as picture:
        assert min(picture.size) > 500
        assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 10
    with pytest.raises(DataError, match="cannot write to the folder"):
        write_evaluation(found, names["evaluation.json"])


# With photos: a recogniser of s1, s2 and s3, whose answers are those of its last layer's bias and of little else.


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six photos of each of s1 to s3, and of s4, whom nobody knows."""
    folder = tmp_path_factory.mktemp("album") / "photos"
    write_people(folder, {"s1": 6, "s2": 6, "s3": 6, "s4": 6})
    return folder


def make_model(classes: Sequence[str], *, bias: Sequence[float] = (), threshold: float = 0.0) -> FaceResNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = FaceResNet(tuple(classes), SIZE, "aligned").eval()
    model.threshold = threshold
    if bias:
        with torch.no_grad():
            model.network.fc.weight.zero_()
            model.network.fc.bias.copy_(torch.tensor(bias))
    return model


@pytest.fixture(scope="module")
def people(own_cache: Path, album: Path) -> FaceSet:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("FACEENC_CACHE", str(own_cache))
        return load_folder(album, SIZE, framing="aligned")


def invoke(*words: str | Path) -> Result:
    group = Group(commands={"evaluate": main.commands["evaluate"]})
    return CliRunner().invoke(group, ["evaluate", *map(str, words)])


def test_people_are_matched_by_name_not_by_place(people: FaceSet) -> None:
    """It says "s3" to every face, and knows its people in another order than the folder."""
    model = make_model(["s3", "other", "s2", "s1"], bias=[2, 0, 0, 0], threshold=0.5)
    rows = np.arange(len(people.labels))
    calls: list[tuple[str, int, int]] = []
    found = evaluate_model(model, people, rows, progress=lambda *call: calls.append(call))
    assert calls == [("faces", 24, 24)]
    assert found.record["top1"]["right"] == 6
    assert found.record["top1"]["images"] == 18
    assert found.record["strangers"] == {
        "images": 6, "people": 1,
        "called_unknown": {"share": 0, "right": 0, "images": 6, "wilson": list(wilson(0, 6))},
    }  # fmt: skip
    correct = found.predictions.set_index("file")["correct"]
    assert correct[[f"s3/{n}.png" for n in range(1, 7)]].all()
    assert correct.sum() == 6
    assert set(found.predictions["person"]) == {"s1", "s2", "s3", "s4"}
    assert found.confusions[["person", "taken_for", "images"]].to_numpy().tolist() == [["s1", "s3", 6], ["s2", "s3", 6]]


def test_mirror_averages_logits(people: FaceSet) -> None:
    model = make_model(["s1", "s2", "s3"])
    rows = people.test
    x = torch.from_numpy(people.images[rows]).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        plain, mirrored = model(x), model(x.flip(3))
    assert not torch.allclose(plain, mirrored, atol=1e-3)
    for mirror, logits in ((False, plain), (True, (plain + mirrored) / 2)):
        found = evaluate_model(model, people, rows, mirror=mirror).predictions["probability"]
        assert found.tolist() == pytest.approx(logits.softmax(1).amax(1).tolist(), abs=1e-4)


def test_recogniser_of_others_or_of_nothing(people: FaceSet) -> None:
    with pytest.raises(DataError, match=r"none of the 4 people of photos \(s1, s2, s3, ...\), but 2 others \(Ada, Bo\)"):
        evaluate_model(make_model(["Ada", "Bo"]), people, people.test)
    with pytest.raises(DataError, match="`part`"):
        evaluate_model(make_model(["s1", "s2"]), people, people.test[:0])
    with pytest.raises(CheckpointError, match="not finite"):
        evaluate_model(make_model(["s1", "s2"], bias=[float("nan"), 0]), people, people.test)


def test_command_prints_and_writes(album: Path, people: FaceSet, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "mine.safetensors"
    save_checkpoint(make_model(["s1", "s2", "s3"], bias=[1, 0, 0], threshold=0.6), file, {"data_sha256": people.sha256})
    done = invoke("--judge", file, "--data", album, "--output", tmp_path / "out", "--part", "all", "--mirror")
    assert done.exit_code == 0, done.output
    for words in ("24 photos, 3 of 3 known people, with mirror images", "top-1", "33.3%", "6/18", "strangers", "100.0%"):
        assert words in done.stdout, words
    assert "top-5" not in done.stdout
    record = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert (record["model"], record["data"], record["part"], record["mirror"]) == ("mine.safetensors", "photos", "all", True)
    assert record["data_sha256"] == people.sha256
    assert record["training_data"] is True
    assert record["strangers"]["called_unknown"]["right"] == 6  # 0.58 lies below 0.6
    assert not caplog.records


@pytest.mark.parametrize("part", ["test", "train"])
def test_command_takes_the_part_and_prints_json(part: str, album: Path, people: FaceSet, tmp_path: Path,
                                                caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    file = tmp_path / "mine.safetensors"
    save_checkpoint(make_model(["s1", "s2", "s3"], bias=[1, 0, 0]), file, {"data_sha256": "of other photos"})
    with caplog.at_level(logging.WARNING, "faceenc"):
        done = invoke("--judge", file, "--data", album, "--part", part, "--json")
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert record["images"] == len(people.test if part == "test" else people.train)
    assert [line["person"] for line in record["identities"]] == ["s2", "s3", "s1"]
    assert [line["taken_for"] for line in record["confusions"]] == ["s1", "s1"]
    warned = [line for line in caplog.messages if "is not the data that this recogniser was trained on" in line]
    assert len(warned) == (part == "test")


def test_command_says_what_is_wrong_in_one_line(album: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    save_checkpoint(make_model(["Ada", "Bo"]), file, {})
    cases = [
        ((file, album), "knows none of the 4 people"),
        ((file, "orl"), 'the recogniser wants them "aligned"'),
        ((file, tmp_path / "none"), "cannot read the folder"),
        ((tmp_path / "none", album), "does not exist"),
    ]
    for (model, data), words in cases:
        done = invoke("--judge", model, "--data", data)
        assert done.exit_code == 2
        assert not done.stdout
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1
        assert words in errors[0]
