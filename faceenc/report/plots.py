"""The report's two pictures as PNG bytes: accuracy against eps, and what the noise looks like."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from faceenc.core import RunError, shown
from faceenc.report import tables
from faceenc.report.words import is_verification

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


# Colour shows attack and goal. ART's are hollow markers without a line: they usually lie on ours, at fewer sizes.
COLOURS = {
    ("pgd", "dodge"): "#1f5fa8",
    ("pgd", "impersonate"): "#b3261e",
    ("fgsm", "dodge"): "#2a8c82",
    ("fgsm", "impersonate"): "#d98200",
    (tables.NOISE, "dodge"): "#6b6b6b",
}
_MARKERS = {"pgd": "o", "fgsm": "^", tables.NOISE: "x"}
# The others take turns, in the order of their names.
_OTHER_COLOURS = ("#7a4fa3", "#8c5a2b", "#c2559d", "#4d7c0f", "#0f766e", "#a16207", "#475569")
_OTHER_MARKERS = "sDvPX*h<>"
_GOOD, _BAD = "#1d6b34", "#b3261e"
_MOST_EXAMPLES = 3
_DPI = 150
_EXAMPLES_DPI = 132


def accuracy(summary: pd.DataFrame, run: Mapping[str, Any]) -> bytes:
    """Accuracy against eps, one panel for each (recognizer, judge, norm), one curve for each attack and goal.

    The x axis is logarithmic but for its first stretch, so that eps = 0 has a place. Bands are Wilson 95 % intervals.
    """
    from matplotlib.figure import Figure

    panels = [(cells, "adversarial_accuracy") for *_, cells in tables.panels(summary)]
    if is_verification(run):
        panels = [
            (cells[cells["goal"] == goal], column)
            for cells, kept in panels
            for goal, column in (("dodge", kept), ("impersonate", "target_rate"))
            if (cells["goal"] == goal).any()
        ]
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(8.6 if columns == 1 else 13, 4.9 * rows), layout="constrained")
    for index, (cells, column) in enumerate(panels):
        _draw_panel(figure.add_subplot(rows, columns, index + 1), cells, run, column)
    return png(figure)


def _draw_panel(axes: Axes, cells: pd.DataFrame, run: Mapping[str, Any], column: str) -> None:
    first = cells.iloc[0]
    norm, judge = str(first["norm"]), str(first["judge"])
    sizes = sorted({0.0, *(float(eps) for eps in cells["eps"].unique())})
    aimed = column == "target_rate"
    if aimed:
        bounds = [tables.wilson(share * n, n) for share, n in zip(cells[column], cells["n"], strict=True)]
        cells = cells.assign(adversarial_accuracy=cells[column])
        cells = cells.assign(ci_low=[low for low, _ in bounds], ci_high=[high for _, high in bounds])
    most = cells[cells["n"] == cells["n"].max()]
    clean = float(most[most["eps"] == 0][column].iloc[0]) if aimed else float(most["clean_accuracy"].iloc[0])
    axes.axhline(100 * clean, color="#333333", linewidth=1, linestyle=(0, (6, 3)), label=f"Untouched, {100 * clean:.1f} %")
    curves = {(str(attack), str(goal)): curve for (attack, goal), curve in cells.groupby(["attack", "goal"])}
    others = sorted({attack for attack, _ in curves})
    for attack, goal in sorted(curves, key=tables.attack_order):
        if attack != tables.CONTROL:
            _draw_curve(axes, curves[attack, goal].sort_values("eps"), attack, goal, others.index(attack))
    chance = tables.chance(run, judge)
    if chance is not None and not is_verification(run):
        axes.axhline(100 * chance, color="#333333", linewidth=1, linestyle=":", label=f"Guessing, {100 * chance:.1f} %")
    axes.set_xscale("symlog", linthresh=sizes[1] if len(sizes) > 1 else 1, linscale=0.6)
    axes.set_xticks(sizes, [tables.eps_text(eps, norm) for eps in sizes], minor=False)
    axes.set_xticks([], minor=True)
    axes.tick_params(axis="x", labelrotation=45 if len(sizes) > 9 else 0)
    axes.set_xlim(0, sizes[-1] * 1.12 if sizes[-1] else 1)
    axes.set_ylim(-3, 103)
    axes.set_xlabel("Largest change of a colour value, eps" if norm == "linf" else "Length of the noise (L2), eps")
    pairs = "Impostor pairs that match, %" if aimed else "Genuine pairs that still match, %"
    axes.set_ylabel(pairs if is_verification(run) else "Photos still recognised, %")
    recognizer = str(first["recognizer"])
    title = recognizer if recognizer == judge else f"noise made on {recognizer}, judged by {judge}"
    axes.set_title(f"{title} ({norm})", loc="left", fontsize=11, fontweight="bold")
    axes.grid(axis="y", color="#dddddd", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=9)


def _draw_curve(axes: Axes, curve: pd.DataFrame, attack: str, goal: str, turn: int) -> None:
    family = attack.removeprefix("art-")
    foreign = attack != family
    colour = COLOURS.get((family, goal), _OTHER_COLOURS[turn % len(_OTHER_COLOURS)])
    label = tables.attack_title(attack, goal)
    axes.plot(
        curve["eps"],
        100 * curve["adversarial_accuracy"],
        color=colour,
        linestyle="none" if foreign else "-",
        linewidth=1.8,
        marker=_MARKERS.get(family, _OTHER_MARKERS[turn % len(_OTHER_MARKERS)]),
        markersize=8 if foreign else 4.5,
        markerfacecolor="none" if foreign else colour,
        label=label,
    )
    if not foreign:
        axes.fill_between(curve["eps"], 100 * curve["ci_low"], 100 * curve["ci_high"], color=colour, alpha=0.13, linewidth=0)


def examples(folder: Path, entries: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows of original, noise magnified, adversarial, with what the recogniser says to each.

    Args:
        folder: holds the pictures that the entries name.
        entries: as in examples.json; a few are shown, spread over all.

    Raises:
        RunError: a picture is missing, unreadable or not of its partner's size.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    shown = entries[:: max(1, math.ceil(len(entries) / _MOST_EXAMPLES))]
    figure = Figure(figsize=(7.6, 2.85 * len(shown)), layout=ConstrainedLayoutEngine(h_pad=0.12))
    for index, entry in enumerate(shown):
        original, adversarial = (_picture(folder / entry[key]) for key in ("original", "adversarial"))
        if original.shape != adversarial.shape:
            raise RunError(f"{folder / entry['adversarial']}: not of {entry['original']}'s size; run the benchmark anew")
        difference = adversarial.astype(np.int16) - original.astype(np.int16)
        factor = max(1, 100 // max(1, int(np.abs(difference).max())))
        noise = np.clip(128 + factor * difference, 0, 255).astype(np.uint8)
        answers = [_answer(entry, key) for key in ("clean", "adversarial")]
        size = f"eps {tables.eps_text(float(entry['eps']), str(entry.get('norm', 'linf')))}, shown {factor} times larger"
        texts = [(f"Original {entry['image']}", *answers[0]), ("Noise", size, "#444444"), (_aim(entry), *answers[1])]
        for column, (picture, (title, line, colour)) in enumerate(zip((original, noise, adversarial), texts, strict=True)):
            axes = figure.add_subplot(len(shown), 3, 3 * index + column + 1)
            axes.imshow(picture, interpolation="nearest")
            axes.set_title(title, fontsize=9, color="#111111")
            axes.set_xlabel(line, fontsize=9, color=colour)
            axes.set_xticks([])
            axes.set_yticks([])
    return _with_palette(png(figure, dpi=_EXAMPLES_DPI))


def _with_palette(picture: bytes) -> bytes:
    """In 256 colours, which halves a picture of noise, and appears the same; the pixels as judged are in `examples/`."""
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as image:
        reduced = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    reduced.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def training_curve(epochs: Sequence[Mapping[str, Any]]) -> bytes:
    """Accuracy over epochs as PNG bytes: training (on augmented images, while learning), validation and test.

    Args:
        epochs: records with `epoch`, `size` and some of `train_accuracy`, `validation_accuracy` and `test_accuracy`.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    curves = (("train", "#6b6b6b", "-"), ("validation", "#1f5fa8", "-"), ("test", "#b3261e", "--"))
    for part, colour, line in curves:
        points = [(e["epoch"], 100 * e[f"{part}_accuracy"]) for e in epochs if f"{part}_accuracy" in e]
        if points:
            label = "test, for the record" if part == "test" else part
            axes.plot(*zip(*points, strict=True), line, color=colour, marker="o", markersize=3, label=label)
    for before, after in itertools.pairwise(epochs):
        if before["size"] != after["size"]:
            axes.axvline(before["epoch"] + 0.5, color="#999999", linewidth=0.8)
            axes.text(before["epoch"] + 0.5, 101.5, f"{after['size']} px from here", color="#666666", fontsize=8)
    axes.set(xlabel="Epoch", ylabel="Accuracy, %", ylim=(0, 101))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    return png(figure)


