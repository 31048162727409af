"""How fast is our PGD next to ART, Foolbox and torchattacks? Each as a ratio to raw gradient passes; see README.md here."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch
import torch.nn.functional as F

from faceenc.attacks import PGD, Dodge, Impersonate, image_generators
from faceenc.benchmark import make_plan, read_config
from faceenc.cli import print_table, progress_bars, set_up_logging
from faceenc.core import Goal, find_config
from faceenc.data import load_data
from faceenc.recognizers import FaceResNet

EPS, STEP = 8 / 255, 2 / 255
# Early stop: the margin in logits that an image leaves with, and larger steps, since most need only a few.
EARLY: dict[str, Any] = {"early_stop": 0.2, "rel_step": 0.35}

Run = Callable[[], torch.Tensor]


def floor(model: FaceResNet, x: torch.Tensor, labels: torch.Tensor, steps: int) -> Run:
    def run() -> torch.Tensor:
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        for _ in range(steps):
            leaf = x.clone().requires_grad_(True)
            torch.autograd.grad(F.cross_entropy(model(leaf), labels), leaf)
        for parameter in model.parameters():
            parameter.requires_grad_(True)
        return x

    return run


def ours(model: FaceResNet, x: torch.Tensor, goal: Goal, steps: int, **settings: Any) -> Run:
    attack = PGD(**{"steps": steps, "rel_step": STEP / EPS, "random_start": False, **settings})
    return lambda: attack(model, x, goal, eps=EPS, rng=image_generators(0, x))


def art(model: FaceResNet, x: torch.Tensor, labels: torch.Tensor, steps: int, *, targeted: bool) -> Run:
    from art.attacks.evasion import ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    classifier = PyTorchClassifier(
        model, torch.nn.CrossEntropyLoss(), tuple(x.shape[1:]), len(model.classes), clip_values=(0.0, 1.0)
    )
    attack = ProjectedGradientDescent(
        classifier, eps=EPS, eps_step=STEP, max_iter=steps, targeted=targeted, batch_size=len(x), verbose=False
    )
    return lambda: torch.from_numpy(attack.generate(x.numpy(), y=labels.numpy()))


def foolbox(model: FaceResNet, x: torch.Tensor, labels: torch.Tensor, steps: int) -> Run:
    from foolbox.attacks import LinfPGD
    from foolbox.models.pytorch import PyTorchModel

    wrapped = PyTorchModel(model, bounds=(0, 1), device="cpu")
    attack = LinfPGD(abs_stepsize=STEP, steps=steps, random_start=False)
    return lambda: attack(wrapped, x, labels, epsilons=EPS)[1]


def torchattacks(model: FaceResNet, x: torch.Tensor, labels: torch.Tensor, steps: int) -> Run:
    import torchattacks as ta

    attack = ta.PGD(model, eps=EPS, alpha=STEP, steps=steps, random_start=False)
    return lambda: attack(x, labels)


def measure(runs: dict[str, Run], rounds: int) -> tuple[dict[str, list[float]], dict[str, torch.Tensor]]:
    """Seconds of each run in each round (one uncounted round first), and what each returned last."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    results: dict[str, torch.Tensor] = {}
    names = list(runs)
    for round_ in range(rounds + 1):
        for name in names[round_ % len(names) :] + names[: round_ % len(names)]:
            start = time.perf_counter()
            results[name] = runs[name]()
            if round_ > 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds, results


def describe(
    name: str, seconds: dict[str, list[float]], adversarial: torch.Tensor, model: FaceResNet, goal: Goal, rival: str
) -> dict[str, Any]:
    ratios = [mine / base for mine, base in zip(seconds[name], seconds["floor"], strict=True)]
    faster = [theirs / mine for mine, theirs in zip(seconds[name], seconds[rival], strict=True)]
    with torch.no_grad():
        outputs = model(adversarial)
    return {
        "engine": name,
        "ratio_to_floor": statistics.median(ratios),
        "lowest": min(ratios),
        "highest": max(ratios),
        "art_time_over_its": statistics.median(faster),
        "success": float(goal.reached(outputs).float().mean()),
        "loss": float(goal.loss(outputs).mean()),
    }


@click.command()
@click.option("--images", default=16, show_default=True)
@click.option("--steps", default=10, show_default=True)
@click.option("--rounds", default=7, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Also write the figures to this file.")
def main(images: int, steps: int, rounds: int, json_path: Path | None) -> None:
    set_up_logging()
    config = read_config(find_config("demo"))
    with progress_bars() as progress:
        data = load_data(config.data, progress=progress)
        plan = make_plan(config, data, limit=images, device="cpu", progress=progress)
    model, x, labels = plan.subjects[0].model, plan.pixels(plan.rows), plan.labels(plan.rows)
    assert isinstance(model, FaceResNet), "the engines are for bare recognisers"
    targets = (labels + 1) % len(model.classes)
    dodge, impersonate = Dodge(labels), Impersonate(targets)
    dodging: dict[str, Run] = {
        "faceenc-exact": ours(model, x, dodge, steps, engine="exact"),
        "faceenc-fused": ours(model, x, dodge, steps, engine="fused"),
        "faceenc": ours(model, x, dodge, steps),
        "faceenc-bf16": ours(model, x, dodge, steps, engine="bf16"),
        "art": art(model, x, labels, steps, targeted=False),
        "foolbox": foolbox(model, x, labels, steps),
        "torchattacks": torchattacks(model, x, labels, steps),
        "faceenc-early-stop": ours(model, x, dodge, steps, **EARLY),
        "faceenc-bf16-early-stop": ours(model, x, dodge, steps, engine="bf16", **EARLY),
    }
    impersonating: dict[str, Run] = {
        "art-targeted": art(model, x, targets, steps, targeted=True),
        "faceenc-targeted": ours(model, x, impersonate, steps),
        "faceenc-early-stop-targeted": ours(model, x, impersonate, steps, **EARLY),
        "faceenc-bf16-early-stop-targeted": ours(model, x, impersonate, steps, engine="bf16", **EARLY),
    }
    seconds, results = measure({"floor": floor(model, x, labels, steps), **dodging, **impersonating}, rounds)
    rows = [describe(name, seconds, results[name], model, dodge, "art") for name in dodging]
    rows += [describe(name, seconds, results[name], model, impersonate, "art-targeted") for name in impersonating]

    import pandas as pd

    per_pass = statistics.median(seconds["floor"]) / steps / images * 1000
    title = f"{images} images, {steps} steps, {rounds} rounds; floor {per_pass:.0f} ms an image a step"
    print_table(pd.DataFrame(rows), title=title)
    if json_path is not None:
        settings = {"images": images, "steps": steps, "rounds": rounds, "floor_ms": per_pass, "torch": torch.__version__}
        json_path.write_text(json.dumps({**settings, "results": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
