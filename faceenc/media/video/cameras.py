"""Frames from cameras and streams, by OpenCV.

Convention
    As in `reading`: a frame is an (H, W, 3) uint8 RGB array.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from faceenc.core import DataError
from faceenc.media.video.reading import WHOLE, Capture, quiet, to_rgb

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_USUAL_RATE = 30.0  # of a camera that states none
_TRIES = 5  # reads that may fail while a camera warms up


class Camera(Capture):
    """A camera by its number, or a stream by its address (rtsp://, http:// ...). A context manager.

    Args:
        source: 0 for the first camera.
        width: of the frames, asked of the camera, which may give others; None leaves it to the camera.
        height: as `width`.
        rate: frames a second, as `width`.

    Raises:
        DataError: no such camera, it is busy or not permitted, or the stream does not answer.
    """

    def __init__(
        self, source: int | str, *, width: int | None = None, height: int | None = None, rate: float | None = None
    ) -> None:
        import cv2

        self._source = source
        self._first: NDArray[np.uint8] | None = None
        with quiet(opening=True):
            # A stream is FFmpeg's alone: others would open an address as a file or a series of pictures.
            self._capture = cv2.VideoCapture(source) if isinstance(source, int) else cv2.VideoCapture(source, cv2.CAP_FFMPEG)
            if self._capture.isOpened():
                wishes = (cv2.CAP_PROP_FRAME_WIDTH, width), (cv2.CAP_PROP_FRAME_HEIGHT, height), (cv2.CAP_PROP_FPS, rate)
                for what, wish in wishes:
                    if wish:
                        self._capture.set(what, wish)
                self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
                for _ in range(_TRIES):
                    if (frame := self.read()) is not None:
                        self._first = frame
                        break
        if self._first is None:
            self.close()
            raise DataError(_why_closed(source))

    @property
    def rate(self) -> float:
        """Frames a second that the camera states."""
        import cv2

        rate = self._capture.get(cv2.CAP_PROP_FPS)
        return float(rate) if math.isfinite(rate) and 0 < rate <= 240 else _USUAL_RATE

    @property
    def complete(self) -> bool:
        """Whether the current frame may well be the last: of a file behind an address, never of a camera."""
        import cv2

        promised, read = (self._capture.get(what) for what in (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_POS_FRAMES))
        return promised > 0 and read >= WHOLE * promised - 1

    def read(self) -> NDArray[np.uint8] | None:
        """The next frame, waited for; None once the camera gives no more."""
        if self._first is not None:
            frame, self._first = self._first, None
            return frame
        found, picture = self._capture.read()
        return to_rgb(picture) if found else None


def _why_closed(source: int | str) -> str:
    if isinstance(source, str):
        return f"the stream {source} cannot be opened: check the address, and that it plays in another program"
    device = Path(f"/dev/video{source}")
    if sys.platform == "linux" and not device.exists():
        return f"there is no camera {source} ({device} does not exist): connect one, or name a video with `source=FILE`"
    return (
        f"camera {source} gives no picture: it is busy, switched off or not permitted; close other programs that use it,"
        " and allow this one to"
    )
