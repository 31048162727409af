"""What attacks cost, in gradient steps: for the estimate of a run, and for starting its longest cells first."""

from __future__ import annotations

from collections.abc import Mapping

from faceenc.attacks import PGD, ArtFGSM, ArtPGD, Transfer
from faceenc.core import Attack

ART_EXTRA = 1.15  # ART's bookkeeping over plain gradient steps, with frozen weights
JUDGING = 0.4  # one forward pass and the row's metrics, in gradient steps

# Seconds of a gradient step on one image of 224 pixels with one thread: a guess, for only the order of cells hangs on it.
_PER_STEP = {"exact": 0.06, "fused": 0.045, "bf16": 0.03}
_SIDE = 224
# Bytes of a worker besides what an attack holds, and of a batch's image of 224 pixels while its gradient is computed.
_WORKER_MEMORY = 0.7e9
_IMAGE_MEMORY = 40e6


def attack_seconds(attack: Attack, per_step: Mapping[str, float]) -> float:
    """For one image at one size, by seconds of a gradient step with each engine."""
    if isinstance(attack, PGD):
        return attack.steps * attack.restarts * per_step[attack.engine]
    if isinstance(attack, Transfer):
        return attack.steps * attack.views * per_step["exact"]
    if isinstance(attack, ArtPGD):
        return attack.steps * max(1, attack.random_starts) * per_step["exact"] * ART_EXTRA
    if steps := getattr(attack, "gradient_steps", 0.0):
        return float(steps) * per_step["exact"] * ART_EXTRA
    return per_step["exact"] * (1 + JUDGING) if isinstance(attack, ArtFGSM) else 0.0


def cell_seconds(attack: Attack, eps: float, *, images: int, size: int, judges: int = 1) -> float:
    """Estimated, of one attack at one size on pictures of `size` pixels a side, and of its judges."""
    attacked = attack_seconds(attack, _PER_STEP) if eps else 0.0
    return images * (attacked + judges * JUDGING * _PER_STEP["exact"]) * (size / _SIDE) ** 2


def cell_memory(*, batch_size: int, size: int) -> float:
    """Bytes that a worker needs, estimated."""
    return _WORKER_MEMORY + batch_size * _IMAGE_MEMORY * (size / _SIDE) ** 2
