"""Each transform's plain form against its differentiable one, and draws that can be repeated."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from faceenc.media import (
    BitDepth,
    Blur,
    Crop,
    Jpeg,
    RandomCrop,
    RandomJpeg,
    Resize,
    Transform,
    to_tensor,
    to_uint8,
    vary,
)
from tests.photo_files import noise, smooth

ALL = [Jpeg(75), Resize(0.5), Resize(0.3), Blur(1.5), BitDepth(3), Crop(3, 5, 40)]


@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_both_forms_show_the_same(transform: Transform) -> None:
    picture = smooth(48, 48)
    plain = to_tensor(transform.pixels(picture)[None])
    differentiable = transform(to_tensor(picture[None]))
    assert differentiable.shape == (1, 3, 48, 48)
    if plain.shape != differentiable.shape:  # a smaller picture stays small
        assert plain.shape[2] == plain.shape[3] < 48
        plain = torch.nn.functional.interpolate(plain, size=(48, 48), mode="bilinear", align_corners=False)
    assert float((plain - differentiable).abs().mean()) < 2 / 255
    assert float((plain - differentiable).abs().max()) < 16 / 255


def test_rounding_to_bits_is_the_same_in_both_forms() -> None:
    picture = noise(16, 16)
    for bits in range(1, 9):
        plain = BitDepth(bits).pixels(picture)
        np.testing.assert_array_equal(plain, to_uint8(BitDepth(bits)(to_tensor(picture[None])))[0])
        assert len(np.unique(plain)) <= 2**bits


@pytest.mark.parametrize("length", [1, 2, 5, 7, 97, 100])
def test_half_of_an_odd_side_is_the_larger_part_for_attack_and_evidence(length: int) -> None:
    half = (length + 1) // 2
    assert Resize(0.5).side(length) == half
    assert vary(noise(length, 6), "half", face_width=3).shape == (half, 3, 3)


@pytest.mark.parametrize("chance", [RandomJpeg(60, 95), RandomCrop(80)], ids=repr)
def test_a_draw_holds_no_chance(chance: RandomJpeg | RandomCrop) -> None:
    x = to_tensor(noise(32, 32)[None])
    rng = torch.Generator().manual_seed(0)
    first, second = chance.draw(rng, 32), chance.draw(rng, 32)
    assert first == chance.draw(torch.Generator().manual_seed(0), 32)
    assert first != second
    assert torch.equal(first(x), first(x))
    assert first.draw(rng, 32) is first


def test_what_holds_no_chance_is_its_own_draw() -> None:
    drawn = [one.draw(torch.Generator().manual_seed(0), 64) for one in (Resize(0.5), RandomJpeg(60, 95), Blur(1.0))]
    assert [type(one) for one in drawn] == [Resize, Jpeg, Blur]
    assert isinstance(drawn[1], Jpeg)
    assert 60 <= drawn[1].quality < 95
