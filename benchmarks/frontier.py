"""Protection against visibility: what recognisers that nobody attacked still match, and what people see of it.

    python benchmarks/frontier.py DATA... --others FOLDER --output reports/frontier [--people N] [--jobs 2]
        [--recipe NAME]... [--leave-out NAME]... [--resume]
    python benchmarks/frontier.py --summarise reports/frontier
    python benchmarks/frontier.py --contact --output reports/frontier

Each DATA is a folder with one sub-folder of photos a person. The first photo of each that shows a face is changed by each
recipe; up to five others are what it is compared with. Of an ensemble one net at a time is left out, to judge as one that
was not attacked (the fold); faceres is never attacked (see faceres.py; without node the run goes on without it). A changed
photo is written as PNG, decoded, and judged as saved, after JPEG at quality 75, and as the web has it: at most 1080 pixels,
JPEG 75. Its face is found anew in each. Thresholds, and the gallery for ranks, are of other people, one photo each.

Embeddings of untouched photos are kept in the cache folder. Rows are appended to OUTPUT/rows.csv as they come; --resume
goes on from those that stand there. Figures only, no faces and no names; --contact shows faces of ORL, which may be shown.
"""

from __future__ import annotations

import argparse
import gzip
import io
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from faceres import load_faceres
from frontier_contact import contact_sheet
from frontier_judging import (
    ENSEMBLE,
    FACERES,
    Judging,
    Pixels,
    Subject,
    distances,
    embedded,
    found_at,
    photos_of,
    recognizer,
    seen,
    strangers,
    strangers_photos,
    subject,
)
from frontier_recipes import NOBODY, RECIPES
from frontier_summary import read_rows, summarise
from PIL import Image

from faceenc.core import AssetError, cache_dir, scaled, write_atomically
from faceenc.media import decode_photo, encode_photo

AT_ONCE = 20  # photos that are embedded and cached together
_WEB = 1080  # pixels
_PRINTED = [
    *("data", "recipe", "fold", "judge", "photos", "own_unmatched", "none_matched", "rank_1", "rank_20"),
    *("noise", "noise_lowest", "butteraugli", "butteraugli_highest", "shape", "shape_highest", "within", "seconds"),
]

