"""Flags of a transfer measurement: signs that its figures flatter the attack or the recogniser."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from faceenc.report import tables
from faceenc.report.flags.catalogue import Check, Flag, raised
from faceenc.report.flags.checks import Hit, RunResults, beyond

_POINTS = 0.05  # of success: pairs are few, and two surrogates' noise differs by chance
_REPEAT = 0.9  # cosine of a gradient with itself, asked twice
_SLOPE = 0.1  # of what the gradient promises, that must come true

_CONTROLS = (tables.BORROWED, tables.NOISE)


def survey_transfer(rows: pd.DataFrame, run: Mapping[str, Any]) -> dict[str, list[Flag] | None]:
    """Flags by the name of their check; None for a check that found nothing to examine."""
    return raised(TRANSFER_CHECKS, RunResults(rows, tables.summarize(rows), run, None))


def _networks(run: Mapping[str, Any], part: str) -> dict[str, set[str]]:
    """Fingerprints of the networks behind each name; an ensemble has several, joined by "|"."""
    return {str(one["name"]): set(str(one["network"]).split("|")) for one in run.get(part, [])}


def _marked(results: RunResults) -> pd.DataFrame:
    """Cells of attacks at eps > 0, with `reached`, and `white`: the judge's network is among the surrogate's."""
    surrogates, judges = _networks(results.run, "surrogates"), _networks(results.run, "judges")
    cells = results.summary[(results.summary["eps"] > 0) & ~results.summary["attack"].isin(_CONTROLS)].copy()
    targeted = cells["goal"] == "impersonate"
    cells["reached"] = cells["target_rate"].where(targeted, cells["success_rate"])
    cells["white"] = [
        bool(surrogates.get(s, {s}) & judges.get(j, {j})) for s, j in zip(cells["recognizer"], cells["judge"], strict=True)
    ]
    return cells


def _foreign_beats_own(results: RunResults, by: list[str], saw: str) -> list[Hit] | None:
    """Groups of cells where noise made on another network beats the best made on the judge's own; `saw` is formatted."""
    hits, examined = [], False
    for _, group in _marked(results).groupby(by):
        own, foreign = group[group["white"]], group[~group["white"]]
        if own.empty or foreign.empty:
            continue
        examined = True
        best, most = foreign.sort_values("reached").iloc[-1], own["reached"].max()
        ahead = best["reached"] - most
        if beyond(ahead, best["n"], _POINTS):
            hits.append(Hit(_where(best), saw.format(best=best["reached"], surrogate=best["recognizer"], own=most)))
    return hits if examined else None


def transfer_beats_white_box(results: RunResults) -> list[Hit] | None:
    """The best attack from elsewhere against the best attack on the judge itself: 5 points and one image better."""
    return _foreign_beats_own(
        results, ["judge", "norm", "goal", "eps"], "{best:.1%} from {surrogate}, {own:.1%} on the judge itself"
    )


def diagonal_not_maximum(results: RunResults) -> list[Hit] | None:
    """One attack's matrix: in a judge's column no surrogate may stand above the judge itself by 5 points and one image."""
    return _foreign_beats_own(
        results, ["judge", "attack", "norm", "goal", "eps"], "{surrogate} {best:.1%}, diagonal {own:.1%}"
    )


def gradients_masked(results: RunResults) -> list[Hit] | None:
    """Zero for any image, another one when asked again (cosine below 0.9), or a loss that does not follow (below 0.1)."""
    hits = []
    diagnoses = [one for one in results.run.get("diagnostics", []) if "slope_ratio" in one]
    for one in diagnoses:
        slope = float(one["slope_ratio"])
        doubts = []
        if one["zero_gradient_share"] > 0:
            doubts.append(f"zero for {one['zero_gradient_share']:.0%} of the images")
        if one["zero_gradient_share"] < 1 and one["repeat_cosine"] < _REPEAT:
            doubts.append(f"random: asked twice, cosine {one['repeat_cosine']:.2f}")
        if not math.isnan(slope) and slope < _SLOPE:
            doubts.append(f"false: the loss rises by {slope:.0%} of what it promises")
        if doubts:
            hits.append(Hit({"recognizer": one["recognizer"]}, f"the gradient is {'; '.join(doubts)}"))
    return hits if diagnoses else None


def softmax_output(results: RunResults) -> list[Hit] | None:
    """Outputs that are positive and sum to one."""
    diagnoses = [one for one in results.run.get("diagnostics", []) if "probabilities" in one]
    hits = [Hit({"recognizer": one["recognizer"]}, "outputs are probabilities") for one in diagnoses if one["probabilities"]]
    return hits if diagnoses else None


def judge_is_surrogate(results: RunResults) -> list[Hit] | None:
    """A judge under another name, or inside an ensemble, that computes with a surrogate's weights. No tolerance.

    A judge of the surrogate's own name, with or without a defence, says openly that it is white-box.
    """
    surrogates, judges = _networks(results.run, "surrogates"), _networks(results.run, "judges")
    if not surrogates or not judges:
        return None
    return [
        Hit({"recognizer": s, "judge": j}, f"{j} computes with the weights of {s}, on which the noise was made")
        for s, own in surrogates.items()
        for j, others in judges.items()
        if own & others and j.split("+")[0] != s
    ]


def fitted_on_test(results: RunResults) -> list[Hit] | None:
    """Photos in both halves: no tolerance."""
    data = results.run.get("data", {})
    if "fit_and_test_photos_shared" not in data:
        return None
    shared = int(data["fit_and_test_photos_shared"])
    return [Hit({}, f"{shared} photos fitted the thresholds and were tested with them")] if shared else []


def _where(cell: pd.Series[Any]) -> dict[str, Any]:
    return {name: cell[name] for name in tables.KEYS}


TRANSFER_CHECKS = (
    Check(
        "transfer-beats-white-box",
        "no attack from another recogniser does better than the best one on the judge itself",
        "the judge's own gradients are masked, or the attack on it is badly set up: it appears more robust than it is",
        "examine the judge's gradients, add steps and restarts; report the transfer result as its robustness",
        transfer_beats_white_box,
    ),
    Check(
        "diagonal-not-maximum",
        "each attack does best on the recogniser it was made on",
        "that recogniser hides its gradients, or its crop or threshold differs between attack and judgement",
        "compare the surrogate's and the judge's embeddings of one picture; examine the gradients",
        diagonal_not_maximum,
    ),
    Check(
        "gradients-masked",
        "gradients are there, stay the same, and the loss follows them",
        "the recogniser withstands attacks by gradient because there is none to follow, not because it is robust",
        "attack through a smooth stand-in or with expectation over the dice, and with attacks that need no gradient",
        gradients_masked,
    ),
    Check(
        "surrogate-answers-probabilities",
        "a surrogate answers with logits or embeddings",
        "a softmax flattens the loss until gradients vanish",
        "attack what goes into the softmax",
        softmax_output,
    ),
    Check(
        "judge-is-surrogate",
        "judges and surrogates are different networks, unless the name says otherwise",
        "the result is white-box and says nothing about recognisers that were not asked",
        "take the judge out of the surrogates, or report it as white-box",
        judge_is_surrogate,
    ),
    Check(
        "threshold-fitted-on-test",
        "thresholds come from people who are not tested",
        "the threshold knows the pairs it is applied to, so matches before and after are both too good",
        "fit on one half of the people, apply to the other",
        fitted_on_test,
    ),
)
