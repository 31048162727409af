"""How well a recogniser knows its people: accuracy with intervals, each person, confusions, calibration, the unknown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from faceenc.core import CheckpointError, DataError, Progress, table_text, write_atomically
from faceenc.data import FaceSet
from faceenc.recognizers import FaceResNet, ForeignClassifier, logits_of
from faceenc.report import wilson
from faceenc.train.calibration import RESAMPLES, group_bootstrap, measure_calibration

STRANGER = -1  # the label of people whom the recogniser does not know
TOP = 5

_BATCH = 128  # images between two words about the progress


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What the answers to labelled faces say. Shares and probabilities lie in [0, 1].

    Attributes:
        record: JSON-like. `top1` and `top5` hold `share`, `right`, `images`, a Wilson interval over the images (`wilson`)
            and one by resampling people (`by_person`), the one to trust about other people; `top5` is None where there are
            no more than five people to choose from. `calibration` holds `ece`, `mce` and the filled bins. `known` counts
            faces of known people at the threshold, and `strangers` those of people the recogniser was not trained on (None
            if there are none).
        identities: a line for each known person with images, the worst first: person, images, right, accuracy, ci_low,
            ci_high (Wilson), called_unknown (images), probability (mean, of whatever answer), most_taken_for ("" if never).
        confusions: a line for each pair, the most frequent first: person, taken_for, images, share (of the person's images),
            probability (mean). The threshold plays no part.
        predictions: a line for each image: file, person, predicted (the likeliest, whatever the threshold), probability,
            correct (predicted is person), known (the person is among the classes), called_unknown (at the threshold).
    """

    record: dict[str, Any]
    identities: pd.DataFrame
    confusions: pd.DataFrame
    predictions: pd.DataFrame


def evaluate(
    logits: NDArray[np.floating],
    labels: NDArray[np.integer],
    classes: Sequence[str],
    *,
    people: Sequence[str] | None = None,
    files: Sequence[str] | None = None,
    threshold: float = 0.0,
    bins: int = 15,
    seed: int = 0,
) -> Evaluation:
    """Measures of a recogniser from its logits.

    Where logits are equal the class that comes first is taken for the likelier one, as argmax does.

    Args:
        logits: (N, K).
        labels: (N,) columns, or `STRANGER`.
        classes: (K,) the people, all different.
        people: (N,) who each image shows; None takes the classes' names, and "stranger".
        files: (N,) names of the images; None numbers them.
        threshold: a face whose highest probability lies below is called unknown.
        bins: of the calibration.
        seed: of the people that are drawn for the intervals.

    Raises:
        ValueError: shapes that do not fit, labels out of range, logits that are not finite, or nobody known among them.
    """
    if logits.ndim != 2 or logits.shape != (len(labels), len(classes)):
        raise ValueError(f"expected ({len(labels)}, {len(classes)}) logits for these labels and classes, got {logits.shape}")
    if not np.isfinite(logits).all():
        raise ValueError("logits must be finite numbers; some are not")
    if not ((labels >= STRANGER) & (labels < len(classes))).all() or not (labels >= 0).any():
        raise ValueError(f"labels are columns 0 to {len(classes) - 1}, or {STRANGER} for strangers, and not only strangers")
    from scipy.special import softmax

    names = np.array([*classes, "stranger"], dtype=object)  # the last one is also number -1
    table = pd.DataFrame(
        {
            "file": [str(row) for row in range(len(labels))] if files is None else list(files),
            "person": names[labels] if people is None else list(people),
            "predicted": names[logits.argmax(1)],
        },
        dtype=object,  # names of files and folders may hold bytes that are no UTF-8, which pandas' strings refuse
    )
    table["probability"] = softmax(logits.astype(np.float64), axis=1).max(1)
    table["correct"] = logits.argmax(1) == labels
    table["known"] = labels != STRANGER
    table["called_unknown"] = table["probability"] < threshold
    known = table[table["known"]]
    rank = _ranks(logits[labels >= 0], labels[labels >= 0])

    def top(k: int) -> dict[str, Any]:
        hits = rank < k
        low, high = group_bootstrap(hits, labels[labels >= 0], seed=seed)
        return {**_share(int(hits.sum()), len(hits)), "by_person": [low, high]}

    identities = _identities(known)
    record = {
        "images": len(table),
        "people": len(identities),
        "classes": len(classes),
        "top1": top(1),
        "top5": top(TOP) if len(classes) > TOP else None,
        "mean_person_accuracy": float(identities["accuracy"].mean()),
        "calibration": _calibration(known, bins),
        "threshold": float(threshold),
        "known": _known(known),
        "strangers": _strangers(table[~table["known"]]),
        "bootstrap": {"resamples": RESAMPLES, "seed": seed},
    }
    return Evaluation(record, identities, _confusions(known), table)


