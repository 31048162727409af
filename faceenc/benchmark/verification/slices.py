"""FMR and FNMR at a threshold that was fitted elsewhere: of everybody, and of those who share a tag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from faceenc.benchmark.verification.baseline import Draws, PairDistances, Rate, middle, share


@dataclass(frozen=True, slots=True)
class AtThreshold:
    """What a threshold does to some of the people.

    Attributes:
        tag: that they share, such as "light"; "" is everybody.
        value: of the tag, such as "dim".
        people: of this value.
        genuine: pairs of one person.
        impostor: pairs of two of them.
        fmr: the share of impostor pairs that match; nan without any.
        fnmr: the share of genuine pairs that do not.
    """

    tag: str
    value: str
    people: int
    genuine: int
    impostor: int
    fmr: Rate
    fnmr: Rate


def at_threshold(
    pairs: PairDistances, threshold: float, tags: Mapping[str, Sequence[str]] | None = None, *, seed: int = 0
) -> list[AtThreshold]:
    """Everybody first, then each tag's values in alphabetical order.

    Args:
        pairs: of people numbered from 0.
        threshold: Euclidean.
        tags: each tag's value for every person, by number; "" where it has none.
        seed: of the draws of people that intervals are taken from.
    """
    found = [_rates("", "", pairs, threshold, seed)]
    for tag, values in (tags or {}).items():
        of = np.array([*values], str)
        found += [_rates(tag, v, _among(pairs, of == v), threshold, seed) for v in sorted(set(values) - {""})]
    return found


def _among(pairs: PairDistances, chosen: np.typing.NDArray[np.bool_]) -> PairDistances:
    number = chosen.cumsum() - 1
    genuine, impostor = chosen[pairs.genuine_people], chosen[pairs.impostor_people].all(1)
    return PairDistances(
        pairs.genuine[genuine], pairs.impostor[impostor],
        number[pairs.genuine_people[genuine]], number[pairs.impostor_people[impostor]],
    )  # fmt: skip


def _rates(tag: str, value: str, pairs: PairDistances, threshold: float, seed: int) -> AtThreshold:
    edge = np.array([threshold])
    draws = Draws(pairs, seed, edge)
    fmr = Rate(float(share(pairs.impostor, edge)[0]), *middle(draws.fmr[:, 0]))
    fnmr = Rate(float(1 - share(pairs.genuine, edge)[0]), *middle(1 - draws.tar[:, 0]))
    return AtThreshold(tag, value, pairs.people, len(pairs.genuine), len(pairs.impostor), fmr, fnmr)
