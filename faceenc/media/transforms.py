"""What becomes of a picture on its way, each change named once, in two forms: as it really happens, and differentiably.

Convention
    `pixels` is the plain form: (H, W, 3) uint8 RGB in and out, by Pillow, what really becomes of a photo. Smaller pictures
    stay small. Calling the transform is the differentiable form: (N, 3, H, W) float32 in [0, 1], the same shape out;
    smaller pictures are enlarged again, so that everything keeps its place.
    `draw` fixes the parameters that chance decides: what it returns holds no chance and may be applied again. Of a picture
    it knows nothing but the side, and a transform without chance is its own draw.
"""

from __future__ import annotations

import io
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

JPEG_BLOCK = 16  # JPEG with halved colour works on blocks of 16 x 16 pixels


class RandomTransform(Protocol):
    """A transform with or without chance."""

    def draw(self, rng: torch.Generator, side: int) -> Transform: ...


class Transform(ABC):
    """A transform without chance."""

    @abstractmethod
    def pixels(self, picture: Pixels) -> Pixels: ...

    @abstractmethod
    def __call__(self, x: torch.Tensor) -> torch.Tensor: ...

    def draw(self, rng: torch.Generator, side: int) -> Self:
        return self


@dataclass(frozen=True)
class Jpeg(Transform):
    """JPEG with colour at half the resolution, as Pillow and most web sites save; quality 1 to 100."""

    quality: float = 75

    def pixels(self, picture: Pixels) -> Pixels:
        with io.BytesIO() as file:
            Image.fromarray(np.ascontiguousarray(picture)).save(file, format="JPEG", quality=round(self.quality))
            with Image.open(file) as again:
                return np.array(again)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """By Reich et al., https://arxiv.org/abs/2309.06978."""
        from kornia.enhance import jpeg_codec_differentiable

        height, width = x.shape[-2:]
        # The codec wants whole blocks; a file repeats the border as well.
        whole = F.pad(x, (0, -width % JPEG_BLOCK, 0, -height % JPEG_BLOCK), mode="replicate")
        coded: torch.Tensor = jpeg_codec_differentiable(whole, torch.tensor([float(self.quality)], device=x.device))
        return coded[..., :height, :width]


@dataclass(frozen=True)
class RandomJpeg:
    """JPEG at a quality drawn from [low, high)."""

    low: float
    high: float

    def draw(self, rng: torch.Generator, side: int) -> Jpeg:
        return Jpeg(self.low + (self.high - self.low) * float(torch.rand((), generator=rng)))


@dataclass(frozen=True)
class Resize(Transform):
    """Reduced to a share of its sides."""

    share: float = 0.5

    def side(self, length: int) -> int:
        """What is left of a side: of the half of an odd one the larger part, else the nearest."""
        return (length + 1) // 2 if self.share == 0.5 else max(1, round(length * self.share))

    def pixels(self, picture: Pixels) -> Pixels:
        size = self.side(picture.shape[1]), self.side(picture.shape[0])
        return np.array(Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.LANCZOS))

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return reduced(x, self.side(x.shape[-2]), self.side(x.shape[-1]))


@dataclass(frozen=True)
class Blur(Transform):
    """Gaussian blur of `sigma` pixels."""

    sigma: float = 1.0

    def pixels(self, picture: Pixels) -> Pixels:
        return np.array(Image.fromarray(np.ascontiguousarray(picture)).filter(ImageFilter.GaussianBlur(self.sigma)))

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        from kornia.filters import gaussian_blur2d

        side = 2 * math.ceil(2 * self.sigma) + 1
        blurred: torch.Tensor = gaussian_blur2d(x, (side, side), (self.sigma, self.sigma))
        return blurred


@dataclass(frozen=True)
class BitDepth(Transform):
    """So many bits a channel; gradients are passed straight through."""

    bits: int = 4

    def pixels(self, picture: Pixels) -> Pixels:
        levels = 2**self.bits - 1
        table: Pixels = np.rint(np.rint(np.arange(256) / 255 * levels) * (255 / levels)).astype(np.uint8)
        return np.take(table, picture)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        levels = 2**self.bits - 1
        return straight_through(x, (x.detach() * levels).round() / levels)


@dataclass(frozen=True)
class Crop(Transform):
    """A square part, by its upper left corner and its side in pixels."""

    top: int
    left: int
    side: int

    def pixels(self, picture: Pixels) -> Pixels:
        return picture[self.top : self.top + self.side, self.left : self.left + self.side]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return resize(x[..., self.top : self.top + self.side, self.left : self.left + self.side], x.shape[-1])


@dataclass(frozen=True)
class RandomCrop:
    """A random square of a square picture, with a side of so many percent."""

    percent: int = 90

    def draw(self, rng: torch.Generator, side: int) -> Crop:
        part = max(1, round(side * self.percent / 100))
        top, left = torch.randint(side - part + 1, (2,), generator=rng).tolist()
        return Crop(top, left, part)


def reduced(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Antialiased reduction and enlargement back to the same shape: what a smaller copy of the picture still shows."""
    little = F.interpolate(x, size=(height, width), mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(little, size=x.shape[-2:], mode="bilinear", align_corners=False)


def resize(x: torch.Tensor, size: int) -> torch.Tensor:
    """Antialiased bilinear resize to (N, 3, size, size); the same tensor if it already has that size."""
    if x.shape[-2:] == (size, size):
        return x
    return F.interpolate(x, size=(size, size), mode="bilinear", antialias=True, align_corners=False)


def straight_through(smooth: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """The value of `real`, the gradient of `smooth` (BPDA, Athalye et al., https://arxiv.org/abs/1802.00420)."""
    return smooth + (real - smooth.detach())


def preload() -> None:
    """Load kornia, which takes half a second, before it is needed: beside work that leaves Python free."""
    import kornia.enhance
    import kornia.filters  # noqa: F401
