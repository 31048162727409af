"""Butteraugli, differentiable: how visible the difference of two pictures is, after libjxl 0.7's version of the metric.

Rewritten from lib/jxl/butteraugli/butteraugli.cc and lib/jxl/enc_butteraugli_pnorm.cc of
https://github.com/libjxl/libjxl (v0.7.0). Copyright (c) the JPEG XL Project Authors, all rights reserved; BSD-3-Clause.
The settings are those of its `butteraugli_main`: 80 nits, asymmetry 0.8, and of the norms the third.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F

from faceenc.media.visibility.butteraugli_filters import blur, lines

_SMALLEST = 8  # pixels; libjxl has no values of its own for smaller pictures
_NITS = 80.0  # of white
_ASYMMETRY = 0.8  # how much less what disappears counts than what is new

# From linear RGB in nits to what the three kinds of cones absorb.
_ABSORBANCE = torch.tensor(
    [
        [0.29956550340058319, 0.63373087833825936, 0.077705617820981968],
        [0.22158691104574774, 0.69391388044116142, 0.0987313588422],
        [0.02, 0.02, 0.20480129041026129],
    ]
)
_DARK = torch.tensor([1.7557483643287353, 1.7557483643287353, 12.226454707163354])
_OPPONENT = torch.tensor([[1.0, -1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])

_SIGMA_ADAPT, _SIGMA_LF, _SIGMA_HF, _SIGMA_UHF, _SIGMA_MASK = 1.2, 7.15593339443, 3.22489901262, 1.56416327805, 2.7

# The line detectors' planes, in this order: highest, high and middle frequencies, x and y of each.
_LINE_WEIGHT = torch.tensor([173.5, 1.10039032555, 6923.99476109, 18.7237414387, 8246.75321353, 37.0819870399])
_LINE_NORM = torch.tensor([5.0, 71.7800275169, 8051.15833247, 4498534.45232, 1009002.70582, 130262059.556])
_LINE_ASYMMETRY = torch.tensor([_ASYMMETRY] * 2 + [_ASYMMETRY**0.5] * 2 + [1.0] * 2)
_LINE_SCALE = torch.tensor([0.39905817637] * 2 + [0.611612573796] * 4) / (2 * 3.75 + 1) * _LINE_NORM
_GONE = (_LINE_SCALE * (0.5 * _LINE_WEIGHT * _LINE_ASYMMETRY).sqrt()).view(6, 1, 1)
_NEW = (_LINE_SCALE * (0.33 * _LINE_WEIGHT / _LINE_ASYMMETRY).sqrt()).view(6, 1, 1)

# Weights of squared differences.
_HF_WEIGHT = 0.8 * torch.tensor([400.0, 1.50815703118]).view(2, 1, 1)  # a factor of libjxl's, not the asymmetry again
_HF_GONE, _HF_NEW = _HF_WEIGHT * _ASYMMETRY, _HF_WEIGHT / _ASYMMETRY
_MF_WEIGHT = torch.tensor([2150.0, 10.6195433239]).view(2, 1, 1)
_BLUE_WEIGHT, _ACTIVITY_WEIGHT = 16.2176043152, 10.0
# Low frequencies: rows of the matrix whose product's squares are summed.
_LF_MATRIX = torch.tensor([29.2353797994, 0.844626970982, 0.703646627719]).sqrt()[:, None] * torch.tensor(
    [[32.2217497012, 0.0, 0.0], [0.0, 13.7697791434, 0.0], [0.0, -0.362267051518 * 47.504615728, 47.504615728]]
)


class _Bands(NamedTuple):
    """One picture as butteraugli compares it."""

    highest: torch.Tensor  # (2, H, W) frequencies in x (red against green) and y (brightness)
    high: torch.Tensor  # (2, H, W) the same
    middle: torch.Tensor  # (2, H, W) the same
    blue: torch.Tensor  # (1, H, W) middle frequencies
    low: torch.Tensor  # (3, H, W) frequencies in x, y and blue
    activity: torch.Tensor  # (1, H, W) how busy the neighbourhood is


class Butteraugli:
    """Butteraugli distance from one original (first used in Alakuijala et al. 2017, "Guetzli", arXiv:1703.04421).

    What the original's side costs is paid once; a call costs the other side only.

    The value is what libjxl 0.7's `butteraugli_main` calls the 3-norm: the distances of all pixels, averaged so that the
    large ones count most. 0 for equal pictures; a pixel at distance 1 is about where a viewer begins to see it.

    Shape: both pictures (1, 3, H, W) RGB, sRGB in [0, 1], float32, on the CPU; H and W at least 8.

    Raises:
        ValueError: When the original is not one RGB picture of that size, or the other one's shape differs.
    """

    def __init__(self, original: torch.Tensor) -> None:
        if original.ndim != 4 or original.shape[:2] != (1, 3) or min(original.shape[2:]) < _SMALLEST:
            raise ValueError(f"not (1, 3, H, W) of at least {_SMALLEST} pixels a side: {tuple(original.shape)}")
        self.shape = original.shape
        with torch.no_grad():
            linear = _linear(original[0])
            half = _half(linear)
            self._whole = _Scale(linear)
            self._half = _Scale(half) if min(half.shape[1:]) >= _SMALLEST else None

    def __call__(self, changed: torch.Tensor) -> torch.Tensor:
        """The distance, (), differentiable with respect to `changed`; the gradient at the original itself is 0."""
        if changed.shape != self.shape:
            raise ValueError(f"a picture of shape {tuple(changed.shape)} against an original of {tuple(self.shape)}")
        linear = _linear(changed[0])
        distances = self._whole(linear)
        if self._half is not None:
            coarse = self._half(_half(linear)).repeat_interleave(2, 0).repeat_interleave(2, 1)
            distances = 0.85 * distances + 0.5 * coarse[: distances.shape[0], : distances.shape[1]]
        return _norm(distances)


class _Scale:
    """The comparison at one resolution. `linear`: (3, H, W) linear RGB, white is 1."""

    def __init__(self, linear: torch.Tensor) -> None:
        self.bands = bands = _bands(linear)
        self.fine = fine = torch.cat(bands[:3])
        self.damping = _LINE_NORM.view(6, 1, 1) + 0.5 * fine.abs()
        # A value of the other picture within these is neither lost nor new.
        self.fine_range = _between(0.55 * fine, 1.05 * fine)
        self.high_range = _between(0.4 * bands.high, bands.high)
        quiet = _eroded(bands.activity[0])
        self.mask = _sensitivity(quiet, 0.829591754942, 0.451936922203, 2.5485944793)
        self.low_mask = _sensitivity(quiet, 0.20025578522, 3.87449418804, 0.505054525019)

    def __call__(self, linear: torch.Tensor) -> torch.Tensor:
        """(H, W): the distance at each pixel."""
        own, other = self.bands, _bands(linear)
        fine = torch.cat(other[:3])
        excess = _outside(fine, *self.fine_range)
        on_lines = (_GONE * (fine - self.fine) + _NEW * excess) / (self.damping + 0.5 * fine.abs())
        excess = _outside(other.high, *self.high_range)
        parts = [
            lines(on_lines, dense=2),
            _HF_GONE * (other.high - own.high).square() + _HF_NEW * excess.square(),
            _MF_WEIGHT * (other.middle - own.middle).square(),
            _BLUE_WEIGHT * (other.blue - own.blue).square(),
            _ACTIVITY_WEIGHT * (other.activity - own.activity).square(),
        ]
        total = torch.stack([part.sum(0) for part in parts]).sum(0)
        low = _mixed(_LF_MATRIX, other.low - own.low).square().sum(0)
        # The root's slope has no bound at 0, so it is cut off at 1e-6, which no one sees; 0 stays 0.
        return (self.low_mask * low + self.mask * total).clamp_min(1e-12).sqrt() - 1e-6


def _norm(distances: torch.Tensor) -> torch.Tensor:
    """The mean of the 3-norm, the 6-norm and the 12-norm, as libjxl's `ComputeDistanceP` has it."""
    # Scaled by the largest (a constant: it cancels), as the 12th power of a small distance is none in float32.
    largest = distances.detach().max().clamp_min(1e-20)
    cubes = (distances / largest) ** 3
    sixth = cubes.square()
    norms = [power.mean().clamp_min(1e-30) ** (1 / n) for n, power in ((3, cubes), (6, sixth), (12, sixth.square()))]
    return torch.stack(norms).mean() * largest


