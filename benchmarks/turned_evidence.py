"""Photos that lie on their side or upside down without saying so: does dlib match them, once they are turned back?

    python benchmarks/turned_evidence.py DATA... [--people 40] [--json FILE]

Each DATA is a folder with one sub-folder of photos a person. One photo of each person is turned by 90, 180 and 270
degrees, protected by `Protector` with its defaults, saved as PNG, decoded, turned back, and searched anew by dlib's own
detector. What it finds is cut out by dlib's landmarks and compared with the same face of the untouched photo. Figures only,
no faces.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from faceenc.media import PHOTO_SUFFIXES, read_photo, write_png
from faceenc.protect import Protector
from faceenc.recognizers import Recognizer, hog_faces, load_judges, operating_point


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--people", type=int, default=40, help="at most so many in all")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    (judge,) = load_judges()
    photos = [
        next(file for file in sorted(person.iterdir()) if file.suffix.lower() in PHOTO_SUFFIXES)
        for folder in arguments.data
        for person in sorted(folder.iterdir())[: arguments.people // len(arguments.data)]
    ]
    result = {}
    with tempfile.TemporaryDirectory() as folder, Protector() as protector:
        for quarters in (1, 2, 3):
            distances = []
            for number, photo in enumerate(photos):
                source, target = (Path(folder) / f"{number}-{quarters}-{name}.png" for name in ("a", "b"))
                upright = read_photo(photo).pixels
                write_png(source, np.rot90(upright, quarters))
                protector(source, output=target)
                back = np.ascontiguousarray(np.rot90(np.asarray(Image.open(target)), -quarters))
                before, after = _own(judge, upright), _own(judge, back)
                if before is not None:
                    distances.append(np.nan if after is None else judge.distance(before, after))
            table = np.array(distances)
            result[90 * quarters] = {
                "photos": len(photos),
                "dlib finds the untouched face": len(table),
                "and the protected one, turned back": int(np.isfinite(table).sum()),
                "matched": int((table <= operating_point(judge).threshold).sum()),
                "least distance": round(float(np.nanmin(table)), 3),
                "median distance": round(float(np.nanmedian(table)), 3),
            }
            print(90 * quarters, result[90 * quarters], flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _own(judge: Recognizer, image: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """The embedding of the most central face that dlib's detector finds; None if it finds none."""
    middle = complex(image.shape[1], image.shape[0]) / 2
    faces = hog_faces(image)
    if not faces:
        return None
    face = min(faces, key=lambda f: abs(complex(f.box.x0 + f.box.x1, f.box.y0 + f.box.y1) / 2 - middle))
    embedding: NDArray[np.float64] = judge.embed_crops(judge.cut(image, face)[None])[0]
    return embedding


if __name__ == "__main__":
    main()
