"""Each flag is raised by rows that deserve it, and by no others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from faceenc.report import CHECKS, survey
from tests import synthetic
from tests.synthetic import BLACK_BOX, HUGE, make_crosscheck, make_run

Spoil = Callable[[pd.DataFrame, dict[str, Any], pd.DataFrame], None]


def find_flags(rows: pd.DataFrame, run: dict[str, Any], crosscheck: pd.DataFrame | None) -> list[Any]:
    return [flag for flags in survey(rows, run, crosscheck).values() for flag in flags or []]


def make_rows() -> pd.DataFrame:
    return synthetic.make_rows(black_box=True)


def cell(rows: pd.DataFrame, attack: str, eps: float, goal: str = "dodge") -> pd.Index:
    """The row numbers of one cell."""
    hit = (rows["attack"] == attack) & (rows["goal"] == goal) & np.isclose(rows["eps"], eps)
    assert hit.any()
    return rows.index[hit]


def stand(rows: pd.DataFrame, where: pd.Index) -> None:
    """As if the attack had failed on these images."""
    rows.loc[where, "adversarial_prediction"] = rows.loc[where, "label"]
    rows.loc[where, ["success", "loss"]] = [False, 0.1]


def fall(rows: pd.DataFrame, where: pd.Index) -> None:
    """As if the attack had succeeded on these images."""
    rows.loc[where, "adversarial_prediction"] = "someone else"
    rows.loc[where, "success"] = True


def not_monotone(rows: pd.DataFrame, run: dict[str, Any], crosscheck: pd.DataFrame) -> None:
    for attack in ("pgd", "art-pgd", "pgd-2x"):
        stand(rows, cell(rows, attack, 8 / 255)[:10])
        fall(rows, cell(rows, attack, 4 / 255))
    stand(rows, cell(rows, "fgsm", 8 / 255)[:10])  # keeps one step from beating many
    stand(rows, cell(rows, "art-fgsm", 8 / 255)[:10])


def changed_without_noise(rows: pd.DataFrame, run: dict[str, Any], crosscheck: pd.DataFrame) -> None:
    where = cell(rows, "pgd", 0)[:1]
    rows.loc[where, "adversarial_prediction"] = "someone else"


def unsteady_recognizer(rows: pd.DataFrame, run: dict[str, Any], crosscheck: pd.DataFrame) -> None:
    rows.loc[cell(rows, "fgsm", 4 / 255)[:1], "clean_prediction"] = "someone else"


def above_chance(rows: pd.DataFrame, run: dict[str, Any], crosscheck: pd.DataFrame) -> None:
    # One image in three stands at every size, and chance is one in twenty.
    for attack in ("pgd", "art-pgd", "pgd-2x", "fgsm", "art-fgsm"):
        for eps in (0, 1 / 255, 2 / 255, 4 / 255, 8 / 255, HUGE):
            stand(rows, cell(rows, attack, eps)[:58:3])
    for attack in BLACK_BOX:
        for eps in (2 / 255, 4 / 255):
            stand(rows, cell(rows, attack, eps)[:58:3])


def noise_beats(rows: pd.DataFrame, run: dict[str, Any], crosscheck: pd.DataFrame) -> None:
    fall(rows, cell(rows, "noise", 1 / 255)[:20])


def single_step_beats(rows: pd.DataFrame, run: dict[str, Any], crosscheck: pd.DataFrame) -> None:
    fall(rows, cell(rows, "fgsm", 2 / 255))
    fall(rows, cell(rows, "art-fgsm", 2 / 255))


def more_success(rows: pd.DataFrame, run: dict[str, Any], crosscheck: pd.DataFrame) -> None:
    fall(rows, cell(rows, "pgd-2x", 2 / 255))
    fall(rows, cell(rows, "pgd-2x", 4 / 255))


def more_loss(rows: pd.DataFrame, run: dict[str, Any], crosscheck: pd.DataFrame) -> None:
    where = cell(rows, "pgd-2x", 2 / 255)
    rows.loc[where, "loss"] += 0.5


def black_box_beats(rows: pd.DataFrame, run: dict[str, Any], crosscheck: pd.DataFrame) -> None:
    fall(rows, cell(rows, "square-1000", 4 / 255))


def queries_in_vain(rows: pd.DataFrame, run: dict[str, Any], crosscheck: pd.DataFrame) -> None:
    few, many = (cell(rows, attack, 4 / 255) for attack in BLACK_BOX)
    stand(rows, many[rows.loc[many, "success"].to_numpy() & ~rows.loc[few, "success"].to_numpy()])


def disagree(rows: pd.DataFrame, run: dict[str, Any], crosscheck: pd.DataFrame) -> None:
    where = cell(rows, "art-pgd", 2 / 255)
    fall(rows, where[~rows.loc[where, "success"]][:2])


def exact_engine_drifts(rows: pd.DataFrame, run: dict[str, Any], crosscheck: pd.DataFrame) -> None:
    crosscheck.loc[(crosscheck["engine"] == "exact") & (crosscheck["step"] == 7), "max_difference"] = 2e-6


def fused_engine_differs_at_once(rows: pd.DataFrame, run: dict[str, Any], crosscheck: pd.DataFrame) -> None:
    crosscheck.loc[(crosscheck["engine"] == "fused") & (crosscheck["step"] == 1), "identical_pixels"] = 0.999


def crosscheck_loss(rows: pd.DataFrame, run: dict[str, Any], crosscheck: pd.DataFrame) -> None:
    crosscheck.loc[crosscheck["engine"] == "fused", "loss"] = 14.0


def crosscheck_accuracy(rows: pd.DataFrame, run: dict[str, Any], crosscheck: pd.DataFrame) -> None:
    crosscheck.loc[crosscheck["engine"] == "fused", "accuracy"] = 2 / 16


def zero_gradients(rows: pd.DataFrame, run: dict[str, Any], crosscheck: pd.DataFrame) -> None:
    run["diagnostics"][0]["zero_gradient_share"] = 0.05


def probabilities(rows: pd.DataFrame, run: dict[str, Any], crosscheck: pd.DataFrame) -> None:
    run["diagnostics"][0]["probabilities"] = True


def overshoot(rows: pd.DataFrame, run: dict[str, Any], crosscheck: pd.DataFrame) -> None:
    rows.loc[cell(rows, "pgd", 2 / 255)[0], "overshoot"] = 2e-6


def too_large(rows: pd.DataFrame, run: dict[str, Any], crosscheck: pd.DataFrame) -> None:
    rows.loc[cell(rows, "fgsm", 2 / 255)[0], "linf"] = 3 / 255


def too_long(rows: pd.DataFrame, run: dict[str, Any], crosscheck: pd.DataFrame) -> None:
    # An L2 row is measured by its length, whatever its largest change.
    where = cell(rows, "fgsm", 2 / 255)
    rows.loc[where, ["norm", "eps", "linf", "l2"]] = ["l2", 2.0, 0.9, 2.0]
    rows.loc[where[0], "l2"] = 2.1


def not_finite(rows: pd.DataFrame, run: dict[str, Any], crosscheck: pd.DataFrame) -> None:
    rows.loc[cell(rows, "pgd", 2 / 255)[0], "label_probability"] = np.nan


SPOILS: list[tuple[str, Spoil]] = [
    ("accuracy-not-monotone", not_monotone),
    ("clean-mismatch", changed_without_noise),
    ("clean-mismatch", unsteady_recognizer),
    ("huge-eps-above-chance", above_chance),
    ("noise-beats-attack", noise_beats),
    ("single-step-beats-iterative", single_step_beats),
    ("more-steps-help", more_success),
    ("more-steps-help", more_loss),
    ("black-box-beats-white-box", black_box_beats),
    ("more-queries-do-not-help", queries_in_vain),
    ("implementations-disagree", disagree),
    ("implementations-disagree", exact_engine_drifts),
    ("implementations-disagree", fused_engine_differs_at_once),
    ("implementations-disagree", crosscheck_loss),
    ("implementations-disagree", crosscheck_accuracy),
    ("zero-gradients", zero_gradients),
    ("outputs-are-probabilities", probabilities),
    ("budget-exceeded", overshoot),
    ("budget-exceeded", too_large),
    ("budget-exceeded", too_long),
    ("not-finite", not_finite),
]


def test_healthy_run_raises_no_flag_though_every_check_looked() -> None:
    found = survey(make_rows(), make_run(), make_crosscheck())
    assert found == {one.flag: [] for one in CHECKS}


@pytest.mark.parametrize(("flag", "spoil"), SPOILS, ids=[spoil.__name__ for _, spoil in SPOILS])
def test_flag(flag: str, spoil: Spoil) -> None:
    rows, run, crosscheck = make_rows(), make_run(), make_crosscheck()
    spoil(rows, run, crosscheck)
    flags = find_flags(rows, run, crosscheck)
    assert {f.flag for f in flags} == {flag}
    assert all(f.saw and f.meaning and f.remedy for f in flags)


def test_only_what_float32_does_not_explain_leaves_the_ball() -> None:
    rows, run, crosscheck = make_rows(), make_run(), make_crosscheck()
    where = cell(rows, "fgsm", 2 / 255)
    rows.loc[where, ["norm", "eps", "linf", "l2", "overshoot"]] = ["l2", 3.0, 0.9, 3.0, 8e-6]  # float32's own
    rows.loc[where[0], "overshoot"] = 2e-5
    assert [f.saw for f in find_flags(rows, run, crosscheck)] == [
        "1 proposals (cut back before judging) leave the ball, by up to 2e-05"
    ]


def test_every_check_is_provoked() -> None:
    assert {flag for flag, _ in SPOILS} == {one.flag for one in CHECKS}


def test_flag_says_where_and_what() -> None:
    rows = make_rows()
    fall(rows, cell(rows, "noise", 1 / 255)[:20])
    flags = find_flags(rows, make_run(), None)
    assert [(f.attack, f.norm, f.goal, f.eps) for f in flags if f.attack == "fgsm"] == [("fgsm", "linf", "dodge", 1 / 255)]
    assert flags[0].saw == "accuracy 95.0 % under the attack, 65.0 % under random noise"


def test_one_image_is_no_flag() -> None:
    """With few images a single one is many points, and decides nothing."""
    rows = make_rows()
    rows = rows[rows["image"].isin(rows["image"].unique()[:20])].copy()
    where = cell(rows, "art-pgd", 1 / 255)
    standing = where[~rows.loc[where, "success"]]
    fall(rows, standing[:1])
    assert find_flags(rows, make_run(), None) == []
    fall(rows, standing[:2])
    assert {f.flag for f in find_flags(rows, make_run(), None)} == {"implementations-disagree"}


def test_single_step_may_recover_and_noise_may_beat_it_at_the_huge_eps() -> None:
    rows = make_rows()
    stand(rows, cell(rows, "fgsm", HUGE)[:20])
    fall(rows, cell(rows, "noise", HUGE))
    flags = find_flags(rows, make_run(), None)
    assert {f.flag for f in flags} == {"implementations-disagree"}  # art-fgsm did not recover


def test_huge_eps_is_found_in_rows_of_nine_digits() -> None:
    rows, run = make_rows(), make_run()
    above_chance(rows, run, make_crosscheck())
    rows["eps"] = [float(f"{eps:.9g}") for eps in rows["eps"]]
    assert {f.flag for f in find_flags(rows, run, None)} == {"huge-eps-above-chance"}


def test_checks_without_material_say_so() -> None:
    rows = make_rows()
    only = rows[(rows["attack"] == "noise") & (rows["eps"] == 4 / 255)]
    found = survey(only, {"schema": 1}, None)
    looked = {flag for flag, flags in found.items() if flags is not None}
    assert looked == {"clean-mismatch", "budget-exceeded", "not-finite"}


def test_loss_of_images_already_fooled_is_no_flag() -> None:
    rows = make_rows()
    rows.loc[cell(rows, "pgd-2x", 8 / 255), "loss"] += 5
    assert find_flags(rows, make_run(), None) == []


def test_black_box_must_beat_every_attack_with_gradients() -> None:
    """Weak PGD beside a strong APGD is no sign of masked gradients; nor are attacks with gradients that promise less."""
    rows, run = make_rows(), make_run()
    black_box_beats(rows, run, make_crosscheck())
    strong = rows.loc[cell(rows, "square-1000", 4 / 255)].assign(attack="art-apgd")
    weaker = rows.loc[cell(rows, "fgsm", 4 / 255)].assign(attack="art-deepfool")
    run["config"]["attacks"].append({"name": "art-deepfool", "attack": "ArtDeepFool", "norm": "linf"})
    assert {f.flag for f in find_flags(pd.concat([rows, weaker]), run, None)} == {"black-box-beats-white-box"}
    run["config"]["attacks"].append({"name": "art-apgd", "attack": "ArtAPGD", "norm": "linf"})
    assert find_flags(pd.concat([rows, strong], ignore_index=True), run, None) == []


def test_more_queries_need_not_help_where_nothing_stands() -> None:
    rows, run = make_rows(), make_run()
    for attack in BLACK_BOX:
        fall(rows, cell(rows, attack, 4 / 255))
    fall(rows, cell(rows, "pgd", 4 / 255))
    fall(rows, cell(rows, "art-pgd", 4 / 255))
    assert not [f for f in find_flags(rows, run, None) if f.flag == "more-queries-do-not-help"]


def test_budgets_of_different_attacks_are_not_compared() -> None:
    rows, run = make_rows(), make_run()
    queries_in_vain(rows, run, make_crosscheck())
    run["config"]["attacks"][1]["attack"] = "ArtSimBA"
    assert survey(rows, run, None)["more-queries-do-not-help"] is None
