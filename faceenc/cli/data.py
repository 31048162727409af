"""`faceenc data`: data sets brought into the layout that the other commands read."""

from __future__ import annotations

import csv
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from faceenc.cli.common import Group
from faceenc.cli.data_video import video
from faceenc.cli.options import PATH, formerly
from faceenc.cli.progress import progress_bars

if TYPE_CHECKING:
    from faceenc.core import OnNoFace
    from faceenc.data import FaceSet, Subset
    from faceenc.faces import Framing


@click.group(cls=Group)
def data() -> None:
    """Make folders of photos, one sub-folder a person, from data sets and videos."""


@data.command(cls=formerly({"--download": "--fetch"}))
@click.argument("folder", type=PATH)
@click.option("-o", "--output", required=True, type=PATH, help="The folder to make.")
@click.option("--identities", default=307, show_default=True, type=click.IntRange(min=2), help="How many people.")
@click.option(
    "--min-images", default=2, show_default=True, type=click.IntRange(min=2), help="Leave out people with fewer images."
)
@click.option("--size", default=224, show_default=True, type=click.IntRange(min=16), help="Side of the crops in pixels.")
@click.option(
    "--framing",
    default="aligned",
    show_default=True,
    type=click.Choice(["aligned", "square"]),
    help="Crops turned by eyes and mouth, or upright squares.",
)
@click.option(
    "--on-no-face",
    default="skip",
    show_default=True,
    type=click.Choice(["skip", "whole", "fail"]),
    help="Where no face is found: skip the image, take its middle, or stop.",
)
@click.option("--fetch", "download", is_flag=True, help="Let torchvision fetch what is missing; Google Drive often refuses.")
def celeba(
    folder: Path,
    output: Path,
    identities: int,
    min_images: int,
    size: int,
    framing: Framing,
    on_no_face: OnNoFace,
    download: bool,
) -> None:
    """Choose from the copy of CelebA in FOLDER the people with the most images, and split and crop them.

    FOLDER holds identity_CelebA.txt and img_align_celeba/ (or img_celeba/), laid out as by torchvision or by the published
    archive. The result has one sub-folder a person and manifest.csv (identity, file, split, hash), which every command that
    reads such folders follows. The images are hard links where the disk allows them.
    """
    from faceenc.data import choose, lay_out, load_folder, photos_table
    from faceenc.data import download as download_celeba

    with progress_bars() as progress:
        if download:
            download_celeba(folder)
        subset = choose(folder, identities=identities, min_images=min_images, progress=partial(progress, "images"))
        manifest = lay_out(subset, output)
        faces = load_folder(output, size, framing=framing, on_no_face=on_no_face, progress=partial(progress, "faces"))
    _summarize(subset, faces, manifest, photos_table(output, size, framing=framing))


def _summarize(subset: Subset, faces: FaceSet, manifest: Path, table: Path) -> None:
    from faceenc.data import CREDIT

    chosen = Counter(image.identity for image in subset.images)
    parts = Counter(image.split for image in subset.images)
    click.echo(f"people    {len(chosen)}, with {min(chosen.values())} to {max(chosen.values())} images each")
    click.echo(f"images    {len(subset.images)}: {parts['train']} for training, {parts['test']} for testing")
    click.echo(f"missing   {len(subset.missing)} listed, but not there")
    click.echo(f"faces     {len(faces.files)} of {len(faces.classes)} people: {faces.train.size} + {faces.test.size}")
    if table.is_file():
        with table.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            reasons = Counter(row["left_out"] for row in csv.DictReader(file) if row["left_out"])
        names = {"person": "of people with too few", "copy": "exact copies", "no face": "without a face"}
        left_out = ", ".join(f"{count} {names.get(reason, reason)}" for reason, count in reasons.items())
        click.echo(f"left out  {left_out or 'none'}")
        click.echo(f"crops     {table}")
    click.echo(f"manifest  {manifest}")
    click.echo(CREDIT)


data.add_command(video)
