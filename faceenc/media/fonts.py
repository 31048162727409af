"""Letters for pictures: DejaVu Sans, and where it lacks a name's letters a font of this machine that has them all."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

log = logging.getLogger(__name__)

_NO_LETTER = "\U0010ffff"  # what fonts draw for it they draw for every letter that they lack
_LOOKS = ("bold", "italic", "oblique", "mono", "serif", "black", "thin", "light")  # of files that come last
_SIZE = 20  # pixels, at which fonts are asked


def load_font(size: int, text: str = "") -> ImageFont.FreeTypeFont:
    """A font for a text; where none has all of its letters, DejaVu Sans, and a warning that says so once.

    Args:
        size: of the letters in pixels.
        text: what is to be written.
    """
    return _load(size, _file_for(frozenset(text)))


@lru_cache(maxsize=256)
def _load(size: int, file: Path | None) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size) if file is None else ImageFont.truetype(file, size)
    if not isinstance(font, ImageFont.FreeTypeFont):  # a Pillow without FreeType, which no wheel is
        raise RuntimeError("Pillow was built without FreeType: install its wheel")
    return font


@lru_cache(maxsize=256)
def _file_for(letters: frozenset[str]) -> Path | None:
    usual = _usual()
    missing = _missing(letters, usual)
    if not missing:
        return usual
    for file in _files_of_this_machine():
        try:
            if not _missing(letters, file):
                return file
        except (OSError, ValueError):  # no font, or one of bitmaps
            continue
    log.warning(
        "no font on this machine has the letters %s, which are drawn as empty boxes: install one that has them, such as Noto"
        " Sans CJK for Chinese, Japanese and Korean",
        "".join(sorted(missing)),
    )
    return usual


def _missing(letters: frozenset[str], file: Path | None) -> set[str]:
    font = _load(_SIZE, file)
    blank = _drawn(font, _NO_LETTER)
    return {letter for letter in letters if not letter.isspace() and _drawn(font, letter) == blank}


def _drawn(font: ImageFont.FreeTypeFont, letter: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)


@lru_cache(maxsize=1)
def _usual() -> Path | None:
    """DejaVu Sans, which matplotlib carries (found without loading it); None for Pillow's own font with fewer letters."""
    spec = importlib.util.find_spec("matplotlib")
    folders = map(Path, (spec.submodule_search_locations or []) if spec else [])
    return next((f for folder in folders if (f := folder / "mpl-data/fonts/ttf/DejaVuSans.ttf").is_file()), None)


def _files_of_this_machine() -> Iterator[Path]:
    """Where Linux, macOS and Windows keep fonts; plain ones first."""
    home = Path.home()
    own, shared = os.environ.get("XDG_DATA_HOME"), os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
    folders = [home / ".fonts", *(Path(d) / "fonts" for d in (own or home / ".local/share", *shared.split(":")))]
    folders += [home / "Library/Fonts", Path("/Library/Fonts"), Path("/System/Library/Fonts")]
    folders += [Path(os.environ.get("WINDIR", "C:/Windows")) / "Fonts"]
    files = [file for folder in folders for kind in ("ttf", "otf", "ttc") for file in folder.rglob(f"*.{kind}")]
    yield from sorted(files, key=lambda file: (any(look in file.name.lower() for look in _LOOKS), file.name))
