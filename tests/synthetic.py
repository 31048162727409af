"""A made-up benchmark run whose every number is known: PGD fells photo i as soon as eps reaches its own limit."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from faceenc.benchmark import ROW_COLUMNS

PEOPLE = 20
IMAGES = 60
SIZES = (0.0, 1 / 255, 2 / 255, 4 / 255, 8 / 255)
HUGE = 128 / 255
# How hard each attack hits, as a factor to its noise size.
STRENGTH = {"pgd": 1.0, "art-pgd": 1.0, "pgd-2x": 1.0, "fgsm": 0.6, "art-fgsm": 0.6, "noise": 0.01}
BLACK_BOX = {"square-100": 0.4, "square-1000": 0.8}


def make_rows(*, black_box: bool = False) -> pd.DataFrame:
    """A healthy run: one recogniser, Linf, three photos of each person, the last of them never recognised.

    With `black_box` an attack that only asks was run, too, at two sizes and with two budgets.
    """
    return _rows(black_box).copy()


@cache
def _rows(black_box: bool) -> pd.DataFrame:
    cells = [(attack, "dodge", eps) for attack in STRENGTH for eps in (*SIZES, HUGE)]
    cells += [(attack, "dodge", eps) for attack in BLACK_BOX for eps in (0.0, 2 / 255, 4 / 255) if black_box]
    cells += [(attack, "impersonate", eps) for attack in ("pgd", "art-pgd") for eps in (*SIZES, HUGE)]
    return pd.DataFrame([_row(*cell, i) for cell in cells for i in range(IMAGES)], columns=list(ROW_COLUMNS))


def _row(attack: str, goal: str, eps: float, i: int) -> dict[str, Any]:
    label, other, target = (f"s{(i + k) % PEOPLE}" for k in (0, 1, 2))
    aimed = goal == "impersonate"
    clean = "s99" if i == IMAGES - 1 else label
    fooled = eps * (STRENGTH | BLACK_BOX)[attack] > (0.5 + 4 * i / IMAGES) / 255 * (1.5 if aimed else 1)
    adversarial = (target if aimed else other) if fooled else clean
    level = max(eps, 1e-4)
    return {
        **{"recognizer": "resnet18", "judge": "resnet18", "attack": attack, "norm": "linf", "goal": goal, "eps": eps},
        **{"seed": 0, "image": f"s{i % PEOPLE}/{i}", "label": label, "target": target if aimed else ""},
        **{"clean_prediction": clean, "adversarial_prediction": adversarial, "clean_probability": 0.97},
        **{"adversarial_probability": 0.9, "label_probability": 0.02 if fooled else 0.9},
        **{"target_probability": (0.95 if fooled else 0.01) if aimed else np.nan, "loss": 4.0 if fooled else 0.1},
        **{"success": adversarial == target if aimed else adversarial != label, "linf": eps, "l2": eps * 200},
        **{"psnr": -20 * np.log10(level) if eps else np.inf, "ssim": 1 - eps, "overshoot": 0.0},
        **{"queries": 1 if attack == "noise" else 11, "seconds": 0.8 if attack.startswith("art-") else 0.25},
    }


def make_run() -> dict[str, Any]:
    """A run.json that fits `make_rows`."""
    return {
        "schema": 1,
        "name": "demo",
        "finished": True,
        "started": "2025-01-01T00:00:00Z",
        "seconds": 321.5,
        "command": "faceenc-bench run demo",
        "config": {
            **{"name": "demo", "eps": list(SIZES), "huge_eps": HUGE, "seeds": [0]},
            "attacks": [
                {"name": "pgd", "attack": "PGD", "norm": "linf", "steps": 10},
                {"name": "square-100", "attack": "ArtSquare", "norm": "linf", "max_queries": 100},
                {"name": "square-1000", "attack": "ArtSquare", "norm": "linf", "max_queries": 1000},
            ],
        },
        "versions": {"torch": "2.14.1", "pandas": "3.1.1"},
        "machine": {"processor": "A <Processor>", "cores": 2, "memory_gb": 8.0, "platform": "Linux"},
        "git": "abc123",
        "data": {
            "name": "faces",
            "sha256": "ab" * 32,
            "people": PEOPLE,
            "train": 140,
            "test": 60,
            "credit": "Faces by <B & C>",
        },
        "recognizers": [
            {
                **{"name": "resnet18", "sha256": "cd" * 32, "classes": PEOPLE, "input_size": 224, "clean_accuracy": 59 / 60},
                "train": {"init": "random", "stages": [{"size": 112, "epochs": 24}, {"size": 224, "epochs": 3}]},
            }
        ],
        "diagnostics": [{"recognizer": "resnet18", "zero_gradient_share": 0.0, "probabilities": False}],
    }


def make_crosscheck() -> pd.DataFrame:
    """Ten steps of an exact engine, equal to ART, and of a fused one that drifts as real ones do."""
    rows = []
    for norm, eps in (("linf", 8 / 255), ("l2", 2.0)):
        for goal in ("dodge", "impersonate"):
            for engine in ("exact", "fused"):
                exact = engine == "exact"
                for step in range(1, 11):
                    same = 1.0 if exact else (1 - 1e-5 if step == 1 else 1 - 0.045 * step)
                    rows.append(
                        {
                            **{"norm": norm, "goal": goal, "eps": eps, "engine": engine, "step": step, "images": 16},
                            **{"max_difference": 0.0 if exact else step * 0.004, "identical_pixels": same, "agreement": 1.0},
                            **{"clean_accuracy": 0.9375, "accuracy": 0.0, "art_accuracy": 0.0},
                            **{"loss": 15.18 if exact else 15.15, "art_loss": 15.18},
                            **{"seconds": 5.0 if exact else 2.5, "art_seconds": 7.5},
                        }
                    )
    return pd.DataFrame(rows)


def write_run(folder: Path, *, rows: pd.DataFrame | None = None, run: dict[str, Any] | None = None) -> Path:
    """The run's folder with cross-check and two pairs of pictures."""
    (folder / "examples").mkdir(parents=True)
    (make_rows() if rows is None else rows).to_csv(folder / "rows.csv", index=False)
    (folder / "run.json").write_text(json.dumps(make_run() if run is None else run))
    make_crosscheck().to_csv(folder / "crosscheck.csv", index=False)
    rng = np.random.default_rng(0)
    entries = []
    for number, (goal, target) in enumerate((("dodge", ""), ("impersonate", "s2"))):
        rows_, columns = np.mgrid[:64, :64]
        face = np.clip(200 - 4 * np.hypot(rows_ - 32, (columns - 32) * 1.3), 20, 220).astype(np.uint8)
        original = np.repeat(face[..., None], 3, axis=2)
        noise = rng.choice(np.array([-8, 8]), original.shape)
        for name, picture in (("original", original), ("adversarial", original + noise)):
            Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / "examples" / f"{number}-{name}.png")
        entries.append(
            {
                **{"image": f"s0/{number}", "label": "s0", "target": target, "attack": "pgd", "goal": goal, "eps": 8 / 255},
                **{"clean_prediction": "s0", "clean_probability": 0.97, "adversarial_prediction": target or "s1"},
                **{"adversarial_probability": 0.999, "original": f"{number}-original.png"},
                "adversarial": f"{number}-adversarial.png",
            }
        )
    (folder / "examples" / "examples.json").write_text(json.dumps(entries))
    return folder
