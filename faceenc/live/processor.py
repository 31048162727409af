"""One frame in, the protected frame and what a recogniser makes of its faces out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from faceenc.core import ConfigError, Goal
from faceenc.live.face_view import FaceView
from faceenc.live.identifier import Identifier, Reading
from faceenc.live.methods import FaceInFrame, Method
from faceenc.live.noise import live_window
from faceenc.live.tracking import Track, Tracker
from faceenc.media import RandomTransform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceenc.core import Box
    from faceenc.live.sources import Frame


MAX_LEVELS = 32  # of eps, in 255ths


@dataclass
class Controls:
    """What keys change while it runs; one thread writes, another reads.

    Attributes:
        eps: in levels of 255.
        targets: whom faces may be made to look like, by name; cycled through by "t", after "nobody".
        protecting: noise is added.
        target: the current one of `targets`; None dodges.
        quit: all shall end.
        snapshot: the next frame shall be saved.
        note: what the last key has done, in words.
    """

    eps: int
    targets: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    protecting: bool = True
    target: str | None = None
    quit: bool = False
    snapshot: bool = False
    note: str = ""

    def press(self, key: str) -> None:
        """A key: space, t, +, -, s, q; others do nothing."""
        off = "" if self.protecting else "; protection is off, space turns it on"
        if key == " ":
            self.protecting = not self.protecting
            self.note = f"protection on, eps {self.eps}/255" if self.protecting else "protection off"
        elif key == "t":
            choices = [None, *self.targets]
            self.target = choices[(choices.index(self.target) + 1) % len(choices)]
            answer = f"target: {self.target or 'nobody'}" if self.targets else "no targets: they need a consent each"
            self.note = answer + off
        elif key in ("+", "=", "-"):
            self.eps = min(MAX_LEVELS, max(1, self.eps + (-1 if key == "-" else 1)))
            end = {1: ", the least", MAX_LEVELS: ", the most"}.get(self.eps, "")
            self.note = f"eps {self.eps}/255{end}{off}"
        elif key == "s":
            self.snapshot = True
        elif key in ("q", "\x1b"):
            self.quit = True


@dataclass(frozen=True, slots=True)
class FaceShown:
    """A face of a frame: its number, place, and whom it is taken for without (`before`) and with noise (`after`).

    Without a reading yet, and with noise while protection is off, it is None.
    """

    number: int
    box: Box
    before: Reading | None
    after: Reading | None

    @property
    def hidden(self) -> bool:
        """The noise has another name come out, or none."""
        return self.before is not None and self.after is not None and self.after.name != self.before.name


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A processed frame.

    Attributes:
        frame: as it came.
        pixels: (H, W, 3) uint8 RGB with the noise.
        faces: largest first.
        eps: in levels of 255; 0 while protection is off.
        target: whom the faces are made to look like; None for nobody.
        seconds: that each stage took.
    """

    frame: Frame
    pixels: NDArray[np.uint8]
    faces: tuple[FaceShown, ...]
    eps: int
    target: str | None
    seconds: dict[str, float]


