"""How long will a benchmark take? Measured on a few gradient steps of an untrained network, then multiplied out."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import torch

from faceenc.attacks import PGD, ArtFGSM, ArtPGD, Dodge, gradient_engine
from faceenc.benchmark.config import Config
from faceenc.core import Attack
from faceenc.data import FaceSet
from faceenc.recognizers import FaceResNet

if TYPE_CHECKING:
    import pandas as pd


IMAGES = 4
ART_EXTRA = 1.15  # ART's bookkeeping over plain gradient steps, with frozen weights
MINIMUM_SHARE = 0.4  # of PGD's steps, which end as soon as an image falls
JUDGING = 0.4  # one forward pass and the row's metrics, in gradient steps


def estimate_time(config: Config, data: FaceSet, *, limit: int | None) -> pd.DataFrame:
    """One row an attack: goals, sizes, images and seconds over all recognisers and seeds; training is not included."""
    import pandas as pd

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
        seconds = images * (attacks * _attack_seconds(entry.attack, per_step) + judged)
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
        search = config.minimum
        images = min(search.images or available, available)
        sizes = 1 + math.ceil(math.log2(search.largest / search.resolution))
        one = MINIMUM_SHARE * _attack_seconds(search.attack, per_step)
        row = {"attack": "minimum eps", "goals": " ".join(search.goals), "sizes": sizes, "images": images}
        rows.append(row | {"seconds": images * len(search.goals) * sizes * one * len(config.recognizers)})
    return pd.DataFrame(rows)


def _attack_seconds(attack: Attack, per_step: dict[str, float]) -> float:
    """For one image at one size."""
    if isinstance(attack, PGD):
        return attack.steps * attack.restarts * per_step[attack.engine]
    if isinstance(attack, ArtPGD):
        return attack.steps * max(1, attack.random_starts) * per_step["exact"] * ART_EXTRA
    if steps := getattr(attack, "gradient_steps", 0.0):
        return float(steps) * per_step["exact"] * ART_EXTRA
    return per_step["exact"] * (1 + JUDGING) if isinstance(attack, ArtFGSM) else 0.0


def _seconds_per_step(model: FaceResNet, engine: str) -> float:
    x = torch.full((IMAGES, 3, model.input_size, model.input_size), 0.5)
    goal = Dodge(torch.zeros(IMAGES, dtype=torch.long))
    ask = gradient_engine(model, engine)
    ask(x, goal)
    start = time.perf_counter()
    ask(x, goal)
    return (time.perf_counter() - start) / IMAGES
