"""A recogniser that counts its queries."""

from __future__ import annotations

import torch

from faceenc.core import Model


class Counted:
    """A recogniser that counts how often it is asked about each image of one batch.

    Attributes:
        recognizer: the recogniser itself.
        queries: (N,) float64. An attack that hands over part of the batch without saying which part is charged evenly.
    """

    def __init__(self, recognizer: Model, images: int) -> None:
        self.recognizer = recognizer
        self.queries = torch.zeros(images, dtype=torch.float64)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        self.queries += len(x) / len(self.queries)
        return self.recognizer(x)

    def charge(self, rows: torch.Tensor) -> None:
        """Count one query for each of the images `rows` ((M,) int64), made without calling this object."""
        self.queries[rows] += 1