class Processor:
    """Detects, protects and reads the faces of one frame after the other.

    Args:
        tracker: finds the faces.
        identifier: the recogniser.
        method: makes the noise.
        controls: are read anew at each frame.
        read_every: a face is read without and with noise in every so many frames; in turn, to spread the work.
        transforms: what the frame may go through, and is prepared for.
        rate: frames a second to hold; a method that can adapt does.
        seed: of the crops that are drawn.
        noted: is shown each track that got new noise.
    """

    def __init__(
        self,
        tracker: Tracker,
        identifier: Identifier,
        method: Method,
        controls: Controls,
        *,
        read_every: int = 1,
        transforms: tuple[RandomTransform, ...] = (),
        rate: float = 30.0,
        seed: int = 0,
        noted: Callable[[Track], None] | None = None,
    ) -> None:
        if not 1 <= controls.eps <= MAX_LEVELS:
            raise ConfigError(f"eps is {controls.eps}/255: use 1/255 to {MAX_LEVELS}/255")
        self.tracker, self.identifier, self.method, self.controls = tracker, identifier, method, controls
        self._read_every, self._transforms, self._rate, self._noted = read_every, transforms, rate, noted
        self._rng = torch.Generator().manual_seed(seed)
        self._turn = 0  # frames processed: their own indices leap where frames were dropped

    def __call__(self, frame: Frame) -> Shown:
        """The next frame; indices rise."""
        controls = self.controls
        eps, target = (controls.eps if controls.protecting else 0), controls.target
        self._turn += 1
        times = [time.perf_counter()]
        tracks = self.tracker.update(frame.index, frame.pixels)
        times.append(time.perf_counter())
        self._read_clean(frame, tracks)
        times.append(time.perf_counter())
        result = frame.pixels
        if eps:
            result = frame.pixels.copy()
            for number, track in enumerate(tracks):
                left = 1 / self._rate - (time.perf_counter() - times[0])
                self._protect(frame, track, result, eps / 255, target, left / (len(tracks) - number))
        times.append(time.perf_counter())
        if eps:
            self._read_noisy(tracks, result)
        else:
            for track in tracks:
                track.after = None
        times.append(time.perf_counter())
        detect, before, attack, after = (b - a for a, b in pairwise(times))
        seconds = {"capture": frame.seconds, "detect": detect, "attack": attack, "read": before + after}
        faces = tuple(FaceShown(t.number, t.face.box, t.before, t.after) for t in tracks)
        return Shown(frame, result, faces, eps, target, seconds)

    def _protect(
        self, frame: Frame, track: Track, result: NDArray[np.uint8], eps: float, target: str | None, seconds: float
    ) -> None:
        """Adds a face's noise to `result`, in place."""
        identifier = self.identifier
        # Crops are those of the clean frame; where faces overlap, the noise is added to what earlier faces left.
        window, chip = live_window(
            frame.pixels, track.face, [(identifier.crops.similarity(track.face), identifier.crops.size)]
        )
        x0, y0, x1, y1 = window.place
        cut = window.crops[0][0].moved(0, window.levels)
        view = FaceView(identifier.model, cut, identifier.crops.size, self._rng, identifier.crops.jitter, self._transforms)
        name = track.before.name if track.before is not None else None
        face = FaceInFrame(window, chip, view, self._goal(track, target), eps, track.noise, name, seconds)
        track.noise = self.method(face)
        if self._noted is not None:
            self._noted(track)
        changed = window.add(track.noise.moved_to(chip, window.picture.shape[-2:]), eps)
        levels = changed.astype(np.int16) - window.pixels
        here = result[y0:y1, x0:x1]
        reach = round(eps * 255)
        total = (here.astype(np.int16) - window.pixels + levels).clip(-reach, reach)
        result[y0:y1, x0:x1] = (total + window.pixels).clip(0, 255).astype(np.uint8)

    def _goal(self, track: Track, target: str | None) -> Goal:
        if target is not None:
            return self.identifier.impersonate(target, self.controls.targets[target])
        return self.identifier.dodge(track.clean)

    def _read_clean(self, frame: Frame, tracks: Sequence[Track]) -> None:
        due = [track for track in tracks if self._turn - track.before_at >= self._read_every]
        for track, answer in self._ask(frame.pixels, due):
            track.remember(answer)
            track.before, track.before_at = self.identifier.reading(answer, track.clean), self._turn

    def _read_noisy(self, tracks: Sequence[Track], result: NDArray[np.uint8]) -> None:
        half = self._read_every // 2  # between two readings without noise
        due = [
            track
            for track in tracks
            if self._turn - track.after_at >= self._read_every and self._turn - track.before_at >= half
        ]
        for track, answer in self._ask(result, due):
            track.after, track.after_at = self.identifier.reading(answer, track.clean), self._turn

    def _ask(self, pixels: NDArray[np.uint8], due: Sequence[Track]) -> Iterable[tuple[Track, torch.Tensor]]:
        if not due:
            return []
        crops = np.stack([self.identifier.crop(pixels, track.face) for track in due])
        return zip(due, self.identifier.answers(crops), strict=True)
