"""Rates without any attack, against what can be counted by hand, and intervals against draws made one by one."""

from __future__ import annotations

import io
import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from faceenc.benchmark import (
    all_pairs,
    at_threshold,
    det_curve,
    equal_error,
    given_pairs,
    measure_baseline,
    operating_rates,
    spread,
)
from faceenc.cli import bench_main
from faceenc.core import DataError
from faceenc.data import enlarge, read_orl, read_pair_file
from faceenc.recognizers import load_recognizer, tar_at_far
from tests.face_photos import write_people

Floats = NDArray[np.float64]


def clusters(people: int = 30, photos: int = 6, noise: float = 0.45) -> tuple[Floats, NDArray[np.int64]]:
    """Unit vectors around people's own."""
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(people, 16))
    found = np.repeat(centres, photos, 0) + noise * np.sqrt(16) * rng.normal(size=(people * photos, 16)) / 2
    return found / np.linalg.norm(found, axis=1, keepdims=True), np.repeat(np.arange(people), photos)


def test_every_pair_is_there_once_with_its_people() -> None:
    embeddings, labels = clusters(4, 3)
    pairs = all_pairs(embeddings, [f"p{label}" for label in labels])
    assert (len(pairs.genuine), len(pairs.impostor), pairs.people) == (12, 54, 4)
    assert np.bincount(pairs.genuine_people).tolist() == [3, 3, 3, 3]
    assert (pairs.impostor_people[:, 0] != pairs.impostor_people[:, 1]).all()


def test_rates_are_those_that_are_counted() -> None:
    pairs = all_pairs(*clusters())
    for rate in operating_rates(pairs):
        if rate.fmr * len(pairs.impostor) < 1:
            assert math.isnan(rate.threshold)
            assert math.isnan(rate.tar.value)
            continue
        assert rate.false_matches == (pairs.impostor <= rate.threshold).sum() <= rate.fmr * len(pairs.impostor)
        assert rate.tar.value == pytest.approx(tar_at_far(pairs.genuine, pairs.impostor, far=rate.fmr))
        assert rate.tar.low <= rate.tar.value <= rate.tar.high
        assert rate.rough == (rate.false_matches < 30)
    curve = det_curve(pairs)
    assert (np.diff(curve[:, 1]) >= 0).all()
    assert (np.diff(curve[:, 2]) <= 0).all()
    assert equal_error(pairs).low <= equal_error(pairs).value <= equal_error(pairs).high


def test_intervals_are_those_of_people_drawn_one_by_one() -> None:
    embeddings, labels = clusters(25, 4, 0.6)
    pairs = all_pairs(embeddings, labels)
    (rate,) = operating_rates(pairs, [0.05])
    rng, tars = np.random.default_rng(8), []
    for _ in range(300):
        drawn = np.bincount(rng.integers(0, 25, 25), minlength=25)
        weights = drawn[pairs.impostor_people[:, 0]] * drawn[pairs.impostor_people[:, 1]]
        order = np.argsort(pairs.impostor)
        share = weights[order].cumsum() / weights.sum()
        threshold = pairs.impostor[order][np.searchsorted(share, 0.05, side="right") - 1]
        own = drawn[pairs.genuine_people]
        tars.append((own * (pairs.genuine <= threshold)).sum() / own.sum())
    low, high = np.quantile(tars, [0.025, 0.975])
    assert rate.tar.low == pytest.approx(low, abs=0.03)
    assert rate.tar.high == pytest.approx(high, abs=0.03)
    # Pairs drawn each by itself would claim to know more.
    everything = np.concatenate([pairs.genuine, pairs.impostor])
    alone = given_pairs(everything, np.arange(len(everything)) < len(pairs.genuine))
    (narrow,) = operating_rates(alone, [0.05])
    assert narrow.tar.high - narrow.tar.low < rate.tar.high - rate.tar.low


def test_goats_and_lambs() -> None:
    embeddings, labels = clusters(20, 4, 0.1)
    embeddings[labels == 0] = np.eye(16)[:4]  # nobody's photos are less alike
    pairs = all_pairs(embeddings, labels)
    found = spread(pairs, 0.9)
    assert found.people == 20
    assert found.never_rejected == pytest.approx(0.95)
    assert found.worst_tenth == pytest.approx(0.5)  # two people: one always, one never


def test_a_folder_by_the_command(tmp_path: Path) -> None:
    write_people(tmp_path / "people", {f"s{number}": 3 for number in range(1, 7)})
    Image.new("RGB", (90, 120)).save(tmp_path / "people" / "s1" / "blank.png")
    words = ["thresholds", "sface", str(tmp_path / "people"), "--fmr", "0.1", "--fmr", "0.001"]
    result = CliRunner().invoke(bench_main, [*words, "-o", str(tmp_path / "found.json")])
    assert result.exit_code == 0, result.output
    assert "6 people, 18 genuine and 135 impostor pairs" in result.stdout
    assert "failure to acquire: 1 of 19 photos" in result.stdout
    assert "not shown: takes 1000 impostor pairs" in result.stdout
    found = json.loads((tmp_path / "found.json").read_text())
    assert [rate["fmr"] for rate in found["rates"]] == [0.1, 0.001]
    assert found["rates"][0]["tar"]["value"] > 0.9
    assert found["rates"][1]["threshold"] is None
    assert found["ranks"]["1"] == 1
    result = CliRunner().invoke(bench_main, [*words[:3], "--fmr", "0"])
    assert result.exit_code == 2
    assert "--fmr 0: expected a share above 0" in result.stderr


def write_pairs(path: Path, content: Any) -> Path:
    path.write_bytes(pickle.dumps(content))
    return path


