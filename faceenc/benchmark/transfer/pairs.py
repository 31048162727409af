"""What is special to pairs in a measurement of transfer: one common picture, and noise that was made for another face."""

from __future__ import annotations

import torch

from faceenc.benchmark.verification.pairs import Halves, halves
from faceenc.core import DataError
from faceenc.data import FaceSet
from faceenc.faces import ALIGNED_SIZE


def aligned_halves(data: FaceSet) -> Halves:
    """As of `halves`, of the picture that all recognisers take their crops from.

    Raises:
        DataError: fewer than four people, or pictures that are not the embedders' common ones.
    """
    if data.framing != "aligned" or data.images.shape[1] != ALIGNED_SIZE:
        raise DataError(
            f"transfer is measured on aligned crops of {ALIGNED_SIZE} pixels, {data.name} has {data.framing} ones of"
            f' {data.images.shape[1]}: set framing = "aligned" and size = {ALIGNED_SIZE}'
        )
    return halves(data)


def borrow(originals: torch.Tensor, adversarial: torch.Tensor) -> torch.Tensor:
    """Each image with the next one's noise: what noise does that was made for another face. Both on the 8-bit grid."""
    noise = (adversarial - originals).roll(1, dims=0)
    return ((originals + noise).clamp(0, 1) * 255).round() / 255
