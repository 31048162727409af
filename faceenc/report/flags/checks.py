"""The checks of `catalogue`, one function each: the results of a run -> hits.

A difference between two accuracies counts when it is larger than a number of points and than one image: with few images
a single one is many points. Each docstring says where its line is drawn and why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from faceenc.core import SLACK
from faceenc.report import tables
from faceenc.report.words import is_verification

_POINTS = 0.02  # accuracy and success: two attacks on the same images wobble by less
_PARITY_POINTS = 0.01  # two implementations of one attack
_LOSS_GAIN = 0.2  # nats: the truth's probability shrinks by a fifth
_PARITY_LOSS = (0.02, 0.05)  # relative, plus absolute in nats for losses near zero
EXACT = 1e-6  # the exact engine against ART, largest difference
_ONE_STEP = 1e-4  # the fused engine against ART after one step, share of pixels

# Of an L2 eps: float32 misses the length of 150,000 values by 1.2e-6 of it, once where an attack projects and once where it
# is measured. Sums in float64 would not have ART's bits.
_LENGTH_SLACK = 3e-6
_SINGLE_STEP = {"fgsm": "pgd", "art-fgsm": "art-pgd"}
# One gradient step may overshoot and random noise promises nothing: only iterative attacks must get better with eps.
_NOT_ITERATIVE = [*_SINGLE_STEP, tables.NOISE]


@dataclass(frozen=True, slots=True)
class RunResults:
    rows: pd.DataFrame
    summary: pd.DataFrame
    run: Mapping[str, Any]
    crosscheck: pd.DataFrame | None


class Hit(NamedTuple):
    where: Mapping[str, Any]
    saw: str


def beyond(difference: float, n: int, points: float = _POINTS) -> bool:
    return difference > points + 1e-9 and difference * n > 1 + 1e-6


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _dicts(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def usual(results: RunResults, table: pd.DataFrame) -> pd.DataFrame:
    """Without eps 0 and without the huge eps, where `above_chance` has the say."""
    limit = table["norm"].map(lambda norm: tables.huge_eps(results.run, norm))
    return table[(table["eps"] > 0) & (table["eps"] < limit)]


def not_monotone(results: RunResults) -> list[Hit] | None:
    """Accuracy must not rise above its lowest value at any smaller eps by more than 2 points and one image.

    Held against the running lowest value, so that a slow climb counts too. Iterative attacks only.
    """
    cells = results.summary[~results.summary["attack"].isin(_NOT_ITERATIVE)]
    hits = []
    curves = 0
    for _, curve in cells.groupby([key for key in tables.KEYS if key != "eps"]):
        ordered = curve.sort_values("eps")
        curves += len(ordered) > 1
        rise = ordered["adversarial_accuracy"] - ordered["adversarial_accuracy"].cummin()
        worst = _dicts(ordered.loc[[rise.idxmax()]])[0]
        if beyond(float(rise.max()), worst["n"]):
            low = percent(worst["adversarial_accuracy"] - float(rise.max()))
            hits.append(Hit(worst, f"accuracy {percent(worst['adversarial_accuracy'])}, but {low} at a smaller eps"))
    return hits if curves else None


def clean_mismatch(results: RunResults) -> list[Hit] | None:
    """No image may change its prediction at eps = 0, nor be predicted differently, untouched, in two cells: no tolerance."""
    rows = results.rows
    still = rows[rows["eps"] == 0]
    moved = still[still["clean_prediction"] != still["adversarial_prediction"]]
    hits = [
        Hit(where, f"{where['image']} of {where['n']} images changed prediction without any noise")
        for where in _dicts(_count(moved).merge(_count(still).rename(columns={"image": "n"}), on=tables.KEYS))
    ]
    # Of a pair: who the other photo shows depends on what is wanted.
    goal = ["goal"] if is_verification(results.run) else []
    answers = rows.groupby(["recognizer", "judge", *goal, "image"])["clean_prediction"].nunique().reset_index()
    unsteady = answers[answers["clean_prediction"] > 1]
    for names, group in unsteady.groupby(["recognizer", "judge"]):
        where = dict(zip(["recognizer", "judge"], names, strict=True))
        hits.append(Hit(where, f"{len(group)} untouched images were recognised differently in different cells"))
    return hits


def _count(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.groupby(tables.KEYS)["image"].nunique().reset_index()


def above_chance(results: RunResults) -> list[Hit] | None:
    """Iterative attacks at the huge eps: the Wilson interval of the accuracy must reach down to chance, one in K people."""
    cells = results.summary[~results.summary["attack"].isin(_NOT_ITERATIVE)]
    limit = cells["norm"].map(lambda norm: tables.huge_eps(results.run, norm))
    examined, hits = 0, []
    for cell in _dicts(cells[cells["eps"] >= limit]):
        chance = tables.chance(results.run, cell["judge"])
        if chance is None:
            continue
        examined += 1
        if cell["ci_low"] > chance:
            low, accuracy = percent(cell["ci_low"]), percent(cell["adversarial_accuracy"])
            hits.append(Hit(cell, f"accuracy {accuracy} (at least {low}) where guessing gives {percent(chance)}"))
    return hits if examined else None


def noise_beats_attack(results: RunResults) -> list[Hit] | None:
    """Random noise must not cost more accuracy than an attack of the same size, by more than 2 points and one image."""
    cells = usual(results, results.summary[results.summary["attack"] != tables.CONTROL])
    keys = ["recognizer", "judge", "norm", "eps"]
    noise = cells.loc[cells["attack"] == tables.NOISE, [*keys, "adversarial_accuracy"]]
    both = cells[cells["attack"] != tables.NOISE].merge(noise, on=keys, suffixes=("", "_noise"))
    hits = [
        Hit(cell, f"accuracy {percent(attack)} under the attack, {percent(random)} under random noise")
        for cell in _dicts(both)
        if beyond((attack := cell["adversarial_accuracy"]) - (random := cell["adversarial_accuracy_noise"]), cell["n"])
    ]
    return hits if len(both) else None


def single_step_beats(results: RunResults) -> list[Hit] | None:
    """One step must not reach its goal on more images than many steps, by more than 2 points and one image."""
    summary = usual(results, results.summary).assign(reached=tables.reached)
    both = tables.compare(summary, _SINGLE_STEP)
    hits = [
        Hit(
            {**cell, "attack": cell["attack_b"]},
            f"goal reached on {percent(many)} of images, on {percent(one)} in one step",
        )
        for cell in _dicts(both)
        if beyond((one := cell["reached_a"]) - (many := cell["reached_b"]), min(cell["n_a"], cell["n_b"]))
    ]
    return hits if len(both) else None


def more_steps_help(results: RunResults) -> list[Hit] | None:
    """Twice the steps, same images, seeds, eps: success up by more than 2 points and one image, or the loss still climbing.

    A loss that grows on images already fooled says nothing about robustness, so the loss is examined on the images that
    plain PGD left standing, if there are at least two: a mean gain of 0.2 nats takes a fifth off the truth's probability.
    """
    keys = [*(key for key in tables.KEYS if key != "attack"), "seed", "image"]
    rows = results.rows[[*keys, "attack", "success", "loss"]]
    once = rows[rows["attack"] == "pgd"]
    twice = rows[rows["attack"] == tables.CONTROL].drop(columns="attack")
    both = usual(results, once.merge(twice, on=keys, suffixes=("", "_twice")))
    hits = []
    for names, group in both.groupby(tables.KEYS):
        where = dict(zip(tables.KEYS, names, strict=True))
        plain, more = float(group["success"].mean()), float(group["success_twice"].mean())
        standing = group[~group["success"]]
        gain = float((standing["loss_twice"] - standing["loss"]).mean()) if len(standing) > 1 else 0.0
        if beyond(more - plain, group["image"].nunique()):
            hits.append(Hit(where, f"goal reached on {percent(plain)} of images, on {percent(more)} with twice the steps"))
        elif gain > _LOSS_GAIN:
            hits.append(Hit(where, f"twice the steps raise the loss of {len(standing)} images still standing by {gain:.2f}"))
    return hits if len(both) else None


def disagree(results: RunResults) -> list[Hit] | None:
    """Ours against ART's: accuracies over 1 point and one image apart, or a cross-check outside what rounding explains.

    The exact engine may differ from ART by 1e-6, the fused one after one Linf step in 1e-4 of the pixels (a low-precision
    one in many more; an L2 step is no sign, so there every pixel differs in its last bits). The final loss of each may
    differ by 2 % and 0.05.
    """
    both = tables.compare(results.summary, tables.COUNTERPARTS)
    hits = [
        Hit({**cell, "attack": cell["attack_a"]}, f"accuracy {percent(ours)}, {percent(theirs)} with ART's implementation")
        for cell in _dicts(both)
        if beyond(
            abs((ours := cell["adversarial_accuracy_a"]) - (theirs := cell["adversarial_accuracy_b"])),
            min(cell["n_a"], cell["n_b"]),
            _PARITY_POINTS,
        )
    ]
    crosscheck = results.crosscheck
    if crosscheck is not None:
        hits += [hit for _, steps in crosscheck.groupby(["norm", "goal", "engine"]) for hit in _crosscheck_hits(steps)]
    return hits if len(both) or crosscheck is not None else None


def _crosscheck_hits(steps: pd.DataFrame) -> Iterable[Hit]:
    ordered = _dicts(steps.sort_values("step"))
    first, last = ordered[0], ordered[-1]
    where = {"attack": f"pgd ({last['engine']})", "norm": last["norm"], "goal": last["goal"], "eps": last["eps"]}
    largest, differing = float(steps["max_difference"].max()), 1 - first["identical_pixels"]
    if last["engine"] == "exact" and not largest <= EXACT:
        yield Hit(where, f"cross-check: the exact engine differs from ART by up to {largest:.2g}")
    if last["engine"] == "fused" and last["norm"] == "linf" and not differing <= _ONE_STEP:
        yield Hit(where, f"cross-check: {100 * differing:.2g} % of the pixels differ after the first step")
    ours, theirs = last["accuracy"], last["art_accuracy"]
    if beyond(abs(ours - theirs), int(last["images"]), _PARITY_POINTS):
        yield Hit(where, f"cross-check: accuracy {percent(ours)}, ART's {percent(theirs)}")
    relative, absolute = _PARITY_LOSS
    if not abs(last["loss"] - last["art_loss"]) <= relative * abs(last["art_loss"]) + absolute:
        yield Hit(where, f"cross-check: loss {last['loss']:.3g}, ART's {last['art_loss']:.3g}")


def zero_gradients(results: RunResults) -> list[Hit] | None:
    """Any image whose gradient is zero everywhere: no tolerance."""
    diagnoses = [d for d in results.run.get("diagnostics", []) if d.get("zero_gradient_share") is not None]
    hits = [
        Hit(d, f"{percent(d['zero_gradient_share'])} of the images have a gradient of zero everywhere")
        for d in diagnoses
        if d["zero_gradient_share"] > 0
    ]
    return hits if diagnoses else None


def probabilities(results: RunResults) -> list[Hit] | None:
    """The run's own test of the outputs: all in [0, 1] and summing to one for every image."""
    diagnoses = [d for d in results.run.get("diagnostics", []) if d.get("probabilities") is not None]
    hits = [Hit(d, "the outputs lie in [0, 1] and sum to one") for d in diagnoses if d["probabilities"]]
    return hits if diagnoses else None


