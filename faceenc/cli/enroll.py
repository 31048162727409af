"""`faceenc enroll`: a person's mask, from photos of them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import click

from faceenc.cli.messages import left_out_lines
from faceenc.cli.options import (
    PATH,
    RECOGNISERS,
    SURROGATE_WORDS,
    Eps,
    command,
    device_option,
    formerly,
    how_strong,
    running,
    trust_option,
)
from faceenc.cli.progress import progress_bars
from faceenc.core import shown

if TYPE_CHECKING:
    from pathlib import Path


log = logging.getLogger(__name__)


@command(cls=formerly(SURROGATE_WORDS))
@click.argument("name")
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO|FOLDER...", type=PATH)
@how_strong("--surrogate", default="dlib", show_default=True, metavar="RECOGNISER",
              help=f"What to hide from: dlib, {RECOGNISERS}.")  # fmt: skip
@how_strong("--eps", type=Eps(), default="8/255", show_default=True, help="Strength of the noise.")
@how_strong("--steps", type=click.IntRange(1, 2000), default=120, show_default=True, help="More hide better.")
@device_option
@trust_option
@running("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all randomness.")
def enroll(
    name: str, photos: tuple[Path, ...], surrogate: str, eps: int, steps: int, seed: int, device: str, trust_code: bool
) -> None:
    """Make NAME's mask from PHOTOS of them, for faceenc webcam --method mask.

    A mask is one noise that hides the face in many photos; laying it over a frame takes no time. Give 10 photos or more,
    from all sides, as the camera sees you. One in five is kept back to tell how well the mask does.

    The file holds measurements of the face, is readable by you alone, and stays on this computer (in FACEENC_MASKS, else in
    your data folder). Enrolling the person again for the same recogniser replaces it.
    """
    from faceenc.core import resolve_device
    from faceenc.live import LiveOptions, LiveProtector
    from faceenc.media import list_photos, protected_copies

    found = list_photos(photos, output=None)
    if found.errors and not found.photos:
        raise next(iter(found.errors.values()))
    for error in found.errors.values():
        log.warning("%s; left out", error)
    for line in left_out_lines(found.left_out):
        log.info("%s", line)
    copies = protected_copies(found.photos)
    listed = [photo for photo in found.photos if photo not in copies]
    options = LiveOptions(surrogate=surrogate, eps=eps, seed=seed, device=resolve_device(device), trust_code=trust_code)
    with progress_bars() as progress, LiveProtector(options) as protector:
        made, path = protector.enroll(name, listed, steps=steps, progress=progress)
    click.echo(f"mask of {name}: {shown(path)} ({made.photos} photos)")
    if not made.held:
        click.echo("no photo was kept back to try it on: give 5 or more")
        return
    click.echo(f"hidden in {made.hidden} of {made.held} views of photos that it was not made of: {_next(made.enough)}")


def _next(enough: bool) -> str:
    if enough:
        return "good; next: faceenc webcam --method mask"
    return (
        "too few to rely on the mask alone; enroll again with more photos from all sides, --eps 12 or more --steps, or take"
        " faceenc webcam --method auto, which goes on from the mask where it does not hide"
    )
