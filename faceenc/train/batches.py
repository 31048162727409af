"""Training batches: which images, in which order, made ahead of time by a thread."""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from faceenc.data import FaceSet
from faceenc.media import to_tensor

T = TypeVar("T")

_AHEAD = 2  # batches


class Batch(NamedTuple):
    """A step's images: those of the data set first, unlabelled ones after them.

    Attributes:
        x: (B, 3, S, S) float32 in [0, 1], augmented.
        rows: (L,) int64 indices into the data set, L <= B.
        others: (B - L,) int64 indices into the unlabelled faces.
    """

    x: torch.Tensor
    rows: torch.Tensor
    others: torch.Tensor


def holdout(data: FaceSet, share: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The training images of `data` in two parts: for training and for validation, both ascending.

    Of each person's training images `share` (rounded), never all, are held out: the first in the order of their names' hash.
    """
    if share <= 0:
        return data.train, data.train[:0]
    held = []  # by names, which scikit-learn's splits are not: an image stays in its part when others join or leave
    for label in range(len(data.classes)):
        own = [int(row) for row in data.train if data.labels[row] == label]
        own.sort(key=lambda row: hashlib.sha256(data.files[row].encode()).digest())
        held += own[: min(round(share * len(own)), len(own) - 1)]
    validation = np.array(sorted(held), np.int64)
    return np.setdiff1d(data.train, validation), validation


def steps_of(images: int, batch_size: int) -> int:
    """Steps an epoch; the last, smaller batch is dropped unless it is the only one."""
    return max(1, images // batch_size)


def epoch_batches(
    data: FaceSet,
    rows: NDArray[np.int64],
    unlabelled: NDArray[np.uint8],
    *,
    sizes: tuple[int, int],
    steps: int,
    augment: Callable[[torch.Tensor], torch.Tensor],
    rng: torch.Generator,
) -> Iterator[Batch]:
    """The batches of an epoch: `rows` in random order, each batch filled up with unlabelled faces, in random order too.

    Args:
        data: the people.
        rows: the training images.
        unlabelled: (M, S, S, 3) uint8 faces.
        sizes: images of the data set, and unlabelled ones, in a batch.
        steps: batches; `rows` are gone through more than once if they are too few.
        augment: (B, 3, S, S) -> (B, 3, T, T).
        rng: of the order.
    """
    labelled_size, unlabelled_size = sizes
    order = torch.from_numpy(rows)[_shuffled(len(rows), 1 + (steps - 1) * labelled_size, rng)]
    pool = _shuffled(len(unlabelled), steps * unlabelled_size, rng)
    for step in range(steps):
        own = order[step * labelled_size : (step + 1) * labelled_size]
        others = pool[step * unlabelled_size : (step + 1) * unlabelled_size]
        images = data.images[own.numpy()]
        if len(others):
            images = np.concatenate([images, unlabelled[others.numpy()]])
        yield Batch(augment(to_tensor(images)), own, others)


def _shuffled(count: int, least: int, rng: torch.Generator) -> torch.Tensor:
    """At least `least` numbers below `count`, each as often as any other or once less."""
    order = torch.zeros(0, dtype=torch.int64)
    while len(order) < least:
        order = torch.cat([order, torch.randperm(count, generator=rng)])
    return order


def ahead(items: Iterator[T]) -> Generator[T]:
    """The same items, made by a thread while the last ones are being used; what the thread raises is raised here."""
    ready: queue.Queue[tuple[T] | BaseException | None] = queue.Queue(_AHEAD)
    stopped = threading.Event()

    def put(item: tuple[T] | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put((item,)):
                    return
            put(None)
        except BaseException as error:
            put(error)

    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item[0]
    finally:
        stopped.set()
        thread.join()
