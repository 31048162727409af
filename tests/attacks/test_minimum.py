"""The smallest noise that fools: right where it is known, on the grid, and reported right in the report's tables."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from faceenc.attacks import L2, LINF, PGD, Dodge, Impersonate, MinimumSearch, minimum_eps, run_attack
from faceenc.core import Norm, RunError
from faceenc.recognizers import FaceResNet
from faceenc.report import (
    MINIMUM_COLUMNS,
    minimum_curve,
    minimum_picture,
    minimum_summary,
    minimum_tables_of,
    minimum_words,
    read_minimum,
    render,
)
from tests.synthetic import write_run

PGD20 = PGD(steps=20, engine="exact")


class Flat(nn.Module):
    """Two people, distinguished by the weighted sum of a small picture: the smallest noise is known by arithmetic."""

    def __init__(self, lead: float) -> None:
        super().__init__()
        self.weight = torch.linspace(-1, 1, 3 * 4 * 4)
        self.offset = -(0.5 * self.weight).sum() + lead

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = x.flatten(1) @ self.weight + self.offset
        return torch.stack([score, torch.zeros_like(score)], 1)


def greys(levels: list[float]) -> torch.Tensor:
    """Pictures on the grid whose first pixel's red distinguishes them; noise of 16 levels clips nothing."""
    pictures = torch.full((len(levels), 3, 4, 4), 128 / 255)
    pictures[:, 0, 0, 0] = torch.tensor(levels) / 255
    return pictures


@pytest.mark.parametrize("norm", [LINF, L2], ids=lambda norm: norm.name)
def test_is_what_arithmetic_says(norm: Norm) -> None:
    """A linear recogniser's smallest noise is its lead over the dual norm of its weights."""
    x = greys([40, 80, 120, 160, 200])
    model = Flat(0.5)
    resolution, largest = (1 / 255, 16 / 255) if norm == LINF else (0.02, 0.4)
    search = MinimumSearch(PGD(norm, 40, 0.1, engine="exact"), largest=largest, resolution=resolution)
    found = minimum_eps(model, x, Dodge(torch.zeros(5, dtype=torch.long)), search, seed=0, batch_size=2)
    with torch.no_grad():
        lead = model(x)[:, 0]
    dual = model.weight.abs().sum() if norm == LINF else model.weight.norm()
    expected = (lead / dual / resolution).double()
    assert (lead > 0).all()
    got = found.eps / resolution
    torch.testing.assert_close(got, got.round())
    # Rounding to 8 bits costs L2 noise of this length a part of its force, and the search may end a size above.
    slack = 0 if norm == LINF else 2
    assert (got >= expected.floor()).all()
    assert (got <= expected.floor() + 1 + slack).all()
    assert len(set(got.tolist())) > 2, "all alike: the images' own searches were not seen"
    with torch.no_grad():
        assert (model(found.adversarial)[:, 0] < 0).all()
    assert (norm.size(found.adversarial - x) <= found.eps + 1e-6).all()


def test_untouched_and_unreachable_images_end_at_once() -> None:
    x, goal = greys([128, 0]), Dodge(torch.zeros(2, dtype=torch.long))
    untouched, reachable, beyond = (
        minimum_eps(Flat(lead), x, goal, MinimumSearch(PGD20), seed=0) for lead in (-2.0, 0.2, 50.0)
    )
    assert (untouched.eps == 0).all()
    assert (untouched.queries == 0).all()
    assert (reachable.eps > 0).all()
    assert (reachable.eps < 16 / 255).all()
    assert beyond.eps.isinf().all()
    assert (beyond.queries == 20).all(), "one attack at the largest size"
    for ended in (untouched, beyond):
        assert torch.equal(ended.adversarial, x)


