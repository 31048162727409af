"""Where the commands begin: `python -m faceenc` is `faceenc`."""

from __future__ import annotations

import gc
import os
import sys

_GC_THRESHOLD = 50_000  # loading torch makes so many objects that looking for garbage costs a sixth of it


# MKL's sums depend on where in memory their operands happen to lie, unless it is told not to before torch is loaded: with
# two threads every third run gave other last bits. It costs some per cent of a gradient at most.
_REPRODUCIBLE = ("MKL_CBWR", "AUTO,STRICT")


def main() -> None:
    """`faceenc`."""
    _begin("main")


def bench_main() -> None:
    """`faceenc-bench`."""
    _begin("bench_main")


def _begin(command: str) -> None:
    os.environ.setdefault(*_REPRODUCIBLE)
    gc.set_threshold(_GC_THRESHOLD)
    try:
        import faceenc.cli

        getattr(faceenc.cli, command)()
    except KeyboardInterrupt:  # while the command itself was being loaded, or had ended
        print("stopped: run the same command again", file=sys.stderr)
        sys.stderr.flush()
        os._exit(130)


if __name__ == "__main__":
    main()
