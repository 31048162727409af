"""Where the commands begin: `python -m faceenc` is `faceenc`."""

from __future__ import annotations

import gc
import os
import sys

_GC_THRESHOLD = 50_000  # loading torch makes so many objects that looking for garbage costs a sixth of it


def main() -> None:
    """`faceenc`."""
    _begin("main")


def bench_main() -> None:
    """`faceenc-bench`."""
    _begin("bench_main")


def _begin(command: str) -> None:
    gc.set_threshold(_GC_THRESHOLD)
    try:
        import faceenc.cli
        from faceenc.core import order_sums

        order_sums()
        getattr(faceenc.cli, command)()
    except KeyboardInterrupt:  # while the command itself was being loaded, or had ended
        sys.stderr.write("stopped: run the same command again\n")
        sys.stderr.flush()
        os._exit(130)


if __name__ == "__main__":
    main()
