"""SSIMULACRA2: how good a changed picture looks beside its original, differentiable.

Jon Sneyers, https://github.com/cloudinary/ssimulacra2 (BSD-3-Clause): structural similarity and two maps of lost and new
edges, in an opponent colour space, on six scales, weighted to agree with what people said of compressed pictures. Constants
and borders are those of the Python package ssimulacra2 (BSD-3-Clause), which this equals within 0.01.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F

# fmt: off
# By channel (X, Y, B), scale, and map: similarity, lost and new edges in the mean, and the same in the 4-norm.
_WEIGHTS = (
    (
        (0, 0.0007376606707, 0, 0, 0.0007793481683, 0),
        (0, 0.000437115573, 0, 1.104172643, 0.0006628483413, 0.0001523163278),
        (0, 0.001640643746, 0, 1.842245552, 11.4411726, 0),
        (0.0007989109436, 0.0001768164381, 0, 1.878759498, 10.94906991, 0),
        (0.0007289346992, 0.9677937081, 0, 0.0001400342429, 0.9981766978, 0.0003194975593),
        (0.0004550992114, 0, 0, 0.001364876616, 0, 0),
    ),
    (
        (0, 0, 0, 7.466890328, 0, 17.44583398),
        (0.0006235601634, 0, 0, 6.683678146, 0.0003772440798, 1.027889938),
        (225.205153, 0, 0, 19.21323819, 0.001140152459, 0.001237755636),
        (176.393176, 0, 0, 24.43301, 0.2852080261, 0.0004485436924),
        (0, 0, 0, 34.77906344, 44.83562533, 0),
        (0, 0, 0, 0, 0, 0),
    ),
    (
        (0, 0.0008680556573, 0, 0, 0, 0),
        (0, 0.0005313191874, 0, 0.0001653381416, 0, 0),
        (0, 0, 0, 0.0004179171803, 0.001729082823, 0),
        (0.002082700585, 0, 0, 8.826982765, 23.19243344, 0),
        (95.10804988, 0.9863978034, 0.9834382792, 0.001228640505, 171.2667256, 0.9807858872),
        (0, 0, 0, 0.0005130064589, 0, 0.0001085405786),
    ),
)
# fmt: on
_ABSORBANCE = ((0.3, 0.622, 0.078), (0.23, 0.692, 0.078), (0.24342269, 0.20476744, 0.55180987))  # of cones
_BIAS = 0.0037930732552754493
_C2 = 0.0009  # of structural similarity
_SCALES = 6
_SIGMA, _REACH = 1.5, 5
_SMALLEST = 8  # pixels a side


class Ssimulacra2:
    """How visible changes of one picture are.

    Pictures below 256 pixels have fewer scales, to which the weights do not fit: enlarge them first.

    Args:
        original: (1, 3, H, W) float32 sRGB in [0, 1], at least 8 pixels a side.
    """

    def __init__(self, original: torch.Tensor) -> None:
        self._scales = []
        linear = to_linear(original)
        for _ in range(_SCALES):
            image = _to_xyb(linear)
            mean = _blurred(image)
            self._scales.append((image, mean, _blurred(image * image) - mean * mean))
            if min(linear.shape[-2:]) // 2 < _SMALLEST:
                break
            linear = _halved(linear)

    def error(self, changed: torch.Tensor) -> torch.Tensor:
        """(1, 3, H, W) -> (1,): 0 for the original, more for what is seen more; with gradients."""
        weights = torch.tensor(_WEIGHTS, dtype=changed.dtype)
        total = torch.zeros(len(changed), dtype=changed.dtype)
        linear = to_linear(changed)
        for scale, (one, mean, variance) in enumerate(self._scales):
            if scale:
                linear = _halved(linear)
            other = _to_xyb(linear)
            blurred = _blurred(torch.cat([other, other * other, one * other]))
            mean2, square, product = blurred.split(len(other))
            structure = (2 * (product - mean * mean2) + _C2) / (variance + square - mean2 * mean2 + _C2)
            unlike = (1 - (1 - (mean - mean2).square()) * structure).clamp_min(0)
            edges = (1 + (other - mean2).abs()) / (1 + (one - mean).abs()) - 1
            maps = torch.stack([unlike, edges.clamp_min(0), (-edges).clamp_min(0)], 2)
            # The root's slope has no bound at 0; less the root of what bounds it, 0 stays 0.
            norms = torch.cat([maps.mean((3, 4)), (maps.pow(4).mean((3, 4)) + 1e-24).pow(0.25) - 1e-6], -1)
            total = total + (norms * weights[:, scale]).sum((1, 2))
        return total

    def __call__(self, changed: torch.Tensor) -> float:
        """SSIMULACRA2: 100 for the original, 90 is not seen side by side, 70 on a close look, 50 plainly."""
        with torch.no_grad():
            return self.score(float(self.error(changed)))

    @staticmethod
    def score(error: float) -> float:
        """What `error` says on SSIMULACRA2's scale."""
        x = error * 0.9562382616834844
        x = 2.326765642916932 * x - 0.020884521182843837 * x**2 + 6.248496625763138e-05 * x**3
        return float(100 - 10 * max(x, 0.0) ** 0.6276336467831387)


def to_linear(x: torch.Tensor) -> torch.Tensor:
    """SRGB in [0, 1] -> light in [0, 1]."""
    return torch.where(x <= 0.04045, x / 12.92, ((x.clamp_min(0.04) + 0.055) / 1.055) ** 2.4)


def _to_xyb(linear: torch.Tensor) -> torch.Tensor:
    cones = torch.einsum("ij,bjhw->bihw", torch.tensor(_ABSORBANCE, dtype=linear.dtype), linear) + _BIAS
    red, green, blue = (cones.clamp_min(1e-7) ** (1 / 3) - _BIAS ** (1 / 3)).unbind(1)
    x, y = (red - green) / 2, (red + green) / 2
    return torch.stack([x * 14 + 0.42, y + 0.01, blue - y + 0.55], 1)


_KERNEL = torch.exp(-0.5 * (torch.arange(-_REACH, _REACH + 1) / _SIGMA) ** 2)
_TAPS = (_KERNEL / _KERNEL.sum()).tolist()


def _blurred(x: torch.Tensor) -> torch.Tensor:
    """By products with banded matrices: on a processor fifteen times as fast as a convolution of one picture."""
    height, width = x.shape[-2:]
    blurred: torch.Tensor = _band(height, mirror=True) @ x @ _band(width, mirror=False).T
    return blurred


@cache
def _band(length: int, *, mirror: bool) -> torch.Tensor:
    """(length, length): the blur of a column; beyond its ends lie its mirror image, or zeros."""
    matrix = torch.zeros(length, length)
    for row in range(length):
        for column, tap in enumerate(_TAPS, row - _REACH):
            inside = min(max(-1 - column, column), 2 * length - 1 - column)
            if inside == column or mirror:
                matrix[row, inside] += tap
    return matrix


def _halved(x: torch.Tensor) -> torch.Tensor:
    height, width = x.shape[-2:]
    return F.avg_pool2d(F.pad(x, (0, width % 2, 0, height % 2), mode="replicate"), 2)