def reliability(calibration: Mapping[str, Any]) -> bytes:
    """Accuracy over probability as PNG bytes, above how many images stand behind each bin.

    Args:
        calibration: `ece`, and `bins` with `low`, `high`, `probability`, `accuracy` and `images`; none may be empty.
    """
    from matplotlib.figure import Figure

    bins = calibration["bins"]
    low, width = [b["low"] for b in bins], [b["high"] - b["low"] for b in bins]
    figure = Figure(figsize=(5.2, 6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.bar(low, [100 * b["accuracy"] for b in bins], width, align="edge", color="#1f5fa8", alpha=0.25, label="accuracy")
    for number, b in enumerate(bins):
        interval = [100 * bound for bound in tables.wilson(b["accuracy"] * b["images"], b["images"])]
        upper.vlines(b["probability"], *interval, color="#1f5fa8", label=None if number else "95 % (Wilson)")
        upper.plot(b["probability"], 100 * b["accuracy"], "o", color="#1f5fa8", markersize=4)
    upper.plot([0, 1], [0, 100], "--", color="#6b6b6b", linewidth=1, label="probabilities hold")
    upper.set(ylabel="Named rightly, %", xlim=(0, 1), ylim=(0, 102))
    upper.set_title(f"expected calibration error {100 * calibration['ece']:.1f} %", fontsize=11)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    lower.bar(low, [b["images"] for b in bins], width, align="edge", color="#6b6b6b")
    lower.set(xlabel="Probability of the likeliest person", ylabel="Images")
    return png(figure)


def _aim(entry: Mapping[str, Any]) -> str:
    title = tables.attack_title(str(entry["attack"]))
    return f"{title}, aimed at {entry['target']}" if entry.get("target") else title


def _answer(entry: Mapping[str, Any], which: str) -> tuple[str, str]:
    """The answer in words and the colour of right or wrong."""
    answer, share = entry[f"{which}_prediction"], float(entry[f"{which}_probability"])
    right = str(answer) == str(entry["label"])
    return f"{'recognised as' if right else 'taken for'} {answer}, {100 * share:.1f} %", _GOOD if right else _BAD


def _picture(path: Path) -> NDArray[np.uint8]:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except OSError as error:
        raise RunError(f"{path}: cannot be read as a picture; run the benchmark anew or remove examples.json") from error


def _plain_words(figure: Figure) -> None:
    """Names of files and people are drawn as they are: no mark of a formula ("$") is one, and no control is a letter."""
    from matplotlib.text import Text
    from matplotlib.ticker import FixedFormatter

    words = [word for word in figure.findobj(Text) if isinstance(word, Text) and word.get_text()]
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if isinstance(formatter := axis.get_major_formatter(), FixedFormatter):
                formatter.seq = [_plain(str(word)) for word in formatter.seq]
                words += axis.get_ticklabels()
    for word in words:
        word.set_parse_math(False)
        word.set_text(_plain(word.get_text()))


def _plain(text: str) -> str:
    return "\n".join(map(shown, text.split("\n")))


def png(figure: Figure, *, dpi: int = _DPI) -> bytes:
    """The same figure gives the same bytes."""
    buffer = io.BytesIO()
    _plain_words(figure)
    # Without the version of matplotlib inside, the same rows give the same bytes for longer.
    figure.savefig(buffer, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()
