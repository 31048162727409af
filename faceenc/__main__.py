"""Where the commands begin: `python -m faceenc` is `faceenc`."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_GC_THRESHOLD = 50_000  # loading torch makes so many objects that looking for garbage costs a sixth of it


def main() -> None:
    """`faceenc`."""
    with _stopped_in_a_line():
        from faceenc.cli import main as command

        command()


def bench_main() -> None:
    """`faceenc-bench`."""
    with _stopped_in_a_line():
        from faceenc.cli import bench_main as command

        command()


@contextmanager
def _stopped_in_a_line() -> Iterator[None]:
    """Ctrl-C while the command itself is being loaded, or when it has ended."""
    gc.set_threshold(_GC_THRESHOLD)
    try:
        from faceenc.core import order_sums

        order_sums()
        yield
    except KeyboardInterrupt:
        sys.stderr.write("stopped: run the same command again\n")
        sys.stderr.flush()
        os._exit(130)


if __name__ == "__main__":
    main()
