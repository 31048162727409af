"""Noise for faces, on real faces and dlib's real net."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from faceenc.attacks import MoveAway, MoveTo, ShapedLinf
from faceenc.core import SLACK, ConfigError, Face, moved
from faceenc.data import enlarge, read_orl
from faceenc.faces import FaceDetector, key_points_similarity
from faceenc.media import Blur, Jpeg, Resize, to_tensor, to_uint8
from faceenc.protect import STRENGTHS, FaceViews, Protection, embed_face, face_window, make_decoy, protect_faces
from faceenc.recognizers import Recognizer, dlib_similarities, has_dlib, load_recognizer, load_recognizers
from tests.conftest import smooth_images

Found = tuple[NDArray[np.uint8], Face]
QUICK = replace(STRENGTHS["balanced"], steps=20)
LEVELS = round(QUICK.eps * 255)


@pytest.fixture(scope="module")
def faces() -> list[Found]:
    pictures = read_orl()
    images = [enlarge(pictures[name])[::2, ::2].copy() for name in ("s5/1", "s5/2", "s9/1")]
    with FaceDetector() as detector:
        return [(image, detector(image)[0]) for image in images]


@pytest.fixture(scope="module")
def dlib() -> list[Recognizer]:
    return load_recognizers(["dlib"])


@pytest.fixture(scope="module")
def protected(faces: list[Found], dlib: list[Recognizer]) -> NDArray[np.uint8]:
    image, face = faces[0]
    return protect_faces(image, [face], Protection(QUICK, dlib))[0]


def distance(first: Found, second: Found) -> float:
    judge = load_recognizer("dlib-torch")
    return judge.distance(judge.embed_face(*first), judge.embed_face(*second))


def test_the_face_is_no_longer_the_persons(faces: list[Found], protected: NDArray[np.uint8]) -> None:
    (image, face), other, _ = faces
    assert distance((image, face), other) < 0.6
    assert distance((image, face), (protected, face)) > 0.75
    assert distance(other, (protected, face)) > 0.6


def test_noise_stays_on_the_face_and_inside_eps(faces: list[Found], protected: NDArray[np.uint8]) -> None:
    image, face = faces[0]
    change = np.abs(protected.astype(int) - image)
    assert change.max() == LEVELS
    assert change.any()
    chips = [key_points_similarity(face), *(dlib_similarities(image, face) if has_dlib() else [])]
    rows, columns = np.nonzero(change.any(axis=2))
    inside = [
        min(abs((complex(x, y) - chip.shift) / chip.turn - (74.5 + 78j)) for chip in chips)
        for x, y in zip(columns, rows, strict=True)
    ]
    assert max(inside) < 90  # chip pixels from the face's middle: half axes 62 and 76, and the fading


def test_random_noise_of_that_size_changes_nothing(faces: list[Found]) -> None:
    image, face = faces[0]
    signs = np.random.default_rng(0).choice([-LEVELS, LEVELS], image.shape)
    noisy = np.clip(image + signs, 0, 255).astype(np.uint8)
    assert distance((image, face), (noisy, face)) < 0.6


def test_the_same_order_gives_the_same_photo(
    faces: list[Found], dlib: list[Recognizer], protected: NDArray[np.uint8]
) -> None:
    image, face = faces[0]
    before = image.copy()
    again, _ = protect_faces(image, [face], Protection(QUICK, dlib))
    assert np.array_equal(again, protected)
    assert np.array_equal(image, before)
    other, _ = protect_faces(image, [face], Protection(QUICK, dlib, seed=1))
    assert not np.array_equal(other, protected)


def test_grey_stays_grey(faces: list[Found], dlib: list[Recognizer]) -> None:
    image, face = faces[0]
    result, (outcome,) = protect_faces(image, [face], Protection(QUICK, dlib), grey=True)
    assert np.array_equal(result[..., 0], result[..., 1])
    assert np.array_equal(result[..., 0], result[..., 2])
    assert outcome.distance > 1.1


def test_it_stops_when_what_is_saved_is_protected(faces: list[Found], dlib: list[Recognizer]) -> None:
    image, face = faces[0]
    easy = replace(QUICK, margin=0.01)
    _, (outcome,) = protect_faces(image, [face], Protection(easy, dlib))
    assert outcome.reached
    assert outcome.steps == 10
    assert outcome.distance > 1.01


def test_a_budget_ends_it_early(faces: list[Found], dlib: list[Recognizer]) -> None:
    image, face = faces[0]
    endless = replace(QUICK, steps=100_000, margin=50)
    _, (outcome,) = protect_faces(image, [face], Protection(endless, dlib, budget=0.01))
    assert outcome.steps == 10
    assert not outcome.reached


def test_two_faces_that_overlap_share_one_eps(faces: list[Found], dlib: list[Recognizer]) -> None:
    """The same face once more, moved by a few pixels: together they may not change a pixel by more than eps."""
    image, face = faces[0]
    shifted = moved(face, 12, 9)
    result, outcomes = protect_faces(image, [face, shifted], Protection(QUICK, dlib))
    assert len(outcomes) == 2
    assert np.abs(result.astype(int) - image).max() <= LEVELS
    assert distance((image, face), (result, face)) > 0.6


def test_a_saved_jpeg_is_what_counts(faces: list[Found], dlib: list[Recognizer]) -> None:
    """What saving does to pixels is checked: a format that blurs all noise away is never protected."""
    image, face = faces[0]
    x0, y0, x1, y1 = face_window(image, face, dlib, flat=0.5).place

    def lose_all(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.ascontiguousarray(image[y0:y1, x0:x1])

    _, (outcome,) = protect_faces(image, [face], Protection(QUICK, dlib, encode=lose_all))
    assert not outcome.reached
    assert outcome.distance < 0.05


def test_a_decoy_is_nobody_and_can_be_looked_like(faces: list[Found], dlib: list[Recognizer]) -> None:
    image, face = faces[0]
    decoy = make_decoy(dlib, seed=3)
    assert torch.equal(decoy[0], make_decoy(dlib, seed=3)[0])
    assert float((decoy[0] - make_decoy(dlib, seed=4)[0]).norm()) > 0.5
    own = embed_face(image, face, dlib)[0]
    assert float((own - decoy[0]).norm(dim=1).min()) > 1
    strong = replace(STRENGTHS["strong"], steps=40, margin=0.0)
    result, (outcome,) = protect_faces(image, [face], Protection(strong, dlib, targets=decoy))
    after = embed_face(result, face, dlib)[0]
    assert float((after - decoy[0]).norm(dim=1).max()) < float((own - decoy[0]).norm(dim=1).min()) - 0.3
    assert outcome.distance < 1.2


def test_eps_below_a_grey_level_is_refused(faces: list[Found], dlib: list[Recognizer]) -> None:
    image, face = faces[0]
    with pytest.raises(ConfigError, match="less than one grey level"):
        protect_faces(image, [face], Protection(replace(QUICK, eps=0.5 / 255), dlib))


def test_views_differ_from_call_to_call_and_have_gradients(faces: list[Found], dlib: list[Recognizer]) -> None:
    image, face = faces[0]
    window = face_window(image, face, dlib, flat=0.5)
    views = FaceViews(dlib, window, torch.Generator().manual_seed(0), draws=3)
    x = window.picture.clone().requires_grad_(True)
    first, second = views(x), views(x)
    assert first.shape == (1, 1, 3, 128)
    assert not torch.equal(first, second)
    (gradient,) = torch.autograd.grad(first.sum() + second.sum(), x)
    assert gradient.abs().sum() > 0


def test_views_of_a_diverse_surrogate_are_mirrored_and_dimmed(faces: list[Found], dlib: list[Recognizer]) -> None:
    image, face = faces[0]
    bright = np.zeros_like(image)
    bright[:, : round(face.box.x0 + face.box.width / 2)] = 200  # the face's right half, on the left in the picture

    class Halves(torch.nn.Module):
        """How bright the left and the right half of a crop are."""

        def forward(self, crops: torch.Tensor) -> torch.Tensor:
            return torch.stack([part.mean((1, 2, 3)) for part in crops.chunk(2, dim=3)], dim=1)

    seen = [replace(dlib[0], embedding=Halves())]
    window = face_window(bright, face, seen, flat=0.5)
    drawn = FaceViews(seen, window, torch.Generator().manual_seed(0), transforms=(), draws=40)(window.picture)[0, 0]
    plain = FaceViews(seen, window, torch.Generator().manual_seed(0), transforms=(), draws=40, diversity=None)(
        window.picture
    )[0, 0]
    assert (plain[:, 0] > plain[:, 1]).all()
    mirrored = drawn[:, 0] < drawn[:, 1]
    assert 10 <= int(mirrored.sum()) <= 30
    brightness = drawn.amax(1)
    assert float(brightness.max()) > 0.9 * float(plain.max())
    assert float(brightness.min()) < 0.65 * float(plain.max())
    ours = [replace(seen[0], wide_views=False)]
    narrow = FaceViews(ours, window, torch.Generator().manual_seed(0), transforms=(), draws=40)(window.picture)[0, 0]
    assert (narrow[:, 0] > narrow[:, 1]).all()
    assert float(narrow[:, 0].min()) > 0.9 * float(plain[:, 0].min())
    assert not torch.equal(narrow, plain), "moved a little"


def test_goals_for_embeddings() -> None:
    """Two images, two references each: the nearest counts against moving away, and for moving to."""
    references = torch.tensor([[[0.0, 0.0], [3.0, 0.0]], [[0.0, 0.0], [0.0, 2.0]]])
    outputs = torch.tensor([[1.5, 2.0], [0.0, 0.5]])  # 2.5 and 2.5 away; 0.5 and 1.5 away
    away, to = MoveAway(references), MoveTo(references)
    assert away.loss(outputs).tolist() == pytest.approx([2.5, 1.0])
    assert away.reached(outputs).tolist() == [True, False]
    assert away.reached(outputs, 1.6).tolist() == [False, False]
    assert to.loss(outputs).tolist() == pytest.approx([-2.5, -0.5])
    assert to.reached(outputs).tolist() == [False, True]
    assert to.reached(outputs, 0.6).tolist() == [False, False]
    assert away.select(torch.tensor([1])).reached(outputs[1:]).tolist() == [False]


def test_the_shaped_norm() -> None:
    share = torch.tensor([0.0, 0.5, 1.0]).view(1, 1, 1, 3)
    norm = ShapedLinf(share)
    delta = torch.full((1, 3, 1, 3), 0.1)
    projected = norm.project(delta, 8 / 255)
    assert projected[0, 0, 0].tolist() == pytest.approx([0, 4 / 255, 8 / 255])
    assert float(norm.size(projected)) == pytest.approx(8 / 255)
    assert torch.isinf(norm.size(delta)).all()
    assert norm.steepest(-delta)[0, 2, 0].tolist() == pytest.approx([0, -0.5, -1])
    x = torch.full((1, 3, 1, 3), 100 / 255)
    drawn = norm.sample(x, 8 / 255, [torch.Generator().manual_seed(0)])
    assert ((drawn.abs() - share * 8 / 255) <= SLACK).all()
    rounded = norm.quantize(x, delta, 8 / 255) * 255
    assert rounded[0, 1, 0].tolist() == pytest.approx([100, 104, 108])
    grey = ShapedLinf(share, grey=True)
    gradient = torch.tensor([3.0, -1.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 1, 3)
    assert grey.steepest(gradient)[0, :, 0, 2].tolist() == [1, 1, 1]


@pytest.mark.parametrize("change", [Jpeg(75), Resize(0.5), Blur(1.0)])
def test_what_becomes_of_a_photo_keeps_its_shape_and_gradients(change: object) -> None:
    assert callable(change)
    x = smooth_images(1, 50, seed=5).requires_grad_(True)
    changed = change(x)
    assert changed.shape == x.shape
    assert 0 < float((changed - x).detach().abs().mean()) < 0.05
    (gradient,) = torch.autograd.grad(changed.sum(), x)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().sum() > 0


def test_jpeg_is_pillows_within_a_level_or_two() -> None:
    x = smooth_images(1, 64, seed=6)
    wanted = to_tensor(Jpeg(75).pixels(to_uint8(x)[0])[None])
    assert float((Jpeg(75)(x) - wanted).abs().mean()) < 1.5 / 255
