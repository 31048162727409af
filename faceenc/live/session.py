"""`LiveProtector`: recogniser, masks and detector loaded once, and videos, cameras and masks made with them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Self

from faceenc.core import ConfigError, DataError, Face, Progress
from faceenc.faces import FaceSearch
from faceenc.live.identifier import Identifier
from faceenc.live.mask_making import Enrolled, enroll
from faceenc.live.masks import MaskBook, save_mask
from faceenc.live.methods import Method
from faceenc.live.pipeline import Live, Outputs, Summary, one_thread
from faceenc.live.processor import Controls, Processor
from faceenc.live.proof import Recognition, prove
from faceenc.live.setup import READ_EVERY, live_detector, load_identifier, make_method, read_targets
from faceenc.live.sources import Feed, Mirrored
from faceenc.live.tracking import NearOrWide, Tracker
from faceenc.live.video import STEPS, Protected, protect_video, video_method
from faceenc.media import need_pyav
from faceenc.recognizers import DLIB

if TYPE_CHECKING:
    from faceenc.live.sources import Source

_SURE = 0.85  # score of a photo's upright face: some are lying in truth, up to 0.83
_NO_HURRY = 1e-3  # frames a second, where nobody watches


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """How live pictures and videos are to be protected.

    Attributes:
        surrogate: whom to hide from, as `load_recognizer` takes it.
        method: "pgd", "mask", "auto" or "noise".
        engine: of the gradients, as `gradient_engine` takes it.
        eps: strength of the noise, in 255ths.
        steps: gradient steps a frame; None is the method's usual number.
        target: whom to be taken for; None hides people.
        consents: files of people whom faces may be made to look like.
        max_faces: a frame; the largest ones.
        seed: of all randomness.
        device: where nets compute.
        trust_code: whether the surrogate may be code of others.
    """

    surrogate: str = DLIB
    method: str = "auto"
    engine: str = "auto"
    eps: int = 8
    steps: int | None = None
    target: str | None = None
    consents: tuple[Path, ...] = ()
    max_faces: int = 4
    seed: int = 0
    device: str = "cpu"
    trust_code: bool = False

    def __post_init__(self) -> None:
        if self.target is not None and self.method in ("mask", "noise"):
            raise ConfigError(f"`method={self.method}` only hides people: use pgd for `target`")


@dataclass(frozen=True, eq=False)
class _Tools:
    """What is loaded once."""

    identifier: Identifier
    masks: MaskBook
    detector: NearOrWide

    def method(self, options: LiveOptions, steps: int) -> Method:
        return make_method(options.method, self.identifier, self.masks, steps=steps, gradients=options.engine)


class LiveProtector:
    """Protects videos and live pictures, with everything loaded once, at the first call.

    A context manager; one thread at a time uses it, others wait.

    Args:
        options: how.

    Raises:
        ConfigError: consents without a target.
        ConsentError: no consent of the target, or one that does not hold.
    """

    def __init__(self, options: LiveOptions) -> None:
        self.options = options
        self._targets = read_targets(options.target, options.consents)
        self._lock = Lock()
        self._stack = ExitStack()
        self._tools: _Tools | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of nets and detector, which another call would load anew."""
        with self._lock:
            self._stack.close()
            self._tools = None

    def video(
        self, source: Path, output: Path, *, overwrite: bool = False, evidence: bool = True, progress: Progress | None = None
    ) -> tuple[Protected, Recognition | None]:
        """A protected copy of a video, and what is recognised in both files; errors as of `protect_video`.

        Args:
            source: the video.
            output: the copy.
            overwrite: replace the output.
            evidence: recognise the faces of both files.
            progress: called for "frames" and "proof".
        """
        options, steps = self.options, self.options.steps or STEPS
        if output.exists() and not overwrite:
            raise DataError(f"{output} exists already: choose another name, or give `overwrite` to replace it")
        need_pyav()  # before seconds are spent on loading networks
        with self._lock:
            tools = self._load()
            if options.method == "pgd":
                method = video_method(steps, gradients=options.engine)
            else:
                method = tools.method(options, steps)
            # A file waits: no frame need go without a look at all turns. Anew, so that the same call finds the same.
            detector = NearOrWide(tools.detector.near, tools.detector.wide, tools.detector.yunet, turns=3)
            done = protect_video(
                source, output, tools.identifier, method, detector, eps=options.eps, targets=self._targets,
                most=options.max_faces, overwrite=overwrite, seed=options.seed, progress=progress,
            )  # fmt: skip
            if not evidence:
                return done, None
            proof = prove(source, output, tools.identifier, detector, frames=done.frames, progress=progress)
            return done, proof

    def run(
        self,
        source: Source,
        outputs: Outputs,
        *,
        live: bool,
        watched: bool,
        rate: float,
        mirror: bool = False,
        detect_every: int = 1,
        limit: int | None = None,
    ) -> Summary:
        """Protects what a source shows until it ends, a key or Ctrl-C stops it.

        Args:
            source: opened; closed in the end.
            outputs: where the pictures go.
            live: the source waits for nobody: frames that cannot be protected in time are dropped.
            watched: somebody looks at it as it runs.
            rate: frames a second to hold.
            mirror: left and right as in a mirror.
            detect_every: look for faces in each so many-th frame.
            limit: stop after so many frames.
        """
        options = self.options
        hurry = live or watched
        with self._lock, ExitStack() as stack:
            guard = stack.enter_context(ExitStack())
            guard.callback(source.close)  # until the feed looks after it
            worker = stack.enter_context(one_thread())
            tools = worker.submit(self._load).result()
            steps = options.steps or (4 if options.method == "auto" else 1)
            controls = Controls(options.eps, dict(self._targets), target=next(iter(self._targets), None))
            tracker = Tracker(tools.detector, every=detect_every, most=options.max_faces)
            processor = Processor(
                tracker, tools.identifier, tools.method(options, steps), controls,
                read_every=READ_EVERY if hurry else 1, rate=rate if hurry else _NO_HURRY, seed=options.seed,
            )  # fmt: skip
            pace = rate if watched and not live else None
            with Feed(Mirrored(source) if mirror else source, drop=hurry, pace=pace, limit=limit) as feed:
                guard.pop_all()
                shown = steps if options.method == "pgd" else 0
                return Live(feed, processor, outputs, method=options.method, steps=shown, worker=worker).run()

    def enroll(
        self, name: str, photos: Sequence[Path], *, steps: int = 120, progress: Progress | None = None
    ) -> tuple[Enrolled, Path]:
        """Makes and keeps a person's mask; arguments and errors as of `enroll`.

        Returns:
            The mask and how it does, and its file.
        """
        with self._lock, FaceSearch() as search:
            tools = self._load()
            made = enroll(
                name, photos, tools.identifier, lambda photo: _as_live(tools.detector(photo)) or search(photo),
                eps=self.options.eps / 255, steps=steps, seed=self.options.seed, progress=progress,
            )  # fmt: skip
            return made, save_mask(made.mask)

    def _load(self) -> _Tools:
        if self._tools is None:
            identifier, masks = load_identifier(
                self.options.surrogate, device=self.options.device, trust_code=self.options.trust_code
            )
            for name, embeddings in self._targets.items():
                identifier.impersonate(name, embeddings)  # an unknown name shows now
            self._tools = _Tools(identifier, masks, self._stack.enter_context(live_detector()))
        return self._tools


def _as_live(faces: Sequence[Face]) -> list[Face]:
    """Faces whose landmarks are the live loop's own: a mask fits where these are found. Lying ones it sees roughly."""
    return [face for face in faces if face.score >= _SURE and not face.quarters]
