"""Every frame of a video protected, and proof of it from the file that was written."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from faceenc.core import DataError, Detector, Progress
from faceenc.faces import CHIP_SIZE, Similarity
from faceenc.live.identifier import Identifier
from faceenc.live.methods import Method, PgdMethod
from faceenc.live.processor import Controls, Processor
from faceenc.live.sources import ClipSource, Feed
from faceenc.live.tracking import Track, Tracker
from faceenc.media import Blur, Clip, RandomJpeg, RandomTransform, Resize, VideoFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


log = logging.getLogger(__name__)

STEPS = 16
_FIRST_STEPS = 24  # of a new face: here they may take their time
_REL_STEP = 0.12  # small: noise that changes much from frame to frame is seen, and costs H.264 bits that it takes away
_READ_EVERY = 3  # frames between two readings of a face without noise

# What becomes of a frame. H.264 takes fine noise away as JPEG of low quality does, which stands for it.
VIDEO_TRANSFORMS: tuple[RandomTransform, ...] = (Resize(0.5), *(RandomJpeg(15, 50),) * 3, Blur(1.5))


@dataclass(frozen=True, slots=True)
class Protected:
    """What was done to a video.

    Attributes:
        frames: written.
        faces: protected, counted in each frame.
        noise: mean absolute change on the face (its chip), in levels of 255.
        flicker: mean absolute change of that noise from one frame to the next, moving along with the face, in levels.
        complete: False for a video that is cut short or damaged: the copy has what could be read.
    """

    frames: int
    faces: int
    noise: float
    flicker: float
    complete: bool = True


def video_method(steps: int = STEPS, *, gradients: str = "auto") -> Method:
    """Gradient steps for a video: there is time, and H.264 to come."""
    return PgdMethod(steps=steps, first=max(steps, _FIRST_STEPS), rel_step=_REL_STEP, momentum=0, gradients=gradients)


def protect_video(
    source: Path,
    output: Path,
    identifier: Identifier,
    method: Method,
    detector: Detector,
    *,
    eps: int,
    targets: dict[str, NDArray[np.float32]] | None = None,
    most: int = 8,
    overwrite: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> Protected:
    """Writes a protected copy of a video, with its sound, frame times and colours.

    High dynamic range becomes BT.709, pixels become square, turned frames upright, odd sides even. Of what else the file
    holds (subtitles, other pictures, chapters, where it was taken) nothing is written.

    Args:
        source: the video.
        output: the copy, by its ending as of `VideoFile`; appears in one piece at the end.
        identifier: the recogniser to hide from.
        method: makes the noise.
        detector: finds the faces, in every frame.
        eps: the largest change, in levels of 255.
        targets: the first of them is who faces shall be taken for; none hides them.
        most: faces a frame.
        overwrite: replace the output.
        seed: of all randomness.
        progress: called for "frames".

    Raises:
        DataError: the source cannot be read, holds no frame, or the output cannot be written.
        ConfigError: an ending of no known format.
    """
    if output.exists() and os.path.samefile(source, output):  # noqa: PTH121  # also where the source is missing
        raise DataError(f"{output} is the video itself: choose another name for the protected one")
    steadiness = Steadiness()
    controls = Controls(eps, dict(targets or {}), target=next(iter(targets or {}), None))
    tracker = Tracker(detector, every=1, most=most)
    processor = Processor(
        tracker, identifier, method, controls,
        read_every=_READ_EVERY, transforms=VIDEO_TRANSFORMS, seed=seed, noted=steadiness.note,
    )  # fmt: skip
    frames = faces = 0
    with ExitStack() as stack:
        clip = stack.enter_context(Clip(source))
        promised = clip.promised or 0
        if clip.left_out:
            log.info("%s: not in the copy: %s", source, ", ".join(clip.left_out))
        # AVI counts frames; the others keep times.
        rate = clip.steps if output.suffix.lower() == ".avi" else clip.rate
        out = stack.enter_context(
            VideoFile(output, rate=rate, tick=clip.tick, colours=clip.colours, sound=source, whole=True, overwrite=overwrite)
        )
        timed = ClipSource(clip)
        feed = stack.enter_context(Feed(timed, drop=False))
        while (frame := feed.next()) is not None:
            shown = processor(frame)
            out.write(shown.pixels, *timed.written_at())
            frames, faces = frames + 1, faces + len(shown.faces)
            if progress is not None:
                progress("frames", frames, max(frames, promised))
        if not frames:
            raise DataError(f"cannot read {source}: not one frame of it can be decoded; copy it anew or convert it to MP4")
        complete = clip.complete
    if not faces:
        log.warning("no face was found in %s: the copy is not protected", source)
    if not complete:
        log.warning(
            "%s is cut short or damaged: the copy has the %d frames that can be read, of about %d; copy the file anew for"
            " the rest", source, frames, max(promised, frames),
        )  # fmt: skip
    return Protected(frames, faces, steadiness.noise, steadiness.flicker, complete)


@dataclass
class Steadiness:
    """How much noise there is, and how much it changes, on the chips of the faces."""

    _last: dict[int, torch.Tensor] = field(default_factory=dict)
    _noise: list[float] = field(default_factory=list)
    _changes: list[float] = field(default_factory=list)

    def note(self, track: Track) -> None:
        if track.noise is None:
            return
        chip = track.noise.moved_to(Similarity(1 + 0j, 0j), (CHIP_SIZE, CHIP_SIZE)).mul(255)
        self._noise.append(float(chip.abs().mean()))
        if track.number in self._last:
            self._changes.append(float((chip - self._last[track.number]).abs().mean()))
        self._last = {number: kept for number, kept in self._last.items() if number > track.number - 64}
        self._last[track.number] = chip

    @property
    def noise(self) -> float:
        return _mean(self._noise)

    @property
    def flicker(self) -> float:
        return _mean(self._changes)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
