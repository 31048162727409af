"""Reader of dlib's own serialization: the file of its face net, `dlib_face_recognition_resnet_model_v1.dat`.

The format is what dlib's `serialize` functions write: little-endian, variable-length integers, a float as mantissa and
exponent, and each layer's parameters inside the layers' wrappers. Only what this one network uses is read, and all of it is
checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from faceenc.core import CheckpointError
from faceenc.faces import CHIP_SIZE

MEANS = (122.782, 117.001, 104.298)  # of red, green, blue in [0, 255]

MATCH_DISTANCE = 0.6  # of two embeddings of one person, at most

# For each residual block the number of filters, and whether it halves the resolution.
BLOCKS = (
    *((32, False),) * 3, (64, True), *((64, False),) * 3, (128, True), *((128, False),) * 2, (256, True),
    *((256, False),) * 2, (256, True),
)  # fmt: skip
PARAMETERS = 5_614_592
_HEAD_INPUTS, _HEAD_OUTPUTS = 256, 128


class Convolution(NamedTuple):
    """A convolution with the affine layer after it folded in: weight (K, C, kh, kw) and bias (K,), float32."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


class Network(NamedTuple):
    """The face net's weights.

    Attributes:
        stem: 7 x 7, stride 2.
        blocks: for each of `BLOCKS` its two 3 x 3 convolutions.
        head: (256, 128) float32.
    """

    stem: Convolution
    blocks: tuple[tuple[Convolution, Convolution], ...]
    head: NDArray[np.float32]


def read_network(data: bytes) -> Network:
    """The weights in the file's bytes.

    Raises:
        CheckpointError: anything differs from the one network this reads: names, counts, shapes, the end of the file.
    """
    source = _Source(data)
    try:
        return _network(source)
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"not dlib's face net, at byte {source.position} of {len(data)}: {error}; fetch the file anew"
        ) from error


class _Source:
    """The file's bytes and how far they are read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.parameters = 0  # numbers read as weights

    def take(self, count: int) -> bytes:
        if self.position + count > len(self.data):
            raise ValueError("the file ends too early")
        part = self.data[self.position : self.position + count]
        self.position += count
        return part

    def integer(self) -> int:
        control = self.take(1)[0]
        value = int.from_bytes(self.take(control & 15), "little")
        return -value if control & 128 else value

    def real(self) -> float:
        mantissa, exponent = self.integer(), self.integer()
        return float(mantissa) * 2.0**exponent

    def text(self) -> str:
        return self.take(self.integer()).decode("ascii")

    def flag(self) -> bool:
        value = self.take(1)
        if value not in (b"0", b"1"):
            raise ValueError(f"a truth value is {value!r}")
        return value == b"1"

    def shape(self, version: int) -> tuple[int, ...]:
        self.expect("version of a tensor", self.integer(), version)
        return tuple(self.integer() for _ in range(4))

    def tensor(self, count: int) -> NDArray[np.float32]:
        """(count,) float32, whatever its shape in the file."""
        shape = self.shape(2)
        self.expect(f"size of the tensor {shape}", int(np.prod(shape)), count)
        self.parameters += count
        return np.frombuffer(self.take(4 * count), "<f4").astype(np.float32)

    def alias(self) -> None:
        """A view into a tensor: its shape only."""
        self.shape(1)

    def expect(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            raise ValueError(f"{what} is {found!r}, expected {wanted!r}")


def _network(source: _Source) -> Network:
    _read_head(source)
    stem = _convolution(source, 32, 3, 7, 2, first=True)
    _layer(source, "relu_")
    _layer(source, "max_pool_2", (3, 3, 2, 2, 0, 0))
    blocks, channels = [], 32
    for filters, down in BLOCKS:
        first = _convolution(source, filters, channels, 3, 2 if down else 1)
        _layer(source, "relu_")
        second = _convolution(source, filters, filters, 3, 1)
        if down:
            _layer(source, "avg_pool_2", (2, 2, 2, 2, 0, 0))
        _layer(source, "add_prev_")
        _layer(source, "relu_")
        blocks.append((first, second))
        channels = filters
    _layer(source, "avg_pool_2", (0, 0, 1, 1, 0, 0))  # window 0: everything
    head = _fully_connected(source)
    source.expect("end of the file", source.position, len(source.data))
    source.expect("number of weights", source.parameters, PARAMETERS)
    return Network(stem, tuple(blocks), head)


def _read_head(source: _Source) -> None:
    source.expect("version of the loss", source.integer(), 1)
    source.expect("loss", source.text(), "loss_metric_2")
    source.expect("margin", round(source.real(), 6), 0.04)
    source.expect("threshold", round(source.real(), 6), MATCH_DISTANCE)
    source.expect("versions of the layers", [source.integer() for _ in range(130)], list(_versions()))
    source.expect("input", source.text(), "input_rgb_image_sized")
    source.expect("means", tuple(round(source.real(), 3) for _ in range(3)), MEANS)
    source.expect("input size", (source.integer(), source.integer()), (CHIP_SIZE, CHIP_SIZE))


def _versions() -> Iterator[int]:
    """Of each layer's wrapper, outermost first: 2 for a layer, 1 for a tag or a skip, 3 for the one with the input."""
    yield from (2, 2)  # fully connected, average of everything
    for _, down in reversed(BLOCKS):
        # relu, add, [average pool, skip, tag,] affine, convolution, relu, affine, convolution, tag
        yield from (2, 2, 2, 1, 1, 2, 2, 2, 2, 2, 1) if down else (2, 2, 2, 2, 2, 2, 2, 1)
    yield from (2, 2, 2, 3)  # max pool, relu, affine, convolution


