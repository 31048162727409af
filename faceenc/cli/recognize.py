"""`faceenc recognize`: who is in these photos?"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from faceenc.cli.messages import as_options, left_out_lines
from faceenc.cli.options import PATH, command, device_option, to_write
from faceenc.cli.progress import progress_bars
from faceenc.cli.tables import print_table
from faceenc.core import ConfigError, DataError, resolve_device, shown

if TYPE_CHECKING:
    from faceenc.recognizers import FaceResNet, Recognized


log = logging.getLogger(__name__)


@command()
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO|FOLDER...", type=PATH)
@click.option("--model", "checkpoint", type=PATH, metavar="FILE",
              help="The trained recogniser (.safetensors).  [required]")  # fmt: skip
@to_write("-o", "--output", type=PATH, default=Path("recognized"), show_default=True, metavar="FOLDER",
              help="Where the marked photos go; made if need be.")  # fmt: skip
@click.option("--threshold", type=click.FloatRange(0, 1),
              help="Faces with a lower highest probability are unknown.  [default: the recogniser's own]")  # fmt: skip
@device_option
@to_write("--json", "as_json", is_flag=True, help="Print one line of JSON a photo instead of the table.")
@click.pass_context
def recognize(
    context: click.Context,
    photos: tuple[Path, ...],
    checkpoint: Path | None,
    output: Path,
    threshold: float | None,
    device: str,
    as_json: bool,
) -> None:
    """Name the people in photos.

    Draws a box, the name and its probability around each face of the photos, and of all photos in and below the folders, and
    writes each as STEM-recognized.png. Photos are left as they are, and no file is overwritten. Exit code 2 if a photo could
    not be read; the others are done all the same.
    """
    if checkpoint is None:
        raise ConfigError(
            "--model is missing: name the .safetensors file of a trained recogniser, such as the best.safetensors that"
            " faceenc train writes"
        )
    from faceenc.media import list_photos
    from faceenc.recognizers import load_checkpoint, threshold_doubt

    model, record = load_checkpoint(checkpoint)
    model.to(resolve_device(device))
    if threshold is None and model.threshold == 0:
        log.info("this recogniser has no threshold of its own: every face gets a name, unless --threshold is given")
    doubt = "" if threshold is not None else threshold_doubt(model.threshold, record)
    if doubt:
        log.warning("%s; train with more photos a person, or choose --threshold yourself", doubt)
    named = list_photos(photos, output=output)
    listed = named.photos
    for error in named.errors.values():
        click.echo(f"error: {as_options(str(error))}", err=True)
    for line in left_out_lines(named.left_out):
        log.info("%s", line)
    failed = len(named.errors)
    _make_folder(output)
    rows: list[dict[str, str]] = []
    with progress_bars(silent=as_json, as_json=as_json) as progress:
        progress("recognising", 0, len(listed))
        for done, (photo, file, found) in enumerate(
            _recognize_all(listed, output, model, threshold, sure=not doubt), start=1
        ):
            progress("recognising", done, len(listed))
            if found is None:
                failed += 1
            elif as_json:
                faces = [_record(person) for person in found]
                click.echo(json.dumps({"photo": str(photo), "output": str(file), "faces": faces}))
            else:
                rows += _rows(photo, found)
    if rows:
        print_table(rows, title="people in the photos")
        if any(row["name"].endswith(" ?") for row in rows):
            click.echo("?: too blurred or too small a face to rely on the name")
        click.echo(f"marked photos: {shown(output)}")
    if failed:
        context.exit(DataError.exit_code)


def _recognize_all(
    photos: list[Path], output: Path, model: FaceResNet, threshold: float | None, *, sure: bool
) -> Iterator[tuple[Path, Path, list[Recognized] | None]]:
    """Each photo, the file of its marked copy (written), and its people; None after saying why it cannot be read."""
    from faceenc.faces import FaceSearch
    from faceenc.media import read_image, write_png
    from faceenc.recognizers import annotate, name_outputs, recognize

    with FaceSearch() as search:
        for photo, file in zip(photos, name_outputs(photos, output), strict=True):
            try:
                image = read_image(photo)
            except DataError as error:
                click.echo(f"error: {as_options(str(error))}", err=True)
                yield photo, file, None
                continue
            found = recognize(image, model, search, threshold=threshold)
            write_png(file, annotate(image, found, sure=sure))
            yield photo, file, found


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"cannot make the folder {folder}: {reason}; choose another --output") from error


def _box(person: Recognized) -> list[float]:
    box = person.face.box
    return [round(value, 1) for value in (box.x0, box.y0, box.x1, box.y1)]


def _record(person: Recognized) -> dict[str, object]:
    return {
        "box": _box(person),
        "score": round(person.face.score, 4),
        "name": person.name,
        "probability": round(person.probability, 4),
        "best": person.best,
        "blurred": person.blurred,
        "top": [{"name": name, "probability": round(value, 4)} for name, value in person.top],
    }


def _rows(photo: Path, found: list[Recognized]) -> list[dict[str, str]]:
    name = shown(Path(*photo.parts[-2:]))  # more would not fit; the JSON has the whole path
    if not found:
        return [{"photo": name, "face": "-", "box": "no face found", "name": "", "probability": "", "likeliest": ""}]
    return [
        {
            "photo": name,
            "face": str(number),
            "box": " ".join(f"{value:.0f}" for value in _box(person)),
            "name": "unknown" if person.name is None else f"{person.name}{' ?' if person.blurred else ''}",
            "probability": f"{person.probability:.1%}",
            "likeliest": person.best,
        }
        for number, person in enumerate(found, start=1)
    ]
