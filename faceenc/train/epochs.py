"""The record of a training's epochs: which one was best, when a stage has nothing more to give, and its line in the log."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

log = logging.getLogger(__name__)

# Each epoch is a record with `epoch`, `stage`, `size`, `loss`, `train_accuracy` and more; `validation_accuracy` if there are
# validation images.
Epoch = Mapping[str, Any]


def is_best(epochs: Sequence[Epoch]) -> bool:
    """Whether the last epoch is the best of its stage so far; without validation images every epoch is."""
    values = [epoch.get("validation_accuracy", 0.0) for epoch in epochs if epoch["stage"] == epochs[-1]["stage"]]
    return bool(values[-1] >= max(values))


def on_plateau(epochs: Sequence[Epoch], stage: int, patience: int) -> bool:
    """Whether the validation accuracy has not risen in the last `patience` epochs of this stage; 0 is endless patience."""
    values = [e["validation_accuracy"] for e in epochs if e["stage"] == stage and "validation_accuracy" in e]
    return bool(patience and len(values) > patience and max(values[-patience:]) <= max(values[:-patience]))


def log_epoch(epoch: Epoch, total: int) -> None:
    """One line in the log; `total` is how many epochs there may be."""
    parts = [part for part in ("train", "validation") if f"{part}_accuracy" in epoch]
    log.info(
        "epoch %d of at most %d at %d px: loss %.2f, %s; %.0f images/s, %.0f %% of the time waiting for them, %s GB",
        epoch["epoch"], total, epoch["size"], epoch["loss"],
        ", ".join(f"{part} {epoch[f'{part}_accuracy']:.1%}" for part in parts),
        epoch["images_per_second"], 100 * epoch["waiting"], epoch["memory_gb"],
    )  # fmt: skip
