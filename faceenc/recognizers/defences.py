"""Defences in front of a recogniser, as a recogniser: what they buy shows only to an attack that goes through them.

Gradients pass every defence. What has none of its own (rounding, a real JPEG file) is passed straight through: the backward
pass takes a smooth stand-in, or does as if nothing had happened (BPDA, Athalye et al., https://arxiv.org/abs/1802.00420).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from faceenc.core import ConfigError
from faceenc.media import (
    BitDepth,
    Blur,
    Jpeg,
    RandomCrop,
    RandomTransform,
    Resize,
    Transform,
    straight_through,
    to_tensor,
    to_uint8,
)
from faceenc.recognizers.resnet import FaceResNet

# By the letters that configurations write before a number: "jpeg75", "resize50", "blur10", "bits4", "crop90".
_KINDS: dict[str, tuple[Callable[[int], RandomTransform], int, int]] = {
    "jpeg": (Jpeg, 1, 100),
    "resize": (lambda percent: Resize(percent / 100), 5, 99),
    "blur": (lambda tenths: Blur(tenths / 10), 1, 100),
    "bits": (BitDepth, 1, 8),
    "crop": (RandomCrop, 50, 99),
}


def defence(name: str) -> tuple[RandomTransform, ...]:
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


def defended(x: torch.Tensor, defences: Sequence[RandomTransform], rng: Sequence[torch.Generator]) -> torch.Tensor:
    """(N, 3, H, W) in [0, 1] -> the same behind defences, with gradients; one generator an image."""
    for one in defences:
        if isinstance(one, Transform):
            x = _through(one, x)
        else:
            draws = [one.draw(generator, x.shape[-1]) for generator in rng]
            x = torch.cat([_through(draw, image) for draw, image in zip(draws, x.split(1), strict=True)])
    return x


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

    def __init__(self, recognizer: nn.Module, defences: tuple[RandomTransform, ...], *, draws: int = 4) -> None:
        super().__init__()
        self.recognizer = recognizer
        self.defences = defences
        self.draws = 1 if all(isinstance(one, Transform) for one in defences) else draws
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
        seen = defended(x, self.defences, rng)
        answer: torch.Tensor = self.recognizer(seen.contiguous(memory_format=torch.channels_last))
        return answer


def _own_generator(image: torch.Tensor) -> torch.Generator:
    levels = (image.detach() * 255).round().clamp(0, 255).byte().cpu().numpy()
    return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(levels.tobytes()).digest()[:7], "big"))


def _through(one: Transform, x: torch.Tensor) -> torch.Tensor:
    """A JPEG is a real file; its gradient is that of a differentiable codec of the same quality."""
    if not isinstance(one, Jpeg):
        return one(x)
    real = to_tensor(np.stack([one.pixels(picture) for picture in to_uint8(x)])).to(x.device)
    return straight_through(one(x) if x.requires_grad else x, real)
