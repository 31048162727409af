"""The smallest noise that undoes a genuine pair, or makes an impostor pair match: one row a pair, as of minimum.csv."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from faceenc.attacks import MinimumSearch, minimum_eps
from faceenc.benchmark.verification.judging import IMPERSONATE, PairJudge, pair_goal
from faceenc.benchmark.verification.pairs import names, pictures
from faceenc.benchmark.verification.plan import VerificationPlan, VerificationSubject
from faceenc.core import Progress


def measure_pairs_minimum(
    plan: VerificationPlan, judges: Mapping[str, PairJudge], search: MinimumSearch, *, progress: Progress
) -> pd.DataFrame:
    """Search for every recogniser and goal; those without gradients or behind a defence the attack ignores are left out.

    Args:
        plan: of the run; its first seed is used.
        judges: by the recogniser's name.
        search: see `MinimumSearch`.
        progress: called with the number of pairs that are settled.

    Returns:
        recognizer, norm, goal, image, label, target ("" if none), minimum_eps (infinite if the pair stands at the largest
        size), largest, queries and seconds.
    """
    parts = [
        _search(plan, subject, judges[subject.name], goal, search, progress)
        for subject in plan.subjects
        if subject.attacked is subject.judged and subject.record["differentiable"]
        for goal in search.goals
    ]
    return pd.concat(parts, ignore_index=True)


def _search(
    plan: VerificationPlan,
    subject: VerificationSubject,
    judge: PairJudge,
    goal: str,
    search: MinimumSearch,
    progress: Progress,
) -> pd.DataFrame:
    data, pairs = subject.faces, plan.pairs
    rows = pairs.probes[: search.images]
    found = minimum_eps(
        subject.judged.model,
        pictures(data, rows),
        pair_goal(goal, judge, len(rows)),
        search,
        seed=plan.seeds[0],
        batch_size=plan.batch_size,
        progress=lambda done, total: progress("minimum eps", done, total),
    )
    return pd.DataFrame(
        {
            "recognizer": subject.name,
            "norm": search.attack.norm.name,
            "goal": goal,
            "image": [data.files[row] for row in rows],
            "label": names(data, rows),
            "target": names(data, pairs.targets[: len(rows)]) if goal == IMPERSONATE else "",
            "minimum_eps": found.eps.numpy(),
            "largest": search.largest,
            "queries": found.queries.numpy(),
            "seconds": found.seconds / len(rows),
        }
    )