def test_a_file_of_pairs(tmp_path: Path) -> None:
    recognizer = load_recognizer("sface")
    from faceenc.faces import FaceSearch

    pictures, files = read_orl(), []
    with FaceSearch() as search:
        for name in ("s1/1", "s1/2", "s1/3", "s2/1", "s2/2", "s2/3", "s3/1", "s4/1"):
            image = enlarge(pictures[name])
            out = io.BytesIO()
            Image.fromarray(recognizer.cut(image, search(image)[0])).save(out, "PNG")
            files.append(out.getvalue())
    arrays = [np.frombuffer(file, np.uint8) for file in files]
    path = write_pairs(tmp_path / "orl.bin", (arrays, [True, False, True, False]))
    assert read_pair_file(path).pictures == files
    found, _ = measure_baseline(recognizer, str(path), fmrs=[0.5])
    assert (found.genuine, found.impostor, found.not_acquired, found.people) == (2, 2, 0, 0)
    assert found.rates[0].tar.value == 1


def test_a_pickle_that_does_something_is_refused_unread(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    planted = [
        b"cos\nsystem\n(S'touch " + str(mark).encode() + b"'\ntR.",
        b"cbuiltins\neval\n(S'open(" + repr(str(mark)).encode().replace(b"'", b'"') + b',"w")\'\ntR.',
        b"cnumpy\nmemmap\n(S'" + str(mark).encode() + b"'\nS'uint8'\nS'w+'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
    ]
    for number, content in enumerate(planted):
        (tmp_path / f"{number}.bin").write_bytes(content)
        with pytest.raises(DataError, match="was not read further"):
            read_pair_file(tmp_path / f"{number}.bin")
    assert not mark.exists()
    short = pickle.dumps(([b"x"] * 4, [1, 0]))[:-9]
    for content in (b"", b"hello", pickle.dumps([1, 2]), pickle.dumps(([b"x"], [True])), short):
        (tmp_path / "bad.bin").write_bytes(content)
        with pytest.raises(DataError) as caught:
            read_pair_file(tmp_path / "bad.bin")
        assert "\n" not in str(caught.value)


def test_slices_are_the_rates_of_their_own_people() -> None:
    embeddings, labels = clusters(12, 4, 0.8)
    pairs = all_pairs(embeddings, labels)
    threshold = float(np.median(pairs.genuine))
    everybody, *slices = at_threshold(pairs, threshold, {"light": ["dim"] * 5 + ["bright"] * 6 + [""]})
    assert (everybody.people, everybody.genuine, everybody.impostor) == (12, 72, 48 * 47 // 2 - 72)
    assert everybody.fnmr.value == pytest.approx((pairs.genuine > threshold).mean())
    assert everybody.fnmr.low <= everybody.fnmr.value <= everybody.fnmr.high
    assert [(one.tag, one.value, one.people) for one in slices] == [("light", "bright", 6), ("light", "dim", 5)]
    dim = all_pairs(embeddings[labels < 5], labels[labels < 5])
    assert slices[1].fmr.value == pytest.approx((dim.impostor <= threshold).mean())
    assert slices[1].fnmr.value == pytest.approx((dim.genuine > threshold).mean())


def test_tags_slice_what_thresholds_prints(tmp_path: Path) -> None:
    write_people(tmp_path, {f"s{number}": 3 for number in range(1, 7)})
    (tmp_path / "tags.csv").write_text("person,glasses\ns1,yes\ns2,yes\ns3,no\ns4,no\ns5,\n", encoding="utf-8")
    words = ["thresholds", "sface", str(tmp_path), "--fmr", "0.1"]
    result = CliRunner().invoke(bench_main, words)
    assert result.exit_code == 0, result.output
    assert "tags.csv" not in result.stderr
    lines = [line.split() for line in result.stdout.splitlines() if line.startswith(("everybody", "glasses"))]
    assert [line[:3] for line in lines] == [["everybody", "6", lines[0][2]], ["glasses", "no", "2"], ["glasses", "yes", "2"]]
    for text, said in (("who,glasses\na,yes\n", "expected the columns person"), ("person,x\na,1\na,2\n", "'a' twice")):
        (tmp_path / "tags.csv").write_text(text, encoding="utf-8")
        result = CliRunner().invoke(bench_main, words)
        assert (result.exit_code, result.stderr.count("tags.csv")) == (2, 1)
        assert said in result.stderr


def test_lfw_pairs_are_compared_alone(tmp_path: Path) -> None:
    folder = tmp_path / "lfw"
    write_people(folder, {f"s{number}": 2 for number in range(1, 5)})
    for photo in folder.rglob("*.png"):
        photo.rename(photo.with_name(f"{photo.parent.name}_{int(photo.stem):04d}.png"))
    lines = [
        "2\t2",
        "s1\t1\t2",
        "s2\t1\t2",
        "s1\t1\ts2\t1",
        "s3\t1\ts4\t2",
        "s3\t1\t2",
        "s4\t1\t2",
        "s1\t2\ts4\t1",
        "s2\t2\ts3\t2",
    ]
    (tmp_path / "pairs.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    words = ["thresholds", "sface", str(folder), "--pairs", str(tmp_path / "pairs.txt"), "--fmr", "0.25", "--json"]
    result = CliRunner().invoke(bench_main, words)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [found[name] for name in ("people", "genuine", "impostor", "photos")] == [4, 4, 4, 8]
    assert found["rates"][0]["tar"]["value"] == 1
    assert [found["protocol"][name] for name in ("pairs", "used", "same", "folds")] == [8, 8, 4, 2]
    result = CliRunner().invoke(bench_main, [*words[:2], str(tmp_path / "lfw" / "s1"), *words[3:]])
    assert result.exit_code == 2
    assert "none of the photos" in result.stderr