def _convolution(
    source: _Source, filters: int, channels: int, kernel: int, stride: int, *, first: bool = False
) -> Convolution:
    source.expect("layer", source.text(), "con_4")
    count = filters * channels * kernel**2
    params = source.tensor(count + filters)
    padding = 0 if stride == 2 else kernel // 2
    wanted = [filters, kernel, kernel, stride, stride, padding, padding]
    source.expect("convolution", [source.integer() for _ in range(7)], wanted)
    source.alias()
    source.alias()
    for _ in range(4):  # learning rates and weight decays
        source.real()
    _end_of_layer(source, first=first)
    source.expect("layer", source.text(), "affine_")
    gamma, beta = source.tensor(2 * filters).reshape(2, filters)
    source.alias()
    source.alias()
    source.integer()  # whether it stands for a batch norm of a convolution or of a fully connected layer
    _end_of_layer(source)
    weight = params[:count].reshape(filters, channels, kernel, kernel)
    return Convolution(weight * gamma[:, None, None, None], params[count:] * gamma + beta)


def _fully_connected(source: _Source) -> NDArray[np.float32]:
    source.expect("layer", source.text(), "fc_2")
    source.expect("outputs and inputs", (source.integer(), source.integer()), (_HEAD_OUTPUTS, _HEAD_INPUTS))
    weight = source.tensor(_HEAD_INPUTS * _HEAD_OUTPUTS).reshape(_HEAD_INPUTS, _HEAD_OUTPUTS)
    source.alias()
    source.alias()
    source.expect("bias mode (1: none)", source.integer(), 1)
    for _ in range(4):
        source.real()
    _end_of_layer(source)
    return weight


def _layer(source: _Source, name: str, settings: tuple[int, ...] = ()) -> None:
    """A layer without weights."""
    source.expect("layer", source.text(), name)
    source.expect(f"settings of {name}", tuple(source.integer() for _ in settings), settings)
    _end_of_layer(source)


def _end_of_layer(source: _Source, *, first: bool = False) -> None:
    for _ in range(3):
        source.flag()
    for _ in range(3):
        source.tensor(0)
    if first:
        source.integer()  # images a sample
