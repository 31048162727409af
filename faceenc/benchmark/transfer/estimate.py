"""How long will a measurement of transfer take? Each surrogate's gradient is timed, then multiplied out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from faceenc.benchmark.costs import JUDGING, attack_seconds
from faceenc.benchmark.estimate import step_seconds
from faceenc.benchmark.transfer.plan import TransferPlan

if TYPE_CHECKING:
    import pandas as pd


def estimate_transfer(plan: TransferPlan) -> pd.DataFrame:
    """One row a surrogate and attack: goals, sizes, photos, and seconds with all judges."""
    import pandas as pd

    count = len(plan.pairs.probes)
    side = plan.data.images.shape[1]
    judged = sum(JUDGING * step_seconds(judge.model, side) for judge in plan.judges) * len(plan.variants)
    rows: list[dict[str, Any]] = []
    for surrogate in plan.surrogates:
        steps = {"exact": step_seconds(surrogate.model, side)}
        steps |= dict.fromkeys(("fused", "bf16"), steps["exact"])
        for entry in plan.entries:
            cells = len(entry.goals) * len(entry.eps)
            seconds = count * cells * (attack_seconds(entry.attack, steps) + judged)
            row = {"noise made on": surrogate.name, "attack": entry.name, "goals": " ".join(entry.goals)}
            rows.append(row | {"sizes": len(entry.eps), "photos": count, "seconds": seconds})
    return pd.DataFrame(rows)
