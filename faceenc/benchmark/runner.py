"""The benchmark: a grid of recognisers x attacks x goals x eps x seeds becomes tidy rows, cell by cell, resumable."""

from __future__ import annotations

import json
import time
from typing import Any

import torch

from faceenc.attacks import Dodge, Impersonate, gradient_engine, run_attack
from faceenc.benchmark.folder import RunFolder, cell_key
from faceenc.benchmark.minimum import measure_minimum
from faceenc.benchmark.parity import crosscheck
from faceenc.benchmark.plan import Cell, Plan, Rows, Subject, draw_targets
from faceenc.core import Goal, Outcome, Progress, RunError, write_atomically
from faceenc.media import psnr, ssim, to_uint8, write_png
from faceenc.recognizers import ask


def run_benchmark(plan: Plan, folder: RunFolder, *, command: str, progress: Progress) -> None:
    """Compute the cells that `folder` does not hold yet, and store each as it is finished.

    Args:
        plan: what to compute.
        folder: fresh, or with a part of the same plan's rows.
        command: how to run this again, for the report.
        progress: called with the cells done, the images of each, and the steps of the cross-check.

    Raises:
        RunError: the folder holds a run of another configuration.
    """
    started = time.time()
    record = _open_record(plan, folder) | {"command": command}
    cells = plan.cells()
    done = folder.done_cells({cell_key(cell.columns): plan.images_of(cell) for cell in cells})
    runner = _CellRunner(plan)
    for number, cell in enumerate(cells):
        progress("cells", number, len(cells))
        if cell_key(cell.columns) not in done:
            outcome, rows = runner.run_cell(cell, progress)
            if _is_example(cell, plan):
                _write_examples(folder, plan, cell, outcome, rows)
            folder.append(rows)
    progress("cells", len(cells), len(cells))
    record["diagnostics"] = [_diagnose(subject, runner) for subject in plan.subjects]
    if plan.crosscheck_images:
        subject = plan.subjects[0]
        rows_checked = plan.rows[: plan.crosscheck_images]
        table = crosscheck(subject.model, plan.pixels(rows_checked), plan.labels(rows_checked), progress=progress)
        write_atomically(folder.path / "crosscheck.csv", table.to_csv(index=False))
    if plan.minimum is not None and not (folder.path / "minimum.csv").exists():
        write_atomically(
            folder.path / "minimum.csv", measure_minimum(plan, plan.minimum, progress=progress).to_csv(index=False)
        )
    record["seconds"] = round(record.get("seconds", 0) + time.time() - started, 1)
    folder.finish(record)


def _open_record(plan: Plan, folder: RunFolder) -> dict[str, Any]:
    """run.json as it stands before the first cell; written at once, so that a killed run can be resumed."""
    data = plan.data
    record: dict[str, Any] = {
        "schema": 1,
        "name": plan.config["name"],
        "finished": False,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "config": plan.config,
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
            {"name": s.name, "classes": len(s.model.classes), "input_size": s.model.input_size, **s.record}
            for s in plan.subjects
        ],
    }
    folder.refuse_other(record, ("config", "data"))
    if (folder.path / "run.json").exists():
        before = folder.read_run()
        hashes = [[r["sha256"] for r in run["recognizers"]] for run in (before, record)]
        if hashes[0] != hashes[1]:
            raise RunError(f"{folder.path} holds a run of another recogniser: its weights differ; use a new --output")
        record = {**before, "finished": False}
    folder.write_run(record)
    return record


