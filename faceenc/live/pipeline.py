"""The loop: a thread reads frames, one protects them, and the main thread shows them and hears the keys.

Between each two of them stands at most one frame, so that what is shown is never old: a camera's frames that nobody can take
in time are dropped where they come in (`faceenc.live.sources.Feed`).
"""

from __future__ import annotations

import logging
import queue
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from faceenc.live.overlay import Gauges, draw_overlay
from faceenc.live.processor import Controls, Shown
from faceenc.live.sources import Feed, Frame
from faceenc.live.stats import STAGES, Meter, StatsFile
from faceenc.media import write_png

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


log = logging.getLogger(__name__)

_PATIENCE = 0.05  # seconds without a frame after which the window looks after itself and the keys
_NOTED = 3.0  # seconds that the screen says what a key has done
_KEPT = 10_000  # latest frames that medians are taken over


class Sink(Protocol):
    def write(self, frame: NDArray[np.uint8]) -> None:
        """Takes an (H, W, 3) uint8 RGB frame."""
        ...


class FrameProtector(Protocol):
    """Protects one frame after the other: a `Processor`."""

    @property
    def controls(self) -> Controls: ...

    def __call__(self, frame: Frame) -> Shown: ...


def no_keys() -> str:
    """Nobody presses one."""
    return ""


@dataclass(frozen=True)
class Outputs:
    """Where it all goes.

    Attributes:
        drawn: get each frame with boxes, names and gauges.
        plain: get each protected frame as it is.
        steady: of these, which ones get a frame again where the ones after it were dropped, to keep the source's rate.
        key: answers the key pressed since the last call, or "".
        stats: gets a row a frame.
        snapshots: the folder for snapshots.
    """

    drawn: Sequence[Sink] = ()
    plain: Sequence[Sink] = ()
    steady: Sequence[Sink] = ()
    key: Callable[[], str] = no_keys
    stats: StatsFile | None = None
    snapshots: Path = field(default_factory=Path)


@dataclass(frozen=True)
class Summary:
    """What a run came to.

    Attributes:
        frames: that were shown.
        dropped: that were not.
        seconds: wall time from the first frame to the last.
        faces: shown, counted in each frame.
        hidden: of the faces that were read with noise, the share not taken for whom they are; None without any.
        latency_ms: from camera to screen, median.
        stages_ms: median of each stage.
        complete: False where the source broke off.
    """

    frames: int
    dropped: int
    seconds: float
    faces: int
    hidden: float | None
    latency_ms: float
    stages_ms: dict[str, float]
    complete: bool = True

    @property
    def fps(self) -> float:
        return (self.frames - 1) / self.seconds if self.frames > 1 else 0.0


def one_thread() -> ThreadPoolExecutor:
    """The thread to do all of torch's work in: to load networks, then to protect frames (`Live`).

    OpenMP keeps a team of threads for each thread that ever asked for one, and as soon as there are more of them than cores,
    none of them waits busily any more: a gradient step took a third longer where another thread had loaded the network.
    """
    return ThreadPoolExecutor(1, thread_name_prefix="faceenc-protect")


