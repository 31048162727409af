"""dlib's face net, the network behind the `face_recognition` package, as a torch module.

A residual network of 29 convolutions trained by Davis King with a metric loss (http://blog.dlib.net/2017/02). Two photos are
taken for the same person where the Euclidean distance of their embeddings is below 0.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from faceenc.core import ASSETS, cache_dir, fetch
from faceenc.faces import ALIGNED_SIZE, CHIP_SIZE, align_face
from faceenc.recognizers.cached_weights import keep_weights, read_weights
from faceenc.recognizers.dlib.weights import BLOCKS, MEANS, Convolution, Network, read_network

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from faceenc.core import Face


DLIB = "dlib"  # the network's fingerprint: dlib itself and its twin compute the same

_CACHED = "dlib-face-net.safetensors"


class DlibNet(nn.Module):
    """dlib's face net with its affine layers folded into the convolutions.

    Shape
        (N, 3, 150, 150) float32 RGB in [0, 1], aligned as by `chip` -> (N, 128) embeddings. They are dlib's own, of norm 1.4
        or so, so that its distances and its threshold hold; normalise them for cosines.
    """

    input_size = CHIP_SIZE
    mean: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEANS).view(1, 3, 1, 1))
        self.stem = nn.Conv2d(3, 32, 7, stride=2)
        inputs = [32, *(filters for filters, _ in BLOCKS)]
        self.blocks = nn.ModuleList(_Block(c, k, down) for c, (k, down) in zip(inputs, BLOCKS, strict=False))
        self.head = nn.Linear(256, 128, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[1:] != (3, CHIP_SIZE, CHIP_SIZE):
            raise ValueError(f"expected (N, 3, {CHIP_SIZE}, {CHIP_SIZE}), got {tuple(x.shape)}")
        x = F.max_pool2d(self.stem((x * 255 - self.mean) / 256).relu(), 3, stride=2)  # (N, 32, 35, 35)
        for block in self.blocks:
            x = block(x)
        embeddings: torch.Tensor = self.head(x.mean((2, 3)))  # (N, 256, 2, 2) before the mean
        return embeddings


class _Block(nn.Module):
    """Two convolutions and a shortcut; a "down" block halves the resolution."""

    def __init__(self, inputs: int, outputs: int, down: bool) -> None:
        super().__init__()
        # dlib does not pad where it strides.
        self.first = nn.Conv2d(inputs, outputs, 3, stride=2 if down else 1, padding=0 if down else 1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.down = down

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.second(self.first(x).relu())
        if self.down:
            x = F.avg_pool2d(x, 2)
        # Where they differ, the smaller of the two gets zeros at the right, the bottom and the last channels.
        shape = [max(a, b) for a, b in zip(x.shape, y.shape, strict=True)]
        return (_grown(x, shape) + _grown(y, shape)).relu()


def _grown(x: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """`x` with zeros behind it in channels, rows and columns."""
    missing = [wanted - have for wanted, have in zip(shape, x.shape, strict=True)]
    return F.pad(x, (0, missing[3], 0, missing[2], 0, missing[1])) if any(missing) else x


def chip(image: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
    """Dlib's chip of a face, cut out by MediaPipe's eyes and mouth instead of dlib's own landmarks.

    Args:
        image: (H, W, 3) uint8 RGB.
        face: as detected in this very image.

    Returns:
        (150, 150, 3) uint8 RGB.
    """
    return chip_of_crop(align_face(image, face, size=ALIGNED_SIZE))


def chip_of_crop(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(..., 224, 224, 3) aligned crops -> (..., 150, 150, 3): their middles, as the face net wants them."""
    if crops.shape[-3:-1] != (ALIGNED_SIZE, ALIGNED_SIZE):
        raise ValueError(f"expected aligned crops of {ALIGNED_SIZE} x {ALIGNED_SIZE} pixels, got {crops.shape}")
    start = (ALIGNED_SIZE - CHIP_SIZE) // 2
    return crops[..., start : start + CHIP_SIZE, start : start + CHIP_SIZE, :]


def load_dlibnet() -> DlibNet:
    """The face net in evaluation mode with frozen weights.

    They are read from `dlib-face-net.safetensors` in the cache folder, which the first call makes from the file that the
    package `face_recognition_models` (CC0) carries.

    Raises:
        AssetError: the file cannot be had.
    """
    path, source = cache_dir() / _CACHED, ASSETS["dlib-face-net"].sha256
    kept = read_weights(path, source)
    if kept is None:
        state = _state(read_network(fetch("dlib-face-net").read_bytes()))
        keep_weights(path, source, state)
    else:
        state, _ = kept
    net = DlibNet()
    net.load_state_dict(state)
    # Channels-last takes a sixth less time on processors.
    return net.to(memory_format=torch.channels_last).eval().requires_grad_(False)


def _state(network: Network) -> dict[str, torch.Tensor]:
    state = {"mean": torch.tensor(MEANS).view(1, 3, 1, 1), "head.weight": torch.from_numpy(network.head.T.copy())}

    def put(name: str, convolution: Convolution) -> None:
        state[f"{name}.weight"] = torch.from_numpy(convolution.weight)
        state[f"{name}.bias"] = torch.from_numpy(convolution.bias)

    put("stem", network.stem)
    for index, (first, second) in enumerate(network.blocks):
        put(f"blocks.{index}.first", first)
        put(f"blocks.{index}.second", second)
    return state
