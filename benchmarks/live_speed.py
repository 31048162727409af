"""How fast is the live loop, does it hide people, and does its memory stay flat? See README.md here."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from faceenc.cli import print_table, progress_bars, set_up_logging
from faceenc.core import Detector, at_place
from faceenc.data import enlarge, read_orl
from faceenc.live import (
    READ_EVERY,
    Controls,
    Feed,
    Frame,
    Identifier,
    Live,
    LoopSource,
    MaskBook,
    Method,
    Outputs,
    Processor,
    Shown,
    Summary,
    Tracker,
    enroll,
    live_detector,
    load_identifier,
    make_method,
    one_thread,
)
from faceenc.media import Video, write_png

SIZE = (640, 480)
PACE = 90  # frames a second of the camera that is played: more than any method takes
RATE = 30  # of the camera at which protection is judged: at 90 faces would move three times as fast as they do
JUDGED = 60  # frames, spread evenly over the run (its warm-up, if it is a long one)
WARM_UP = 15  # seconds of a long run in which caches fill

Clip = list[NDArray[np.uint8]]


class Nowhere:
    """A sink for pictures: they are drawn, and that is all."""

    def write(self, frame: NDArray[np.uint8]) -> None:
        pass


class Watched:
    """A processor that stops the run when its time is over, and keeps some frames for judging."""

    def __init__(self, processor: Processor, seconds: float) -> None:
        self.controls = processor.controls
        self.kept: list[Shown] = []
        self.longest_gap = 0.0  # seconds between two frames
        self.memory: list[tuple[float, float]] = []
        self._processor, self._start, self._end = processor, 0.0, seconds
        self._last = 0.0

    def __call__(self, frame: Frame) -> Shown:
        shown = self._processor(frame)
        now = time.perf_counter()
        self._start = self._start or now
        passed = now - self._start
        self.longest_gap = max(self.longest_gap, now - self._last if self._last else 0.0)
        self._last = now
        # Of a long run only from its warm-up: kept frames would look like growing memory.
        if passed >= len(self.kept) * min(self._end, WARM_UP) / JUDGED and len(self.kept) < JUDGED:
            self.kept.append(shown)
        if passed >= WARM_UP + len(self.memory) * 5:
            self.memory.append((passed, memory_mb()))
        if passed > self._end:
            self.controls.quit = True
        return shown


def memory_mb() -> float:
    """Resident memory of this process, in 2**20 bytes; nan where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return float("nan")
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def read_clip(path: Path, limit: int = 300) -> Clip:
    frames: Clip = []
    with Video(path) as video:
        while len(frames) < limit and video.grab():
            if (frame := video.retrieve()) is not None:
                frames.append(frame)
    return frames


