"""What the recipes look like, on faces of ORL (AT&T Laboratories Cambridge): the picture of `frontier.py --contact`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from frontier_judging import ENSEMBLE, Pixels, face_search, recognizer
from frontier_recipes import RECIPES
from PIL import Image, ImageDraw

from faceenc.data import enlarge, read_orl
from faceenc.faces import head_frame, main_face, seen_window
from faceenc.media import Photo, load_font

_PEOPLE = ("s1/1", "s10/1", "s36/1")
_HEIGHTS = (250, 1000)  # pixels: of the photos
_COLUMNS = ("clean", "dlib 10/255", "subtle", "balanced", "strong")
_GAP, _TITLE = 6, 22  # pixels


def contact_sheet(path: Path) -> None:
    """Three people, small and large, as they are and changed by four recipes; the heads alone, pixel by pixel."""
    torch.set_num_threads(1)
    pictures = read_orl()
    small, *large = ([_line(_photo(pictures[name], height)) for name in _PEOPLE] for height in _HEIGHTS)
    # The small ones of a column share a cell.
    lines = [[_beside(heads) for heads in zip(*small, strict=True)], *(line for lines in large for line in lines)]
    cells = max(cell.shape[1] for line in lines for cell in line)
    wide = len(_COLUMNS) * (cells + _GAP) + _GAP
    sheet = Image.new("L", (wide, _TITLE + sum(line[0].shape[0] + _GAP for line in lines)), 255)
    pen, font = ImageDraw.Draw(sheet), load_font(14)
    for column, name in enumerate(_COLUMNS):
        words = {"clean": "original", "dlib 10/255": "dlib 10/255 (0.1)"}.get(name, name)
        pen.text((_GAP + column * (cells + _GAP), 3), words, fill=0, font=font)
    y = _TITLE
    for line in lines:
        for column, cell in enumerate(line):
            sheet.paste(Image.fromarray(cell[..., 0]), (_GAP + column * (cells + _GAP), y))
        y += line[0].shape[0] + _GAP
    sheet.save(path, optimize=True)


def _beside(heads: Sequence[Pixels]) -> Pixels:
    high = max(len(head) for head in heads)
    padded = [np.pad(head, ((0, high - len(head)), (0, _GAP), (0, 0)), constant_values=255) for head in heads]
    row: Pixels = np.hstack(padded)
    return row


def _photo(picture: Pixels, height: int) -> Photo:
    large = Image.fromarray(enlarge(picture))
    size = round(large.width * height / large.height), height
    pixels = np.array(large.resize(size, Image.Resampling.LANCZOS))
    return Photo(pixels, None, True, "PNG", None, None, ())


def _line(photo: Photo) -> list[Pixels]:
    faces = face_search()(photo.pixels)
    height, width = photo.pixels.shape[:2]
    face = main_face(faces, width, height)
    x0, y0, x1, y1 = seen_window(head_frame(face), width, height)
    nets = {name: recognizer(name) for name in ENSEMBLE}
    changed = [RECIPES[name].change(photo, face, [nets[net] for net in RECIPES[name].nets]) for name in _COLUMNS]
    return [pixels[y0:y1, x0:x1] for pixels in changed]