def _linear(srgb: torch.Tensor) -> torch.Tensor:
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)


def _half(linear: torch.Tensor) -> torch.Tensor:
    """Means of 2 x 2 pixels; at an odd border of what there is."""
    height, width = linear.shape[1:]
    return F.avg_pool2d(F.pad(linear[None], (0, width % 2, 0, height % 2), mode="replicate"), 2)[0]


def _mixed(matrix: torch.Tensor, planes: torch.Tensor) -> torch.Tensor:
    return (matrix @ planes.flatten(1)).view_as(planes)


def _between(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.minimum(a, b), torch.maximum(a, b)


def _outside(x: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    # Not by clamp: its gradient with respect to bounds that have none costs five times as much.
    return F.relu(x - high) - F.relu(low - x)


def _opsin(linear: torch.Tensor) -> torch.Tensor:
    """(3, H, W) red against green, brightness and blue, as an eye adapted to the neighbourhood senses them."""
    dark = _DARK.view(3, 1, 1)
    absorbed = _mixed(_NITS * _ABSORBANCE, linear) + dark
    adapted = blur(absorbed, _SIGMA_ADAPT)
    sensitivity = (19.245013259874995 * (adapted + 9.9710635769299145).log() - 23.16046239805755) / adapted
    return _mixed(_OPPONENT, F.relu(absorbed * sensitivity - dark) + dark)  # no darker than the dark


def _amplified(x: torch.Tensor, width: float) -> torch.Tensor:
    return x + x.clamp(-width, width)


def _compressed(x: torch.Tensor, limit: float) -> torch.Tensor:
    return 0.724216145665 * x + (1 - 0.724216145665) * x.clamp(-limit, limit)


def _bands(linear: torch.Tensor) -> _Bands:
    xyb = _opsin(linear)
    low = blur(xyb, _SIGMA_LF)
    rest = xyb - low
    middle = blur(rest, _SIGMA_HF)
    # Taken apart by unbind: the gradients of slices are planes of zeros to be added.
    x, y, _ = (rest - middle).unbind()
    middle_x, middle_y, blue = middle.unbind()
    x = x * ((1 - 0.653020556257) * 46.0 / (y.square() + 46.0) + 0.653020556257)  # brightness hides colour
    high_x, high_y = blur(torch.stack([x, y]), _SIGMA_UHF).unbind()
    highest_x = F.softshrink(x - high_x, 0.04)
    high_x = F.softshrink(high_x, 1.5)
    high_y = _compressed(high_y, 28.4691806922)
    highest_y = 2.69313763794 * _compressed(y - high_y, 5.19175294647)
    high_y = _amplified(2.155 * high_y, 0.132)
    return _Bands(
        highest=torch.stack([highest_x, highest_y]),
        high=torch.stack([high_x, high_y]),
        middle=torch.stack([F.softshrink(middle_x, 0.29), _amplified(middle_y, 0.1)]),
        blue=blue[None],
        low=low,
        activity=_activity(2.5 * (highest_x + high_x), 0.4 * (highest_y + high_y)),
    )


def _activity(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    # Here too the root's slope needs a bound.
    amplitude = (x.square() + y.square() + 1e-12).sqrt()
    multiplier, bias = 6.19424080439, 6.19424080439 * 12.61050594197
    return blur((multiplier * amplitude[None] + bias).sqrt() - bias**0.5, _SIGMA_MASK)


def _eroded(activity: torch.Tensor) -> torch.Tensor:
    """Of a pixel and its eight neighbours three pixels away the three smallest, averaged: smooth areas unmask."""
    height, width = activity.shape
    padded = F.pad(activity, (3,) * 4, value=float("inf"))
    near = [padded[y : y + height, x : x + width] for y in (0, 3, 6) for x in (0, 3, 6)]
    # The pixel's own value counts at once and, doubled, in place of neighbours that are missing or larger.
    first = second = third = torch.full_like(activity, float("inf"))
    for value in (*near, 2 * activity, 2 * activity):  # a fortieth of what sorting the planes costs
        first, value = torch.minimum(first, value), torch.maximum(first, value)
        second, value = torch.minimum(second, value), torch.maximum(second, value)
        third = torch.minimum(third, value)
    return 0.45 * first + 0.3 * second + 0.25 * third


def _sensitivity(activity: torch.Tensor, offset: float, slope: float, gain: float) -> torch.Tensor:
    """The weight of squared differences where the original is so busy."""
    return ((1 + gain / (slope * activity + offset)) / (17.8 * 0.79079917404)).square()