class _CellRunner:
    """Runs cells; keeps what cells share: the clean images' outputs of each recogniser."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.models = {subject.name: subject.model for subject in plan.subjects}
        self.attacked = {s.name: s.surrogate[1] if s.surrogate else s.model for s in plan.subjects}
        self.clean: dict[str, torch.Tensor] = {}

    def clean_outputs(self, name: str) -> torch.Tensor:
        """(N, K) outputs for all attacked images, on the CPU, asked once."""
        if name not in self.clean:
            parts = torch.from_numpy(self.plan.rows).split(self.plan.batch_size)
            self.clean[name] = torch.cat([ask(self.models[name], self.plan.pixels(rows.numpy())).cpu() for rows in parts])
        return self.clean[name]

    def run_cell(self, cell: Cell, progress: Progress) -> tuple[Outcome, list[dict[str, Any]]]:
        """Attack, judge, and describe each image in one row."""
        model, rows = self.models[cell.recognizer], self.plan.rows[: self.plan.images_of(cell)]
        x, labels = self.plan.pixels(rows), self.plan.labels(rows)
        targets = start = None
        if cell.goal == "impersonate":
            targets = draw_targets(labels.cpu(), [self.plan.data.files[row] for row in rows], len(model.classes), cell.seed)
            if getattr(cell.entry.attack, "needs_photo_of_target", False):
                start = self.plan.photos_of(targets)
        goal: Goal = Dodge(labels) if targets is None else Impersonate(targets.to(labels.device))
        images_done = 0

        def report(count: int) -> None:
            nonlocal images_done
            images_done += count
            progress("images", images_done, len(rows))

        outcome = run_attack(
            cell.entry.attack,
            self.attacked[cell.recognizer],
            x,
            goal,
            eps=cell.eps,
            seed=cell.seed,
            batch_size=self.plan.batch_size,
            progress=report,
            judge=model,
            start=start,
        )
        return outcome, self._describe(cell, rows, x, goal, labels.cpu(), targets, outcome)

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
        n, classes, x = len(rows), self.plan.data.classes, x.cpu()
        clean = self.clean_outputs(cell.recognizer)[:n].softmax(1)
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


def _diagnose(subject: Subject, runner: _CellRunner) -> dict[str, Any]:
    """What the flags want to know of a recogniser and the rows do not hold."""
    plan = runner.plan
    rows = plan.rows[: plan.batch_size]
    answer = gradient_engine(subject.model, "exact")(plan.pixels(rows), Dodge(plan.labels(rows)))
    outputs = runner.clean_outputs(subject.name)
    sums_to_one = bool(torch.allclose(outputs.sum(1), torch.ones(len(outputs)), atol=1e-3))
    return {
        "recognizer": subject.name,
        "zero_gradient_share": float((answer.gradient.flatten(1).abs().amax(1) == 0).float().mean()),
        "probabilities": sums_to_one and bool((outputs >= 0).all()),
    }


def _is_example(cell: Cell, plan: Plan) -> bool:
    first = plan.entries[0].name, plan.subjects[0].name, plan.seeds[0]
    return (cell.entry.name, cell.recognizer, cell.seed) == first and cell.eps == plan.example_eps > 0


def _write_examples(folder: RunFolder, plan: Plan, cell: Cell, outcome: Outcome, rows: list[dict[str, Any]]) -> None:
    """Keep the first few adversarial images, losslessly, so that the report's pictures need no new attack."""
    pictures = folder.path / "examples"
    pictures.mkdir(exist_ok=True)
    index = pictures / "examples.json"
    entries = json.loads(index.read_text(encoding="utf-8")) if index.exists() else []
    entries = [entry for entry in entries if entry["goal"] != cell.goal]
    for number, row in enumerate(rows[:3]):
        original, adversarial = f"{number}-original.png", f"{number}-{cell.goal}.png"
        write_png(pictures / original, plan.data.images[plan.rows[number]])
        write_png(pictures / adversarial, to_uint8(outcome.adversarial[number : number + 1])[0])
        kept = ("image", "label", "target", "attack", "goal", "eps", "clean_prediction", "clean_probability",
                "adversarial_prediction", "adversarial_probability")  # fmt: skip
        entries.append({**{name: row[name] for name in kept}, "original": original, "adversarial": adversarial})
    write_atomically(index, json.dumps(entries, indent=2) + "\n")
