"""The grid of a transfer measurement: surrogates x attacks x goals x eps, each shown to every judge, as plain objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from faceenc.attacks import BATCH_SIZE
from faceenc.benchmark.costs import cell_memory, cell_seconds
from faceenc.benchmark.plan import AttackEntry
from faceenc.benchmark.transfer.pairs import aligned_halves
from faceenc.benchmark.verification.judging import IMPERSONATE
from faceenc.benchmark.verification.pairs import Halves, Pairs, draw_pairs
from faceenc.data import FaceSet
from faceenc.recognizers import FAR, PictureModel
from faceenc.report import BORROWED

DODGE = "dodge"


@dataclass(frozen=True, slots=True)
class TransferCell:
    """Noise that is made in one go and shown to all judges: picklable, independent of every other cell.

    Attributes:
        surrogate: what it is made on.
        entry: the attack.
        how: one of its goals.
        eps: the size of the noise.
        seconds: it may take, estimated: the longest start first.
        memory: bytes it may need.
    """

    surrogate: str
    entry: AttackEntry
    how: str
    eps: float
    seconds: float = field(default=0.0, compare=False)
    memory: float = field(default=0.0, compare=False)


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
        lfw_pairs: LFW's pairs file; what judges say of its pairs becomes lfw_pairs.csv.
        same_config: whether a configuration that an earlier run recorded means this one; None compares it as it stands.
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
    lfw_pairs: Path | None = None
    same_config: Callable[[dict[str, Any]], bool] | None = None

    @cached_property
    def halves(self) -> Halves:
        return aligned_halves(self.data)

    @cached_property
    def pairs(self) -> Pairs:
        return draw_pairs(self.data, self.halves.test, count=self.count, seed=self.seed)

    def cells(self) -> list[TransferCell]:
        size, count = self.data.images.shape[1], len(self.pairs.probes)
        memory, judges = cell_memory(batch_size=self.batch_size, size=size), len(self.judges) * len(self.variants)
        return [
            TransferCell(
                surrogate.name,
                entry,
                how,
                eps,
                cell_seconds(entry.attack, eps, images=count, size=size, judges=judges),
                memory,
            )
            for surrogate in self.surrogates
            for entry in self.entries
            for how in entry.goals
            for eps in entry.eps
        ]

    def columns(self, cell: TransferCell, judge: str) -> list[dict[str, Any]]:
        """First columns of a judge's rows: of the attack, and of the borrowed noise where there is one."""
        entry, how = cell.entry, cell.how
        alone = how == IMPERSONATE or sum(goal != IMPERSONATE for goal in entry.goals) == 1
        title = entry.name if alone else f"{entry.name} ({how})"
        base = {
            "recognizer": cell.surrogate, "judge": judge, "attack": title, "norm": entry.attack.norm.name,
            "goal": IMPERSONATE if how == IMPERSONATE else DODGE, "eps": cell.eps, "seed": self.seed,
        }  # fmt: skip
        borrowed = entry.name == self.borrowed and how == entry.goals[0] and cell.eps > 0
        return [base, {**base, "attack": BORROWED}] if borrowed else [base]
