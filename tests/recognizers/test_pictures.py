"""Crops out of the common picture show the face where the recogniser's own crop of the photo shows it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from faceenc.data import enlarge, read_orl
from faceenc.faces import AlignedCrop, ArcFaceCrop, CropRule, FaceDetector, SquareCrop, align_face, cut_out
from faceenc.media import to_tensor
from faceenc.recognizers import DlibCrop, Recut


def no_sampler(image: object, face: object) -> object:
    raise AssertionError("crops out of the picture need none")


@pytest.mark.parametrize(
    ("rule", "levels"),
    [
        (AlignedCrop(), 0),
        (AlignedCrop(112), 3),
        (ArcFaceCrop(no_sampler), 5),
        (DlibCrop(original=False), 0),
        (SquareCrop(80), 30),
    ],  # type: ignore[arg-type]
)
def test_the_picture_shows_what_the_photo_shows(rule: CropRule, levels: float) -> None:
    photo = enlarge(read_orl()["s1/1"])
    with FaceDetector() as detector:
        face = detector(photo)[0]
    picture = to_tensor(align_face(photo, face, size=224)[None])
    found = Recut(torch.nn.Identity(), rule.in_picture(), rule.size)(picture)
    assert found.shape == (1, 3, rule.size, rule.size)
    own = cut_out(to_tensor(photo[None]), [rule.similarity(face)], size=rule.size)
    inner = slice(rule.size // 6, -rule.size // 6)  # of a square crop the picture lacks the border
    apart = 255 * (found - own)[..., inner, inner].abs().mean()
    assert apart <= levels + 1.5
    turned = 255 * (found - own.flip(-1))[..., inner, inner].abs().mean()
    assert apart < turned / 2


def test_whole_pixels_are_taken_as_they_are() -> None:
    picture = torch.rand(2, 3, 224, 224)
    rule = DlibCrop(original=False)
    found = Recut(torch.nn.Identity(), rule.in_picture(), rule.size)(picture)
    np.testing.assert_array_equal(found, picture[..., 37:187, 37:187])
