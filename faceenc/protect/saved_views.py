"""What the surrogates will see of a protected face in the saved file and in copies of it, as exactly as it can be known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from faceenc.faces import FaceWindow, Similarity, cut_out, halved_pixels, pyramid_levels
from faceenc.media import Jpeg, Resize, to_tensor
from faceenc.recognizers import Recognizer, in_thresholds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Encode = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


@torch.no_grad()
def saved_views(
    pixels: NDArray[np.uint8], window: FaceWindow, surrogates: Sequence[Recognizer], encode: Encode | None
) -> list[torch.Tensor]:
    """Embeddings of a window's changed pixels as saved, after JPEG at quality 75 and at half the size.

    Args:
        pixels: (H, W, 3) uint8 RGB in the place of `window.pixels`.
        window: where they belong.
        surrogates: the recognisers that are attacked.
        encode: what saving does to pixels; None saves without loss.

    Returns:
        For each surrogate (1, V, D) in thresholds, one view for each copy and each of its crops.
    """
    saved = encode(pixels) if encode else pixels
    copies = [(saved, 1.0), (Jpeg(75).pixels(saved), 1.0), (Resize(0.5).pixels(saved), 0.5)]
    return [
        in_thresholds(s, torch.cat([_cut(copy, factor, crops, s.size, window.scale) for copy, factor in copies]))[None]
        for s, crops in zip(surrogates, window.crops, strict=True)
    ]


def _cut(pixels: NDArray[np.uint8], factor: float, crops: Sequence[Similarity], size: int, scale: float) -> torch.Tensor:
    """The crops of a copy whose sides are `factor` as long."""
    moved = [Similarity(c.turn * factor, (c.shift + (0.5 + 0.5j)) * factor - (0.5 + 0.5j)) for c in crops]
    levels = pyramid_levels(scale * factor)
    picture = to_tensor(halved_pixels(pixels, levels)[None])
    return cut_out(picture, [crop.moved(0, levels) for crop in moved], size=size)
