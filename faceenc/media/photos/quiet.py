"""What Pillow and libtiff would print about damaged photos themselves: our own line says it."""

from __future__ import annotations

import ctypes
import ctypes.util
import logging
from functools import cache
from pathlib import Path

import PIL

_HANDLERS = ("TIFFSetErrorHandler", "TIFFSetErrorHandlerExt", "TIFFSetWarningHandler", "TIFFSetWarningHandlerExt")


@cache
def silence_readers() -> None:
    """Once a process: libtiff writes to the terminal from C unless it is told not to, Pillow where nobody set up logging."""
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    beside = [Path(PIL.__file__).parent.parent / "pillow.libs", Path(PIL.__file__).parent / ".dylibs"]
    bundled = [str(file) for folder in beside for file in folder.glob("libtiff*")]
    for name in bundled or [found for found in [ctypes.util.find_library("tiff")] if found]:
        try:
            library = ctypes.CDLL(name)
            for handler in _HANDLERS:
                getattr(library, handler)(None)
        except (OSError, AttributeError):  # another build of Pillow: it prints
            continue
