"""LFW's pairs protocol (view 2): ten folds of photo pairs, each judged by the threshold of the other nine.

http://vis-www.cs.umass.edu/lfw/README.txt. The pairs file names photos by person and number; where photos are missing, their
pairs are left out and counted: a part of the pairs is not the published benchmark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceenc.benchmark.verification.views import FARS
from faceenc.core import DataError
from faceenc.data import FaceSet, Pair, read_pairs
from faceenc.media import to_tensor
from faceenc.recognizers import PictureModel, embed, equal_error_rate, tar_at_far


@dataclass(frozen=True, slots=True)
class PairsResult:
    """What an embedder says of the pairs.

    Attributes:
        pairs: in the file.
        used: of which both photos were there.
        same: of these, of one person.
        folds: with any usable pair, and others to fit the threshold on.
        accuracy: mean over folds of the share judged rightly, in [0, 1]; nan where nothing can be fitted.
        deviation: standard error of this mean.
        tar: true accept rate at FAR 1 % and 0.1 % over all pairs used; nan where they are too few.
        eer: equal error rate.
    """

    pairs: int
    used: int
    same: int
    folds: int
    accuracy: float
    deviation: float
    tar: tuple[float, float]
    eer: float


def judge_pairs(pairs: list[Pair], embeddings: Mapping[str, NDArray[np.floating]]) -> PairsResult:
    """The protocol's figures.

    Args:
        pairs: as read.
        embeddings: (D,) by photo; pairs with a photo that is not there are left out.
    """
    usable = [pair for pair in pairs if pair.one in embeddings and pair.other in embeddings]
    distances = np.array([np.linalg.norm(embeddings[p.one] - embeddings[p.other]) for p in usable], np.float64)
    same, fold = np.array([p.same for p in usable], bool), np.array([p.fold for p in usable], np.int64)
    shares = []
    for number in np.unique(fold):
        inside = fold == number
        if len(np.unique(same[~inside])) == 2:
            threshold = _best_threshold(distances[~inside], same[~inside])
            shares.append(float(((distances[inside] <= threshold) == same[inside]).mean()))
    far = [tar_at_far(distances[same], distances[~same], far=rate) for rate in FARS]
    return PairsResult(
        pairs=len(pairs),
        used=len(usable),
        same=int(same.sum()),
        folds=len(shares),
        accuracy=float(np.mean(shares)) if shares else float("nan"),
        deviation=float(np.std(shares, ddof=1) / len(shares) ** 0.5) if len(shares) > 1 else float("nan"),
        tar=(far[0], far[1]),
        eer=equal_error_rate(distances[same], distances[~same]),
    )


def _best_threshold(distances: NDArray[np.float64], same: NDArray[np.bool_]) -> float:
    """The distance up to which accepting is right most often."""
    order = np.argsort(distances, kind="stable")
    right = np.cumsum(np.where(same[order], 1, -1))
    return float(distances[order][int(np.argmax(right))])


def pairs_table(path: Path, judges: Sequence[PictureModel], data: FaceSet) -> str:
    """CSV text: judge, `PairsResult`'s figures; one line a judge.

    Args:
        path: LFW's pairs file.
        judges: whom to ask.
        data: LFW's people, or some of them.

    Raises:
        DataError: no pairs file, or no pair whose photos are both here.
    """
    pairs = read_pairs(path)
    rows = {Path(file).with_suffix("").as_posix(): row for row, file in enumerate(data.files)}
    here = sorted({name for pair in pairs for name in (pair.one, pair.other)} & set(rows))
    if not here:
        raise DataError(f"none of the photos that {path} names is in {data.name}: it takes LFW's own folders")
    x = to_tensor(data.images[[rows[name] for name in here]])
    lines = ["judge,pairs,used,same,folds,accuracy,deviation,tar_far1,tar_far01,eer"]
    for judge in judges:
        found = embed(judge.model, x).double().numpy()
        r = judge_pairs(pairs, dict(zip(here, found, strict=True)))
        numbers = (r.accuracy, r.deviation, *r.tar, r.eer)
        lines.append(f"{judge.name},{r.pairs},{r.used},{r.same},{r.folds}," + ",".join(f"{n:.9g}" for n in numbers))
    return "\n".join(lines) + "\n"
