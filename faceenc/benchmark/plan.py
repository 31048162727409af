"""The grid of a benchmark: recognisers x attacks x goals x eps x seeds, as plain objects."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from faceenc.attacks import MinimumSearch
from faceenc.benchmark.classes import Reordered
from faceenc.benchmark.costs import cell_memory, cell_seconds
from faceenc.core import Attack
from faceenc.data import FaceSet
from faceenc.media import to_tensor
from faceenc.recognizers import FaceResNet, ForeignClassifier, Transformed

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class AttackEntry:
    """One line of the grid.

    Attributes:
        name: as the report calls it.
        attack: its parameters; holds no model and no eps.
        goals: "dodge", "impersonate" or both.
        eps: the sizes to try, in the attack's norm; starts with 0.
        images: how many of the test images, None for all.
    """

    name: str
    attack: Attack
    goals: tuple[str, ...]
    eps: tuple[float, ...]
    images: int | None = None


@dataclass(frozen=True)
class Cell:
    """What is computed in one go and stored at once: picklable, hashable, independent of every other cell.

    Attributes:
        recognizer: is judged.
        entry: the attack.
        goal: "dodge" or "impersonate".
        eps: the size of the noise.
        seed: of the attack.
        surrogate: what the noise is made on, where that is another one.
        seconds: it may take, estimated: the longest start first.
        memory: bytes it may need.
    """

    recognizer: str
    entry: AttackEntry
    goal: str
    eps: float
    seed: int
    surrogate: str = ""
    seconds: float = field(default=0.0, compare=False)
    memory: float = field(default=0.0, compare=False)

    @property
    def columns(self) -> dict[str, Any]:
        return {
            "recognizer": self.surrogate or self.recognizer,
            "judge": self.recognizer,
            "attack": self.entry.name,
            "norm": self.entry.attack.norm.name,
            "goal": self.goal,
            "eps": self.eps,
            "seed": self.seed,
        }


@dataclass(frozen=True, eq=False)
class Subject:
    """A recogniser under test, and what run.json says of it.

    Attributes:
        name: in tables.
        model: what is judged.
        record: for run.json.
        surrogate: name and recogniser that the noise is made on, where the attack does not know `model`.
    """

    name: str
    model: FaceResNet | ForeignClassifier | Transformed | Reordered
    record: Mapping[str, Any]
    surrogate: tuple[str, FaceResNet | ForeignClassifier | Reordered] | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """All that a run needs.

    Attributes:
        config: the resolved configuration, JSON-like; a run can only be resumed with the same one.
        data: the people; the test part is attacked.
        subjects: the recognisers.
        entries: the lines of the grid.
        seeds: each runs the whole grid.
        batch_size: images an attack gets at once.
        limit: attack only the first so many test images.
        example_eps: the eps whose pictures are kept; 0 for none.
        crosscheck_images: images on which each step is compared with ART's; 0 for none.
        environment: versions, machine and revision, for run.json.
        minimum: how the minimal perturbation is searched for; None for not at all.
        device: "cpu" or "cuda".
        same_config: whether a configuration that an earlier run recorded means this one; None compares it as it stands.
    """

    config: Mapping[str, Any]
    data: FaceSet
    subjects: tuple[Subject, ...]
    entries: tuple[AttackEntry, ...]
    seeds: tuple[int, ...]
    batch_size: int
    limit: int | None
    example_eps: float
    crosscheck_images: int
    environment: Mapping[str, Any]
    minimum: MinimumSearch | None = None
    device: str = "cpu"
    same_config: Callable[[dict[str, Any]], bool] | None = None

    @cached_property
    def rows(self) -> Rows:
        """Indices of the attacked images. One image of each person comes before any second one, so limits keep variety."""
        labels = self.data.labels[self.data.test]
        turn = np.array([np.sum(labels[:i] == label) for i, label in enumerate(labels)])
        return self.data.test[np.argsort(turn, kind="stable")][: self.limit]

    def pixels(self, rows: Rows) -> torch.Tensor:
        """(N, 3, S, S) float32 in [0, 1] of the images `rows`, on the plan's device."""
        return to_tensor(self.data.images[rows]).to(self.device)

    def labels(self, rows: Rows) -> torch.Tensor:
        """(N,) int64 identities of the images `rows`, on the plan's device."""
        return torch.from_numpy(self.data.labels[rows]).to(self.device)

    def photos_of(self, identities: torch.Tensor) -> torch.Tensor:
        """(N, 3, S, S) the first training photo of each of N identities, on the plan's device."""
        train = self.data.labels[self.data.train]
        return self.pixels(np.array([self.data.train[np.argmax(train == person)] for person in identities.tolist()]))

    def cells(self) -> list[Cell]:
        size = self.data.images.shape[1]
        memory = cell_memory(batch_size=self.batch_size, size=size)
        return [
            Cell(
                subject.name, entry, goal, eps, seed, subject.surrogate[0] if subject.surrogate else "",
                cell_seconds(entry.attack, eps, images=self._images(entry), size=size), memory,
            )
            for seed in self.seeds
            for subject in self.subjects
            for entry in self.entries
            for goal in entry.goals
            for eps in entry.eps
        ]  # fmt: skip

    def images_of(self, cell: Cell) -> int:
        return self._images(cell.entry)

    def _images(self, entry: AttackEntry) -> int:
        return min(entry.images or len(self.rows), len(self.rows))


def draw_targets(labels: torch.Tensor, files: list[str], classes: int, seed: int) -> torch.Tensor:
    """For each image another identity than its own, uniform, fixed by (seed, image name).

    Args:
        labels: (N,) int64 true identities.
        files: the N images' names.
        classes: number of identities, at least 2.
        seed: the run's seed.
    """
    draws = [int.from_bytes(hashlib.sha256(f"{seed}/{file}".encode()).digest()[:7], "big") for file in files]
    return (labels + 1 + torch.tensor([draw % (classes - 1) for draw in draws])) % classes
