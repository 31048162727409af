"""What the screen shows over the protected frame: whom each face is taken for, without and with noise, and how fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from faceenc.live.identifier import Reading
from faceenc.live.processor import FaceShown, Shown
from faceenc.media import Colour, Mark, add_marks, ink, load_font

if TYPE_CHECKING:
    from numpy.typing import NDArray


HIDDEN, VISIBLE, UNREAD = (20, 110, 50), (160, 60, 20), (70, 70, 70)  # of boxes: not recognised, recognised, not yet known
_DARK: Colour = (24, 24, 24)
_BAR: Colour = (90, 150, 220)
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Gauges:
    """How fast it goes: frames a second, milliseconds from camera to screen, and the method's name and steps a frame."""

    fps: float
    latency: float
    method: str
    steps: int


def who(reading: Reading | None) -> str:
    """As in "Ada 97%" and "unknown 31%"; an ellipsis before the first reading."""
    if reading is None:
        return "…"
    return f"{reading.name or _UNKNOWN} {reading.score:.0%}"


def draw_overlay(shown: Shown, gauges: Gauges) -> NDArray[np.uint8]:
    """A copy of the protected frame with boxes, names, bars of the top three, and a line of gauges.

    A box is green where the noise hides the face, red where it does not. Its label reads "without noise -> with noise".
    """
    marks = [Mark(face.box, _label(face, shown), _colour(face)) for face in shown.faces]
    picture = Image.fromarray(shown.pixels)  # once there and back: that takes longer than all lines and letters
    add_marks(picture, marks)
    draw = ImageDraw.Draw(picture)
    for face in shown.faces:
        if face.after is not None:
            _bars(draw, face, picture.size)
    _lines(draw, _status(shown, gauges), picture.size)
    return np.array(picture)


def _label(face: FaceShown, shown: Shown) -> str:
    return f"{who(face.before)} → {who(face.after)}" if shown.eps else who(face.before)


def _colour(face: FaceShown) -> Colour:
    if face.before is None or face.after is None:
        return UNREAD
    return HIDDEN if face.hidden else VISIBLE


def _bars(draw: ImageDraw.ImageDraw, face: FaceShown, size: tuple[int, int]) -> None:
    """The top three with noise, inside the lower edge of the box."""
    assert face.after is not None
    width = max(60.0, face.box.width * 0.9)
    height = max(8, round(min(face.box.height * 0.09, 16)))
    font = load_font(max(7, height - 2))
    left = min(max(face.box.x0 + 4, 0), size[0] - width)
    bottom = min(face.box.y1 - 4, size[1] - 2)
    for row, (name, score) in enumerate(reversed(face.after.top)):
        low = bottom - row * (height + 1)
        draw.rectangle((left, low - height, left + width, low), fill=_DARK)
        draw.rectangle((left, low - height, left + width * min(1.0, score), low), fill=_BAR)
        text = f"{_printable(name)[:18]} {score:.0%}"
        draw.text((left + 3, low - height / 2), text, fill=ink(_DARK), font=font, anchor="lm")


def _status(shown: Shown, gauges: Gauges) -> list[str]:
    what = f"{gauges.method}, eps {shown.eps}/255" if shown.eps else "protection off"
    steps = f", {gauges.steps} steps" if shown.eps and gauges.steps else ""
    target = f", as {_printable(shown.target)}" if shown.eps and shown.target else ""
    stages = "  ".join(f"{stage} {1000 * seconds:.0f}" for stage, seconds in shown.seconds.items())
    return [
        f"{what}{steps}{target}   {gauges.fps:.1f} fps, {gauges.latency:.0f} ms",
        f"{stages} ms",
    ]


def _lines(draw: ImageDraw.ImageDraw, lines: list[str], size: tuple[int, int]) -> None:
    """In the lower left corner, where no label stands."""
    font = load_font(max(11, size[0] // 50))
    high = round(font.size * 1.3)
    top = size[1] - high * len(lines) - 2
    wide = max(font.getlength(line) for line in lines)
    draw.rectangle((0, top, wide + 8, size[1]), fill=_DARK)
    for number, line in enumerate(lines):
        draw.text((4, top + number * high), line, fill=ink(_DARK), font=font)


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