def budget_exceeded(results: RunResults) -> list[Hit] | None:
    """Proposals and judged images may leave the ball by float32's own error: 1e-6; for L2 3e-6 times eps, if larger."""
    rows = results.rows
    slack = (_LENGTH_SLACK * rows["eps"]).where(rows["norm"] == "l2", 0).clip(lower=SLACK)
    measured = rows["linf"].where(rows["norm"] == "linf", rows["l2"]) - rows["eps"]
    hits = []
    for excess, what in ((rows["overshoot"], "proposals (cut back before judging)"), (measured, "judged images")):
        outside = rows.assign(excess=excess)[excess > slack]
        for names, group in outside.groupby(tables.KEYS):
            where = dict(zip(tables.KEYS, names, strict=True))
            hits.append(Hit(where, f"{len(group)} {what} leave the ball, by up to {group['excess'].max():.2g}"))
    return hits


def not_finite(results: RunResults) -> list[Hit] | None:
    """Every measured number must be finite, but for the PSNR of an unchanged image, which is infinite."""
    names = ["loss", "linf", "l2", "ssim", "overshoot"]
    if not is_verification(results.run):  # distances only
        names += ["clean_probability", "adversarial_probability", "label_probability"]
    finite = np.isfinite(results.rows[names].to_numpy(dtype=float)).all(axis=1)
    bad = ~finite | results.rows["psnr"].isna().to_numpy()
    return [
        Hit(where, f"{where['image']} images with a number that is not finite")
        for where in _dicts(_count(results.rows[bad]))
    ]
