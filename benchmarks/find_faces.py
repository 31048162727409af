"""Which faces are found, by size and by turn, what is falsely taken for one, and what the search costs.

    python benchmarks/find_faces.py [--faces FOLDER] [--csv FILE] [--json FILE] [--parts recall faceless time memory]

Faces of ORL, or of a folder of people (one folder each, one photo of each is used), are set into scenes of 2, 12 and 48
megapixels: 12 upright ones of several sizes, and 40 turned by 0 to 345 degrees. A face counts as found where the box that a
detector draws shares an IoU of 0.3 with its place. Sizes are widths of YuNet's own box, 0.88 of MediaPipe's. Detectors:

- search: `FaceSearch`, as `faceenc encrypt` uses it;
- mediapipe: both of MediaPipe's detectors on the whole picture;
- yunet: YuNet on the upright picture, at full scale in tiles and reduced, score 0.6;
- hog: dlib's, on the whole picture; upright scenes of 2 and 12 megapixels only, as it knows no turned faces and is slow.

"faceless" counts drawn pictures without faces in which the search sees one. "time" divides the search by one pass of YuNet
(by OpenCV alone, warmed up) over the whole picture at full scale, measured in turns. "memory" is the peak of a process that
does nothing but load a scene and search it.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from faceless import faceless_pictures
from numpy.typing import NDArray
from scenes import SIZES, Portrait, Scene, make_scene, portraits

from faceenc.core import Box, Face, at_place, describe_environment, fetch
from faceenc.faces import FaceSearch
from faceenc.recognizers import has_dlib, hog_faces

PARTS = ("recall", "faceless", "time", "memory")
WIDTHS = (24, 30, 40, 60, 80, 100, 150, 200)
DEGREES = range(0, 360, 15)
TURNED = ((12, 60), (48, 120))  # megapixels and size of the turned faces
UPRIGHT, MANY = 12, 40  # faces a scene
HOG_UP_TO = 12  # megapixels
TIMED = 60  # pixels: the size of the faces in the scenes that are timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, help="a folder of people; ORL if not given")
    parser.add_argument("--seed", type=int, default=0, help="draws the people")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--megapixels", type=int, nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=5, help="of the times")
    parser.add_argument("--csv", type=Path, help="one row a scene and detector")
    parser.add_argument("--json", type=Path, help="everything else")
    arguments = parser.parse_args()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # it warns of a target that nobody set
    record: dict[str, Any] = {"faces": arguments.faces.name if arguments.faces else "ORL", "seed": arguments.seed}
    with FaceSearch() as search:
        people = portraits(arguments.faces, MANY, seed=arguments.seed, detector=search.whole)
        if "recall" in arguments.parts:
            rows = list(_recall(search, people, arguments.megapixels))
            if arguments.csv:
                _write(arguments.csv, rows)
        if "faceless" in arguments.parts:
            record["faceless"] = _faceless(search)
        if "time" in arguments.parts:
            record["time"] = [_time(search, people, each, arguments.rounds) for each in arguments.megapixels]
    if "memory" in arguments.parts:
        record["memory"] = [_memory(people, each) for each in arguments.megapixels]
    if arguments.json:
        arguments.json.write_text(json.dumps(record | describe_environment(), indent=1) + "\n", encoding="utf-8")


def _recall(search: FaceSearch, people: Sequence[Portrait], megapixels: Sequence[int]) -> Iterator[dict[str, Any]]:
    for each in megapixels:
        for size in WIDTHS:
            scene = make_scene(each, people[:UPRIGHT], size=size)
            for row in _scene_rows(search, scene, hog=each <= HOG_UP_TO):
                yield _told({"megapixels": each, "size": size, "degrees": 0} | row)
    for each, size in TURNED:
        for degrees in DEGREES if each in megapixels else ():
            for row in _scene_rows(search, make_scene(each, people, size=size, degrees=degrees), hog=False):
                yield _told({"megapixels": each, "size": size, "degrees": degrees} | row)


def _scene_rows(search: FaceSearch, scene: Scene, *, hog: bool) -> Iterator[dict[str, Any]]:
    """What each detector finds in a scene."""
    found = search.search(scene.pixels)
    yield {"detector": "search", **_judged(scene, found.faces), "doubtful": len(found.doubtful)}
    yield {"detector": "mediapipe", **_judged(scene, search.whole(scene.pixels))}
    yield {"detector": "yunet", **_judged(scene, search.as_others_use_it(scene.pixels))}
    if hog and has_dlib():
        yield {"detector": "hog", **_judged(scene, hog_faces(scene.pixels))}


def _judged(scene: Scene, faces: Sequence[Face]) -> dict[str, Any]:
    boxes = [face.box for face in faces]
    hits: set[Box] = {box for place in scene.places if (box := at_place(boxes, place)) is not None}
    return {"placed": len(scene.places), "found": len(hits), "elsewhere": len(boxes) - len(hits)}


def _faceless(search: FaceSearch) -> dict[str, Any]:
    faces, doubtful = {}, {}
    pictures = faceless_pictures()
    for name, picture in pictures.items():
        found = search.search(picture)
        faces[name], doubtful[name] = len(found.faces), len(found.doubtful)
    return _told(
        {
            "pictures": len(pictures),
            "with_faces": [name for name, count in faces.items() if count],
            "with_doubtful": [name for name, count in doubtful.items() if count],
            "faces": sum(faces.values()),
            "doubtful": sum(doubtful.values()),
        }
    )


def _time(search: FaceSearch, people: Sequence[Portrait], megapixels: int, rounds: int) -> dict[str, Any]:
    """Seconds of the search and of one pass of YuNet over the whole picture, in turns."""
    image = make_scene(megapixels, people[:UPRIGHT], size=TIMED).pixels
    bgr = np.ascontiguousarray(image[..., ::-1])
    model, size = np.frombuffer(fetch("yunet").read_bytes(), np.uint8), SIZES[megapixels]
    net = cv2.FaceDetectorYN.create("onnx", model, np.empty(0, np.uint8), size, 0.6, 0.3, 5000)
    net.detect(bgr)
    search.search(image)
    passes, searches = [], []
    for _ in range(rounds):
        start = _clocks()
        net.detect(bgr)
        middle = _clocks()
        search.search(image)
        passes.append(middle - start)
        searches.append(_clocks() - middle)
    wall, work = (np.array(searches) / np.array(passes)).T
    return _told(
        {
            "megapixels": megapixels,
            "search_seconds": round(statistics.median(both[0] for both in searches), 3),
            "pass_seconds": round(statistics.median(both[0] for both in passes), 3),
            "over_pass": [round(float(value), 2) for value in (np.median(wall), wall.min(), wall.max())],
            "over_pass_by_processor_time": [round(float(value), 2) for value in (np.median(work), work.min(), work.max())],
        }
    )


def _clocks() -> NDArray[np.float64]:
    """Seconds by the wall clock, and of processor time, which neighbours on the machine disturb less."""
    return np.array((time.perf_counter(), time.process_time()))


_SEARCH = """
import sys
import numpy as np
from faceenc.faces import FaceSearch
with FaceSearch() as search:
    found = search.search(np.load(sys.argv[1]))
"""
# Linux counts what a process held before it became another program: one in between keeps our memory out of the figure.
_MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def _memory(people: Sequence[Portrait], megapixels: int) -> dict[str, Any]:
    """Peak resident gigabytes (1e9 bytes) of a process that searches a scene."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scene.npy"
        np.save(file, make_scene(megapixels, people[:UPRIGHT], size=TIMED).pixels)
        command = [sys.executable, "-c", _MEASURE, sys.executable, "-c", _SEARCH, str(file)]
        done = subprocess.run(command, capture_output=True, text=True)
    code, peak = done.stdout.split()
    if code != "0":
        raise SystemExit(done.stderr or "the search failed")
    gigabytes = int(peak) * (1 if sys.platform == "darwin" else 1024) / 1e9
    return _told({"megapixels": megapixels, "peak_gb": round(gigabytes, 2)})


def _told(row: dict[str, Any]) -> dict[str, Any]:
    print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    return row


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    columns = ["megapixels", "size", "degrees", "detector", "placed", "found", "elsewhere", "doubtful"]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
