"""What `folders.py` puts into its folders."""

from __future__ import annotations

import io
import os
import random
import unicodedata
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from faceenc.data import enlarge, read_orl

Pixels = NDArray[np.uint8]
Statuses = tuple[str, ...]

NAMES = (
    "IMG_0001", "jos\u00e9", unicodedata.normalize("NFD", "jos\u00e9"), "new\nline", "para\u2028sep", "9:41 am", "-rf",
    "--output", "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467", "caf\udce9",
    "\x1b[31mred\x1b[0m", "gpj.\u202eegami", " space ", "a.b.c", "%s{0}", "*?", "back\\slash",
    "it's \"so\"", "CON", "~", "#1",
    "\u674e\u96f7", "photo", "IMG\u00a01", "LONG",
)  # fmt: skip
FORMATS = {
    ".jpg": "JPEG", ".JPG": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".jpg_large": "JPEG", "": "PNG",
    ".png": "PNG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP", ".dib": "BMP", ".gif": "GIF",
    ".pgm": "PPM", ".ppm": "PPM", ".heic": "HEIF", ".hif": "HEIF", ".avif": "AVIF", ".png.bak": "PNG", ".mpo": "MPO",
}  # fmt: skip
DONE: Statuses = ("done",)
FAILED: Statuses = ("failed",)
LEFT_OUT: Statuses = ("left out",)


def fill(folder: Path, chance: random.Random) -> dict[Path, Statuses]:
    """Put things at random into a folder and folders in it; what may become of each."""
    places = [folder]
    for _ in range(chance.randint(0, 3)):
        place = chance.choice(places) / name(chance, "", 60)
        if not os.path.lexists(place):
            place.mkdir()
            places.append(place)
    expected: dict[Path, Statuses] = {}
    for kind in [face] * chance.randint(2, 4) + chance.choices(KINDS, k=chance.randint(10, 24)):
        kind(chance.choice(places), chance, expected)
    if len(places) > 1 and chance.random() < 0.4:
        locked = chance.choice(places[1:])
        mode = chance.choice([0o000, 0o400, 0o100])
        parents = {path: {*path.parents, *Path(os.path.realpath(path)).parents} for path in expected}
        expected = {
            path: statuses for path, statuses in expected.items() if parents[path].isdisjoint((locked, locked.resolve()))
        }
        locked.chmod(mode)
    return expected


def name(chance: random.Random, suffix: str, longest: int = 255) -> str:
    """An odd name with a suffix, of at most so many bytes."""
    stem = chance.choice(NAMES) + chance.choice(["", "", "", "-protected", str(chance.randint(1, 99))])
    if stem.startswith("LONG"):
        stem = chance.choice(["x", "\u00e9"]) * 300
    while len(os.fsencode(stem + suffix)) > longest:
        stem = stem[:-1]
    return stem + suffix


def free(place: Path, chance: random.Random, suffix: str) -> Path:
    while os.path.lexists(path := place / name(chance, suffix)):
        pass
    return path


@cache
def _faces() -> dict[str, Pixels]:
    return read_orl()


def picture(chance: random.Random) -> Image.Image:
    """A face some 70 pixels wide, in colour."""
    pixels = np.ascontiguousarray(enlarge(_faces()[chance.choice(sorted(_faces()))])[::4, ::4])
    return Image.fromarray((pixels * np.array([1, 0.95, 0.9])).astype(np.uint8))


def drawing(chance: random.Random) -> Image.Image:
    """A picture without a face."""
    image = Image.new("RGB", (90, 120), "white")
    for _ in range(5):
        corners = sorted(chance.randint(0, 89) for _ in range(2))
        ImageDraw.Draw(image).rectangle((corners[0], corners[0], corners[1], corners[1]), fill=chance.randint(0, 1 << 24))
    return image


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    if form == "HEIF":
        from pillow_heif import register_heif_opener

        register_heif_opener()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def face(place: Path, chance: random.Random, expected: dict[Path, Statuses]) -> None:
    """A photo of a face in any format. In place a file may be in the way of its copy; another may be taken for its copy."""
    suffix = chance.choice(list(FORMATS))
    image = picture(chance)
    path = free(place, chance, suffix)
    path.write_bytes(encoded(image.convert("L") if suffix == ".pgm" else image, FORMATS[suffix]))
    expected[path] = DONE


def faceless(place: Path, chance: random.Random, expected: dict[Path, Statuses]) -> None:
    path = free(place, chance, ".png")
    path.write_bytes(encoded(drawing(chance), "PNG"))
    expected[path] = FAILED


