"""Is the person of a protected clip still found among other people? Faces cut by `faceenc data video`, dlib's net as judge.

    faceenc video CLIP PROTECTED.mp4
    python benchmarks/video_evidence.py CLIP PROTECTED.mp4 --gallery FOLDER [--other CLIP]... [--people 40]

FOLDER holds other people, a sub-folder each. Of both clips 40 faces are cut out, and each is looked up among three photos
of each of those people and the person's own faces: those of the other clips named, or else of the original. Printed is the
share of the faces whose nearest neighbour is the person (rank 1), and the share that match: nearer than dlib's 0.6.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceenc.data import extract_faces
from faceenc.faces import FaceDetector
from faceenc.media import PHOTO_SUFFIXES
from faceenc.recognizers import load_gallery, load_recognizer, operating_point

_PHOTOS = 3  # of each of the others


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("original", type=Path)
    parser.add_argument("protected", type=Path)
    parser.add_argument("--gallery", type=Path, required=True)
    parser.add_argument("--other", type=Path, action="append", default=[], help="another clip of the person")
    parser.add_argument("--people", type=int, default=40)
    arguments = parser.parse_args()
    judge = load_recognizer("dlib-torch")
    with tempfile.TemporaryDirectory() as temporary, FaceDetector(model="full") as detector:
        folder = Path(temporary)
        _copy(arguments.gallery, folder / "people", arguments.people)
        others = load_gallery(folder / "people", [judge], detector)

        def faces(clips: Sequence[Path], name: str) -> list[NDArray[np.float64]]:
            extract_faces(clips, folder / name, "person")
            return list(load_gallery(folder / name, [judge], detector).embeddings[judge.name]["person"])

        original, protected = faces([arguments.original], "original"), faces([arguments.protected], "protected")
        known = faces(arguments.other, "other") if arguments.other else original
        print(f"{len(others.people)} other people, {len(known)} faces of the person's own")
        for name, looked_up in (("original", original), ("protected", protected)):
            ranks, matches = [], []
            for face in looked_up:
                own = [photo for photo in known if photo is not face]
                ranks.append(others.rank(judge, face, own))
                matches.append(min(judge.distance(face, photo) for photo in own) < operating_point(judge).threshold)
            print(f"{name}: {len(ranks)} faces, rank 1 {np.mean(np.array(ranks) == 1):.1%}, match {np.mean(matches):.1%}")


def _copy(source: Path, target: Path, people: int) -> None:
    for person in sorted(entry for entry in source.iterdir() if entry.is_dir())[:people]:
        (target / person.name).mkdir(parents=True)
        for photo in sorted(file for file in person.iterdir() if file.suffix.lower() in PHOTO_SUFFIXES)[:_PHOTOS]:
            shutil.copy(photo, target / person.name)


if __name__ == "__main__":
    main()
