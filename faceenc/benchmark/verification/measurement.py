"""Verification of strangers before and after noise: each recogniser attacked and judged at its own crops."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch

from faceenc.attacks import gradient_health, run_attack
from faceenc.benchmark.folder import RunFolder
from faceenc.benchmark.parity import crosscheck
from faceenc.benchmark.plan import Cell
from faceenc.benchmark.rows import Key, cell_key
from faceenc.benchmark.runner import Measured, counted, silent
from faceenc.benchmark.verification.describing import Baseline, Shown, baseline_of_people
from faceenc.benchmark.verification.judging import IMPERSONATE, PairJudge, pair_goal, pair_judges, pair_rows
from faceenc.benchmark.verification.minimum import measure_pairs_minimum
from faceenc.benchmark.verification.pairs import names, pictures
from faceenc.benchmark.verification.plan import VerificationPlan, VerificationSubject
from faceenc.benchmark.verification.views import VerificationFile
from faceenc.core import Progress, table_text, write_atomically
from faceenc.recognizers import embed

_DIAGNOSED = 8  # photos


class VerificationMeasurement:
    """A benchmark of recognisers of strangers.

    Dodging is attacked on genuine pairs: the photo shall no longer match the person's other one. Impersonation is attacked
    on impostor pairs: it shall match somebody else's. The attack knows the recogniser and the other photo; thresholds are
    of people whom it does not meet. Rows are as of `faceenc.benchmark.verification.judging`.

    Args:
        plan: what to compute.
        progress: called with the judges, and with the images of each cell.

    Raises:
        DataError: too few people or photos.
    """

    kind = "verification"

    def __init__(self, plan: VerificationPlan, progress: Progress = silent) -> None:
        self.plan, self.config, self.progress = plan, plan.config, progress
        self._subjects = {subject.name: subject for subject in plan.subjects}
        self._file: VerificationFile | None = None
        self.judge = cache(self._judge)  # a worker asks of its cells' recognisers only

    def same_config(self, recorded: dict[str, Any]) -> bool:
        return self.plan.same_config is not None and self.plan.same_config(recorded)

    def parts(self) -> dict[str, Any]:
        plan, data = self.plan, self.plan.data
        return {
            **plan.environment,
            "data": {
                "name": data.name, "people": len(data.classes), "photos": plan.looked_at, "no_face": list(plan.missed),
                "fit_photos": len(plan.halves.fit), "fit_and_test_photos_shared": plan.halves.shared,
                "pairs": len(plan.pairs.probes), "people_tested": len(set(names(data, plan.pairs.probes))),
                "credit": data.credit,
            },
            "recognizers": [
                {
                    "name": s.name, "network": s.judged.network, "input_size": s.faces.images.shape[1],
                    "crops_sha256": s.faces.sha256, "threshold": self.judge(s.name).threshold, **s.record,
                }
                for s in plan.subjects
            ],
            "far": plan.far,
        }  # fmt: skip

    def fixed(self, run: Mapping[str, Any]) -> dict[str, Any]:
        recognizers = [
            {key: one.get(key) for key in ("name", "network", "crops_sha256")} for one in run.get("recognizers", [])
        ]
        return {"data": run.get("data"), "recognizers": recognizers}

    def cells(self) -> list[Cell]:
        return self.plan.cells()

    def expected(self, cell: Cell) -> dict[Key, int]:
        return {cell_key(cell.columns): self.plan.pairs_of(cell.entry)}

    def begin(self, folder: RunFolder, done: Collection[Key]) -> None:
        order = [key for cell in self.cells() for key in self.expected(cell)]
        self._file = VerificationFile(folder.path / "verification.csv", keep=done, order=order)
        judges = [self.judge(subject.name) for subject in self.plan.subjects]
        self._file.add(({"judge": judge.name, "eps": 0.0}, judge.verification.of(judge.probes)) for judge in judges)

    def measure(self, cell: Cell) -> Measured:
        plan, subject, judge = self.plan, self._subjects[cell.recognizer], self.judge(cell.recognizer)
        count = plan.pairs_of(cell.entry)
        x = pictures(subject.faces, plan.pairs.probes[:count])
        outcome = run_attack(
            cell.entry.attack, subject.attacked.model, x, pair_goal(cell.goal, judge, count), eps=cell.eps, seed=cell.seed,
            batch_size=plan.batch_size, progress=counted(self.progress, count), judge=subject.judged.model,
            start=self._start(cell, subject, count),
        )  # fmt: skip
        after = embed(subject.judged.model, outcome.adversarial)
        rows = pair_rows(cell.columns, judge, subject.faces, plan.pairs, x, outcome.adversarial, after, outcome)
        return Measured(rows, judge.verification.of(after) if cell.eps else None)

    def keep(self, folder: RunFolder, cell: Cell, measured: Measured, done: Collection[Key]) -> None:
        if self._file is not None and measured.beside is not None and cell_key(cell.columns) not in done:
            self._file.add([(cell.columns, measured.beside)])

    def diagnose(self) -> list[dict[str, Any]]:
        return [self._diagnose(subject) for subject in self.plan.subjects]

    def complete(self, folder: RunFolder, progress: Progress) -> None:
        baselines = folder.path / "baseline.json"
        if not baselines.exists():
            found = [self._baseline(subject).to_json() for subject in self.plan.subjects]
            write_atomically(baselines, json.dumps(found) + "\n")
        self._crosscheck(folder.path / "crosscheck.csv", progress)
        path = folder.path / "minimum.csv"
        if self.plan.minimum is not None and not path.exists():
            judges = {subject.name: self.judge(subject.name) for subject in self.plan.subjects}
            table = measure_pairs_minimum(self.plan, judges, self.plan.minimum, progress=progress)
            write_atomically(path, table_text(table))

    def _crosscheck(self, path: Path, progress: Progress) -> None:
        """Our PGD beside ART's on the first recogniser that gives gradients."""
        subjects = [subject for subject in self.plan.subjects if subject.record["differentiable"]]
        if not self.plan.crosscheck_pairs or not subjects or path.exists():
            return
        subject, count = subjects[0], min(self.plan.crosscheck_pairs, len(self.plan.pairs.probes))
        x = pictures(subject.faces, self.plan.pairs.probes[:count])
        goals = {goal: pair_goal(goal, self.judge(subject.name), count) for goal in ("dodge", IMPERSONATE)}
        write_atomically(path, table_text(crosscheck(subject.attacked.model, x, goals, progress=progress)))

    def _baseline(self, subject: VerificationSubject) -> Baseline:
        """Of the tested people's photos as they are, at the threshold that was fitted on the others."""
        plan, faces, rows = self.plan, subject.faces, self.plan.halves.test
        of = subject.record.get("licence", "")
        shown = Shown(subject.name, subject.judged.network, of, faces.name, plan.looked_at, len(plan.missed))
        embeddings = embed(subject.judged.model, pictures(faces, rows)).double().numpy()
        threshold = self.judge(subject.name).threshold
        return baseline_of_people(
            shown, embeddings, names(faces, rows), threshold=threshold, tags=plan.tags, seed=plan.seeds[0]
        )

    def _judge(self, name: str) -> PairJudge:
        plan, subject = self.plan, self._subjects[name]
        number = list(self._subjects).index(name)
        self.progress("judges", number, len(self._subjects))
        [judge] = pair_judges(subject.bare, subject.faces, plan.halves, plan.pairs, far=plan.far, through=[subject.judged])
        self.progress("judges", number + 1, len(self._subjects))
        return judge

    def _start(self, cell: Cell, subject: VerificationSubject, count: int) -> torch.Tensor | None:
        """The photo of the target, for attacks that begin there."""
        needed = cell.goal == IMPERSONATE and getattr(cell.entry.attack, "needs_photo_of_target", False)
        return pictures(subject.faces, self.plan.pairs.targets[:count]) if needed else None

    def _diagnose(self, subject: VerificationSubject) -> dict[str, Any]:
        """What the flags want to know: whether there is anything that an attack by gradient can follow."""
        if not subject.record["differentiable"]:
            return {"recognizer": subject.name}
        x = pictures(subject.faces, self.plan.pairs.probes[:_DIAGNOSED])
        goal = pair_goal("dodge", self.judge(subject.name), len(x))
        return {"recognizer": subject.name, **gradient_health(subject.judged.model, x, goal, seed=self.plan.seeds[0])}
