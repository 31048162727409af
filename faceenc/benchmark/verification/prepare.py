"""From a configuration of verification to the objects of a run, and how long it will take."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from faceenc.benchmark.costs import JUDGING, attack_seconds
from faceenc.benchmark.estimate import minimum_row, step_seconds
from faceenc.benchmark.runner import silent
from faceenc.benchmark.sources import check_gradients, following_gradients, load_sources
from faceenc.benchmark.verification.config import SubjectConfig, VerificationConfig, portable
from faceenc.benchmark.verification.crops import load_crops
from faceenc.benchmark.verification.measurement import VerificationMeasurement
from faceenc.benchmark.verification.plan import VerificationPlan, VerificationSubject
from faceenc.core import Progress, describe_environment
from faceenc.data import FaceSet, expand, read_tags
from faceenc.recognizers import PictureModel, Recognizer

if TYPE_CHECKING:
    import pandas as pd


def prepare_verification(
    config: VerificationConfig, limit: int | None, device: str, trust_code: bool = False
) -> VerificationMeasurement:
    """What a worker measures on, made of what the driver left in the cache."""
    plan = make_verification_plan(config, limit=limit, device=device, trust_code=trust_code, progress=silent)
    return VerificationMeasurement(plan)


def make_verification_plan(
    config: VerificationConfig,
    *,
    limit: int | None,
    device: str = "cpu",
    trust_code: bool = False,
    progress: Progress,
) -> VerificationPlan:
    """Everything a run needs: all that is missing is named first, then faces are looked for.

    Args:
        config: what to compute.
        limit: attack only so many pairs.
        device: "cpu" or "cuda".
        trust_code: whether recognisers may be code of others.
        progress: called with photos.

    Raises:
        ConfigError: several things are missing, or an attack by gradients on a recogniser that gives none.
        FaceencError: data or a recogniser cannot be had.
    """
    sources = {one.name: one.source for one in config.recognizers}
    recognizers = load_sources(sources, folders=[config.data.source], device=device, trust_code=trust_code)
    for name, recognizer in recognizers.items():
        check_gradients(name, recognizer, following_gradients(config.entries, config.minimum))
    crops = load_crops(config.data, recognizers, progress=progress)
    return VerificationPlan(
        config={**config.resolved(), "limit": limit, "device": device},
        subjects=[_subject(one, recognizers[one.name], crops.faces[one.name]) for one in config.recognizers],
        entries=config.entries,
        seeds=config.seeds,
        count=min(config.pairs, limit or config.pairs),
        far=config.far,
        batch_size=config.batch_size,
        looked_at=crops.looked_at,
        missed=crops.missed,
        crosscheck_pairs=config.crosscheck,
        environment=describe_environment(),
        minimum=config.minimum,
        tags={} if config.data.source == "orl" else read_tags(expand(config.data.source)),
        same_config=partial(config.means, limit=limit, device=device),
    )


def _subject(config: SubjectConfig, recognizer: Recognizer, faces: FaceSet) -> VerificationSubject:
    bare = PictureModel(config.name, recognizer.network, recognizer.embedding)
    judged = bare
    if config.defence:
        bare = PictureModel(f"{config.name}, bare", bare.network, bare.model)
        judged = PictureModel(config.name, bare.network, bare.defended(config.defence).model)
    record: dict[str, Any] = {
        "source": portable(config.source), "metric": recognizer.metric, "licence": recognizer.licence,
        "differentiable": recognizer.differentiable,
    }  # fmt: skip
    record |= {"defence": config.defence, "aware": config.aware} if config.defence else {}
    return VerificationSubject(config.name, judged, judged if config.aware else bare, bare, faces, record)


def estimate_verification(plan: VerificationPlan) -> pd.DataFrame:
    """One row a recogniser and attack: goals, sizes, pairs and seconds."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for subject in plan.subjects:
        side = subject.faces.images.shape[1]
        exact = step_seconds(subject.attacked.model, side) if subject.record["differentiable"] else 0.05
        steps = dict.fromkeys(("exact", "fused", "bf16"), exact)
        for entry in plan.entries:
            pairs, attacks = plan.pairs_of(entry), len(entry.goals) * sum(eps > 0 for eps in entry.eps)
            judged = len(entry.goals) * len(entry.eps) * 2 * JUDGING * exact
            seconds = pairs * (attacks * attack_seconds(entry.attack, steps) + judged) * len(plan.seeds)
            row = {"recogniser": subject.name, "attack": entry.name, "goals": " ".join(entry.goals)}
            rows.append(row | {"sizes": len(entry.eps), "pairs": pairs, "seconds": seconds})
        if plan.minimum is not None:
            row = minimum_row(plan.minimum, steps, len(plan.pairs.probes))
            rows.append({"recogniser": subject.name, **{{"images": "pairs"}.get(k, k): v for k, v in row.items()}})
    return pd.DataFrame(rows)
