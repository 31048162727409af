"""The transfer measurement: noise made on one recogniser, judged by all, on people whom none of the thresholds knows."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from faceenc.attacks import BATCH_SIZE, MoveAway, gradient_health, run_attack
from faceenc.benchmark.folder import RunFolder, cell_key
from faceenc.benchmark.plan import AttackEntry
from faceenc.benchmark.transfer.goals import IMPERSONATE, NEGATIVES, goal_for
from faceenc.benchmark.transfer.lfw import pairs_table
from faceenc.benchmark.transfer.pairs import (
    Halves,
    Pairs,
    borrow,
    checked_threshold,
    draw_pairs,
    halves,
    names,
    pictures,
    spread,
    threshold_of,
)
from faceenc.benchmark.transfer.verification import Verification, VerificationFile, fit_verification
from faceenc.core import Progress, write_atomically
from faceenc.data import FaceSet
from faceenc.media import psnr, ssim
from faceenc.recognizers import FAR, PictureModel, embed
from faceenc.report import BORROWED

DODGE = "dodge"

NOBODY = "(no match)"


@dataclass(frozen=True, eq=False)
class TransferPlan:
    """All that a measurement needs.

    Attributes:
        config: the resolved configuration, JSON-like.
        data: the people.
        surrogates: what noise is made on.
        judges: what it is shown to; those with a surrogate's network are white-box.
        variants: what becomes of the picture before it is judged, as defences: "" for nothing, "jpeg75".
        entries: the attacks; `goals` says what each is to do.
        borrowed: name of the entry whose noise is also put on other images, as a control; "" for none.
        count: pairs, at most.
        far: false accept rate of the thresholds.
        seed: of everything.
        batch_size: images an attack gets at once.
        environment: versions and machine, for run.json.
    """

    config: Mapping[str, Any]
    data: FaceSet
    surrogates: Sequence[PictureModel]
    judges: Sequence[PictureModel]
    variants: Sequence[str]
    entries: Sequence[AttackEntry]
    borrowed: str = ""
    count: int = 100
    far: float = FAR
    seed: int = 0
    batch_size: int = BATCH_SIZE
    environment: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def halves(self) -> Halves:
        return halves(self.data)

    @cached_property
    def pairs(self) -> Pairs:
        return draw_pairs(self.data, self.halves.test, count=self.count, seed=self.seed)


@dataclass(frozen=True, slots=True, eq=False)
class _Judge:
    """A judge of one variant, with what it says of the clean photos: its threshold and (N, D) embeddings."""

    name: str
    embedder: PictureModel
    threshold: float
    references: torch.Tensor
    targets: torch.Tensor
    probes: torch.Tensor
    verification: Verification


def run_transfer(
    plan: TransferPlan, folder: RunFolder, *, command: str, progress: Progress, lfw_pairs: Path | None = None
) -> None:
    """Make the noise of every surrogate, attack and eps that `folder` does not hold, and store what every judge says of it.

    A match of the pair counts as the person's name, no match as `NOBODY`; so rows and summaries are those of a benchmark.
    `lfw_pairs` is LFW's pairs file; what judges say of its pairs becomes lfw_pairs.csv.

    Raises:
        RunError: the folder cannot be made, or holds another run.
        DataError: too few people or photos.
    """
    started = time.time()
    judges = _judges(plan, progress)
    run: dict[str, Any] = {
        "schema": 1, "kind": "transfer", "name": plan.config["name"], "finished": False, "command": command,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "config": plan.config, **plan.environment,
        "data": {
            "name": plan.data.name, "sha256": plan.data.sha256, "people": len(plan.data.classes),
            "pairs": len(plan.pairs.probes), "people_tested": len(set(names(plan.data, plan.pairs.probes))),
            "credit": plan.data.credit, "fit_photos": len(plan.halves.fit), "fit_and_test_photos_shared": plan.halves.shared,
        },
        "surrogates": [{"name": s.name, "network": s.network} for s in plan.surrogates],
        "judges": [{"name": j.name, "network": j.embedder.network, "threshold": j.threshold} for j in judges],
        "far": plan.far,
    }  # fmt: skip
    folder.refuse_other(run, ("config", "data", "surrogates", "judges"))
    folder.write_run(run)
    if lfw_pairs is not None:
        write_atomically(folder.path / "lfw_pairs.csv", pairs_table(lfw_pairs, plan.judges, plan.data))
    maker = _Maker(plan, judges, folder)
    cells = [(s, e, how, eps) for s in plan.surrogates for e in plan.entries for how in e.goals for eps in e.eps]
    for number, (surrogate, entry, how, eps) in enumerate(cells):
        progress("cells", number, len(cells))
        maker.make(surrogate, entry, how, eps, progress)
    progress("cells", len(cells), len(cells))
    run["diagnostics"] = [_diagnose(plan, surrogate) for surrogate in plan.surrogates]
    run["seconds"] = round(time.time() - started, 1)
    folder.finish(run)


def _judges(plan: TransferPlan, progress: Progress) -> list[_Judge]:
    """Thresholds are fitted on untouched photos: a judge does not know what became of a picture."""
    found = []
    clean = [pictures(plan.data, rows) for rows in (plan.pairs.references, plan.pairs.targets, plan.pairs.probes)]
    for number, judge in enumerate(plan.judges):
        progress("judges", number, len(plan.judges))
        references, targets = (embed(judge.model, x) for x in clean[:2])
        verification = fit_verification(judge, plan.data, plan.halves, plan.pairs)
        threshold = checked_threshold(verification.fitted, far=plan.far, name=plan.data.name)
        for variant in plan.variants:
            through = judge.defended(variant) if variant else judge
            found.append(
                _Judge(through.name, through, threshold, references, targets, embed(through.model, clean[2]), verification)
            )
    progress("judges", len(plan.judges), len(plan.judges))
    return found


class _Maker:
    """Makes noise and asks the judges about it; keeps what cells share."""

    def __init__(self, plan: TransferPlan, judges: Sequence[_Judge], folder: RunFolder) -> None:
        self.plan, self.judges, self.folder = plan, judges, folder
        self.x = pictures(plan.data, plan.pairs.probes)
        # A surrogate's own threshold only scales its loss.
        known = {judge.embedder.network: judge.threshold for judge in judges}
        self.thresholds = {s.name: 1.0 if s.joint else known.get(s.network, 0.0) for s in plan.surrogates}
        for surrogate in plan.surrogates:
            if not self.thresholds[surrogate.name]:
                found = threshold_of(surrogate, plan.data, plan.halves.fit, far=plan.far)
                self.thresholds[surrogate.name] = found
        expected = {}
        for surrogate in plan.surrogates:
            for entry in plan.entries:
                for how in entry.goals:
                    for eps in entry.eps:
                        for judge in judges:
                            for columns in self._columns(surrogate, entry, how, eps, judge):
                                expected[cell_key(columns)] = len(self.x)
        self.done = folder.done_cells(expected)
        self.ledger = VerificationFile(folder.path / "verification.csv", keep=self.done)
        for judge in judges:
            self.ledger.add({"judge": judge.name, "eps": 0.0}, judge.verification.of(judge.probes))

    def _columns(
        self, surrogate: PictureModel, entry: AttackEntry, how: str, eps: float, judge: _Judge
    ) -> list[dict[str, Any]]:
        """Of the attack's cell, and of the borrowed noise's where there is one."""
        alone = how == IMPERSONATE or sum(goal != IMPERSONATE for goal in entry.goals) == 1
        title = entry.name if alone else f"{entry.name} ({how})"
        base = {
            "recognizer": surrogate.name, "judge": judge.name, "attack": title, "norm": entry.attack.norm.name,
            "goal": IMPERSONATE if how == IMPERSONATE else DODGE, "eps": eps, "seed": self.plan.seed,
        }  # fmt: skip
        borrowed = entry.name == self.plan.borrowed and how == entry.goals[0] and eps > 0
        return [base, {**base, "attack": BORROWED}] if borrowed else [base]

    def make(self, surrogate: PictureModel, entry: AttackEntry, how: str, eps: float, progress: Progress) -> None:
        cells = [self._columns(surrogate, entry, how, eps, judge) for judge in self.judges]
        if all(cell_key(columns) in self.done for each in cells for columns in each):
            return
        done = 0

        def report(images: int) -> None:
            nonlocal done
            done += images
            progress("images", done, len(self.x))

        plan = self.plan
        others = spread(plan.data, plan.halves.fit, most=4)[:NEGATIVES]
        goal = goal_for(
            how, surrogate.model, self.x, threshold=self.thresholds[surrogate.name], seed=plan.seed,
            targets=pictures(plan.data, plan.pairs.targets), others=pictures(plan.data, others),
        )  # fmt: skip
        outcome = run_attack(
            entry.attack, surrogate.model, self.x, goal, eps=eps, seed=self.plan.seed, batch_size=self.plan.batch_size,
            progress=report,
        )  # fmt: skip
        shown = [outcome.adversarial, borrow(self.x, outcome.adversarial)]
        own = {"overshoot": outcome.overshoot.tolist(), "queries": outcome.queries.tolist()}
        for judge, each in zip(self.judges, cells, strict=True):
            for columns, adversarial in zip(each, shown, strict=False):
                if cell_key(columns) not in self.done:
                    self.folder.append(self._describe(columns, judge, adversarial, own, outcome.seconds))

    def _describe(
        self, columns: dict[str, Any], judge: _Judge, adversarial: torch.Tensor, own: dict[str, list[float]], seconds: float
    ) -> list[dict[str, Any]]:
        plan, n = self.plan, len(self.x)
        after = embed(judge.embedder.model, adversarial)
        self.ledger.add(columns, judge.verification.of(after))
        before = (judge.probes - judge.references).norm(dim=1)
        now, to_target = (after - judge.references).norm(dim=1), (after - judge.targets).norm(dim=1)
        aimed = columns["goal"] == IMPERSONATE
        label, target = names(plan.data, plan.pairs.probes), names(plan.data, plan.pairs.targets)
        matched, taken = (now <= judge.threshold).tolist(), (to_target <= judge.threshold).tolist()
        answers = [target[i] if aimed and taken[i] else label[i] if matched[i] else NOBODY for i in range(n)]
        delta = adversarial - self.x
        values: dict[str, Sequence[Any]] = {
            **own,
            "image": [plan.data.files[row] for row in plan.pairs.probes],
            "label": label,
            "target": target if aimed else [""] * n,
            "clean_prediction": [label[i] if before[i] <= judge.threshold else NOBODY for i in range(n)],
            "adversarial_prediction": answers,
            # Distances in thresholds: there are no probabilities in verification.
            "clean_probability": [None] * n, "adversarial_probability": [None] * n,
            "label_probability": [None] * n, "target_probability": [None] * n,
            "loss": ((-to_target if aimed else now) / judge.threshold).tolist(),
            "success": [t if aimed else not m for t, m in zip(taken, matched, strict=True)],
            "linf": delta.flatten(1).abs().amax(1).tolist(),
            "l2": torch.linalg.vector_norm(delta.flatten(1), dim=1).tolist(),
            "psnr": psnr(adversarial, self.x).tolist(),
            "ssim": ssim(adversarial, self.x).tolist(),
            "seconds": [seconds / n] * n,
        }  # fmt: skip
        return [{**columns, **{name: column[i] for name, column in values.items()}} for i in range(n)]


def _diagnose(plan: TransferPlan, surrogate: PictureModel) -> dict[str, Any]:
    """What the flags want to know of a surrogate: whether there is anything that an attack by gradient can follow."""
    x = pictures(plan.data, plan.pairs.probes[:8])
    goal = MoveAway(embed(surrogate.model, x).unsqueeze(-2))
    return {"recognizer": surrogate.name, **gradient_health(surrogate.model, x, goal, seed=plan.seed)}
