"""What the screen shows of a protected frame: whom each face is taken for, without and with noise, how fast, the keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from faceenc.core import Box, shared_area
from faceenc.live.identifier import TOP, Reading
from faceenc.live.processor import FaceShown, Shown
from faceenc.media import Colour, Mark, add_marks, fit_line, ink

if TYPE_CHECKING:
    from numpy.typing import NDArray


HIDDEN, VISIBLE, UNREAD = (20, 110, 50), (160, 60, 20), (70, 70, 70)  # of boxes: not recognised, recognised, not yet known
_DARK: Colour = (24, 24, 24)
_BAR: Colour = (90, 150, 220)
_UNKNOWN = "unknown"
_BAR_WIDTH, _BAR_HEIGHT = (100, 240), (11, 16)  # pixels, at least and at most; letters stay readable beside a small face
_LEGEND = "name without noise → with noise, green if hidden; bars: likeliest with noise"
_KEYS = "space: on/off   t: next target   + -: eps   s: snapshot   q: end"


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


def draw_overlay(shown: Shown, gauges: Gauges, note: str = "") -> NDArray[np.uint8]:
    """A copy of the protected frame with boxes, names and bars of the top three; under it lines of gauges and a legend.

    A box is green where the noise hides the face, red where it does not. Its label reads "without noise -> with noise".

    Args:
        shown: the frame.
        gauges: how fast it goes.
        note: what a key has done, in place of the legend of keys.

    Returns:
        (H + h, W, 3) uint8 RGB; h hangs on W alone.
    """
    picture = Image.fromarray(shown.pixels)
    taken = add_marks(picture, [Mark(face.box, _label(face, shown), _colour(face, shown)) for face in shown.faces])
    draw = ImageDraw.Draw(picture)
    for face in shown.faces:
        if face.after is not None:
            taken.append(_bars(draw, face.after, _bars_place(face.box, taken, picture.size)))
    return np.concatenate([np.asarray(picture), _strip([*_status(shown, gauges), _LEGEND, note or _KEYS], picture.width)])


def _label(face: FaceShown, shown: Shown) -> str:
    return f"{who(face.before)} → {who(face.after)}" if shown.eps else who(face.before)


def _colour(face: FaceShown, shown: Shown) -> Colour:
    if face.before is None or (shown.eps and face.after is None):
        return UNREAD
    return HIDDEN if face.hidden else VISIBLE


def _bars_place(box: Box, taken: Sequence[Box], size: tuple[int, int]) -> Box:
    """Beside the face if there is room, else where the least is hidden; always inside the picture."""
    width, height = size
    wide = min(_within(_BAR_WIDTH, box.width * 0.9), width)
    high = min(TOP * (_within(_BAR_HEIGHT, box.height * 0.09) + 1), height)
    places = []
    for x, y in (
        (box.x0, box.y1 + 2), (box.x1 + 2, box.y1 - high), (box.x0 - 2 - wide, box.y1 - high), (box.x0, box.y0 - high - 2),
        (box.x0 + 4, box.y1 - high - 4), (box.x0 + 4, box.y0 + 4),
    ):  # fmt: skip
        left, top = round(min(max(x, 0), width - wide)), round(min(max(y, 0), height - high))
        places.append(Box(left, top, left + wide, top + high))
    return min(places, key=lambda place: sum(shared_area(place, other) for other in taken))


def _within(limits: tuple[int, int], value: float) -> int:
    return max(limits[0], round(min(value, limits[1])))


def _bars(draw: ImageDraw.ImageDraw, reading: Reading, place: Box) -> Box:
    """The top three with noise."""
    height = round(place.height / TOP) - 1
    for row, (name, score) in enumerate(reading.top):
        top = place.y0 + row * (height + 1)
        draw.rectangle((place.x0, top, place.x1, top + height), fill=_DARK)
        draw.rectangle((place.x0, top, place.x0 + place.width * min(1.0, score), top + height), fill=_BAR)
        text, font = fit_line(f"{_printable(name)} {score:.0%}", height - 2, round(place.width) - 3)
        draw.text((place.x0 + 3, top + height / 2), text, fill=ink(_DARK), font=font, anchor="lm")
    return place


def _status(shown: Shown, gauges: Gauges) -> list[str]:
    target = f", as {_printable(shown.target)}" if shown.target else ""
    if shown.eps:
        steps = f", {gauges.steps} step{'s'[: gauges.steps - 1]}" if gauges.steps else ""
        what = f"{gauges.method}, eps {shown.eps}/255{steps}{target}"
    else:
        what = "protection off"
    stages = "  ".join(f"{stage} {1000 * seconds:.0f}" for stage, seconds in shown.seconds.items())
    return [f"{what}   {gauges.fps:.1f} fps, {gauges.latency:.0f} ms", f"{stages} ms"]


def _strip(lines: Sequence[str], width: int) -> NDArray[np.uint8]:
    """Under the picture, where it hides no face; of an even height, for the sake of video files."""
    size = max(11, width // 50)
    high = round(size * 1.3)
    strip = Image.new("RGB", (width, (high * len(lines) + 5) // 2 * 2), _DARK)
    draw = ImageDraw.Draw(strip)
    for number, line in enumerate(lines):
        text, font = fit_line(line, size, width - 4)
        draw.text((4, 2 + (number + 0.5) * high), text, fill=ink(_DARK), font=font, anchor="lm")
    return np.asarray(strip)


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
