"""`faceenc data video`: face photos of one person out of video clips."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from faceenc.cli.options import PATH, command
from faceenc.cli.progress import progress_bars


@command()
@click.argument("clips", metavar="CLIP...", nargs=-1, required=True, type=PATH)
@click.option("--name", required=True, help="Of the person; the sub-folder for the faces.")
@click.option(
    "--frames", type=click.IntRange(min=1), default=40, show_default=True, help="Faces wanted, all clips together."
)
@click.option("-o", "--output", type=PATH, default="faces", show_default=True, help="The folder of all people.")
@click.option(
    "--margin",
    type=click.FloatRange(min=0, max=3),
    default=0.7,
    show_default=True,
    help="Kept around the detected face on each side, as a share of its size.",
)
def video(clips: tuple[Path, ...], name: str, frames: int, output: Path, margin: float) -> None:
    """Store face photos of one person, taken from video CLIPs, as OUTPUT/NAME/CLIP-FRAME.png.

    The frames are spread evenly over the clips. Where several people are in the picture, the one whose face is largest at
    the clip's start is followed. Faces of other people do not belong into a person's folder: look through the result.

    The same command again writes the same files. Other clips or another number of frames add to what is there already;
    files of the same name are replaced.
    """
    from faceenc.data import extract_faces

    with progress_bars() as progress:
        results = extract_faces(clips, output, name, frames=frames, margin=margin, progress=progress)
    for clip in results:
        click.echo(f"{clip.path}: {clip.frames} frames read, {clip.faces} faces stored")
    click.echo(f"{sum(clip.faces for clip in results)} faces of {name} in {output / name}")
    people = [entry for entry in output.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    folder = shlex.quote(str(output))
    train = f"faceenc train {folder}"
    if len(people) > 1:
        click.echo(f"Next: {train}")
    else:
        click.echo(f"Next: a second person's clips (--name OTHER --output {folder}), then {train}")