@pytest.mark.parametrize("name", ["dodge", "impersonate"])
def test_curve_is_what_single_sizes_give(
    name: str, recognizer: FaceResNet, images: torch.Tensor, labels: torch.Tensor
) -> None:
    """From one pass, the accuracy that attacks at each size would give: as good, or better by the warm start."""
    goal = Dodge(labels) if name == "dodge" else Impersonate((labels + 1) % len(labels))
    attack = PGD(steps=8, engine="fused", early_stop=0.2, random_start=False)
    done: list[tuple[int, int]] = []
    search = MinimumSearch(attack, resolution=2 / 255)
    found = minimum_eps(recognizer, images, goal, search, seed=0, progress=lambda *count: done.append(count))
    assert done[-1] == (8, 8)
    fallen = found.eps.isfinite()
    with torch.no_grad():
        assert goal.reached(recognizer(found.adversarial))[fallen].all()
    for level in (4, 8):
        direct = run_attack(attack, recognizer, images, goal, eps=level / 255, seed=0).reached
        assert (found.eps <= level / 255 + 1e-6).sum() >= direct.sum() - 1


def minimal() -> pd.DataFrame:
    """Ten images: one misclassified untouched, one that stands."""
    sizes = [0.0, *(level / 255 for level in (1, 1, 2, 2, 2, 3, 5, 9)), math.inf]
    rows = [["r", "linf", "dodge", f"s{i}/1", f"s{i}", "", size, 16 / 255, 40.0, 0.5] for i, size in enumerate(sizes)]
    return pd.DataFrame(rows, columns=MINIMUM_COLUMNS)


def test_tables_count_right() -> None:
    [line] = minimum_summary(minimal()).to_dict("records")
    assert (line["n"], line["lower"], line["median"]) == (10, pytest.approx(1 / 255), pytest.approx(2 / 255))
    assert line["upper"] == pytest.approx(5 / 255)
    assert [(round(255 * eps), share) for eps, share, *_ in line["standing"]] == [(1, 0.7), (2, 0.4), (4, 0.3), (8, 0.2)]
    steps = minimum_curve(minimal())
    assert steps["accuracy"].tolist() == [0.9, 0.7, 0.4, 0.3, 0.2, 0.1, 0.1]
    assert steps["eps"].iloc[-1] == pytest.approx(16 / 255)
    assert (steps["ci_low"] < steps["accuracy"]).all()


def test_quartiles_beyond_the_search_are_not_made_up() -> None:
    table = minimal()
    table.loc[table.index[4:], "minimum_eps"] = np.inf
    [line] = minimum_summary(table).to_dict("records")
    assert math.isinf(line["median"])
    assert "over 16/255" in minimum_words(table)
    [shown] = minimum_tables_of(table)
    assert [cell.text for cell in shown.rows[0][3:6]] == ["1/255", "over 16/255", "over 16/255"]


def test_table_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "minimum.csv"
    assert read_minimum(path) is None
    table = minimal()
    table.loc[0, "label"] = "NA"
    table.to_csv(path, index=False)
    pd.testing.assert_frame_equal(read_minimum(path), table, check_dtype=False)
    for damaged in ("", "a,b\n1,2\n", path.read_text().replace("40.0", "many", 1)):
        path.write_text(damaged)
        with pytest.raises(RunError, match=r"minimum\.csv"):
            read_minimum(path)


def test_picture_is_one(tmp_path: Path) -> None:
    both = pd.concat([minimal(), minimal().assign(goal="impersonate", norm="l2", largest=4.0)])
    picture = minimum_picture(both)
    assert picture.startswith(b"\x89PNG")
    assert minimum_picture(both) == picture


def test_report_holds_it(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    minimal().to_csv(folder / "minimum.csv", index=False)
    render(folder)
    assert (folder / "minimum.png").is_file()
    for name in ("report.md", "report.html"):
        text = (folder / name).read_text(encoding="utf-8")
        assert "Smallest noise that fools" in text
        assert "half of the photos are no longer recognised by 2/255" in text
    without = render(write_run(tmp_path / "other"))
    assert "Smallest noise" not in without.read_text(encoding="utf-8")
