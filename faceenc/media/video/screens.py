"""Where frames are shown: a window on the screen, or a virtual camera that other programs see.

Convention
    As in `reading`: a frame is an (H, W, 3) uint8 RGB array.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from typing import TYPE_CHECKING, Any

from faceenc.core import ConfigError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray


_REMEDY = "leave the window out with `output=FILE` or `output=none`"


def check_display() -> None:
    """Says in one line where no window can be shown: OpenCV's window library ends the whole process there.

    Raises:
        ConfigError: there is no display, or it does not answer.
    """
    if sys.platform in ("win32", "darwin") or os.environ.get("WAYLAND_DISPLAY"):
        return
    name = os.environ.get("DISPLAY", "")
    if not name:
        raise ConfigError(f"there is no display (DISPLAY is not set): {_REMEDY}")
    found = re.fullmatch(r"(?:unix|unix/)?([^:/]*):(\d+)(?:\.\d+)?", name)
    if found is None:
        return  # a form that the X library may know
    host, number = found[1], int(found[2])
    try:
        if host:
            socket.create_connection((host, 6000 + number), timeout=2).close()
        else:
            _try_local(number)
    except OSError as error:
        raise ConfigError(f"the display {name} does not answer ({error.strerror or error}): {_REMEDY}") from error


def _try_local(number: int) -> None:
    """Linux also names the socket in a space of its own, without a file."""
    path = f"/tmp/.X11-unix/X{number}"
    with socket.socket(socket.AF_UNIX) as first:
        try:
            first.connect(path)
        except OSError:
            with socket.socket(socket.AF_UNIX) as second:
                second.connect("\0" + path)


class ScreenWindow:
    """A window, and the keys that are pressed in it. A context manager; for the main thread alone.

    Raises:
        ConfigError: there is no display, or this OpenCV cannot show windows.
    """

    def __init__(self, title: str) -> None:
        import cv2

        check_display()
        self._title = title
        try:
            cv2.namedWindow(title, cv2.WINDOW_AUTOSIZE)
        except cv2.error as error:
            raise ConfigError(f"this OpenCV shows no windows: install opencv-python, or {_REMEDY}") from error

    def write(self, frame: NDArray[np.uint8]) -> None:
        import cv2

        cv2.imshow(self._title, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))

    def key(self) -> str:
        """The key pressed since the last call, "" for none; "q" when the window was closed. Keeps the window alive."""
        import cv2

        code = cv2.waitKey(1)
        if cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
            return "q"
        return chr(code & 0xFF) if code >= 0 else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        import cv2

        cv2.destroyAllWindows()


class VirtualCamera:
    """A camera that other programs can choose: through pyvirtualcam, the extra `virtual`. A context manager.

    Args:
        rate: frames a second that it states.

    Raises:
        ConfigError: pyvirtualcam is not installed, or its driver is missing (at the first frame).
    """

    def __init__(self, *, rate: float) -> None:
        try:
            import pyvirtualcam
        except ImportError as error:
            raise ConfigError("a virtual camera needs pyvirtualcam: pip install 'faceenc[virtual]'") from error
        self._library = pyvirtualcam
        self._rate = rate
        self._camera: Any = None

    def write(self, frame: NDArray[np.uint8]) -> None:
        if self._camera is None:
            height, width = frame.shape[:2]
            try:
                self._camera = self._library.Camera(width=width, height=height, fps=self._rate)
            except RuntimeError as error:
                first_line = (str(error).splitlines() or ["it gave no reason"])[0]
                raise ConfigError(
                    f"no virtual camera starts ({first_line}): install its driver, v4l2loopback on Linux, OBS elsewhere"
                ) from error
        self._camera.send(frame)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._camera is not None:
            self._camera.close()
