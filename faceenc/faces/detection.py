"""Faces in a photo: MediaPipe's BlazeFace behind the `Detector` protocol. The only user of MediaPipe."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import logging
import math
import os
import sys
import tempfile
import threading
import types
import weakref
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal, cast

from faceenc.core import AssetError, Box, Face, fetch

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray


logger = logging.getLogger(__name__)

_TRACE = 5  # a level below DEBUG: for whoever looks for an error of ours

_MODELS = {"short": "blazeface-short", "full": "blazeface-full-sparse"}
# Two threads that redirect at once would restore each other's redirection for good. Re-entrant: a garbage collection inside
# the block may close another detector.
_stderr_lock = threading.RLock()

# Garbage is collected anywhere, also within MediaPipe's own call of another detector, where closing would wait for ever for
# that call's end. So a detector that nobody holds any more is only noted down then, and closed by the next one's call.
_open: set[Any] = set()
_abandoned: list[Any] = []


class FaceDetector:
    """Finds faces with MediaPipe. A context manager; an unclosed detector is closed at the interpreter's exit at the latest.

    "short" wants a face of about a tenth of the picture or more (selfies, portraits); "full" also finds smaller ones, takes
    about twice as long, and scores lower. Neither enlarges the picture, and both may overlook a face that fills it to the
    border. Now and then one sees a face in noise or stripes, with a score just above one half.

    Args:
        model: "short" or "full" range.
        min_score: faces below this confidence in [0, 1] are left out. It also moves boxes by a pixel or two, for MediaPipe
            averages all overlapping candidates above it.

    Raises:
        AssetError: the model file cannot be had, or MediaPipe does not start here.
    """

    # MediaPipe complains about the alignment of its memory once a process, in one of the first detections if at all.
    _calls_to_quiet: ClassVar[int] = 64

    def __init__(self, *, model: Literal["short", "full"] = "short", min_score: float = 0.5) -> None:
        path = fetch(_MODELS[model])
        _close_abandoned()
        try:
            with _quiet_stderr():
                with _without_pyplot():
                    import mediapipe
                from mediapipe.tasks.python.core.base_options import BaseOptions
                from mediapipe.tasks.python.vision import face_detector

                self._mediapipe = mediapipe
                # Bytes, not a path: MediaPipe's C library cannot open every path (non-ASCII ones on Windows).
                base = BaseOptions(model_asset_buffer=path.read_bytes())
                options = face_detector.FaceDetectorOptions(base_options=base, min_detection_confidence=min_score)
                detector = face_detector.FaceDetector.create_from_options(options)
                _open.add(detector)
                self._finalizer = weakref.finalize(self, _abandoned.append, detector)
                self._finalizer.atexit = False
                self._detector = detector
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            first_line = (str(error).splitlines() or [type(error).__name__])[0]
            raise AssetError(
                f"MediaPipe does not start: {first_line}; reinstall mediapipe or the library it misses"
            ) from error

    def __call__(self, image: NDArray[np.uint8]) -> list[Face]:
        """Faces in an (H, W, 3) uint8 RGB image, highest score first.

        Box and landmarks are in pixels of this image; a box holds brow to chin, and may reach over the border.

        Raises:
            ValueError: another shape or type, or the detector is closed.
        """
        if not self._finalizer.alive:
            raise ValueError("this FaceDetector is closed: make a new one")
        # MediaPipe must never see an empty picture: it would refuse every later one too.
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != "uint8" or image.size == 0:
            raise ValueError(f"expected (H, W, 3) uint8 RGB, got {image.shape} {image.dtype}")
        height, width = image.shape[:2]
        faces = [_face(found, width, height) for found in self._detect(image)]
        return sorted(faces, key=lambda face: -face.score)

    def close(self) -> None:
        """Frees MediaPipe's memory and thread; a second call does nothing."""
        if self._finalizer.detach() is not None:
            _close(self._detector)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _detect(self, image: NDArray[np.uint8]) -> Sequence[Any]:
        import numpy as np

        _close_abandoned()
        picture = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image))
        if FaceDetector._calls_to_quiet > 0:
            with _quiet_stderr() as lines:
                result = self._detector.detect(picture)
            FaceDetector._calls_to_quiet = 0 if lines else FaceDetector._calls_to_quiet - 1
        else:
            result = self._detector.detect(picture)
        found: Sequence[Any] = result.detections
        return found


def main_face(faces: Sequence[Face], width: int, height: int) -> Face:
    """The face a portrait is of: largest box area minus twice the squared distance of its centre from the image's centre.

    The weighting is that of FaceNet's alignment script: a large bystander at the border loses to the person in the middle.

    Args:
        faces: at least one.
        width: of the image, in pixels.
        height: of the image, in pixels.
    """

    def weight(face: Face) -> float:
        box = face.box
        return box.area - 2 * math.hypot((box.x0 + box.x1 - width) / 2, (box.y0 + box.y1 - height) / 2) ** 2

    return max(faces, key=weight)


def _face(found: Any, width: int, height: int) -> Face:
    box = found.bounding_box
    return Face(
        box=Box(
            float(box.origin_x),
            float(box.origin_y),
            float(box.origin_x + box.width),
            float(box.origin_y + box.height),
        ),
        landmarks={"mediapipe": tuple((point.x * width, point.y * height) for point in found.keypoints)},
        score=float(found.categories[0].score),
        detector="mediapipe",
    )


def _close_abandoned() -> None:
    while _abandoned:
        with contextlib.suppress(IndexError):  # another thread was quicker
            _close(_abandoned.pop())


@atexit.register
def _close_all() -> None:
    for detector in list(_open):
        _close(detector)


def _close(detector: Any) -> None:
    _open.discard(detector)
    with _quiet_stderr():
        try:
            detector.close()
        except RuntimeError:
            # At the interpreter's exit MediaPipe's thread is gone already. Without its handle the detector's own __del__,
            # which would stumble over that again and say so on stderr, has nothing left to do.
            detector._handle = None


class _Later(types.ModuleType):
    """A module that is imported when something of it is first asked for."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


@contextlib.contextmanager
def _without_pyplot() -> Iterator[None]:
    """MediaPipe imports matplotlib, for drawings that nobody asks for here: a second, of which most photos take a few."""
    later = {name: _Later(name) for name in ("matplotlib", "matplotlib.pyplot") if name not in sys.modules}
    if len(later) < 2:
        yield
        return
    later["matplotlib"].pyplot = later["matplotlib.pyplot"]  # type: ignore[attr-defined]
    sys.modules.update(later)
    try:
        yield
    finally:
        for name, module in later.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


def _scratch() -> BinaryIO:
    """A file to catch text in: in memory where the system has such files, for disks may be full or read-only."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("faceenc"), "w+b")
    return cast("BinaryIO", tempfile.TemporaryFile())


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[list[str]]:
    """Turns what C++ code writes to file descriptor 2 within the block into debug log lines, and into the yielded list.

    MediaPipe's libraries log their start and end there, and no environment variable stops all of it.
    """
    lines: list[str] = []
    with _stderr_lock, _scratch() as caught:
        try:
            if sys.stderr is not None:
                sys.stderr.flush()
            terminal = os.dup(2)
        except (OSError, ValueError):  # a service without a stderr has nothing to keep quiet
            yield lines
            return
        os.dup2(caught.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            caught.seek(0)
            lines += caught.read().decode(errors="replace").splitlines()
            for line in lines:
                logger.log(_TRACE, "mediapipe: %s", line)
