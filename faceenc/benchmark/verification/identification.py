"""Identification among a gallery: closed set (who is nearest?) and open set (is the nearest near enough?).

Convention
    Closed set: the share of probes whose person is among the k nearest people (rank k). Open set: a face gets the name of
    the nearest person if that one is within a threshold; the share of probes that get their own name (1 - FNIR), and of
    those that would get another's if their own person were not in the gallery (FPIR). The threshold is fitted on other
    people at an FPIR of 1 % (Grother and others, FRVT part 2, https://doi.org/10.6028/NIST.IR.8271). No photo is searched
    for in itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from faceenc.recognizers import FAR, fit_threshold

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """What a gallery says of probes.

    Attributes:
        own: (P,) distance to the nearest other photo of the probe's person; infinite where there is none.
        others: (P, K) distance to the nearest photo of each person; infinite for the probe's own.
        threshold: up to which a face gets a name; nan where none could be fitted.
    """

    own: Floats
    others: Floats
    threshold: float

    def rank(self, k: int) -> float:
        """The share of the probes with their person among the k nearest; others at the very same distance come first."""
        before = (self.others <= self.own[:, None]).sum(1)
        return self._share(before < k)

    @property
    def identified(self) -> float:
        """The share that gets its own name: its person is nearest, and near enough."""
        if np.isnan(self.threshold):
            return float("nan")
        return self._share((self.own < self.others.min(1)) & (self.own <= self.threshold))

    @property
    def taken_for_others(self) -> float:
        """The share that gets another's name where its own person is not in the gallery."""
        return float("nan") if np.isnan(self.threshold) else float((self.others.min(1) <= self.threshold).mean())

    def _share(self, hits: NDArray[np.bool_]) -> float:
        there = np.isfinite(self.own)
        return float(hits[there].mean()) if there.any() else float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """Photos of known people.

    Attributes:
        embeddings: (G, D).
        rows: (G,) which photos they are.
        labels: (G,) whom they show.
        threshold: as of `Search`.
        people: whom each photo of the data shows, by row.
    """

    embeddings: Floats
    rows: Rows
    labels: Rows
    threshold: float
    people: Rows

    def search(self, probes: Floats, rows: Rows) -> Search:
        """Look (P, D) probes up, which are the photos `rows`, perhaps with noise."""
        return _search(probes, rows, self.people[rows], self, self.threshold)


def fit_identification(embeddings: Floats, labels: Rows, *, fpir: float = FAR) -> float:
    """The distance within which a share `fpir` of the photos finds another person; nan if these photos cannot show it."""
    rows = np.arange(len(labels))
    gallery = Gallery(embeddings, rows, labels, float("nan"), labels)
    nearest = gallery.search(embeddings, rows).others.min(1)
    try:
        return fit_threshold(np.zeros(0), nearest, far=fpir)
    except ValueError:
        return float("nan")


def _search(probes: Floats, rows: Rows, labels: Rows, gallery: Gallery, threshold: float) -> Search:
    # From plain differences: by products equal distances would come out unequal.
    here, there = (torch.from_numpy(np.ascontiguousarray(part)) for part in (probes, gallery.embeddings))
    distances = torch.cdist(here, there, compute_mode="donot_use_mm_for_euclid_dist").numpy()  # (P, G)
    distances[rows[:, None] == gallery.rows[None]] = np.inf
    order = np.argsort(gallery.labels, kind="stable")
    known, starts = np.unique(gallery.labels[order], return_index=True)
    nearest = np.minimum.reduceat(distances[:, order], starts, axis=1)  # (P, K)
    own = known[None] == labels[:, None]
    return Search(np.where(own, nearest, np.inf).min(1), np.where(own, np.inf, nearest), threshold)
