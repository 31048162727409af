"""Verification: noise made on one recogniser, judged by all, on people whom none of the thresholds knows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any

import torch

from faceenc.attacks import MoveAway, gradient_health, run_attack
from faceenc.benchmark.folder import RunFolder
from faceenc.benchmark.rows import Key, cell_key
from faceenc.benchmark.runner import Measured, counted, silent
from faceenc.benchmark.transfer.goals import NEGATIVES, goal_for
from faceenc.benchmark.transfer.lfw import pairs_table
from faceenc.benchmark.transfer.pairs import borrow
from faceenc.benchmark.transfer.plan import TransferCell, TransferPlan
from faceenc.benchmark.verification.judging import PairJudge, pair_judges, pair_rows
from faceenc.benchmark.verification.pairs import names, pictures, spread, threshold_of
from faceenc.benchmark.verification.views import VerificationFile
from faceenc.core import Progress, write_atomically
from faceenc.recognizers import PictureModel, embed


class TransferMeasurement:
    """A benchmark of recognisers of strangers: the noise of every surrogate, attack and eps, and what judges say of it.

    Rows are as of `faceenc.benchmark.verification.judging`.

    Args:
        plan: what to compute.
        progress: called with the judges, and with the images of each cell.

    Raises:
        DataError: too few people or photos.
    """

    kind = "transfer"

    def __init__(self, plan: TransferPlan, progress: Progress = silent) -> None:
        self.plan, self.config, self.progress = plan, plan.config, progress
        self._judges = _judges(plan, progress)
        self._surrogates = {surrogate.name: surrogate for surrogate in plan.surrogates}
        self._file: VerificationFile | None = None

    def same_config(self, recorded: dict[str, Any]) -> bool:
        return self.plan.same_config is not None and self.plan.same_config(recorded)

    def parts(self) -> dict[str, Any]:
        plan = self.plan
        return {
            **plan.environment,
            "data": {
                "name": plan.data.name, "sha256": plan.data.sha256, "people": len(plan.data.classes),
                "pairs": len(plan.pairs.probes), "people_tested": len(set(names(plan.data, plan.pairs.probes))),
                "credit": plan.data.credit, "fit_photos": len(plan.halves.fit),
                "fit_and_test_photos_shared": plan.halves.shared,
            },
            "surrogates": [{"name": s.name, "network": s.network} for s in plan.surrogates],
            "judges": [{"name": j.name, "network": j.embedder.network, "threshold": j.threshold} for j in self._judges],
            "licences": {judge.name: judge.licence for judge in plan.judges if judge.licence},
            "far": plan.far,
        }  # fmt: skip

    def fixed(self, run: Mapping[str, Any]) -> dict[str, Any]:
        return {part: run.get(part) for part in ("data", "surrogates", "judges")}

    def cells(self) -> list[TransferCell]:
        return self.plan.cells()

    def expected(self, cell: TransferCell) -> dict[Key, int]:
        count = len(self.plan.pairs.probes)
        return {cell_key(columns): count for judge in self._judges for columns in self.plan.columns(cell, judge.name)}

    def begin(self, folder: RunFolder, done: Collection[Key]) -> None:
        plan = self.plan
        if plan.lfw_pairs is not None:
            write_atomically(folder.path / "lfw_pairs.csv", pairs_table(plan.lfw_pairs, plan.judges, plan.data))
        order = [key for cell in self.cells() for key in self.expected(cell)]
        self._file = VerificationFile(folder.path / "verification.csv", keep=done, order=order)
        self._file.add(({"judge": judge.name, "eps": 0.0}, judge.verification.of(judge.probes)) for judge in self._judges)

    def measure(self, cell: TransferCell) -> Measured:
        plan, surrogate = self.plan, self._surrogates[cell.surrogate]
        others = spread(plan.data, plan.halves.fit, most=4)[:NEGATIVES]
        goal = goal_for(
            cell.how, surrogate.model, self._x, threshold=self._thresholds[surrogate.name], seed=plan.seed,
            targets=pictures(plan.data, plan.pairs.targets), others=pictures(plan.data, others),
        )  # fmt: skip
        outcome = run_attack(
            cell.entry.attack, surrogate.model, self._x, goal, eps=cell.eps, seed=plan.seed, batch_size=plan.batch_size,
            progress=counted(self.progress, len(self._x)),
        )  # fmt: skip
        shown = [outcome.adversarial, borrow(self._x, outcome.adversarial)]
        rows, views = [], []
        for judge in self._judges:
            for columns, adversarial in zip(plan.columns(cell, judge.name), shown, strict=False):
                after = embed(judge.embedder.model, adversarial)
                views.append((columns, judge.verification.of(after)))
                rows += pair_rows(columns, judge, plan.data, plan.pairs, self._x, adversarial, after, outcome)
        return Measured(rows, views)

    def keep(self, folder: RunFolder, cell: TransferCell, measured: Measured, done: Collection[Key]) -> None:
        if self._file is not None:
            self._file.add((columns, view) for columns, view in measured.beside if cell_key(columns) not in done)

    def diagnose(self) -> list[dict[str, Any]]:
        return [_diagnose(self.plan, surrogate) for surrogate in self.plan.surrogates]

    def complete(self, folder: RunFolder, progress: Progress) -> None:
        """Nothing comes after the last cell."""

    @cached_property
    def _x(self) -> torch.Tensor:
        return pictures(self.plan.data, self.plan.pairs.probes)

    @cached_property
    def _thresholds(self) -> dict[str, float]:
        """Of surrogates, by name: a surrogate's own threshold only scales its loss."""
        plan = self.plan
        known = {judge.embedder.network: judge.threshold for judge in self._judges}
        found = {s.name: 1.0 if s.joint else known.get(s.network, 0.0) for s in plan.surrogates}
        for surrogate in plan.surrogates:
            if not found[surrogate.name]:
                found[surrogate.name] = threshold_of(surrogate, plan.data, plan.halves.fit, far=plan.far)
        return found


def _judges(plan: TransferPlan, progress: Progress) -> list[PairJudge]:
    found = []
    for number, judge in enumerate(plan.judges):
        progress("judges", number, len(plan.judges))
        through = [judge.defended(variant) if variant else judge for variant in plan.variants]
        found += pair_judges(judge, plan.data, plan.halves, plan.pairs, far=plan.far, through=through)
    progress("judges", len(plan.judges), len(plan.judges))
    return found


def _diagnose(plan: TransferPlan, surrogate: PictureModel) -> dict[str, Any]:
    """What the flags want to know of a surrogate: whether there is anything that an attack by gradient can follow."""
    x = pictures(plan.data, plan.pairs.probes[:8])
    goal = MoveAway(embed(surrogate.model, x).unsqueeze(-2))
    return {"recognizer": surrogate.name, **gradient_health(surrogate.model, x, goal, seed=plan.seed)}
