"""Classification: which person is in the picture, asked before and after noise on every test image."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from faceenc.attacks import Dodge, Impersonate, engines_in_use, gradient_engine, run_attack
from faceenc.benchmark.folder import RunFolder
from faceenc.benchmark.minimum import measure_minimum
from faceenc.benchmark.parity import crosscheck
from faceenc.benchmark.plan import Cell, Plan, Rows, Subject, draw_targets
from faceenc.benchmark.rows import Key, cell_key
from faceenc.benchmark.runner import Measured, counted, silent
from faceenc.core import Goal, Outcome, Progress, RunError, read_text, table_text, write_atomically
from faceenc.media import psnr, ssim, write_png
from faceenc.recognizers import ask

_EXAMPLES = 3  # pictures of a goal


class Classification:
    """A benchmark of classifiers: a grid of recognisers x attacks x goals x eps x seeds.

    Args:
        plan: what to compute.
        progress: called with the images of each cell.
    """

    kind = ""

    def __init__(self, plan: Plan, progress: Progress = silent) -> None:
        self.plan, self.config, self.progress = plan, plan.config, progress
        self._models = {subject.name: subject.model for subject in plan.subjects}
        self._attacked = {s.name: s.surrogate[1] if s.surrogate else s.model for s in plan.subjects}
        self._clean: dict[str, torch.Tensor] = {}

    def same_config(self, recorded: dict[str, Any]) -> bool:
        return self.plan.same_config is not None and self.plan.same_config(recorded)

    def parts(self) -> dict[str, Any]:
        plan, data = self.plan, self.plan.data
        attacks = [entry.attack for entry in plan.entries] + ([plan.minimum.attack] if plan.minimum else [])
        return {
            **plan.environment,
            "data": {
                "name": data.name,
                "sha256": data.sha256,
                "people": len(data.classes),
                "train": len(data.train),
                "test": len(data.test),
                "attacked": len(plan.rows),
                "credit": data.credit,
            },
            "recognizers": [
                {
                    **{"name": s.name, "classes": len(s.model.classes), "input_size": s.model.input_size, **s.record},
                    "engine": engines_in_use(attacks, self._attacked[s.name]),
                }
                for s in plan.subjects
            ],
        }

    def fixed(self, run: Mapping[str, Any]) -> dict[str, Any]:
        recognizers = run.get("recognizers") or []
        return {"data": run.get("data"), "recogniser": [one.get("sha256") for one in recognizers]}

    def cells(self) -> list[Cell]:
        return self.plan.cells()

    def expected(self, cell: Cell) -> dict[Key, int]:
        return {cell_key(cell.columns): self.plan.images_of(cell)}

    def begin(self, folder: RunFolder, done: Collection[Key]) -> None:
        """Nothing comes before the first cell."""

    def measure(self, cell: Cell) -> Measured:
        model, rows = self._models[cell.recognizer], self.plan.rows[: self.plan.images_of(cell)]
        x, labels = self.plan.pixels(rows), self.plan.labels(rows)
        targets = start = None
        if cell.goal == "impersonate":
            files = [self.plan.data.files[row] for row in rows]
            targets = draw_targets(labels.cpu(), files, len(self.plan.data.classes), cell.seed)
            if getattr(cell.entry.attack, "needs_photo_of_target", False):
                start = self.plan.photos_of(targets)
        goal: Goal = Dodge(labels) if targets is None else Impersonate(targets.to(labels.device))
        outcome = run_attack(
            cell.entry.attack,
            self._attacked[cell.recognizer],
            x,
            goal,
            eps=cell.eps,
            seed=cell.seed,
            batch_size=self.plan.batch_size,
            progress=counted(self.progress, len(rows)),
            judge=model,
            start=start,
        )
        described = self._describe(cell, rows, x, goal, labels.cpu(), targets, outcome)
        return Measured(described, _pictures(outcome) if _is_example(cell, self.plan) else None)

    def keep(self, folder: RunFolder, cell: Cell, measured: Measured, done: Collection[Key]) -> None:
        if measured.beside is not None:
            _write_examples(folder, self.plan, cell, measured.beside, measured.rows)

    def diagnose(self) -> list[dict[str, Any]]:
        return [self._diagnose(subject) for subject in self.plan.subjects]

    def complete(self, folder: RunFolder, progress: Progress) -> None:
        plan = self.plan
        if plan.crosscheck_images:
            rows = plan.rows[: plan.crosscheck_images]
            table = crosscheck(plan.subjects[0].model, plan.pixels(rows), plan.labels(rows), progress=progress)
            write_atomically(folder.path / "crosscheck.csv", table_text(table))
        path = folder.path / "minimum.csv"
        if plan.minimum is not None and not path.exists():
            write_atomically(path, table_text(measure_minimum(plan, plan.minimum, progress=progress)))

    def _clean_outputs(self, name: str) -> torch.Tensor:
        """(N, K) outputs for all attacked images, on the CPU, asked once."""
        if name not in self._clean:
            parts = torch.from_numpy(self.plan.rows).split(self.plan.batch_size)
            asked = [ask(self._models[name], self.plan.pixels(rows.numpy())).cpu() for rows in parts]
            self._clean[name] = torch.cat(asked)
        return self._clean[name]

    def _diagnose(self, subject: Subject) -> dict[str, Any]:
        rows = self.plan.rows[: self.plan.batch_size]
        answer = gradient_engine(subject.model, "exact")(self.plan.pixels(rows), Dodge(self.plan.labels(rows)))
        outputs = self._clean_outputs(subject.name)
        sums_to_one = bool(torch.allclose(outputs.sum(1), torch.ones(len(outputs)), atol=1e-3))
        return {
            "recognizer": subject.name,
            "zero_gradient_share": float((answer.gradient.flatten(1).abs().amax(1) == 0).float().mean()),
            "probabilities": sums_to_one and bool((outputs >= 0).all()),
        }

    def _describe(
        self,
        cell: Cell,
        rows: Rows,
        x: torch.Tensor,
        goal: Goal,
        labels: torch.Tensor,
        targets: torch.Tensor | None,
        outcome: Outcome,
    ) -> list[dict[str, Any]]:
        n, classes, x = len(rows), self._models[cell.recognizer].classes, x.cpu()
        clean = self._clean_outputs(cell.recognizer)[:n].softmax(1)
        adversarial = outcome.outputs.softmax(1)
        delta = outcome.adversarial - x
        image = torch.arange(n)
        columns = {
            "clean_prediction": [classes[k] for k in clean.argmax(1)],
            "adversarial_prediction": [classes[k] for k in adversarial.argmax(1)],
            "clean_probability": clean.amax(1).tolist(),
            "adversarial_probability": adversarial.amax(1).tolist(),
            "label_probability": adversarial[image, labels].tolist(),
            "target_probability": [None] * n if targets is None else adversarial[image, targets].tolist(),
            "label": [classes[k] for k in labels],
            "target": [""] * n if targets is None else [classes[k] for k in targets],
            "loss": goal.loss(outcome.outputs.to(self.plan.device)).tolist(),
            "success": outcome.reached.tolist(),
            "linf": delta.flatten(1).abs().amax(1).tolist(),
            "l2": torch.linalg.vector_norm(delta.flatten(1), dim=1).tolist(),
            "psnr": psnr(outcome.adversarial, x).tolist(),
            "ssim": ssim(outcome.adversarial, x).tolist(),
            "overshoot": outcome.overshoot.tolist(),
            "queries": outcome.queries.tolist(),
            "seconds": [outcome.seconds / n] * n,
            "image": [self.plan.data.files[row] for row in rows],
        }
        return [{**cell.columns, **{name: values[i] for name, values in columns.items()}} for i in range(n)]


def _is_example(cell: Cell, plan: Plan) -> bool:
    first = plan.entries[0].name, plan.subjects[0].name, plan.seeds[0]
    return (cell.entry.name, cell.recognizer, cell.seed) == first and cell.eps == plan.example_eps > 0


def _pictures(outcome: Outcome) -> list[NDArray[np.uint8]]:
    """The first few adversarial images, (H, W, 3)."""
    return [(image * 255).round().byte().permute(1, 2, 0).numpy() for image in outcome.adversarial[:_EXAMPLES]]


def _write_examples(
    folder: RunFolder, plan: Plan, cell: Cell, pictures: list[NDArray[np.uint8]], rows: Sequence[Mapping[str, Any]]
) -> None:
    """Keep the first few adversarial images, losslessly, so that the report's pictures need no new attack."""
    place = folder.path / "examples"
    place.mkdir(exist_ok=True)
    index = place / "examples.json"
    try:
        entries = json.loads(read_text(index)) if index.exists() else []
        entries = [entry for entry in entries if entry["goal"] != cell.goal]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunError(f"{index} is damaged ({error}): remove it, and resume") from error
    for number, (picture, row) in enumerate(zip(pictures, rows, strict=False)):
        original, adversarial = f"{number}-original.png", f"{number}-{cell.goal}.png"
        write_png(place / original, plan.data.images[plan.rows[number]])
        write_png(place / adversarial, picture)
        kept = ("image", "label", "target", "attack", "goal", "eps", "clean_prediction", "clean_probability",
                "adversarial_prediction", "adversarial_probability")  # fmt: skip
        entries.append({**{name: row[name] for name in kept}, "original": original, "adversarial": adversarial})
    goals = [cell.goal for cell in plan.cells() if _is_example(cell, plan)]
    entries.sort(key=lambda entry: goals.index(entry["goal"]))
    write_atomically(index, json.dumps(entries, indent=2) + "\n")
