"""How well strangers are verified and identified, with thresholds from other people, before and after noise."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from faceenc.benchmark.rows import CELL_COLUMNS, Key, written
from faceenc.benchmark.verification.identification import Gallery, fit_identification
from faceenc.benchmark.verification.pairs import Halves, Pairs, pictures, spread
from faceenc.core import RunError, write_atomically
from faceenc.data import FaceSet
from faceenc.recognizers import (
    FAR,
    PictureModel,
    apply_threshold,
    embed,
    equal_error_rate,
    fit_threshold,
    pair_scores,
)

FARS = (FAR, 0.001)

RANKS = (1, 50)
VERIFICATION_COLUMNS = (
    *("tar_far1", "far1", "tar_far01", "far01", "eer", "rank1", "rank50"),
    *("identified", "taken_for_others", "people"),
)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Verification:
    """What one judge needs to verify and identify the tested people.

    Attributes:
        fitted: distances of the first half's genuine and impostor pairs.
        thresholds: fitted on them, for `FARS`; nan where the pairs cannot show the rate.
        impostor: (I,) distances between two people of the second half.
        gallery: clean photos of the second half.
        references: (N, D) of the pairs' other photos.
        probes: (N,) rows of the attacked photos, none of which is searched for in itself.
    """

    fitted: tuple[Floats, Floats]
    thresholds: tuple[float, ...]
    impostor: Floats
    gallery: Gallery
    references: Floats
    probes: NDArray[np.int64]

    def of(self, probes: torch.Tensor) -> dict[str, Any]:
        """`VERIFICATION_COLUMNS` for (M, D) embeddings of the first M attacked photos, clean or not: shares in [0, 1].

        Genuine pairs are probe and reference; impostor pairs are clean ones, for whoever attacks does not change them.
        """
        own, count = probes.double().numpy(), len(probes)
        genuine = np.linalg.norm(own - self.references[:count], axis=1)
        rates = [
            (float("nan"), float("nan")) if np.isnan(t) else apply_threshold(genuine, self.impostor, threshold=t)
            for t in self.thresholds
        ]
        found = self.gallery.search(own, self.probes[:count])
        ranks = [found.rank(k) for k in RANKS]
        numbers = [*rates[0], *rates[1], equal_error_rate(genuine, self.impostor), *ranks]
        numbers += [found.identified, found.taken_for_others]
        return dict(zip(VERIFICATION_COLUMNS, [*numbers, len(np.unique(self.gallery.labels))], strict=True))


def fit_verification(judge: PictureModel, data: FaceSet, halves: Halves, pairs: Pairs) -> Verification:
    """Embed what is not attacked, and fit the thresholds.

    Args:
        judge: clean, without a defence.
        data: the people.
        halves: thresholds come from the first.
        pairs: attacked photos come from the second.
    """
    fit, test = spread(data, halves.fit), spread(data, halves.test)
    embeddings = {name: _embed(judge, data, rows) for name, rows in (("fit", fit), ("test", test))}
    fitted = pair_scores(embeddings["fit"], data.labels[fit])
    thresholds = []
    for far in FARS:
        try:
            thresholds.append(fit_threshold(*fitted, far=far))
        except ValueError:  # too few pairs for this rate
            thresholds.append(float("nan"))
    threshold = fit_identification(embeddings["fit"], data.labels[fit])
    return Verification(
        fitted=fitted,
        thresholds=tuple(thresholds),
        impostor=pair_scores(embeddings["test"], data.labels[test])[1],
        gallery=Gallery(embeddings["test"], test, data.labels[test], threshold, data.labels),
        references=_embed(judge, data, pairs.references),
        probes=pairs.probes,
    )


def _embed(judge: PictureModel, data: FaceSet, rows: NDArray[np.int64]) -> Floats:
    found: Floats = embed(judge.model, pictures(data, rows)).double().numpy()
    return found


class VerificationFile:
    """verification.csv: one line a judge and noise, in the plan's order; an untouched judge's comes first, with no noise.

    Args:
        path: the file; lines of other cells than `keep` are dropped.
        keep: cells that are done, as `cell_key` names them.
        order: all cells of the plan.
    """

    def __init__(self, path: Path, *, keep: Collection[Key], order: Sequence[Key]) -> None:
        self.path = path
        self.order = {key: number for number, key in enumerate(order)}
        self.lines: dict[Key, dict[str, str]] = {}
        if path.is_file():
            try:
                with path.open(encoding="utf-8", newline="") as file:
                    self.lines = {_key(line): line for line in csv.DictReader(file, strict=True) if _key(line) in keep}
            except (OSError, ValueError, KeyError, csv.Error) as error:
                raise RunError(f"{path} is damaged ({error!r}): start a new run in another `output`") from error

    def add(self, views: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> None:
        """Write lines, in place of earlier ones of the same cells.

        Args:
            views: a cell's columns, and its `VERIFICATION_COLUMNS`.
        """
        for cell, numbers in views:
            line = {name: cell.get(name, "") for name in CELL_COLUMNS} | dict(numbers)
            text = {name: written(value) for name, value in line.items()}
            self.lines[_key(text)] = text
        out = io.StringIO()
        writer = csv.DictWriter(out, [*CELL_COLUMNS, *VERIFICATION_COLUMNS], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.lines[key] for key in sorted(self.lines, key=lambda key: self.order.get(key, -1)))
        write_atomically(self.path, out.getvalue())


def _key(line: Mapping[str, str]) -> Key:
    return tuple(line[name] for name in CELL_COLUMNS)
