"""How well `faceenc encrypt` protects: folders of people in, `reports/protect` out. Figures only, no faces.

    python benchmarks/protect_evidence.py DATA... --output reports/protect [--judge unseen.safetensors]... [--jobs 2]
        [--surrogate other.safetensors]...

Each DATA is a folder with one sub-folder of photos a person (or "orl", the built-in faces). Of each person some photos are
protected, written as PNG, decoded anew, and judged as saved, after JPEG at quality 75 and at half size: faces are found anew
by MediaPipe in the whole picture, cut out by dlib's own detector and landmarks, and compared with the original and with the
person's other photos; the rank is among all people of the folder. Recognisers given by --judge were not attacked: they judge
the same files.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image

from faceenc.core import Face, at_place, scaled
from faceenc.data import enlarge, read_orl
from faceenc.faces import FaceDetector, main_face
from faceenc.media import PHOTO_SUFFIXES, Photo, decode_photo, encode_photo, read_photo
from faceenc.protect import STRENGTHS, Protection, face_change, photo_change, protect_faces
from faceenc.recognizers import ENSEMBLE, Recognizer, load_judges, load_recognizers, operating_point
from faceenc.report import wilson

Pixels = NDArray[np.uint8]
VARIANTS: dict[str, Callable[[Pixels], Pixels]] = {
    "saved": lambda image: image,
    "jpeg75": lambda image: _jpeg(image, 75),
    "half": lambda image: np.array(
        Image.fromarray(image).resize((image.shape[1] // 2, image.shape[0] // 2), Image.Resampling.LANCZOS)
    ),
}


@dataclass(frozen=True)
class Job:
    """The photos of one person of a data set: those to protect, and those that only stand beside them."""

    data: str
    person: str
    photos: tuple[str, ...]
    others: tuple[str, ...]
    strength: str
    judges: tuple[str, ...]
    surrogates: tuple[str, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--output", type=Path, default=Path("reports/protect"))
    parser.add_argument("--judge", type=str, action="append", default=[])
    parser.add_argument("--surrogate", action="append", help="attack this one instead of the command's four")
    parser.add_argument("--strength", choices=list(STRENGTHS), default="balanced")
    parser.add_argument("--people", type=int, default=10_000, help="at most so many of each folder")
    parser.add_argument("--each", type=int, default=1, help="photos to protect of each person")
    parser.add_argument("--beside", type=int, default=5, help="other photos of each person, at most")
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    started = time.perf_counter()
    rows, known = [], {}
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(arguments.jobs, initializer=_one_thread) as pool:
        jobs = [job for data in arguments.data for job in _jobs(data, arguments, Path(folder))]
        for job, (found, embeddings) in zip(jobs, pool.map(_work, jobs), strict=True):
            rows += found
            known[job.data, job.person] = embeddings
            print(f"{len(known)} of {len(jobs)} people, {time.perf_counter() - started:.0f} s", flush=True)
    table = _ranked(rows, known)
    arguments.output.mkdir(parents=True, exist_ok=True)
    name = "-".join([arguments.strength, *(Path(surrogate).stem for surrogate in arguments.surrogate or [])])
    table.to_csv(arguments.output / f"rows-{name}.csv", index=False, float_format="%.4f")
    summary = _summary(table)
    summary.to_csv(arguments.output / f"summary-{name}.csv", index=False, float_format="%.4f")
    facts = {
        "strength": arguments.strength,
        "surrogates": [Path(name).name for name in arguments.surrogate or ENSEMBLE],
        "judges": [Path(spec).name for spec in arguments.judge],
        "people": len(known),
        "seconds": round(time.perf_counter() - started),
        "jobs": arguments.jobs,
        "settings": repr(STRENGTHS[arguments.strength]),
    }
    (arguments.output / f"run-{name}.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(summary.to_string(index=False))


def _jobs(data: str, arguments: argparse.Namespace, folder: Path) -> Iterator[Job]:
    if data == "orl":
        for name, picture in read_orl().items():
            (folder / "orl" / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(enlarge(picture)).save(folder / "orl" / f"{name}.png")
    root = folder / "orl" if data == "orl" else Path(data)
    people = sorted(person for person in root.iterdir() if person.is_dir())[: arguments.people]
    names = tuple(arguments.surrogate or ENSEMBLE)
    for person in people:
        photos = [str(file) for file in sorted(person.iterdir()) if file.suffix.lower() in PHOTO_SUFFIXES]
        chosen, rest = photos[: arguments.each], photos[arguments.each :]
        beside = tuple(rest[: arguments.beside])
        yield Job(root.name, person.name, tuple(chosen), beside, arguments.strength, tuple(arguments.judge), names)


def _one_thread() -> None:
    torch.set_num_threads(1)


@cache
def _tools(judges: tuple[str, ...], names: tuple[str, ...]) -> tuple[FaceDetector, list[Recognizer], list[Recognizer]]:
    return FaceDetector(model="full"), load_recognizers(names), load_judges(judges)


def _work(job: Job) -> tuple[list[dict[str, Any]], dict[str, NDArray[np.float64]]]:
    """The rows of a person's protected photos, and each judge's embeddings of their other ones."""
    detector, _, judges = _tools(job.judges, job.surrogates)
    beside: dict[str, list[NDArray[np.float64]]] = {judge.name: [] for judge in judges}
    for path in job.others:
        image = read_photo(Path(path)).pixels
        if (face := _main(image, detector)) is not None:
            for judge in judges:
                beside[judge.name].append(_embed(judge, image, face))
    others = {name: np.array(vectors) for name, vectors in beside.items() if vectors}
    rows = []
    for number, path in enumerate(job.photos):
        photo = read_photo(Path(path))
        if (face := _main(photo.pixels, detector)) is not None:
            where = {"data": job.data, "person": job.person, "photo": number}
            rows += [{**where, **row} for row in _protect_and_judge(photo, face, job, others)]
    return rows, others


def _protect_and_judge(
    photo: Photo, face: Face, job: Job, others: dict[str, NDArray[np.float64]]
) -> Iterator[dict[str, Any]]:
    detector, surrogates, judges = _tools(job.judges, job.surrogates)
    image = photo.pixels
    protected, (outcome,) = protect_faces(image, [face], Protection(STRENGTHS[job.strength], surrogates), grey=photo.grey)
    for name, pixels, seconds in (("clean", image, 0.0), ("faceenc", protected, outcome.seconds)):
        saved = decode_photo(encode_photo(replace(photo, pixels=pixels), format="PNG")).pixels
        ssim, psnr = face_change(image, saved, face.box)
        whole, _ = photo_change(image, saved)
        facts = {"noise": name, "seconds": seconds, "ssim": ssim, "face_psnr": psnr, "photo_psnr": whole}
        for variant, change in VARIANTS.items():
            copy = change(saved)
            place = scaled(face, copy.shape[1] / image.shape[1], copy.shape[0] / image.shape[0])
            again, found = _again(copy, place, detector)
            for judge in judges:
                vector = _embed(judge, copy, again)
                own = others.get(judge.name)
                yield {
                    **facts,
                    "variant": variant,
                    "judge": judge.name,
                    "threshold": operating_point(judge).threshold,
                    "found": found,
                    "distance": judge.distance(vector, _embed(judge, image, face)),
                    "nearest_other": min(judge.distance(vector, photo) for photo in own) if own is not None else np.nan,
                    "vector": vector,
                }


def _embed(judge: Recognizer, image: Pixels, face: Face) -> NDArray[np.float64]:
    # dlib's net in C++ and its torch twin agree within 1e-6 (tests/recognizers/test_dlib.py); the rest is dlib's own.
    embedding: NDArray[np.float64] = judge.embed_crops(judge.cut(image, face)[None])[0]
    return embedding


def _main(image: Pixels, detector: FaceDetector) -> Face | None:
    faces = detector(image)
    return main_face(faces, image.shape[1], image.shape[0]) if faces else None


def _again(image: Pixels, place: Face, detector: FaceDetector) -> tuple[Face, bool]:
    faces = detector(image)
    box = at_place([face.box for face in faces], place.box)
    return (place, False) if box is None else (next(face for face in faces if face.box == box), True)


def _ranked(rows: list[dict[str, Any]], known: dict[tuple[str, str], dict[str, NDArray[np.float64]]]) -> pd.DataFrame:
    """Adds the rank of each photo's own person among all people of its folder who have other photos."""
    judges = {judge.name: judge for judge in load_judges()}
    names: dict[str, str] = {}
    for row in rows:
        vector, own = row.pop("vector"), row["nearest_other"]
        if not np.isnan(own):
            nearer = 0
            for (data, person), embeddings in known.items():
                if data == row["data"] and person != row["person"] and row["judge"] in embeddings:
                    nearer += _nearest(vector, embeddings[row["judge"]], euclidean=row["judge"] in judges) < own
            row["rank"] = 1 + nearer
        # Who it is stays here: numbers tell people apart as well.
        row["person"] = names.setdefault(f"{row['data']}/{row['person']}", str(len(names) + 1))
    return pd.DataFrame(rows)


