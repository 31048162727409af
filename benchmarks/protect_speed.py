"""What `faceenc encrypt` costs: whole-process seconds and memory, and the attack's time over its own raw passes.

    python benchmarks/protect_speed.py [--photo FILE] [--json FILE] [--rounds 3]

The photo (by default faces of the ORL set, enlarged) is scaled to different sizes, set with different numbers of faces, and
protected with different numbers of steps, as the command does it by default. Three figures a row:

- whole process: wall seconds and peak memory of `faceenc encrypt` in a process of its own, from start to exit, caches warm;
- noise: seconds of making the change, in this process: cutting out the face, the attack, and fitting the change to what may
  be seen;
- attack: of that, the gradient steps; divided by the bare forward and backward passes of the networks that they needed, in
  the same round. The rest of a step looks at the change as people do, and moves features.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from faceenc.core import Face
from faceenc.data import enlarge, read_orl
from faceenc.faces import FaceSearch
from faceenc.media import read_photo
from faceenc.protect import STRENGTHS, Protection, protect_faces
from faceenc.recognizers import ENSEMBLE, Recognizer, load_recognizers

Pixels = NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", type=Path, help="one face, any size")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megapixels", type=float, nargs="*", default=[2, 12, 24, 48])
    parser.add_argument("--faces", type=int, nargs="*", default=[4, 12])
    parser.add_argument("--steps", type=int, nargs="*", default=[10, 80])
    arguments = parser.parse_args()
    usual = STRENGTHS["balanced"].steps
    cases = [(mp, 1, usual) for mp in arguments.megapixels]
    cases += [(12.0, faces, usual) for faces in arguments.faces] + [(12.0, 1, steps) for steps in arguments.steps]
    portrait = read_photo(arguments.photo).pixels if arguments.photo else enlarge(read_orl()["s5/1"])
    results = []
    with FaceSearch() as search:
        for megapixels, faces, steps in cases:
            image = _sheet(portrait, megapixels, faces)
            found = sorted(search(image), key=lambda face: -face.box.area)[:faces]
            results.append(_measure(image, found, megapixels, steps, arguments.rounds))
            print(_line(results[-1]), flush=True)
    if arguments.json:
        machine = {"torch": torch.__version__, "threads": torch.get_num_threads(), "cores": os.cpu_count()}
        record = {**machine, "results": results}
        arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _sheet(portrait: Pixels, megapixels: float, faces: int) -> Pixels:
    """The portrait so often side by side, scaled to that many pixels."""
    columns = int(np.ceil(np.sqrt(faces)))
    rows = -(-faces // columns)
    blank = np.full_like(portrait, 128)
    tiles = [portrait if number < faces else blank for number in range(rows * columns)]
    sheet = np.concatenate([np.concatenate(tiles[row * columns : (row + 1) * columns], axis=1) for row in range(rows)])
    factor = (megapixels * 1e6 / (sheet.shape[0] * sheet.shape[1])) ** 0.5
    size = round(sheet.shape[1] * factor), round(sheet.shape[0] * factor)
    return np.array(Image.fromarray(sheet).resize(size, Image.Resampling.BICUBIC))


def _measure(image: Pixels, faces: list[Face], megapixels: float, steps: int, rounds: int) -> dict[str, Any]:
    surrogates = load_recognizers(ENSEMBLE)
    strength = replace(STRENGTHS["balanced"], steps=steps)
    protect_faces(image, faces[:1], Protection(replace(strength, steps=2), surrogates))  # warm up
    noise, attack, networks = [], [], []
    for _ in range(rounds):
        start = time.perf_counter()
        _, outcomes = protect_faces(image, faces, Protection(strength, surrogates))
        noise.append(time.perf_counter() - start)
        attack.append(sum(outcome.attack_seconds for outcome in outcomes))
        networks.append(sum(_raw_network(surrogate, o.steps) for surrogate in surrogates for o in outcomes))
    seconds, gigabytes = _whole_process(image, steps)
    return {
        "megapixels": megapixels,
        "faces": len(faces),
        "steps": steps,
        "steps_taken": sum(outcome.steps for outcome in outcomes) / len(faces),
        "seconds": round(seconds, 2),
        "peak_gb": round(gigabytes, 2),
        "noise_seconds": round(statistics.median(noise), 2),
        "attack_seconds": round(statistics.median(attack), 2),
        "over_network_passes": _ratios(attack, networks),
    }


def _raw_network(surrogate: Recognizer, steps: int) -> float:
    """Seconds of the forward and backward passes alone."""
    crops = torch.rand(1, 3, surrogate.size, surrogate.size, requires_grad=True)
    start = time.perf_counter()
    for _ in range(steps):
        torch.autograd.grad(surrogate.embed(crops).sum(), crops)
    return time.perf_counter() - start


# Linux counts what a process held before it became another program: one in between keeps our memory out of the figure.
_MEASURE = """
import resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(code, time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def _whole_process(image: Pixels, steps: int) -> tuple[float, float]:
    """Wall seconds and peak resident gigabytes (1e9 bytes) of the command."""
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "photo.jpg"
        Image.fromarray(image).save(photo, quality=92)
        command = [sys.executable, "-m", "faceenc", "encrypt", str(photo), "--steps", str(steps)]
        done = subprocess.run([sys.executable, "-c", _MEASURE, *command], capture_output=True, text=True)
        code, seconds, peak = done.stdout.split()
        if code not in ("0", "3", "4"):
            raise SystemExit(done.stderr or "the command failed")
    return float(seconds), int(peak) * (1 if sys.platform == "darwin" else 1024) / 1e9


def _ratios(times: list[float], base: list[float]) -> list[float]:
    """Median, least and greatest of the rounds' ratios."""
    ratios = [one / other for one, other in zip(times, base, strict=True)]
    return [round(value, 3) for value in (statistics.median(ratios), min(ratios), max(ratios))]


def _line(row: dict[str, Any]) -> str:
    ratio, low, high = row["over_network_passes"]
    return (
        f"{row['megapixels']:g} MP, {row['faces']} faces, {row['steps']} steps ({row['steps_taken']:g} taken):"
        f" {row['seconds']:.1f} s, {row['peak_gb']:.2f} GB; noise {row['noise_seconds']:.2f} s,"
        f" attack {row['attack_seconds']:.2f} s"
        f" = {ratio:.2f} [{low:.2f}-{high:.2f}] passes of the networks"
    )


if __name__ == "__main__":
    main()
