"""The smallest noise that fools each recogniser of a run, one row an image: minimum.csv."""

from __future__ import annotations

import pandas as pd
import torch

from faceenc.attacks import Dodge, Impersonate, MinimumSearch, minimum_eps
from faceenc.benchmark.plan import Plan, Subject, draw_targets
from faceenc.core import Goal, Progress


def measure_minimum(plan: Plan, search: MinimumSearch, *, progress: Progress) -> pd.DataFrame:
    """Search for every recogniser and goal; recognisers that hide behind a defence the attack does not know are left out.

    Args:
        plan: of the run; its first seed is used.
        search: see `MinimumSearch`.
        progress: called with the number of images that are settled.

    Returns:
        recognizer, norm, goal, image, label, target ("" if none), minimum_eps (infinite if the image stands at the largest
        size), largest, queries and seconds.
    """
    parts = [
        _search(plan, subject, goal, search, progress)
        for subject in plan.subjects
        if subject.surrogate is None
        for goal in search.goals
    ]
    return pd.concat(parts, ignore_index=True)


def _search(plan: Plan, subject: Subject, name: str, search: MinimumSearch, progress: Progress) -> pd.DataFrame:
    rows, seed = plan.rows[: search.images], plan.seeds[0]
    labels, files, classes = plan.labels(rows), [plan.data.files[row] for row in rows], plan.data.classes
    goal: Goal = Dodge(labels)
    targets: torch.Tensor | None = None
    if name == "impersonate":
        targets = draw_targets(labels.cpu(), files, len(classes), seed)
        goal = Impersonate(targets.to(labels.device))
    found = minimum_eps(
        subject.model,
        plan.pixels(rows),
        goal,
        search,
        seed=seed,
        batch_size=plan.batch_size,
        progress=lambda done, total: progress("minimum eps", done, total),
    )
    return pd.DataFrame(
        {
            "recognizer": subject.name,
            "norm": search.attack.norm.name,
            "goal": name,
            "image": files,
            "label": [classes[label] for label in labels],
            "target": "" if targets is None else [classes[target] for target in targets],
            "minimum_eps": found.eps.numpy(),
            "largest": search.largest,
            "queries": found.queries.numpy(),
            "seconds": found.seconds / len(rows),
        }
    )