def orl_clip(count: int = 120) -> Clip:
    """s1 on grey, slowly going round; three pictures that no mask is made of, one after the other."""
    pictures = read_orl()
    frames = []
    for k in range(count):
        large = Image.fromarray(enlarge(pictures[f"s1/{8 + 3 * k // count}"]))
        card = np.array(large.resize((large.width // 2, large.height // 2)))
        frame = np.full((SIZE[1], SIZE[0], 3), 118, np.uint8)
        x, y = round(170 + 60 * np.cos(k * 2 * np.pi / count)), round(70 + 40 * np.sin(k * 2 * np.pi / count))
        frame[y : y + card.shape[0], x : x + card.shape[1]] = card
        frames.append(frame)
    return frames


def make_mask(others: Sequence[Path], identifier: Identifier, detector: Detector, eps: int) -> MaskBook:
    """From 15 frames of other clips of the person, or from ORL's first seven pictures of s1."""
    if others:
        frames = [frame for path in others for frame in read_clip(path)]
        pictures = [frames[k * len(frames) // 15] for k in range(15)]
    else:
        orl = read_orl()
        pictures = [enlarge(orl[f"s1/{n}"]) for n in range(1, 8)]
    with tempfile.TemporaryDirectory() as folder, progress_bars() as progress:
        paths = [Path(folder) / f"{k}.png" for k in range(len(pictures))]
        for path, picture in zip(paths, pictures, strict=True):
            write_png(path, picture)
        return MaskBook([enroll("Ada", paths, identifier, detector, eps=eps / 255, progress=progress).mask])


def raw_pass_ms(identifier: Identifier, rounds: int = 7) -> tuple[float, float]:
    """Milliseconds of a forward pass, and of one forward and backward to the input: eager, float32, frozen weights."""
    x = torch.rand(1, 3, identifier.crops.size, identifier.crops.size, generator=torch.Generator().manual_seed(0))

    def forward() -> None:
        with torch.no_grad():
            identifier.model(x)

    def both() -> None:
        leaf = x.clone().requires_grad_(True)
        torch.autograd.grad(identifier.model(leaf).square().sum(), leaf)

    def median(run: Callable[[], None]) -> float:
        times = []
        for _ in range(rounds + 1):
            start = time.perf_counter()
            run()
            times.append(1000 * (time.perf_counter() - start))
        return statistics.median(times[1:])

    return median(forward), median(both)


def unrecognized(kept: Sequence[Shown], identifier: Identifier, detector: Detector) -> float:
    """Share of the kept frames' faces that the recogniser, finding them anew, does not take for whom they are."""
    views, hidden = 0, 0
    for shown in kept:
        noisy_faces = detector(shown.pixels)
        for face in detector(shown.frame.pixels):
            clean = identifier.answers(identifier.crop(shown.frame.pixels, face)[None])[0]
            name = identifier.reading(clean, [clean]).name
            if name is None:
                continue
            views += 1
            box = at_place([other.box for other in noisy_faces], face.box)
            found = next((other for other in noisy_faces if other.box is box), None)
            if found is None:
                hidden += 1
                continue
            noisy = identifier.answers(identifier.crop(shown.pixels, found)[None])[0]
            hidden += identifier.reading(noisy, [clean]).name != name
    return hidden / views if views else float("nan")


def measure(
    name: str,
    method: Method,
    clip: Clip,
    identifier: Identifier,
    detector: Detector,
    eps: int,
    seconds: float,
    worker: Executor,
    pace: float = PACE,
) -> tuple[Summary, Watched]:
    tracker = Tracker(detector, every=1)
    processor = Processor(tracker, identifier, method, Controls(eps), read_every=READ_EVERY, rate=30)
    for index, frame in enumerate(clip[:3]):  # engines are built and memory is fetched at the first frames
        worker.submit(processor, Frame(index - 10, frame, time.perf_counter(), 0.0)).result()
    watched = Watched(processor, seconds)
    with Feed(LoopSource(clip, rate=pace), drop=True, pace=pace) as feed:
        live = Live(feed, watched, Outputs(drawn=[Nowhere()]), method=name, steps=1, worker=worker)
        return live.run(), watched


@click.command()
@click.option("--seconds", default=10.0, show_default=True, help="Of each method.")
@click.option("--minutes", default=0.0, show_default=True, help="Loop the first method for so long instead.")
@click.option("--method", "methods", multiple=True, default=("pgd", "mask", "auto", "noise"), show_default=True)
@click.option("--surrogate", default="dlib", show_default=True, help="As of faceenc webcam.")
@click.option("--clip", "path", type=click.Path(path_type=Path), help="Played as a camera.  [default: made of ORL faces]")
@click.option("--other", "others", multiple=True, type=click.Path(path_type=Path), help="Clips to make the mask of.")
@click.option("--eps", default=8, show_default=True, help="In 255ths.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Also write the figures to this file.")
def main(
    seconds: float,
    minutes: float,
    methods: tuple[str, ...],
    surrogate: str,
    path: Path | None,
    others: tuple[Path, ...],
    eps: int,
    json_path: Path | None,
) -> None:
    """The live loop on a clip in memory, drawing included, without a window."""
    set_up_logging()
    clip = read_clip(path) if path is not None else orl_clip()
    clip += clip[::-1]  # there and back: no face leaps where the loop begins anew
    worker = one_thread()
    identifier, _ = worker.submit(load_identifier, surrogate).result()
    if path is not None and not others and not minutes:
        methods = tuple(name for name in methods if name != "mask")  # there is nothing to make it of
    rows = []
    with live_detector() as detector:
        masks = (
            worker.submit(make_mask, others, identifier, detector, eps).result()
            if {"mask", "auto"} & set(methods) and (others or not path)
            else None
        )
        for name in methods[:1] if minutes else methods:
            forward, both = worker.submit(raw_pass_ms, identifier).result()

            def method(name: str = name) -> Method:
                return make_method(name, identifier, masks or MaskBook([]), steps=1)

            summary, watched = measure(name, method(), clip, identifier, detector, eps, 60 * minutes or seconds, worker)
            judged = watched
            if not minutes:
                judged = measure(name, method(), clip, identifier, detector, eps, seconds, worker, RATE)[1]
            hidden = worker.submit(unrecognized, judged.kept, identifier, detector).result()
            rows.append(_row(name, summary, watched, hidden, forward, both))
    _tell(rows, bool(minutes))
    if json_path is not None:
        settings = {
            "seconds": seconds,
            "minutes": minutes,
            "eps": eps,
            "surrogate": Path(surrogate).name,
            "clip": path.name if path else "orl",
        }
        machine = {"threads": torch.get_num_threads(), "torch": torch.__version__}
        json_path.write_text(json.dumps({**settings, **machine, "results": rows}, indent=2) + "\n", encoding="utf-8")


def _row(name: str, summary: Summary, watched: Watched, hidden: float, forward: float, both: float) -> dict[str, Any]:
    frame_ms = 1000 / summary.fps if summary.fps else float("nan")
    return {
        "method": name,
        "fps": round(summary.fps, 2),
        "latency_ms": round(summary.latency_ms, 1),
        "latency_frames": round(summary.latency_ms / frame_ms, 2),
        "unrecognized": round(hidden, 4),
        "frame_over_raw_pass": round(frame_ms / both, 3),
        "raw_pass_ms": round(both, 2),
        "raw_forward_ms": round(forward, 2),
        "frames": summary.frames,
        "longest_gap_ms": round(1000 * watched.longest_gap, 1),
        "stages_ms": {stage: round(value, 2) for stage, value in summary.stages_ms.items()},
        "memory_mb": [[round(when), round(size, 1)] for when, size in watched.memory],
    }


def _tell(rows: Sequence[dict[str, Any]], long: bool) -> None:
    import pandas as pd

    shown = [{k: v for k, v in row.items() if k not in ("stages_ms", "memory_mb")} | row["stages_ms"] for row in rows]
    print_table(pd.DataFrame(shown), title=f"{SIZE[0]} x {SIZE[1]}, {torch.get_num_threads()} threads; stages in ms")
    if long and rows[0]["memory_mb"]:
        (_, first), (_, last) = rows[0]["memory_mb"][0], rows[0]["memory_mb"][-1]
        print(f"memory: {first:.0f} MB after {WARM_UP} s, {last:.0f} MB at the end ({last / first - 1:+.1%})")


if __name__ == "__main__":
    main()
