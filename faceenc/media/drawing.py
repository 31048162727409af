"""Boxes and labels on pictures: a pure function from image to image, quick enough for a webcam's frames.

Convention
    Pictures are (H, W, 3) uint8 RGB; boxes are half-open pixels and may reach over the border.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from faceenc.core import Box, shared_area
from faceenc.media.fonts import load_font

if TYPE_CHECKING:
    from numpy.typing import NDArray


Colour = tuple[int, int, int]

# Letters are a sixth of their face's width high, but within these shares of the picture's longer side: they must be readable
# when the whole picture is on a screen, and small where many faces stand side by side.
_FACE_SHARE, _SMALLEST, _LARGEST = 1 / 6, 1 / 70, 1 / 30
_CROWDED = (1.0, 0.8, 0.64)  # of that, tried in turn until a label hides no other label and no other face
_MIN_FONT = 12  # pixels
_TINY_FONT = 7  # below this a label is cut rather than shrunk: nobody could read it
_ELLIPSIS = "…"


@dataclass(frozen=True, slots=True)
class Mark:
    """A box to draw and what to write beside it.

    Attributes:
        box: in pixels; what lies outside the picture is not drawn.
        text: one line; "" for a box alone.
        colour: RGB in 0 .. 255 of the outline and of the label's background.
    """

    box: Box
    text: str
    colour: Colour


def draw_marks(image: NDArray[np.uint8], marks: Sequence[Mark]) -> NDArray[np.uint8]:
    """A copy of the picture with boxes and labels.

    Lines and letters grow with the picture and the faces. A label stands where it hides the least of other labels and boxes,
    above its box if there is a choice, and always inside the picture: a name that is too long is first written smaller and
    then cut. Letters are those of `faceenc.media.fonts`.

    Args:
        image: (H, W, 3) uint8 RGB; is left as it is.
        marks: boxes outside the picture are left out, their labels as well.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    picture = Image.fromarray(image)
    add_marks(picture, marks)
    return np.array(picture)


def add_marks(picture: Image.Image, marks: Sequence[Mark]) -> list[Box]:
    """Draws on the RGB picture itself, see `draw_marks`, and answers the places that boxes and labels have taken."""
    width, height = picture.size
    draw = ImageDraw.Draw(picture)
    visible = [(mark, box) for mark in marks if (box := _clip(mark.box, width, height))]
    for mark, box in visible:
        thick = max(2, _font_size(box, width, height) // 5)
        draw.rectangle((box.x0, box.y0, box.x1 - 1, box.y1 - 1), outline=mark.colour, width=thick)
    taken = [box for _, box in visible]
    for mark, box in visible:
        if text := _one_line(mark.text):
            label = _best_label(text, box, taken, width, height)
            label.draw(draw, mark.colour)
            taken.append(label.place)
    return taken


@dataclass(frozen=True, slots=True)
class _Label:
    text: str
    font: ImageFont.FreeTypeFont
    padding: int
    place: Box

    def draw(self, draw: ImageDraw.ImageDraw, colour: Colour) -> None:
        place = self.place
        draw.rectangle((place.x0, place.y0, place.x1 - 1, place.y1 - 1), fill=colour)
        corner = (place.x0 + self.padding, place.y0 + self.padding / 2)
        draw.text(corner, self.text, fill=ink(colour), font=self.font)


def _best_label(text: str, box: Box, taken: Sequence[Box], width: int, height: int) -> _Label:
    """Of the largest letters that hide nothing the first place; if all hide something, what hides the least."""
    largest = min(_font_size(box, width, height), max(_TINY_FONT, height // 3))
    tried: list[tuple[float, _Label]] = []
    for share in _CROWDED:
        for label in _labels(text, max(_TINY_FONT, round(largest * share)), box, width, height):
            tried.append((sum(shared_area(label.place, other) for other in taken), label))
        hidden, best = min(tried, key=lambda pair: pair[0])
        # Inside its own box a label always hides something: smaller letters would not help.
        if hidden == 0 or shared_area(best.place, box) > 0:
            break
    return best


def _labels(text: str, size: int, box: Box, width: int, height: int) -> Iterator[_Label]:
    """The label wherever it may stand: above or below its box; inside only where the picture has no room for that."""
    text, font = fit_line(text, size, width)
    padding = _padding(round(font.size))
    ascent, descent = font.getmetrics()
    wide, high = min(width, math.ceil(font.getlength(text)) + 2 * padding), min(height, ascent + descent + padding)
    outside = [box.y0 - high] * (box.y0 >= high) + [box.y1] * (box.y1 + high <= height)
    for y in outside or [box.y0, box.y1 - high]:
        for x in (box.x0, (box.x0 + box.x1 - wide) / 2, box.x1 - wide):
            left, top = round(min(max(x, 0), width - wide)), round(min(max(y, 0), height - high))
            yield _Label(text, font, padding, Box(left, top, left + wide, top + high))


def fit_line(text: str, size: int, width: int) -> tuple[str, ImageFont.FreeTypeFont]:
    """The text, in letters no larger than `size`, so that it is no wider than the picture with its padding."""
    for smaller in range(size, _TINY_FONT - 1, -1):
        font = load_font(smaller, text)
        room = width - 2 * _padding(smaller)
        if font.getlength(text) <= room:
            return text, font
    return next(cut for cut in _cuts(text) if font.getlength(cut) <= room or not cut), font


def _cuts(text: str) -> Iterator[str]:
    """The text with ever more of its middle left out, for the percentage stands at the end."""
    for keep in range(len(text) - 1, 1, -1):
        yield text[: (keep + 1) // 2] + _ELLIPSIS + text[len(text) - keep // 2 :]
    yield ""


def _one_line(text: str) -> str:
    """Control characters and bytes that are no text (names come from folders) would stop the font engine."""
    line = " ".join(text.split())
    return "".join(char if char.isprintable() else "?" for char in line)


def _clip(box: Box, width: int, height: int) -> Box | None:
    """The visible part in whole pixels; None if there is none."""
    x0, y0 = max(0, round(box.x0)), max(0, round(box.y0))
    x1, y1 = min(width, round(box.x1)), min(height, round(box.y1))
    return Box(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _font_size(box: Box, width: int, height: int) -> int:
    longer = max(width, height)
    return round(max(_MIN_FONT, longer * _SMALLEST, min(box.width * _FACE_SHARE, longer * _LARGEST)))


def _padding(size: int) -> int:
    return max(1, size // 5)


def ink(background: Colour) -> Colour:
    """Black on light colours, white on dark ones (Rec. 601 luma)."""
    red, green, blue = background
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)
