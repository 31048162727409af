"""`faceenc detect`: where are faces in these photos?"""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from faceenc.cli.messages import as_options, left_out_lines
from faceenc.cli.options import PATH, command
from faceenc.cli.progress import progress_bars
from faceenc.core import DataError

if TYPE_CHECKING:
    from faceenc.core import Face
    from faceenc.faces import Found


log = logging.getLogger(__name__)


@command()
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO|FOLDER...", type=PATH)
@click.pass_context
def detect(context: click.Context, photos: tuple[Path, ...]) -> None:
    """Find the faces in photos: one line of JSON a photo.

    Takes photos, and all photos in and below folders. Of each face, its box [x0, y0, x1, y1] and its landmarks in pixels of
    the upright photo, how many degrees it is turned to the right, its score, and which detector found it. "doubtful" are
    places that one detector weakly takes for a face. "searched" says from which width in pixels faces were looked for,
    upright and turned. Exit code 2 if a photo could not be read; the others are done all the same.
    """
    from faceenc.faces import FaceSearch
    from faceenc.media import list_photos, read_image

    found = list_photos(photos, output=None)
    listed = found.photos
    for error in found.errors.values():
        _complain(error)
    for line in left_out_lines(found.left_out):
        log.info("%s", line)
    failed = len(found.errors)
    with progress_bars(silent=True, as_json=True) as progress, FaceSearch() as search:
        for done, photo in enumerate(listed):
            progress("photos", done, len(listed))
            try:
                image = read_image(photo)
            except DataError as error:
                _complain(error)
                failed += 1
                continue
            click.echo(json.dumps({"photo": str(photo), **_record(search.search(image))}))
    if failed:
        context.exit(DataError.exit_code)


def _complain(error: DataError) -> None:
    click.echo(f"error: {as_options(str(error))}", err=True)


def _record(found: Found) -> dict[str, object]:
    return {
        "faces": [_face(face) for face in found.faces],
        "doubtful": [_place(face) for face in found.doubtful],
        "searched": {"upright": found.smallest, "turned": found.smallest_turned},
    }


def _face(face: Face) -> dict[str, object]:
    landmarks = {scheme: [[round(x, 1), round(y, 1)] for x, y in points] for scheme, points in face.landmarks.items()}
    tilt = math.degrees(math.atan2(face.up.real, -face.up.imag))
    return {**_place(face), "landmarks": landmarks, "tilt": round(tilt, 1)}


def _place(face: Face) -> dict[str, object]:
    box = [round(value, 1) for value in (face.box.x0, face.box.y0, face.box.x1, face.box.y1)]
    return {"box": box, "score": round(face.score, 4), "detector": face.detector}
