"""The grid of a verification: recognisers x attacks x goals x eps x seeds, each attacked and judged at its own crop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from faceenc.attacks import MinimumSearch
from faceenc.benchmark.costs import cell_memory, cell_seconds
from faceenc.benchmark.plan import AttackEntry, Cell
from faceenc.benchmark.verification.pairs import Halves, Pairs, draw_pairs, halves
from faceenc.data import FaceSet
from faceenc.recognizers import FAR, PictureModel


@dataclass(frozen=True, eq=False)
class VerificationSubject:
    """A recogniser under test.

    Attributes:
        name: in tables.
        judged: (N, 3, S, S) its own crops -> (N, D), behind its defence, if it has one.
        attacked: what the noise is made on: the same, or without the defence.
        bare: without the defence: thresholds, references and galleries are of untouched pictures.
        faces: the people as it cuts them out.
        record: for run.json.
    """

    name: str
    judged: PictureModel
    attacked: PictureModel
    bare: PictureModel
    faces: FaceSet
    record: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class VerificationPlan:
    """All that a run needs.

    Attributes:
        config: the resolved configuration, JSON-like; a run can only be resumed with the same one.
        subjects: the recognisers; the same photos in the same order for all.
        entries: the lines of the grid.
        seeds: each runs the whole grid; the first one draws the pairs.
        count: pairs, at most.
        far: false match rate of the thresholds.
        batch_size: images an attack gets at once.
        looked_at: photos.
        missed: files of those that show no face.
        crosscheck_pairs: on which each step is compared with ART's; 0 for none.
        environment: versions, machine and revision, for run.json.
        minimum: how the minimal perturbation is searched for; None for not at all.
        tags: each tag's value by person; the baseline is sliced by them.
        same_config: whether a configuration that an earlier run recorded means this one; None compares it as it stands.
    """

    config: Mapping[str, Any]
    subjects: Sequence[VerificationSubject]
    entries: Sequence[AttackEntry]
    seeds: tuple[int, ...] = (0,)
    count: int = 200
    far: float = FAR
    batch_size: int = 16
    looked_at: int = 0
    missed: Sequence[str] = ()
    crosscheck_pairs: int = 0
    environment: Mapping[str, Any] = field(default_factory=dict)
    minimum: MinimumSearch | None = None
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    same_config: Callable[[dict[str, Any]], bool] | None = None

    @property
    def data(self) -> FaceSet:
        """The people, as the first recogniser cuts them out."""
        return self.subjects[0].faces

    @cached_property
    def halves(self) -> Halves:
        return halves(self.data)

    @cached_property
    def pairs(self) -> Pairs:
        return draw_pairs(self.data, self.halves.test, count=self.count, seed=self.seeds[0])

    def pairs_of(self, entry: AttackEntry) -> int:
        """How many of them an attack gets: the first ones."""
        return min(entry.images or len(self.pairs.probes), len(self.pairs.probes))

    def cells(self) -> list[Cell]:
        return [
            Cell(
                subject.name, entry, goal, eps, seed, "" if subject.attacked is subject.judged else subject.attacked.name,
                cell_seconds(entry.attack, eps, images=self.pairs_of(entry), size=subject.faces.images.shape[1]),
                cell_memory(batch_size=self.batch_size, size=subject.faces.images.shape[1]),
            )
            for seed in self.seeds
            for subject in self.subjects
            for entry in self.entries
            for goal in entry.goals
            for eps in entry.eps
        ]  # fmt: skip