def evaluate_model(
    model: FaceResNet | ForeignClassifier,
    data: FaceSet,
    rows: NDArray[np.int64],
    *,
    mirror: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Ask a recogniser about images and evaluate its answers at its own threshold.

    People are matched by name: those that the recogniser does not know are strangers.

    Args:
        model: in evaluation mode.
        data: crops as the model wants them.
        rows: (N,) indices into `data`.
        mirror: average the logits over each image and its mirror image.
        seed: of the intervals.
        progress: called with the images done.

    Raises:
        DataError: no images, or nobody among them whom the recogniser knows.
        CheckpointError: the recogniser's answers are no numbers.
    """
    if not len(rows):
        raise DataError(f"{data.name} has no images in this part: choose another `part`")
    column = {name: number for number, name in enumerate(model.classes)}
    people = [data.classes[label] for label in data.labels[rows]]
    labels = np.array([column.get(person, STRANGER) for person in people], np.int64)
    if not (labels >= 0).any():
        raise DataError(
            f"the recogniser knows none of the {len(set(people))} people of {data.name} ({_few(people)}), but {len(column)}"
            f" others ({_few(model.classes)}): name the folders as it names its people, or choose its own data"
        )
    flipped = replace(data, images=data.images[:, :, ::-1]) if mirror else data
    parts = []
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        logits = logits_of(model, data, batch)
        parts.append(((logits + logits_of(model, flipped, batch)) / 2 if mirror else logits).numpy())
        if progress is not None:
            progress("faces", min(start + _BATCH, len(rows)), len(rows))
    answers = np.concatenate(parts)
    if not np.isfinite(answers).all():
        raise CheckpointError("the recogniser's answers are not finite numbers: its weights are spoilt, train it anew")
    files = [data.files[row] for row in rows]
    return evaluate(answers, labels, model.classes, people=people, files=files, threshold=model.threshold, seed=seed)


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Write evaluation.json, identities.csv, confusions.csv, predictions.csv and reliability.png, in place of older ones.

    Raises:
        DataError: the folder cannot be made or written to.
    """
    from faceenc.report import reliability

    tables = ("identities", "confusions", "predictions")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in tables:
            text = table_text(getattr(evaluation, name), float_format="%.6g")
            # Names of files may hold bytes that are no UTF-8.
            write_atomically(folder / f"{name}.csv", text.encode(errors="surrogateescape"))
        write_atomically(folder / "reliability.png", reliability(evaluation.record["calibration"]))
        write_atomically(folder / "evaluation.json", json.dumps(evaluation.record, indent=2, allow_nan=False) + "\n")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"cannot write to the folder {folder}: {reason}; choose another `output`") from error


def _ranks(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """(N,) how many classes are likelier than the right one. scikit-learn's top_k_accuracy_score would favour the last."""
    ranks: NDArray[np.int64] = (np.argsort(-logits, axis=1, kind="stable") == labels[:, None]).argmax(1)
    return ranks


def _share(right: int, images: int) -> dict[str, Any]:
    return {"share": right / images, "right": right, "images": images, "wilson": list(wilson(right, images))}


def _calibration(known: pd.DataFrame, bins: int) -> dict[str, Any]:
    probability = known["probability"].to_numpy(np.float64)
    found = measure_calibration(probability, known["correct"].to_numpy(bool), bins=bins)
    filled = []
    for index in np.flatnonzero(found.images):
        edges = {"low": found.edges[index], "high": found.edges[index + 1]}
        means = {"probability": found.probability[index], "accuracy": found.accuracy[index]}
        line = {name: float(value) for name, value in {**edges, **means}.items()}
        filled.append({**line, "images": int(found.images[index])})
    return {
        "ece": found.expected_error,
        "mce": found.largest_error,
        "mean_probability": float(probability.mean()),
        "accuracy": float(known["correct"].mean()),
        "equal_bins": bins,
        "bins": filled,
    }


def _known(known: pd.DataFrame) -> dict[str, Any]:
    """What becomes of known people's faces at the threshold: named rightly, named wrongly, or called unknown."""
    unknown, right = known["called_unknown"], known["correct"]
    return {
        "images": len(known),
        "named_rightly": _share(int((right & ~unknown).sum()), len(known)),
        "named_wrongly": _share(int((~right & ~unknown).sum()), len(known)),
        "called_unknown": _share(int(unknown.sum()), len(known)),
    }


def _strangers(strangers: pd.DataFrame) -> dict[str, Any] | None:
    if strangers.empty:
        return None
    called = _share(int(strangers["called_unknown"].sum()), len(strangers))
    return {"images": len(strangers), "people": strangers["person"].nunique(), "called_unknown": called}


def _identities(known: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for person, own in known.groupby("person", sort=False):
        right, wrong = int(own["correct"].sum()), own.loc[~own["correct"], "predicted"]
        low, high = wilson(right, len(own))
        rows.append(
            {
                "person": person,
                "images": len(own),
                "right": right,
                "accuracy": right / len(own),
                "ci_low": low,
                "ci_high": high,
                "called_unknown": int(own["called_unknown"].sum()),
                "probability": float(own["probability"].mean()),
                "most_taken_for": wrong.value_counts(sort=True).index[0] if len(wrong) else "",
            }
        )
    return pd.DataFrame(rows).sort_values("accuracy", kind="stable", ignore_index=True)


def _confusions(known: pd.DataFrame) -> pd.DataFrame:
    wrong = known[~known["correct"]]
    pairs = wrong.groupby(["person", "predicted"])["probability"].agg(["size", "mean"]).reset_index()
    totals = known["person"].value_counts()
    table = pd.DataFrame(
        {
            "person": pairs["person"],
            "taken_for": pairs["predicted"],
            "images": pairs["size"].astype(np.int64),
            "share": pairs["size"] / pairs["person"].map(totals).astype(np.float64),
            "probability": pairs["mean"],
        }
    )
    order = ["images", "share", "person", "taken_for"]
    return table.sort_values(order, ascending=[False, False, True, True], ignore_index=True)


def _few(names: Sequence[str]) -> str:
    different = list(dict.fromkeys(names))
    return ", ".join(different[:3]) + (", ..." if len(different) > 3 else "")
