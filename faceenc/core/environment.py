"""What a run was made with: versions, machine, revision."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

PACKAGES = (
    "faceenc", "torch", "torchvision", "adversarial-robustness-toolbox", "mediapipe", "numpy", "pandas", "pillow", "kornia",
)  # fmt: skip


def order_sums() -> None:
    """Lets equal sums have equal last bits, in this process and those that it starts; call it before torch is loaded.

    MKL's sums depend on where in memory their operands happen to lie, unless it is told not to: with two threads every third
    run gave other last bits. It costs some per cent of a gradient at most.
    """
    os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")


def describe_environment() -> dict[str, Any]:
    """Versions, machine and revision, as run.json keeps them."""
    import torch

    return {
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "machine": {
            "platform": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "memory_gb": _memory_gb(),
        },
        "git": _revision(),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):  # no such name on this system
        return None


def _revision() -> str | None:
    """The checkout's commit, with "-dirty" if it was changed; None outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
