"""What the machine can do."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from faceenc.core.errors import ConfigError

if TYPE_CHECKING:
    import torch


DEVICES = ("auto", "cpu", "cuda")


def resolve_device(name: str) -> str:
    """What one of `DEVICES` means here, "cpu" or "cuda": "auto" is a CUDA device where torch finds one.

    Raises:
        ConfigError: there is no CUDA device.
    """
    if name == "cpu":
        return name
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if name == "auto":
        return "cpu"
    raise ConfigError("`device=cuda`: torch finds no CUDA device here; use cpu or auto to compute on the processor")


def has_bfloat16(device: torch.device | str) -> bool:
    """Whether bfloat16 is computed by the hardware of `device`, and so is faster than float32."""
    import torch

    if torch.device(device).type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported()) or bool(torch.cpu._is_amx_tile_supported())


def has_fast_packed_convolutions() -> bool:
    """Whether oneDNN convolves packed float32 weights at full speed; with AVX2 alone it takes three times as long."""
    import torch

    return torch.backends.cpu.get_cpu_capability() != "AVX2"


def peak_memory_gb() -> float | None:
    """The most memory this process has held so far, in 2**30 bytes; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 2**30, 2)
