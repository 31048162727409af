"""Recognisers of strangers in the one runner: the command on a folder with tags, its baseline and its report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from faceenc.cli import bench_main
from tests.face_photos import write_people

CONFIG = """
task = "verification"
name = "tiny"
eps = ["8/255"]
pairs = 4
crosscheck = 1

[data]
source = "orl"

[[recognizers]]
source = "sface"

[[attacks]]
name = "pgd"
goals = ["dodge", "impersonate"]
steps = 3
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("verification")
    write_people(root / "people", {f"s{number}": 3 for number in range(1, 13)})
    lines = [f"s{number},{'odd' if number % 2 else 'even'}" for number in range(1, 13)]
    (root / "people" / "tags.csv").write_text("\n".join(["person,number", *lines]) + "\n", encoding="utf-8")
    (root / "tiny.toml").write_text(CONFIG, encoding="utf-8")
    words = ["run", str(root / "tiny.toml"), "--data", str(root / "people"), "-o", str(root / "run")]
    result = CliRunner().invoke(bench_main, words)
    assert result.exit_code == 0, result.output
    return root / "run"


def test_noise_parts_pairs_and_joins_others(finished: Path) -> None:
    rows = pd.read_csv(finished / "rows.csv", keep_default_na=False)
    at = rows[rows["eps"].between(0.01, 0.1)].groupby("goal")
    assert at["success"].mean().to_dict() == {"dodge": 1, "impersonate": 1}
    assert (rows[rows["eps"] > 0]["overshoot"] <= 1e-6).all()


def test_our_pgd_is_art_s_pixel_by_pixel(finished: Path) -> None:
    steps = pd.read_csv(finished / "crosscheck.csv")
    exact = steps[steps["engine"] == "exact"]
    assert set(exact["goal"]) == {"dodge", "impersonate"}
    assert exact["max_difference"].max() < 1e-6
    assert "PGD in-house against ART's" in (finished / "report.md").read_text(encoding="utf-8")


def test_the_baseline_comes_before_the_attacks(finished: Path) -> None:
    [found] = json.loads((finished / "baseline.json").read_text())
    assert [found[name] for name in ("recognizer", "photos", "people", "genuine", "impostor")] == ["sface", 36, 6, 18, 135]
    assert [(at["tag"], at["value"]) for at in found["at"]] == [("", ""), ("number", "even"), ("number", "odd")]
    run = json.loads((finished / "run.json").read_text())
    assert found["threshold"] == pytest.approx(run["recognizers"][0]["threshold"])
    report = (finished / "report.md").read_text(encoding="utf-8")
    assert report.index("## Before any attack") < report.index("## Under attack")
    for text in ("TAR at FMR 0.0001, %", "| not shown (too few pairs) |", "By tag: sface", "![FNMR against FMR"):
        assert text in report


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "run")


@pytest.mark.parametrize("goal", ["dodge", "impersonate"])
def test_a_run_of_one_goal_has_its_report(goal: str, copy: Path) -> None:
    rows = pd.read_csv(copy / "rows.csv", keep_default_na=False, dtype=str)
    rows[rows["goal"] == goal].to_csv(copy / "rows.csv", index=False)
    result = CliRunner().invoke(bench_main, ["report", str(copy)])
    assert result.exit_code == 0, result.output
    report = (copy / "report.md").read_text(encoding="utf-8")
    said = {"dodge": "4 untouched genuine pairs" in report, "impersonate": "Of 4 impostor pairs" in report}
    assert [name for name, there in said.items() if there] == [goal]


def test_a_damaged_baseline_is_named(copy: Path) -> None:
    (copy / "baseline.json").write_text("[{", encoding="utf-8")
    result = CliRunner().invoke(bench_main, ["report", str(copy)])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "baseline.json: unreadable; remove it" in result.stderr
