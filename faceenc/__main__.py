"""Where the commands begin: `python -m faceenc` is `faceenc`."""

from __future__ import annotations

import gc

from faceenc.core import order_sums

_GC_THRESHOLD = 50_000  # loading torch makes so many objects that looking for garbage costs a sixth of it


def main() -> None:
    """`faceenc`."""
    order_sums()
    gc.set_threshold(_GC_THRESHOLD)
    from faceenc.cli import main as command

    command()


def bench_main() -> None:
    """`faceenc-bench`."""
    order_sums()
    gc.set_threshold(_GC_THRESHOLD)
    from faceenc.cli import bench_main as command

    command()


if __name__ == "__main__":
    main()
