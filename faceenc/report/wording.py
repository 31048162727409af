"""What the report says in sentences, and how it writes figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from faceenc.report import tables
from faceenc.report.flags.checks import EXACT
from faceenc.report.tables import attack_title, eps_text
from faceenc.report.words import Words, is_verification, words_of

# Whatever every report says in the same words.
NOTES = {
    "caveat": "Evaluated against these attacks only; a stronger attack may lower the accuracy.",
    "quality_note": "Of the judged 8-bit picture against the untouched one: higher is closer to the original; above"
    " 40 dB the difference is hard to see.",
    "time_note": "At the noise size of the headline, or the nearest that an attack was run at; one after the other, on the"
    " machine below: a guide, not a race.",
    "examples_note": "Left the original, right what the recogniser was given; grey in the middle means no change. Per"
    " cent: the recogniser's own probability.",
    "reproduce_note": "The resolved configuration, the hashes of weights and data and the git revision are in run.json;"
    " every single result is in rows.csv. faceenc-bench report FOLDER makes this page again from them"
    " without attacking anew.",
}


@dataclass(frozen=True, slots=True)
class Headline:
    """What one recogniser's run comes to: sentences, and the same figures as (name, figure, interval)."""

    title: str
    sentences: Sequence[str]
    tiles: Sequence[tuple[str, str, str]]


def points(share: float) -> str:
    """A share in per cent, one decimal; a dash where there is none."""
    return "\N{EN DASH}" if pd.isna(share) else f"{100 * share:.1f}"


def interval(low: float, high: float) -> str:
    return f"{points(low)}\N{EN DASH}{points(high)}"


def panel_title(recognizer: str, judge: str, norm: str) -> str:
    """As a table names its recogniser, judge and norm."""
    who = recognizer if recognizer == judge else f"noise made on {recognizer}, judged by {judge}"
    return f"{who}, {norm}"


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The lines of a table as dictionaries."""
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def headlines(summary: pd.DataFrame, run: Mapping[str, Any]) -> list[Headline]:
    """One for each recogniser, judge and norm, at the eps of `tables.main_eps`."""
    found, words = [], words_of(run)
    for recognizer, judge, norm, cells in tables.panels(summary):
        eps = tables.main_eps(cells, run, norm)
        at = cells[cells["eps"] == eps]
        if eps is None or at.empty:
            continue
        by = {(c["attack"], c["goal"]): c for c in records(at)}
        size = eps_text(eps, norm)
        sentences, tiles = _untouched([c for c in by.values() if c["goal"] == "dodge" or not is_verification(run)], words)
        for goal in ("dodge", "impersonate"):
            pair = [by[attack, goal] for attack in ("pgd", "art-pgd") if (attack, goal) in by]
            if pair and goal == "impersonate" and is_verification(run):
                sentences.append(_impostor_sentence(pair, cells, size))
                tiles += map(_impostor_tile, pair)
                continue
            sentences += [_attack_sentence(pair, size, words)] if pair else []
            tiles += map(_tile, pair)
        if noise := by.get((tables.NOISE, "dodge")):
            figure = points(noise["adversarial_accuracy"])
            sentences.append(f"Under random noise of the same size {words.under} {figure} %.")
            tiles.append(_tile(noise))
        found.append(Headline(f"{panel_title(recognizer, judge, norm)}, eps {size}", sentences, tiles))
    return found


def _untouched(cells: Sequence[Mapping[str, Any]], words: Words) -> tuple[list[str], list[tuple[str, str, str]]]:
    """What is said of the photos, or genuine pairs, as they are; nothing where none was attacked."""
    if not cells:
        return [], []
    most = max(cells, key=lambda c: c["n"])
    clean = points(most["clean_accuracy"])
    low, high = tables.wilson(most["clean_accuracy"] * most["n"], most["n"])
    sentence = words.untouched.format(judge=most["judge"], clean=clean, n=most["n"])
    return [sentence], [("Untouched", f"{clean} %", f"{interval(low, high)} %")]


def _attack_sentence(pair: Sequence[Mapping[str, Any]], size: str, words: Words) -> str:
    """In-house PGD and ART's, or whichever was run, against the truth and, if aimed, toward the target."""
    parts = []
    for cell in pair:
        whose = _whose(cell)
        hit = f", {points(cell['target_rate'])} % taken for that person" if cell["goal"] == "impersonate" else ""
        bounds = interval(cell["ci_low"], cell["ci_high"])
        parts.append(f"{points(cell['adversarial_accuracy'])} % with {whose} (95 % interval {bounds} %{hit})")
    if pair[0]["goal"] == "dodge":
        return f"Under PGD noise of at most {size} {words.under} {' and '.join(parts)}."
    return f"When PGD aims at another person, {words.aimed} {' and '.join(parts)}."