class Live:
    """One run.

    Args:
        feed: entered already.
        processor: of the frames.
        outputs: where they go.
        method: its name, for the screen.
        steps: gradient steps a frame, for the screen.
        worker: of `one_thread`, idle; protects the frames. None makes one for the run.
    """

    def __init__(
        self,
        feed: Feed,
        processor: FrameProtector,
        outputs: Outputs,
        *,
        method: str,
        steps: int,
        worker: Executor | None = None,
    ) -> None:
        self._feed, self._processor, self._outputs = feed, processor, outputs
        self._worker = worker
        self._method, self._steps = method, steps
        self._done: queue.Queue[Shown | BaseException | None] = queue.Queue(maxsize=1)
        self._stopped = threading.Event()
        self._noted = 0.0  # when a key was pressed
        self._meter = Meter()
        self._tally = _Tally()
        self._last: tuple[int, NDArray[np.uint8], NDArray[np.uint8]] | None = None

    def run(self) -> Summary:
        """Goes on until the source ends, "q" or an interrupt (Ctrl-C); files are complete then.

        Raises:
            FaceencError: whatever stopped it.
        """
        with ExitStack() as stack:
            worker = self._worker or stack.enter_context(one_thread())
            work = worker.submit(self._work)
            try:
                self._show_all()
            except KeyboardInterrupt:
                log.info("interrupted: finishing what is written")
            finally:
                self._stopped.set()
                self._feed.stop()
                wait([work])
        return self._tally.summary(self._feed.dropped, complete=not self._feed.broken)

    def _work(self) -> None:
        last: BaseException | None = None
        try:
            while not self._stopped.is_set() and (frame := self._feed.next()) is not None:
                self._hand_over(self._processor(frame))
        except BaseException as error:  # it belongs to the main thread
            last = error
        self._hand_over(last)

    def _hand_over(self, what: Shown | BaseException | None) -> None:
        while not self._stopped.is_set():
            try:
                self._done.put(what, timeout=_PATIENCE)
                return
            except queue.Full:
                continue

    def _show_all(self) -> None:
        controls = self._processor.controls
        while not controls.quit:
            if key := self._outputs.key():
                controls.press(key)
                self._noted = time.perf_counter()
                continue
            try:
                shown = self._done.get(timeout=_PATIENCE)
            except queue.Empty:
                continue
            if shown is None:
                return
            if isinstance(shown, BaseException):
                raise shown
            self._show(shown)

    def _show(self, shown: Shown) -> None:
        start, outputs = time.perf_counter(), self._outputs
        drawn = shown.pixels
        if outputs.drawn:
            latency = 1000 * (start - shown.frame.taken)
            note = self._processor.controls.note if start - self._noted < _NOTED else ""
            drawn = draw_overlay(shown, Gauges(self._meter.fps, latency, self._method, self._steps), note)
        missing = shown.frame.index - self._last[0] - 1 if self._last else 0
        last_drawn, last_plain = self._last[1:] if self._last else (drawn, shown.pixels)
        for sinks, picture, before in ((outputs.drawn, drawn, last_drawn), (outputs.plain, shown.pixels, last_plain)):
            for sink in sinks:
                if any(sink is one for one in outputs.steady):
                    for _ in range(missing):
                        sink.write(before)
                sink.write(picture)
        self._last = shown.frame.index, drawn, shown.pixels
        if self._processor.controls.snapshot:
            self._processor.controls.snapshot = False
            self._processor.controls.note = self._snapshot(shown.pixels)
        now = time.perf_counter()
        shown.seconds["show"] = now - start
        self._meter.tick()
        self._tally.add(shown, now - shown.frame.taken)
        if outputs.stats is not None:
            outputs.stats.write(_row(shown, now - shown.frame.taken, self._feed.dropped))

    def _snapshot(self, pixels: NDArray[np.uint8]) -> str:
        stem, number = time.strftime("faceenc-%Y%m%d-%H%M%S"), 0
        while (path := self._outputs.snapshots / f"{stem}{f'-{number}' if number else ''}.png").exists():
            number += 1
        write_png(path, pixels)
        log.info("snapshot: %s", path)
        return f"snapshot: {path.name}"


class _Tally:
    """Sums and the latest figures; of bounded size."""

    def __init__(self) -> None:
        self.frames = self.faces = self.read = self.hidden = 0
        self.start = self.end = 0.0
        self.latest: dict[str, deque[float]] = {name: deque(maxlen=_KEPT) for name in ("latency", *STAGES)}

    def add(self, shown: Shown, latency: float) -> None:
        self.end = time.perf_counter()
        self.start = self.start or self.end
        self.frames += 1
        self.faces += len(shown.faces)
        read = [face for face in shown.faces if face.before is not None and face.after is not None]
        self.read += len(read)
        self.hidden += sum(face.hidden for face in read)
        for name, seconds in {"latency": latency, **shown.seconds}.items():
            self.latest[name].append(1000 * seconds)

    def summary(self, dropped: int, *, complete: bool) -> Summary:
        medians = {name: statistics.median(values) if values else 0.0 for name, values in self.latest.items()}
        hidden = self.hidden / self.read if self.read else None
        latency = medians.pop("latency")
        return Summary(self.frames, dropped, self.end - self.start, self.faces, hidden, latency, medians, complete)


def _row(shown: Shown, latency: float, dropped: int) -> dict[str, float]:
    stages = {f"{stage}_ms": round(1000 * seconds, 2) for stage, seconds in shown.seconds.items()}
    return {
        "frame": shown.frame.index,
        "faces": len(shown.faces),
        "hidden": sum(face.hidden for face in shown.faces),
        "eps": shown.eps,
        "latency_ms": round(1000 * latency, 2),
        "dropped": dropped,
        **stages,
    }