def odd(place: Path, chance: random.Random, expected: dict[Path, Statuses]) -> None:
    """Photos of kinds that need a second look."""
    image, other = picture(chance), picture(chance)
    deep = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    suffix, data, statuses = chance.choice([
        (".png", encoded(deep, "PNG"), DONE),
        (".jpg", encoded(image.convert("CMYK"), "JPEG"), DONE),
        (".tif", encoded(image, "TIFF", save_all=True, append_images=[other]), DONE),
        (".gif", encoded(image, "GIF", save_all=True, append_images=[other], duration=50), FAILED),
        (".webp", encoded(image, "WEBP", save_all=True, append_images=[other], duration=50), FAILED),
        (".png", encoded(image, "PNG", save_all=True, append_images=[other], duration=50), FAILED),
        (".png", encoded(image.convert("RGBA"), "PNG"), DONE),
        (".png", encoded(image.convert("P"), "PNG"), DONE),
        (".jpg", encoded(image, "JPEG")[:-2], DONE),
    ])  # fmt: skip
    path = free(place, chance, suffix)
    path.write_bytes(data)
    expected[path] = statuses


def damaged(place: Path, chance: random.Random, expected: dict[Path, Statuses]) -> None:
    form = chance.choice(["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "GIF"])
    data = encoded(picture(chance), form)
    content = chance.choice([data[: len(data) // 2], b"", b"<!DOCTYPE html><html>404</html>", data[:20], bytes(99)])
    path = free(place, chance, {"HEIF": ".heic"}.get(form, f".{form.lower()}"))
    path.write_bytes(content)
    expected[path] = FAILED


def no_photo(place: Path, chance: random.Random, expected: dict[Path, Statuses]) -> None:
    suffix = chance.choice([".CR2", ".nef", ".dng", ".mp4", ".AVI", ".txt", ".xmp", ".pdf", "", ".zip"])
    path = free(place, chance, suffix)
    path.write_bytes(chance.choice([b"", b"II*\0 and so on", b"words"]))
    expected[path] = LEFT_OUT


def hidden(place: Path, chance: random.Random, expected: dict[Path, Statuses]) -> None:
    path = place / chance.choice([".DS_Store", "._IMG_0001.jpg", ".hidden.jpg", ".thumbnails"])
    if not os.path.lexists(path):
        if path.name == ".thumbnails":
            path.mkdir()
            (path / "1.png").write_bytes(encoded(picture(chance), "PNG"))
        else:
            path.write_bytes(b"\0\x05\x16\x07")
        expected[path] = LEFT_OUT


def live_photo(place: Path, chance: random.Random, expected: dict[Path, Statuses]) -> None:
    path = free(place, chance, ".HEIC")
    if not os.path.lexists(path.with_suffix(".MOV")):
        path.write_bytes(encoded(picture(chance), "HEIF"))
        path.with_suffix(".MOV").write_bytes(b"a clip")
        expected |= {path: DONE, path.with_suffix(".MOV"): LEFT_OUT}


def link(place: Path, chance: random.Random, expected: dict[Path, Statuses]) -> None:
    """To a photo here or elsewhere, to nothing, to itself, to folders here, above or elsewhere."""
    top = next(parent for parent in (place, *place.parents) if parent.name == "in")
    elsewhere = top.parent / "elsewhere"
    if not elsewhere.exists():
        elsewhere.mkdir()
        for number in range(3):
            (elsewhere / f"{number}.png").write_bytes(encoded(picture(chance), "PNG"))
    kind = chance.choice(["here", "file", "nowhere.jpg", "nowhere", "self", "folder", "above"])
    suffix = {"here": ".jpg", "file": ".png", "nowhere.jpg": ".jpg", "self": chance.choice([".jpg", ""])}.get(kind, "")
    path = free(place, chance, suffix)
    others = [other for other in sorted(expected) if expected[other] == DONE and not other.is_symlink()]
    targets: dict[str, Path | str] = {
        "here": chance.choice(others or [elsewhere / "0.png"]), "file": elsewhere / f"{chance.randint(0, 2)}.png",
        "self": path.name, "folder": elsewhere, "above": top,
    }  # fmt: skip
    path.symlink_to(targets.get(kind, "none.jpg"))
    expected[path] = {
        "here": ("done", "left out"), "file": ("done", "left out"), "nowhere.jpg": FAILED, "nowhere": LEFT_OUT,
        "self": FAILED, "folder": LEFT_OUT, "above": LEFT_OUT,
    }[kind]  # fmt: skip


def pipe(place: Path, chance: random.Random, expected: dict[Path, Statuses]) -> None:
    suffix = chance.choice(["", ".jpg", ".txt"])
    path = free(place, chance, suffix)
    os.mkfifo(path)
    expected[path] = FAILED if suffix == ".jpg" else LEFT_OUT


def locked(place: Path, chance: random.Random, expected: dict[Path, Statuses]) -> None:
    path = free(place, chance, chance.choice([".jpg", ".png", ""]))
    path.write_bytes(encoded(picture(chance), "JPEG"))
    path.chmod(0)
    expected[path] = FAILED


Kind = Callable[[Path, random.Random, dict[Path, Statuses]], None]
KINDS: list[Kind] = [
    face,
    faceless,
    odd,
    odd,
    damaged,
    damaged,
    no_photo,
    no_photo,
    hidden,
    live_photo,
    link,
    link,
    link,
    pipe,
    locked,
]