Row = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One photo and one way to change it.

    Attributes:
        data: the set's name.
        person: the number of the person in it.
        photos: of the person.
        recipe: by its name.
        left_out: the net that is not attacked, or nobody.
    """

    data: str
    person: int
    photos: tuple[Path, ...]
    recipe: str
    left_out: str

    @property
    def key(self) -> tuple[str, int, str, str]:
        return self.data, self.person, self.recipe, self.left_out


def main() -> None:
    arguments = _arguments()
    output: Path = arguments.summarise or arguments.output
    output.mkdir(parents=True, exist_ok=True)
    if arguments.contact:
        contact_sheet(output / "contact.png")
    if arguments.data:
        _measure(arguments, output / "rows.csv")
    if arguments.data or arguments.summarise:
        table = summarise(output)
        print(table.loc[(table["variant"] == "saved") & ~table["attacked"], _PRINTED].round(2).to_string(index=False))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", type=Path)
    parser.add_argument("--others", type=Path, help="a folder of other people, for thresholds and ranks")
    parser.add_argument("--output", type=Path, default=Path("reports/frontier"))
    parser.add_argument("--people", type=int, default=10_000, help="at most so many of each folder")
    parser.add_argument("--recipe", action="append", choices=list(RECIPES), help="only these")
    parser.add_argument("--leave-out", action="append", choices=[NOBODY, *ENSEMBLE], help="only these; '' leaves nobody out")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=cache_dir() / "frontier", help="for embeddings")
    parser.add_argument("--resume", action="store_true", help="go on with the rows that stand in OUTPUT")
    parser.add_argument("--summarise", type=Path, metavar="OUTPUT", help="only make the table and the figure anew")
    parser.add_argument("--contact", action="store_true", help="make OUTPUT/contact.png")
    arguments = parser.parse_args()
    if arguments.data and not arguments.others:
        parser.error("DATA needs --others")
    if arguments.data and any(arguments.output.glob("rows.csv*")) and not arguments.resume:
        parser.error(f"there are rows in {arguments.output}: go on with --resume, or remove them")
    if not (arguments.data or arguments.summarise or arguments.contact):
        parser.error("nothing to do: give DATA, --summarise or --contact")
    return arguments


def _measure(arguments: argparse.Namespace, rows: Path) -> None:
    names: tuple[str, ...] = ENSEMBLE
    try:
        load_faceres()
        names = (*ENSEMBLE, FACERES)
    except AssetError as error:
        print(f"without faceres: {error}", flush=True)
    judging = Judging(names, strangers_photos(arguments.others), arguments.cache)
    people = [person for data in arguments.data for person in _people(data, arguments.people)]
    done = _done(rows, names) if arguments.resume else set()
    jobs = [job for data, number, photos in people for job in _jobs(data, number, photos, arguments) if job.key not in done]
    with ProcessPoolExecutor(arguments.jobs, initializer=_one_thread) as pool:
        groups = [judging.others[k : k + AT_ONCE] for k in range(0, len(judging.others), AT_ONCE)]
        _progress(
            "groups of photos embedded", pool.map(_embed, [*groups, *(photos for *_, photos in people)], _again(judging))
        )
        _progress("faces changed and judged", _written(pool.map(_work, jobs, _again(judging)), rows), len(jobs))


def _again(judging: Judging) -> Iterator[Judging]:
    return itertools.repeat(judging)


def _progress(what: str, results: Iterable[object], of: int | None = None) -> None:
    start = told = time.perf_counter()
    number = 0
    for number, _ in enumerate(results, start=1):
        if time.perf_counter() - told > 30:
            told = time.perf_counter()
            print(f"{number}{f' of {of}' if of else ''} {what}, {told - start:.0f} s", flush=True)
    print(f"{number} {what}, {time.perf_counter() - start:.0f} s", flush=True)


def _people(data: Path, most: int) -> Iterator[tuple[str, int, tuple[Path, ...]]]:
    for number, person in enumerate(sorted(path for path in data.iterdir() if path.is_dir())[:most], start=1):
        yield data.name, number, tuple(photos_of(person))


def _jobs(data: str, number: int, photos: tuple[Path, ...], arguments: argparse.Namespace) -> Iterator[Job]:
    for name in arguments.recipe or RECIPES:
        recipe = RECIPES[name]
        chosen = arguments.leave_out if arguments.leave_out and len(recipe.nets) > 1 else recipe.left_out
        yield from (Job(data, number, photos, name, left_out) for left_out in dict.fromkeys(chosen))


def _done(rows: Path, names: tuple[str, ...]) -> set[tuple[Any, ...]]:
    """What stands in the file for all judges; what a killed run left of the rest is removed."""
    packed = rows.with_name(f"{rows.name}.gz")
    if not rows.exists() and packed.exists():
        write_atomically(rows, gzip.decompress(packed.read_bytes()))
        packed.unlink()
    if not rows.exists():
        return set()
    text = rows.read_text(encoding="utf-8")
    write_atomically(rows, text[: text.rfind("\n") + 1])
    table = read_rows(rows)
    keys = ["data", "person", "recipe", "fold"]
    whole = table.groupby(keys)["judge"].transform(
        lambda judges: set(names) <= set(judges) and len(judges) % len(VARIANTS) == 0
    )
    kept = table[whole.astype(bool)]
    write_atomically(rows, kept.to_csv(index=False))
    return set(kept[keys].itertuples(index=False, name=None))


def _written(results: Iterable[list[Row]], path: Path) -> Iterator[None]:
    for rows in results:
        if rows:
            text = pd.DataFrame(rows).to_csv(index=False, header=not path.exists(), float_format="%.4f")
            with path.open("a", encoding="utf-8") as file:
                file.write(text)  # at once: a killed run leaves no half of it
        yield


def _one_thread() -> None:
    torch.set_num_threads(1)


def _embed(photos: tuple[Path, ...], judging: Judging) -> None:
    embedded(photos, judging)


def _work(job: Job, judging: Judging) -> list[Row]:
    """The rows of one changed photo; none if the person has too few photos with a face."""
    person = subject(job.photos, judging)
    if person is None:
        return []
    recipe, original = RECIPES[job.recipe], person.photo.pixels
    attacked = [name for name in recipe.nets if name != job.left_out]
    surrogates = [recognizer(name) for name in attacked]
    start = time.perf_counter()
    pixels = recipe.change(person.photo, person.face, surrogates)
    seconds = time.perf_counter() - start
    saved = decode_photo(encode_photo(replace(person.photo, pixels=pixels), format="PNG")).pixels
    visible = seen(original, saved, person.face)
    facts = {"noise": visible.noise, "butteraugli": visible.butteraugli, "shape": visible.shape, "seconds": seconds}
    rows = []
    known: dict[bytes, list[Row]] = {}
    for variant, change in VARIANTS.items():
        copy = change(saved)
        if copy.tobytes() not in known:  # small photos are no smaller on the web
            known[copy.tobytes()] = _judge(copy, person, judging)
        for row in known[copy.tobytes()]:
            where = dict(zip(("data", "person", "recipe", "fold"), job.key, strict=True))
            rows.append({**where, "variant": variant, "attacked": row["judge"] in attacked, **row, **facts})
    return rows


def _judge(copy: Pixels, person: Subject, judging: Judging) -> list[Row]:
    original = person.photo.pixels
    place = scaled(person.face, copy.shape[1] / original.shape[1], copy.shape[0] / original.shape[0])
    face, found = found_at(copy, place)
    others = strangers(judging, at_once=AT_ONCE)
    rows = []
    for name in judging.names:
        judge, threshold = recognizer(name), others.thresholds[name]
        vector = judge.embed_face(copy, face)
        own = judge.distance(vector, person.own[name])
        nearest = float(distances(judge, vector, person.references[name]).min())
        before = int((distances(judge, vector, others.vectors[name]) < nearest).sum())
        rows.append(
            {
                "judge": name,
                "found": found,
                "distance": own,
                "nearest_reference": nearest,
                "threshold": threshold,
                "own_unmatched": own > threshold,
                "none_matched": nearest > threshold,
                "rank": 1 + before,
            }
        )
    return rows


def _jpeg(image: Pixels) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=75)
    return np.array(Image.open(file))


def _web(image: Pixels) -> Pixels:
    height, width = image.shape[:2]
    if (share := _WEB / max(height, width)) < 1:
        size = round(width * share), round(height * share)
        image = np.array(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
    return _jpeg(image)


VARIANTS: dict[str, Callable[[Pixels], Pixels]] = {"saved": lambda image: image, "jpeg75": _jpeg, "web": _web}


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
