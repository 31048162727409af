"""Where the commands begin: `python -m faceenc` is `faceenc`."""

from __future__ import annotations

import gc
import os

_GC_THRESHOLD = 50_000  # loading torch makes so many objects that looking for garbage costs a sixth of it


# MKL's sums depend on where in memory their operands happen to lie, unless it is told not to before torch is loaded: with
# two threads every third run gave other last bits. It costs some per cent of a gradient at most.
_REPRODUCIBLE = ("MKL_CBWR", "AUTO,STRICT")


def main() -> None:
    """`faceenc`."""
    os.environ.setdefault(*_REPRODUCIBLE)
    gc.set_threshold(_GC_THRESHOLD)
    from faceenc.cli import main as command

    command()


def bench_main() -> None:
    """`faceenc-bench`."""
    os.environ.setdefault(*_REPRODUCIBLE)
    gc.set_threshold(_GC_THRESHOLD)
    from faceenc.cli import bench_main as command

    command()


if __name__ == "__main__":
    main()
