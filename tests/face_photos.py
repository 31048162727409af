"""Photos of people for tests of the loaders: the ORL faces, enlarged until the detector finds them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from faceenc.core import fetch
from faceenc.data import enlarge, read_orl
from faceenc.media import write_png

NEEDED = ("orl-faces", "blazeface-short", "blazeface-full-sparse", "yunet")


def fill_cache(folder: Path) -> None:
    """Gives an empty cache the files that the loaders fetch, so that it holds no crops yet."""
    for name in NEEDED:
        shutil.copy(fetch(name), folder)


def write_people(root: Path, counts: dict[str, int]) -> None:
    """So many photos of each ORL person, as root/s1/1.png and on."""
    for name, picture in read_orl().items():
        person, number = name.split("/")
        if int(number) <= counts.get(person, 0):
            (root / person).mkdir(parents=True, exist_ok=True)
            write_png(root / person / f"{number}.png", enlarge(picture))


def write_jpegs(files: dict[str, Path]) -> None:
    """The ORL pictures of the given ids, as JPEG files."""
    pictures = read_orl()
    for name, path in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(enlarge(pictures[name])).save(path, quality=90)


def write_blank(path: Path, shade: int = 100) -> None:
    """A picture of nothing."""
    write_png(path, np.full((90, 120, 3), shade, np.uint8))