def _nearest(vector: NDArray[np.float64], photos: NDArray[np.float64], *, euclidean: bool) -> float:
    return float(np.linalg.norm(photos - vector, axis=1).min() if euclidean else 1 - (photos @ vector).max())


def _summary(table: pd.DataFrame) -> pd.DataFrame:
    """One row a data set, noise, judge and variant; shares with Wilson 95 % intervals."""
    rows = []
    for keys, group in table.groupby(["data", "noise", "judge", "variant"], sort=False):
        beyond = group["distance"] > group["threshold"]
        beside = group[group["nearest_other"].notna()]
        low, high = wilson(int(beyond.sum()), len(group))
        rows.append(
            {
                **dict(zip(["data", "noise", "judge", "variant"], keys, strict=True)),
                "photos": len(group),
                "found_anew": group["found"].mean(),
                "no_match": beyond.mean(),
                "no_match_low": low,
                "no_match_high": high,
                "median_distance": group["distance"].median(),
                "no_match_other_photos": (beside["nearest_other"] > beside["threshold"]).mean(),
                "rank_1": (beside["rank"] == 1).mean() if len(beside) else np.nan,
                "ssim": group["ssim"].mean(),
                "ssim_p10": group["ssim"].quantile(0.1),
                "photo_psnr": group["photo_psnr"].replace(np.inf, np.nan).mean(),
                "photo_psnr_min": group["photo_psnr"].min(),
                "seconds": group["seconds"].mean(),
            }
        )
    return pd.DataFrame(rows)


def _jpeg(image: Pixels, quality: int) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
