"""The window: bars beside faces, lines under the picture, answers to keys."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from faceenc.core import Box
from faceenc.live import Controls, FaceShown, Frame, Gauges, Reading, Shown, draw_overlay

EPS = 8
GAUGES = Gauges(25.0, 40.0, "pgd", 1)


@pytest.mark.parametrize("box", [Box(10, 200, 50, 240), Box(150, 20, 300, 239), Box(0, 0, 320, 240)])
def test_bars_stand_beside_the_face_and_their_names_are_seen(box: Box) -> None:
    readings = [Reading("Augusta Ada", ((name, 0.6), ("Grace", 0.2), ("Hedy", 0.1))) for name in ("Augusta Ada", "Emmy")]
    pixels = np.full((240, 320, 3), 128, np.uint8)
    shown = Shown(Frame(0, pixels, 0.0, 0.0), pixels, (FaceShown(1, box, *readings),), EPS, None, {"attack": 0.01})
    with_bars = draw_overlay(shown, GAUGES)
    fewer = FaceShown(1, box, readings[0], Reading("Emmy", (("Emmy", 0.6),)))
    without = draw_overlay(replace(shown, faces=(fewer,)), GAUGES)
    rows, columns = np.nonzero((with_bars != without).any(axis=2))
    assert rows.max() < 240, "the lines under the picture are free"
    assert np.ptp(rows) >= 15
    assert np.ptp(columns) >= 30
    inside = ((box.y0 + 4 < rows) & (rows < box.y1 - 4) & (box.x0 + 4 < columns) & (columns < box.x1 - 4)).any()
    assert inside == (box.width == 320)


def test_the_screen_names_the_keys_and_answers_them() -> None:
    pixels = np.full((240, 640, 3), 128, np.uint8)
    shown = Shown(Frame(0, pixels, 0.0, 0.0), pixels, (), 0, None, {"attack": 0.01})
    controls, notes = Controls(31), []
    for key in " +t- ":
        controls.press(key)
        notes.append(controls.note)
    off = "; protection is off, space turns it on"
    assert notes == [
        "protection off", f"eps 32/255, the most{off}", f"no targets: they need a consent each{off}", f"eps 31/255{off}",
        "protection on, eps 31/255",
    ]  # fmt: skip
    screens = {draw_overlay(shown, GAUGES, note).tobytes() for note in ("", *notes)}
    assert len(screens) == 6
