"""Before, the change, after: a protected photo beside its original, for the eye."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from faceenc.core import window_around
from faceenc.media import fit_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceenc.core import Face


_PANEL = 800  # pixels, the longest side of each of the three, at most
_LEAST = 300  # pixels: smaller ones are enlarged by whole pixels
_AROUND = 0.6  # box sides around the largest face
_GAP = 8
_LETTERS = (11, 20)  # pixels high
_LOUD = 100  # what the largest change is made to, of 127


def draw_preview(original: NDArray[np.uint8], protected: NDArray[np.uint8], faces: Sequence[Face]) -> NDArray[np.uint8]:
    """Three pictures side by side: the largest face before, the change (grey where there is none, made loud), and after.

    Under each stands what it is, under the change by how much it was made louder, and that it is a crop.

    Args:
        original: (H, W, 3) uint8 RGB.
        protected: of the same shape.
        faces: as detected, at least one.

    Returns:
        (h, w, 3) uint8 RGB, each picture at most 800 pixels a side, without its caption.
    """
    face = max(faces, key=lambda face: face.box.area)
    x0, y0, x1, y1 = window_around(face.box, original.shape[1], original.shape[0], margin=_AROUND)
    before, after = original[y0:y1, x0:x1], protected[y0:y1, x0:x1]
    change = after.astype(np.int16) - before
    factor = _LOUD / max(1, int(np.abs(change).max()))
    noise = (127 + change * factor).round().astype(np.uint8)
    crop = f"a crop around the largest face: {x1 - x0} x {y1 - y0} of {original.shape[1]} x {original.shape[0]} pixels"
    captions = (("before", crop), (f"the change, {factor:.3g} times as strong", "grey is no change"), ("after", ""))
    panels = [_captioned(_fitted(panel), lines) for panel, lines in zip((before, noise, after), captions, strict=True)]
    gap = np.full((panels[0].shape[0], _GAP, 3), 255, np.uint8)
    return np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=1)


def _fitted(panel: NDArray[np.uint8]) -> NDArray[np.uint8]:
    times = max(1, _LEAST // max(panel.shape[:2]))
    picture = Image.fromarray(np.ascontiguousarray(panel.repeat(times, 0).repeat(times, 1)))
    picture.thumbnail((_PANEL, _PANEL), Image.Resampling.LANCZOS)
    return np.array(picture)


def _captioned(panel: NDArray[np.uint8], lines: Sequence[str]) -> NDArray[np.uint8]:
    width = panel.shape[1]
    size = max(_LETTERS[0], min(width // 28, _LETTERS[1]))
    strip = Image.new("RGB", (width, 3 * size * len(lines) // 2), "white")
    draw = ImageDraw.Draw(strip)
    for number, line in enumerate(lines):
        text, font = fit_line(line, size, width)
        draw.text((0, (0.75 + 1.5 * number) * size), text, fill="black", font=font, anchor="lm")
    return np.concatenate([panel, np.asarray(strip)])
