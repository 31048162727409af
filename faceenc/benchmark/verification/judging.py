"""What judges say of pairs: a match of the pair counts as the person's name, no match as `NOBODY`.

So rows and summaries are those of classification.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from faceenc.attacks import MoveAway, MoveTo
from faceenc.benchmark.verification.pairs import Halves, Pairs, checked_threshold, names, pictures
from faceenc.benchmark.verification.views import Verification, fit_verification
from faceenc.core import Goal, Outcome
from faceenc.data import FaceSet
from faceenc.media import psnr, ssim
from faceenc.recognizers import PictureModel, embed

NOBODY = "(no match)"
IMPERSONATE = "impersonate"


@dataclass(frozen=True, slots=True, eq=False)
class PairJudge:
    """A judge with what it says of the clean photos.

    Attributes:
        name: of the recogniser, with what a picture goes through first.
        embedder: it.
        threshold: Euclidean, fitted on other people.
        references: (N, D) of the pairs' other photos.
        targets: (N, D) of the other people's photos.
        probes: (N, D) of the photos that are attacked, as they are.
        verification: of its view of all.
    """

    name: str
    embedder: PictureModel
    threshold: float
    references: torch.Tensor
    targets: torch.Tensor
    probes: torch.Tensor
    verification: Verification


def pair_judges(
    bare: PictureModel, data: FaceSet, halves: Halves, pairs: Pairs, *, far: float, through: Sequence[PictureModel]
) -> list[PairJudge]:
    """A recogniser as judge, once for each of the ways in which pictures reach it.

    Thresholds are fitted on untouched photos: a judge does not know what became of a picture.

    Args:
        bare: without a defence.
        data: the people, as it is shown them.
        halves: thresholds come from the first.
        pairs: of the second.
        far: false accept rate of the threshold.
        through: the same with its defences, or bare itself.
    """
    references, targets = (embed(bare.model, pictures(data, rows)) for rows in (pairs.references, pairs.targets))
    verification = fit_verification(bare, data, halves, pairs)
    threshold = checked_threshold(verification.fitted, far=far, name=data.name)
    x = pictures(data, pairs.probes)
    return [PairJudge(one.name, one, threshold, references, targets, embed(one.model, x), verification) for one in through]


def pair_goal(name: str, judge: PairJudge, count: int) -> Goal:
    """What is wanted of the first `count` pairs: "dodge", no match of the genuine one, or a match of the impostor one."""
    if name == IMPERSONATE:
        return MoveTo(judge.targets[:count].unsqueeze(-2), judge.threshold)
    return MoveAway(judge.references[:count].unsqueeze(-2), judge.threshold)


def pair_rows(
    columns: Mapping[str, Any],
    judge: PairJudge,
    data: FaceSet,
    pairs: Pairs,
    x: torch.Tensor,
    adversarial: torch.Tensor,
    after: torch.Tensor,
    outcome: Outcome,
) -> list[dict[str, Any]]:
    """One row a pair: what the judge says before and after.

    Args:
        columns: first ones of each row.
        judge: who is asked.
        data: the people.
        pairs: of which the first N were attacked.
        x: (N, 3, S, S) the photos.
        adversarial: (N, 3, S, S) the same with noise.
        after: (N, D) the judge's embeddings of these.
        outcome: of the attack.
    """
    n, aimed = len(x), columns["goal"] == IMPERSONATE
    label, target = names(data, pairs.probes[:n]), names(data, pairs.targets[:n])

    def answers(probes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
        own, other = (probes - judge.references[:n]).norm(dim=1), (probes - judge.targets[:n]).norm(dim=1)
        matched, taken = (own <= judge.threshold).tolist(), (other <= judge.threshold).tolist()
        said = [target[i] if aimed and taken[i] else label[i] if matched[i] else NOBODY for i in range(n)]
        return own, other, said

    before, (now, to_target, said) = answers(judge.probes[:n])[2], answers(after)
    delta = adversarial - x
    values: dict[str, Sequence[Any]] = {
        "overshoot": outcome.overshoot.tolist(),
        "queries": outcome.queries.tolist(),
        "image": [data.files[row] for row in pairs.probes[:n]],
        "label": label,
        "target": target if aimed else [""] * n,
        "clean_prediction": before,
        "adversarial_prediction": said,
        # Distances in thresholds: there are no probabilities in verification.
        "clean_probability": [None] * n, "adversarial_probability": [None] * n,
        "label_probability": [None] * n, "target_probability": [None] * n,
        "loss": ((-to_target if aimed else now) / judge.threshold).tolist(),
        "success": ((to_target <= judge.threshold) if aimed else (now > judge.threshold)).tolist(),
        "linf": delta.flatten(1).abs().amax(1).tolist(),
        "l2": torch.linalg.vector_norm(delta.flatten(1), dim=1).tolist(),
        "psnr": psnr(adversarial, x).tolist(),
        "ssim": ssim(adversarial, x).tolist(),
        "seconds": [outcome.seconds / n] * n,
    }  # fmt: skip
    return [{**columns, **{name: column[i] for name, column in values.items()}} for i in range(n)]
