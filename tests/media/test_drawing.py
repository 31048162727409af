"""Boxes and labels, measured on the pixels."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from numpy.typing import NDArray

from faceenc.core import Box
from faceenc.media import Mark, draw_marks, load_font

GREEN, ORANGE, YELLOW = (20, 110, 50), (160, 60, 20), (250, 220, 50)


def grey(height: int, width: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), 128, np.uint8)


def extent(image: NDArray[np.uint8], colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """(x0, y0, x1, y1), half-open, of the pixels in exactly this colour."""
    rows, columns = np.nonzero((image == colour).all(axis=2))
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def label_only(box: Box, text: str, *, image: NDArray[np.uint8], colour: tuple[int, int, int] = GREEN) -> NDArray[np.bool_]:
    """Mask of the pixels that the text adds to the box."""
    without = draw_marks(image, [Mark(box, "", colour)])
    difference: NDArray[np.bool_] = (draw_marks(image, [Mark(box, text, colour)]) != without).any(axis=2)
    return difference


def test_the_input_is_left_alone_and_nothing_is_drawn_for_nobody() -> None:
    image = grey(100, 120)
    image.flags.writeable = False
    drawn = draw_marks(image, [Mark(Box(10, 40, 60, 90), "Ada 97%", GREEN)])
    assert (image == 128).all()
    assert (drawn != image).any()
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(draw_marks(image, []), image)


def test_a_box_covers_its_half_open_pixels_and_leaves_the_face_free() -> None:
    drawn = draw_marks(grey(200, 300), [Mark(Box(50, 60, 150, 180), "", GREEN)])
    assert extent(drawn, GREEN) == (50, 60, 150, 180)
    assert (drawn[70:170, 60:140] == 128).all()


@pytest.mark.parametrize(
    ("box", "visible"),
    [
        (Box(-40, -30, 50, 60), (0, 0, 50, 60)),
        (Box(250, 150, 400, 300), (250, 150, 300, 200)),
        (Box(-10, -10, 310, 210), (0, 0, 300, 200)),
    ],
)
def test_what_reaches_over_the_border_is_clipped(box: Box, visible: tuple[int, int, int, int]) -> None:
    drawn = draw_marks(grey(200, 300), [Mark(box, "", GREEN)])
    assert extent(drawn, GREEN) == visible
    assert (drawn[visible[1], visible[0]] == GREEN).all()


@pytest.mark.parametrize("box", [Box(300, 0, 350, 50), Box(-50, 0, 0, 50), Box(50, 50, 50, 90), Box(80, 50, 60, 90)])
def test_boxes_outside_or_without_pixels_are_left_out(box: Box) -> None:
    np.testing.assert_array_equal(draw_marks(grey(200, 300), [Mark(box, "Ada", GREEN)]), grey(200, 300))


@pytest.mark.parametrize(
    "box",
    [Box(100, 100, 200, 200), Box(-5, 0, 95, 90), Box(310, 0, 410, 70), Box(0, 220, 100, 300), Box(0, 0, 400, 300)],
    ids=["middle", "top left", "top right", "bottom left", "whole picture"],
)
def test_the_whole_label_is_in_the_picture(box: Box) -> None:
    middle = label_only(Box(100, 100, 200, 200), "Ada Lovelace 97%", image=grey(300, 400))
    assert middle.any()
    here = label_only(box, "Ada Lovelace 97%", image=grey(300, 400), colour=GREEN)
    rows, columns = np.nonzero(here)
    if box != Box(
        0, 0, 400, 300
    ):  # inside a box, whose outline hides a part of the label's rim and whose letters are larger
        wanted = np.nonzero(middle)
        assert abs(np.ptp(columns) - np.ptp(wanted[1])) <= 4
        assert abs(np.ptp(rows) - np.ptp(wanted[0])) <= 4
        inner = here[round(box.y0) + 5 : round(box.y1) - 5, max(0, round(box.x0)) + 5 : round(box.x1) - 5]
        assert not inner.any(), "the label hides the face though there is room beside it"
    else:
        assert np.ptp(columns) > 50


def test_letters_are_readable_on_small_and_on_large_pictures() -> None:
    heights = {}
    for side, face in ((200, 60), (2000, 60), (6000, 600)):
        rows, _ = np.nonzero(label_only(Box(50, 90, 50 + face, 90 + face), "Ada", image=grey(side, side)))
        heights[side] = np.ptp(rows) + 1
    assert 12 <= heights[200] <= 40
    assert heights[2000] / 2000 > 1 / 80
    assert heights[6000] / 6000 > 1 / 80


def test_lines_grow_with_the_picture() -> None:
    thin = draw_marks(grey(200, 200), [Mark(Box(50, 50, 150, 150), "", GREEN)])
    thick = draw_marks(grey(6000, 6000), [Mark(Box(500, 500, 4500, 4500), "", GREEN)])
    assert (thin[100] == GREEN).all(axis=1).sum() == 4
    assert (thick[2500] == GREEN).all(axis=1).sum() > 30


@pytest.mark.parametrize("name", ["Sofía Muñoz", "Αλέξανδρος", "Наталья", "Zażółć"])
def test_names_in_other_scripts_are_written_and_not_boxes(name: str) -> None:
    def write(text: str) -> NDArray[np.uint8]:
        return draw_marks(grey(300, 600), [Mark(Box(20, 100, 120, 190), text, GREEN)])

    same = [write(char * 8) for char in sorted(set(name) - {" "})]
    assert all((one != two).any() for k, one in enumerate(same) for two in same[:k])


@pytest.mark.parametrize("text", ["two\nlines\tand\x00more", "byte \udcff", "李明", "   ", "שלום"])
def test_strange_names_do_no_harm(text: str) -> None:
    draw_marks(grey(100, 100), [Mark(Box(20, 40, 80, 90), text, GREEN)])


def test_a_name_too_long_is_shrunk_then_cut_and_keeps_its_percentage() -> None:
    box = Box(20, 60, 80, 120)
    short = label_only(box, "Ada 97%", image=grey(200, 200))
    longer = label_only(box, "Augusta Ada King, Lovelace 97%", image=grey(200, 200))
    assert np.ptp(np.nonzero(longer)[0]) < np.ptp(np.nonzero(short)[0])
    first = draw_marks(grey(200, 200), [Mark(box, "Ada" * 60 + " 97%", GREEN)])
    second = draw_marks(grey(200, 200), [Mark(box, "Ada" * 60 + " 12%", GREEN)])
    assert (first[:, 150:] != second[:, 150:]).any()
    assert (first[:, :150] == second[:, :150]).all()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 200), (200, 3), (20, 20)])
def test_tiny_pictures(height: int, width: int) -> None:
    drawn = draw_marks(grey(height, width), [Mark(Box(0, 0, width, height), "Ada Lovelace 97%", GREEN)])
    assert drawn.shape == (height, width, 3)


def test_letters_stand_out_from_their_background() -> None:
    box = Box(20, 60, 120, 160)
    on_dark = draw_marks(grey(200, 300), [Mark(box, "Ada", GREEN)])
    on_light = draw_marks(grey(200, 300), [Mark(box, "Ada", YELLOW)])
    assert (on_dark == 255).all(axis=2).any()
    assert (on_light == 0).all(axis=2).any()
    assert not (on_light == 255).all(axis=2).any()


def test_labels_of_neighbours_do_not_hide_one_another_nor_a_face() -> None:
    boxes = [Box(40 + 100 * k, 200, 120 + 100 * k, 280) for k in range(5)]
    names = ["Augusta Ada King", "Grace Brewster Hopper", "Emmy Noether", "Hedy Lamarr", "Mary Jackson"]
    image = grey(500, 600)
    together = draw_marks(image, [Mark(box, name, GREEN) for box, name in zip(boxes, names, strict=True)])
    for box in boxes:
        inner = together[206:274, round(box.x0) + 6 : round(box.x1) - 6]
        assert (inner == 128).all()
    # Each label is as large as it is alone, or as one with smaller letters: none is lost behind another.
    area = (together[:200] != 128).any(axis=2).sum() + (together[280:] != 128).any(axis=2).sum()
    alone = [label_only(box, name, image=image).sum() for box, name in zip(boxes, names, strict=True)]
    assert area > 0.6 * sum(alone)


def test_names_in_any_script_are_drawn_where_a_font_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A hieroglyph, for which a font is made where it is a filled square, and a cuneiform sign, for which there is none."""
    known, unknown = "\U00013000", "\U00012000"
    pen = TTGlyphPen(None)
    for point, go in (((0, 0), pen.moveTo), ((0, 900), pen.lineTo), ((900, 900), pen.lineTo), ((900, 0), pen.lineTo)):
        go(point)
    pen.closePath()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "square"])
    builder.setupCharacterMap({ord(known): "square"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "square": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (1000, 0), "square": (1000, 0)})
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": "Square"})
    builder.setupPost()
    (tmp_path / "fonts").mkdir()
    builder.save(tmp_path / "fonts" / "square.ttf")
    (tmp_path / "fonts" / "broken.ttf").write_bytes(b"no font")
    for name in ("HOME", "XDG_DATA_HOME", "XDG_DATA_DIRS"):
        monkeypatch.setenv(name, str(tmp_path))
    with caplog.at_level(logging.WARNING):
        assert "DejaVu" in str(load_font(20, "Ada 97%").path)
        assert str(load_font(20, known).path) == str(tmp_path / "fonts" / "square.ttf")
        drawn = draw_marks(grey(300, 400), [Mark(Box(100, 100, 300, 200), known, GREEN)])
        assert not caplog.records
        draw_marks(grey(300, 400), [Mark(Box(100, 100, 300, 200), unknown, GREEN)] * 2)
    assert [unknown in record.getMessage() for record in caplog.records] == [True], "once"
    white = (drawn == 255).all(axis=2)
    x0, y0, x1, y1 = extent(drawn, (255, 255, 255))
    assert white[y0:y1, x0:x1].all()
    assert abs((x1 - x0) - (y1 - y0)) <= 1
