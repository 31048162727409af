"""How long will a benchmark take? Measured on a few gradient steps of an untrained network, then multiplied out."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from faceenc.attacks import PGD, Dodge, MinimumSearch, gradient_engine
from faceenc.benchmark.config import Config
from faceenc.benchmark.costs import JUDGING, attack_seconds
from faceenc.benchmark.prepare import check_people
from faceenc.core import Model
from faceenc.data import FaceSet
from faceenc.recognizers import FaceResNet

if TYPE_CHECKING:
    import pandas as pd


IMAGES = 4
MINIMUM_SHARE = 0.4  # of PGD's steps, which end as soon as an image falls


def estimate_time(config: Config, data: FaceSet, *, limit: int | None) -> pd.DataFrame:
    """One row an attack: goals, sizes, images and seconds over all recognisers and seeds; training is not included.

    Raises:
        ConfigError: as of `check_people`.
    """
    import pandas as pd

    check_people(config, data)
    with torch.random.fork_rng():
        model = FaceResNet(data.classes, config.data.size).eval()
    known = [entry.attack for entry in config.entries] + ([config.minimum.attack] if config.minimum else [])
    engines = {attack.engine for attack in known if isinstance(attack, PGD)} | {"exact"}
    per_step = {name: _seconds_per_step(model, name) for name in engines}
    available = min(limit or len(data.test), len(data.test))
    rows = []
    for entry in config.entries:
        images = min(entry.images or available, available)
        attacks = len(entry.goals) * sum(eps > 0 for eps in entry.eps)
        judged = len(entry.goals) * len(entry.eps) * JUDGING * per_step["exact"]
        seconds = images * (attacks * attack_seconds(entry.attack, per_step) + judged)
        rows.append(
            {
                "attack": entry.name,
                "goals": " ".join(entry.goals),
                "sizes": len(entry.eps),
                "images": images,
                "seconds": seconds * len(config.seeds) * len(config.recognizers),
            }
        )
    if config.minimum is not None:
        row = minimum_row(config.minimum, per_step, available)
        rows.append(row | {"seconds": row["seconds"] * len(config.recognizers)})
    return pd.DataFrame(rows)


def minimum_row(search: MinimumSearch, per_step: Mapping[str, float], available: int) -> dict[str, Any]:
    """What the search for the smallest noise takes with one recogniser, by seconds of a gradient step with each engine."""
    images = min(search.images or available, available)
    sizes = 1 + math.ceil(math.log2(search.largest / search.resolution))
    seconds = images * len(search.goals) * sizes * MINIMUM_SHARE * attack_seconds(search.attack, per_step)
    row = {"attack": "minimum eps", "goals": " ".join(search.goals), "sizes": sizes, "images": images}
    return row | {"seconds": seconds}


def _seconds_per_step(model: FaceResNet, engine: str) -> float:
    return step_seconds(model, model.input_size, engine=engine)


def step_seconds(model: Model, side: int, *, engine: str = "exact") -> float:
    """Seconds of a gradient step on one picture of `side` pixels, asked about its first output."""
    x = torch.full((IMAGES, 3, side, side), 0.5)
    goal = Dodge(torch.zeros(IMAGES, dtype=torch.long))
    ask = gradient_engine(model, engine)
    ask(x, goal)
    start = time.perf_counter()
    ask(x, goal)
    return (time.perf_counter() - start) / IMAGES
