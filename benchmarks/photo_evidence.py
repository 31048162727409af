"""Faces in photos that `faceenc encrypt` protected: how many dlib still matches, of those it finds itself and of the rest.

    faceenc encrypt PHOTOS --output OUT --json > protected.jsonl
    python benchmarks/photo_evidence.py protected.jsonl

faceenc protects, and judges, whatever its own detectors find. dlib's detector is made for upright faces seen from the front:
a face that it misses in the original is one that a recogniser built on dlib alone never sees.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd

from faceenc.core import Box, Face
from faceenc.media import read_photo
from faceenc.recognizers import hog_box


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("record", type=Path, help="what `faceenc encrypt --json` printed")
    rows = []
    for line in parser.parse_args().record.read_text(encoding="utf-8").splitlines():
        photo = json.loads(line)
        if photo["status"] != "done":
            continue
        pixels = read_photo(photo["source"]).pixels
        for face in photo["faces"]:
            by = "dlib's detector" if hog_box(pixels, Face(Box(*face["box"]), {}, 1.0)) else "only ours"
            rows += [{"found by": by, **verdict} for verdict in face["judges"] if verdict["judge"] == "dlib"]
    table = pd.DataFrame(rows).groupby(["found by", "variant"], sort=False)["match"].agg(["size", "sum"])
    print(table.rename(columns={"size": "faces", "sum": "still matched"}).to_string())


if __name__ == "__main__":
    main()
