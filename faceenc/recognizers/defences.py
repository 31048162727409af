"""Defences in front of a recogniser, as a recogniser: what they buy shows only to an attack that goes through them.

Gradients pass every defence. What has none of its own (rounding, a real JPEG file) is passed straight through: the backward
pass takes a smooth stand-in, or does as if nothing had happened (BPDA, Athalye et al., https://arxiv.org/abs/1802.00420).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import nn

from faceenc.core import ConfigError
from faceenc.media import blur, jpeg, reduced, resize, to_uint8
from faceenc.recognizers.resnet import FaceResNet

# (N, 3, H, W) in [0, 1] and one generator an image -> the same shape and range, with gradients.
Defence = Callable[[torch.Tensor, list[torch.Generator]], torch.Tensor]


@dataclass(frozen=True)
class Jpeg:
    """Stored as a JPEG file and read again; the gradient is that of a differentiable codec of the same quality."""

    quality: int = 75

    def __call__(self, x: torch.Tensor, rng: list[torch.Generator]) -> torch.Tensor:
        return _straight_through(jpeg(x, self.quality) if x.requires_grad else x, self._file(x.detach()))

    def _file(self, x: torch.Tensor) -> torch.Tensor:
        pictures = []
        for pixels in to_uint8(x):
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, format="JPEG", quality=self.quality)
            with Image.open(file) as picture:
                pictures.append(np.asarray(picture))
        return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(x.device, torch.float32) / 255


@dataclass(frozen=True)
class Resize:
    """Reduced to a share of its side, in percent, and enlarged again."""

    percent: int = 50

    def __call__(self, x: torch.Tensor, rng: list[torch.Generator]) -> torch.Tensor:
        return reduced(x, self.percent / 100)


@dataclass(frozen=True)
class Blur:
    """Gaussian blur, its sigma in tenths of a pixel."""

    tenths: int = 10

    def __call__(self, x: torch.Tensor, rng: list[torch.Generator]) -> torch.Tensor:
        return blur(x, self.tenths / 10)


@dataclass(frozen=True)
class BitDepth:
    """So many bits a channel; straight through."""

    bits: int = 4

    def __call__(self, x: torch.Tensor, rng: list[torch.Generator]) -> torch.Tensor:
        levels = 2**self.bits - 1
        return _straight_through(x, (x.detach() * levels).round() / levels)


@dataclass(frozen=True)
class RandomCrop:
    """A random square with a side of so many percent, enlarged to the whole: another one at each call."""

    percent: int = 90

    def __call__(self, x: torch.Tensor, rng: list[torch.Generator]) -> torch.Tensor:
        size = x.shape[-1]
        side = max(1, round(size * self.percent / 100))
        crops = []
        for image, generator in zip(x.split(1), rng, strict=True):
            top, left = torch.randint(size - side + 1, (2,), generator=generator).tolist()
            crops.append(resize(image[..., top : top + side, left : left + side], size))
        return torch.cat(crops)


# By the letters that configurations write before a number: "jpeg75", "resize50", "blur10", "bits4", "crop90".
_KINDS: dict[str, tuple[Callable[[int], Defence], int, int]] = {
    "jpeg": (Jpeg, 1, 100),
    "resize": (Resize, 5, 99),
    "blur": (Blur, 1, 100),
    "bits": (BitDepth, 1, 8),
    "crop": (RandomCrop, 50, 99),
}


def defence(name: str) -> tuple[Defence, ...]:
    """Defences by name, one after the other: "jpeg75", "crop90+jpeg75"; "" is none.

    Raises:
        ConfigError: unknown, or a number out of range.
    """
    found = []
    for part in filter(None, name.split("+")):
        kind = part.rstrip("0123456789")
        make, low, high = _KINDS.get(kind, (None, 0, 0))
        number = part[len(kind) :]
        if make is None or not number or not low <= int(number) <= high:
            known = ", ".join(f"{word}{bounds[1]} to {word}{bounds[2]}" for word, bounds in _KINDS.items())
            raise ConfigError(f"defence {part!r} is not known: use {known}, several joined by +")
        found.append(make(int(number)))
    return tuple(found)


class Transformed(nn.Module):
    """A recogniser behind defences.

    Asked without gradients, it answers each image with randomness of the image's own pixels: one image has one answer. Asked
    for gradients it draws anew at each call, and averages over `draws` (expectation over transformation, Athalye et al.,
    https://arxiv.org/abs/1707.07397): the attacker knows the defence, not its dice.

    Shape
        As the recogniser.

    Args:
        recognizer: a recogniser of faces by name, or any other module.
        defences: what every picture goes through first, in this order.
        draws: answers an attacker's question is averaged over; more than one only helps where a defence is random.
    """

    def __init__(self, recognizer: nn.Module, defences: tuple[Defence, ...], *, draws: int = 4) -> None:
        super().__init__()
        self.recognizer = recognizer
        self.defences = defences
        self.draws = draws if any(isinstance(one, RandomCrop) for one in defences) else 1
        self._dice = torch.Generator().manual_seed(0)

    @property
    def classes(self) -> tuple[str, ...]:
        return self._inner.classes

    @property
    def input_size(self) -> int:
        return self._inner.input_size

    @property
    def _inner(self) -> FaceResNet:
        if not isinstance(self.recognizer, FaceResNet):
            raise TypeError(f"{type(self.recognizer).__name__} knows no people by name")
        return self.recognizer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not (torch.is_grad_enabled() and x.requires_grad):
            return self._answer(x, [_own_generator(image) for image in x])
        seeds = torch.randint(2**62, (self.draws, len(x)), generator=self._dice).tolist()
        answers = [self._answer(x, [torch.Generator().manual_seed(seed) for seed in row]) for row in seeds]
        return torch.stack(answers).mean(0)

    def _answer(self, x: torch.Tensor, rng: list[torch.Generator]) -> torch.Tensor:
        for one in self.defences:
            x = one(x, rng)
        answer: torch.Tensor = self.recognizer(x.contiguous(memory_format=torch.channels_last))
        return answer


def _own_generator(image: torch.Tensor) -> torch.Generator:
    levels = (image.detach() * 255).round().clamp(0, 255).byte().cpu().numpy()
    return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(levels.tobytes()).digest()[:7], "big"))


def _straight_through(smooth: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """The value of `real`, the gradient of `smooth`."""
    return smooth + (real - smooth.detach())
