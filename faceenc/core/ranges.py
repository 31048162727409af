"""What numbers of configurations may be: one table, asked before anything is fetched, trained or written."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from faceenc.core.errors import ConfigError


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, both included unless it is open at that end; `such` is a value that serves."""

    low: float
    high: float
    such: float
    low_open: bool = False
    high_open: bool = False

    def __contains__(self, value: float) -> bool:
        above = self.low < value if self.low_open else self.low <= value
        return above and (value < self.high if self.high_open else value <= self.high)

    def __str__(self) -> str:
        low = f"above {self.low:g}" if self.low_open else f"at least {self.low:g}"
        high = f"below {self.high:.10g}" if self.high_open else f"at most {self.high:.10g}"
        return f"{low} and {high}, such as {self.such:g}"


_SHARE = Range(0, 1, 0.5)
_PART = Range(0, 1, 0.5, low_open=True)
_BETWEEN = Range(0, 1, 0.1, low_open=True, high_open=True)
_BELOW_ONE = Range(0, 1, 0.1, high_open=True)
_COUNT = Range(1, 1_000_000, 10)

# By the name that configurations write; one that means something else in one table stands there with it.
RANGES = {
    # [data]
    "size": Range(32, 1024, 224), "test_share": _BETWEEN, "min_images": Range(2, 100_000, 2),
    # [training] and its stages
    "[training] batch_size": Range(2, 100_000, 16), "epochs": Range(1, 100_000, 20),
    "learning_rate": Range(0, 10, 0.001, low_open=True), "crop": _PART, "centre": _PART,
    "least_steps": Range(0, 1_000_000, 0),
    "weight_decay": Range(0, 10, 0.05), "label_smoothing": _BELOW_ONE, "degrees": Range(0, 180, 30), "zoom": _BELOW_ONE,
    "noise": Range(0, 1, 0.03), "validation": _BELOW_ONE, "patience": Range(0, 100_000, 0), "distill": Range(0, 1000, 4),
    "unlabelled": _BELOW_ONE, "adversarial": Range(0, 0.5, 0.03), "adversarial_steps": Range(1, 1000, 3),
    # The benchmark
    "batch_size": Range(1, 100_000, 16), "seed": Range(0, 2**32 - 1, 0), "crosscheck": Range(0, 100_000, 4),
    "images": _COUNT, "[minimum] images": Range(0, 1_000_000, 0), "pairs": _COUNT, "far": Range(0, 1, 0.01, True, True),
    # Attacks
    "steps": Range(1, 100_000, 10), "rel_step": Range(0, 1000, 0.25, low_open=True), "restarts": Range(1, 10_000, 1),
    "momentum": Range(0, 100, 1), "early_stop": Range(0, 1000, 0.2), "coarsest": _PART, "jitter": Range(0, 10, 0.2),
    "views": Range(1, 10_000, 4), "blur": Range(0, 100, 1), "flip": _SHARE, "colour": _SHARE, "dimmest": _PART,
    "blocks": Range(0, 100, 3), "weight_noise": Range(0, 10, 0.1), "random_starts": Range(0, 10_000, 1), "squares": _COUNT,
    "weights": Range(1, 1000, 3), "weight": Range(0, 1_000_000, 1, low_open=True), "confidence": Range(0, 1_000_000, 0),
    "decrease": _BETWEEN, "candidates": Range(1, 100_000, 5), "overshoot": Range(0, 100, 0.02), "max_queries": _COUNT,
    "samples": _COUNT, "first_guesses": _COUNT, "most_guesses": _COUNT, "first_square": _PART, "passes": _COUNT,
    "share": _PART,
}  # fmt: skip


def check_range(value: float, name: str, where: str, table: str = "") -> None:
    """Raises ConfigError unless a number is what `RANGES` says of its name; `where` begins the line, `table` is as there."""
    allowed = RANGES.get(f"{table} {name}", RANGES.get(name))
    if allowed is not None and value not in allowed:
        raise ConfigError(f"{where} is {value!r}: expected {allowed}")


def check_ranges(settings: Any, table: str) -> None:
    """`check_range` of every number of a dataclass.

    Raises:
        ConfigError: one is out of its range.
    """
    for field in fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            check_range(value, field.name, f"{table} {field.name}", table)