def _impostor_sentence(pair: Sequence[Mapping[str, Any]], cells: pd.DataFrame, size: str) -> str:
    untouched = cells[(cells["goal"] == "impersonate") & (cells["eps"] == 0)]["target_rate"].max()
    parts = [
        f"{points(cell['target_rate'])} % with {_whose(cell)} (95 % interval {interval(*_of_target(cell))} %)"
        for cell in pair
    ]
    return f"Of {pair[0]['n']} impostor pairs {points(untouched)} % match untouched, and under PGD {' and '.join(parts)}."


def _impostor_tile(cell: Mapping[str, Any]) -> tuple[str, str, str]:
    name = f"{attack_title(cell['attack'])}, impostor pairs"
    return name, f"{points(cell['target_rate'])} %", f"{interval(*_of_target(cell))} %"


def _of_target(cell: Mapping[str, Any]) -> tuple[float, float]:
    return tables.wilson(cell["target_rate"] * cell["n"], cell["n"])


def _whose(cell: Mapping[str, Any]) -> str:
    return "ART's" if cell["attack"].startswith("art-") else "ours"


def _tile(cell: Mapping[str, Any]) -> tuple[str, str, str]:
    name = attack_title(cell["attack"], cell["goal"])
    return name, f"{points(cell['adversarial_accuracy'])} %", f"{interval(cell['ci_low'], cell['ci_high'])} %"


def crosscheck_words(crosscheck: pd.DataFrame) -> list[str]:
    """Why pixels differ from ART's, in this run's own numbers."""
    keys = ["norm", "goal", "engine"]
    ordered = crosscheck.sort_values("step")
    first, last = ordered.groupby(keys).first().reset_index(), ordered.groupby(keys).last().reset_index()
    words = []
    for name, steps in ordered.groupby("engine"):
        if name == "exact":
            words.append(_exact_words(float(steps["max_difference"].max())))
        else:
            words.append(_engine_words(str(name), first[first["engine"] == name], last[last["engine"] == name]))
    signs = (first["norm"] == "linf") & (first["engine"] != "exact")
    if (last["identical_pixels"] < first["identical_pixels"])[signs].any():
        words.append(
            "The difference grows from step to step because PGD is chaotic. An engine that adds the same numbers in another"
            " order, or with fewer digits, rounds differently; where a gradient is almost zero its sign turns, that pixel"
            " steps the other way, and the next gradient is taken at another image. Equal pixels are therefore asked of"
            " the exact engine only; of the others, equal accuracy and loss."
        )
    return words


def _engine_words(name: str, first: pd.DataFrame, last: pd.DataFrame) -> str:
    """One engine's differences. An L2 step is no sign: every pixel differs a little, so the largest difference counts."""
    parts = []
    if (first["norm"] == "linf").any():
        start, end = (1 - t.loc[t["norm"] == "linf", "identical_pixels"] for t in (first, last))
        parts.append(f"{_span(start)} of the pixels differ after the first Linf step and {_span(end)} after the last")
    if (first["norm"] == "l2").any():
        one, all_steps = (float(t.loc[t["norm"] == "l2", "max_difference"].max()) for t in (first, last))
        parts.append(
            f"the largest L2 difference is {255 * one:.2g} of 255 after the first step and {255 * all_steps:.2g} at the end"
        )
    accuracy, loss = (last["accuracy"] - last["art_accuracy"]).abs(), (last["loss"] - last["art_loss"]).abs()
    return (
        f"With the {name} engine {'; '.join(parts)}. Accuracy then differs from ART's by at most"
        f" {points(accuracy.max())} points, the mean loss by at most {loss.max():.2g}."
    )


def _exact_words(largest: float) -> str:
    if largest == 0:
        return "The exact engine equals ART's PGD to the last bit, at every step."
    if largest <= EXACT:
        return f"The exact engine differs from ART's PGD by at most {largest:.2g} of 1: float32's own rounding."
    return f"The exact engine differs from ART's PGD by up to {largest:.2g} of 1 and should equal it: see the flags."


def _span(shares: pd.Series[float]) -> str:
    low, high = (f"{100 * float(share):.2g}" for share in (shares.min(), shares.max()))
    return f"{low} %" if low == high else f"{low} to {high} %"


def examples_words(entries: Sequence[Mapping[str, Any]]) -> str:
    """The picture grid for those who do not see it; empty without pictures."""
    if not entries:
        return ""
    parts = [
        f"{e['image']}: {e['clean_prediction']} before, {e['adversarial_prediction']} after {attack_title(str(e['attack']))}"
        for e in entries
    ]
    return f"Rows of original, magnified noise and adversarial picture. {'; '.join(parts)}."
