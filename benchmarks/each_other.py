"""Do protected photos of one person match each other, and the person's unprotected ones?

    python benchmarks/each_other.py PEOPLE --people 20 --photos 3 --output FOLDER [--apart | --decoy 7] [--leave-out sface]

PEOPLE has a sub-folder a person. The first photos of the last so many people are protected as `faceenc encrypt` does by
default, or with these options, unless they lie in FOLDER already, and looked at by every net of the ensemble, at its usual
threshold. `original matched` is the share of protected photos that match their own original; then shares of all pairs of one
person, and of photos whose nearest other photo shows the same person (rank 1; `chance` is that of a random one).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from faceenc.faces import FaceSearch, main_face
from faceenc.media import read_photo
from faceenc.protect import Options, Protector
from faceenc.recognizers import ENSEMBLE, Recognizer, list_people, load_recognizers, operating_point


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path)
    parser.add_argument("--people", dest="count", type=int, default=20)
    parser.add_argument("--photos", type=int, default=3)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--apart", action="store_true")
    parser.add_argument("--decoy", type=int)
    parser.add_argument("--leave-out", choices=ENSEMBLE, help="attack the others only")
    parser.add_argument("--part", default="0/1", help="K/N: protect every Nth photo from the Kth on, and do not judge")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    listed = {name: files[: args.photos] for name, files in list_people(args.people).items() if len(files) >= args.photos}
    photos = [(name, file) for name in list(listed)[-args.count :] for file in listed[name]]
    copies = [args.output / f"{name}-{file.stem}.png" for name, file in photos]
    attacked = tuple(name for name in ENSEMBLE if name != args.leave_out) if args.leave_out else ()
    part, parts = map(int, args.part.split("/"))
    with Protector(Options(apart=args.apart, decoy=args.decoy, surrogates=attacked)) as protector:
        for number, ((_, file), copy) in list(enumerate(zip(photos, copies, strict=True), 1))[part::parts]:
            if not copy.exists():
                protector(file, output=copy)
            print(f"{number} of {len(photos)}", flush=True)
    if parts > 1:
        return
    names = np.array([name for name, _ in photos])
    judges = load_recognizers(ENSEMBLE)
    with FaceSearch() as search:
        before = [embedded(read_photo(file).pixels, judges, search) for _, file in photos]
        after = [embedded(read_photo(copy).pixels, judges, search) for copy in copies]
    rows = []
    for number, judge in enumerate(judges):
        one, other = (np.stack([faces[number] for faces in side]) for side in (before, after))
        sides = {"unprotected": (one, one), "protected, unprotected": (other, one), "protected": (other, other)}
        threshold = operating_point(judge).threshold
        own = 100 * float(np.mean([apart(judge, a, b) <= threshold for a, b in zip(one, other, strict=True)]))
        for what, (left, right) in sides.items():
            distances = np.array([[apart(judge, a, b) for b in right] for a in left])
            line = {"judge": judge.name, "attacked": judge.name != args.leave_out, "photos": what, "original matched": own}
            rows.append({**line, **shares(distances, names, threshold)})
    table = pd.DataFrame(rows)
    table.to_csv(args.output / "each_other.csv", index=False)
    print(table.to_string(index=False, float_format="%.1f"))


def embedded(image: NDArray[np.uint8], judges: Sequence[Recognizer], search: FaceSearch) -> list[NDArray[np.float64]]:
    """What each judge makes of the main face; far from everything where there is none."""
    faces = search(image)
    if not faces:
        crops = [np.zeros((1, judge.size, judge.size, 3), np.uint8) for judge in judges]
        return [np.full_like(judge.embed_crops(crop)[0], np.nan) for judge, crop in zip(judges, crops, strict=True)]
    face = main_face(faces, image.shape[1], image.shape[0])
    return [judge.embed_face(image, face) for judge in judges]


def apart(judge: Recognizer, one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return judge.distance(one, other) if np.isfinite([one, other]).all() else float("inf")


def shares(distances: NDArray[np.float64], names: NDArray[np.str_], threshold: float) -> dict[str, float]:
    """In per cent; no photo is compared with its own copy."""
    itself, same = np.eye(len(names), dtype=bool), names[:, None] == names[None]
    nearest = np.where(itself, np.inf, distances).argmin(1)
    return {
        "own matched": 100 * float((distances <= threshold)[same & ~itself].mean()),
        "others matched": 100 * float((distances <= threshold)[~same].mean()),
        "rank 1": 100 * float((names[nearest] == names).mean()),
        "chance": 100 * float((same & ~itself).sum() / (~itself).sum()),
    }


if __name__ == "__main__":
    main()
