"""Where a local copy of CelebA keeps its parts, and how to get the parts that are missing."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from faceenc.core import DataError, read_text

_IDENTITY_FILE = "identity_CelebA.txt"
_HOMES = ("", "celeba", "CelebA")  # torchvision makes the second
_PARTS = ("", "Anno", "Img")  # the published archive's sub-folders
# The aligned images first: on them the face in the middle is surely the one that the identity is of.
_IMAGES = ("img_align_celeba", "img_align_celeba_png", "img_celeba")
FETCH = (
    f"fetch {_IDENTITY_FILE} and img_align_celeba.zip from mmlab.ie.cuhk.edu.hk/projects/CelebA.html, "
    "and put the text and the unpacked folder img_align_celeba into"
)


def download(path: str | Path) -> None:
    """Lets torchvision download CelebA into `path`, unless it is there; Google Drive often refuses.

    Raises:
        DataError: the download failed; the line says what to fetch by hand.
    """
    root = Path(path).expanduser().absolute()
    with contextlib.suppress(DataError):
        find(root)
        return
    if os.environ.get("FACEENC_OFFLINE", "") not in ("", "0"):
        raise DataError(f"FACEENC_OFFLINE forbids the download of CelebA: {FETCH} {root}")
    from torchvision.datasets import CelebA

    try:
        with contextlib.redirect_stdout(sys.stderr):
            CelebA(str(root), split="all", download=True)
    except Exception as error:  # gdown missing, quota, no network, a page instead of a file: nearly anything
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"torchvision cannot download CelebA ({reason}): {FETCH} {root / 'celeba'}") from error


def find(root: Path) -> tuple[Path, Path]:
    """The identity file and the folder of images.

    Raises:
        DataError: one of them is missing; the line says what to fetch and where to put it.
    """
    places = [root / home / part for home in _HOMES for part in _PARTS]
    listing = next((place / _IDENTITY_FILE for place in places if (place / _IDENTITY_FILE).is_file()), None)
    # Some unpackers make a folder of the archive's name around the archive's own.
    folders = [place / folder for name in _IMAGES for place in places for folder in (f"{name}/{name}", name)]
    images = next((folder for folder in folders if folder.is_dir() and any(folder.iterdir())), None)
    if listing is not None and images is not None:
        return listing, images
    lacking = [what for what, found in ((_IDENTITY_FILE, listing), ("a folder img_align_celeba", images)) if found is None]
    packed = next((place / f"{name}.zip" for place in places for name in _IMAGES if (place / f"{name}.zip").is_file()), None)
    if listing is not None and packed is not None:
        raise DataError(f"{packed} is still packed: unpack it in {packed.parent}")
    raise DataError(f"no CelebA in {root}, {' and '.join(lacking)} missing: {FETCH} {root}")


def read_identities(listing: Path) -> dict[str, list[str]]:
    """The images of each person, by the person's number.

    Raises:
        DataError: the file cannot be read or holds something else.
    """
    people: dict[str, list[str]] = {}
    try:
        lines = read_text(listing).split("\n")
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {listing} ({error}): fetch {_IDENTITY_FILE} anew") from error
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if words and (len(words) != 2 or not words[1].isdecimal() or "/" in words[0]):
            raise DataError(f"{listing}, line {number}: {line.strip()[:60]!r} is not an image and a number; fetch it anew")
        if words:
            people.setdefault(words[1], []).append(words[0])
    return people


def image_file(folder: Path, name: str) -> Path:
    """Where the image is that the identity file calls `name`, or would be."""
    source = folder / name
    # The identity file says .jpg also for the PNG edition.
    return source if source.exists() or not source.with_suffix(".png").exists() else source.with_suffix(".png")


def is_there(source: Path) -> bool:
    """Whether there is more than an empty file, which a broken download leaves."""
    return source.is_file() and source.stat().st_size > 0
