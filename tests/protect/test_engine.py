"""A face's change, on real faces and dlib's real net."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from faceenc.attacks import MoveAway, MoveTo, ShapedLinf
from faceenc.core import SLACK, ConfigError, Face, moved
from faceenc.data import enlarge, read_orl
from faceenc.faces import FaceDetector, Similarity, head_frame, head_mask, seen_window
from faceenc.media import Blur, Jpeg, Resize, Visibility, face_cut, measure_visibility, to_tensor, to_uint8
from faceenc.protect import STRENGTHS, Crowd, Protection, Step, Strength, embed_face, face_window, protect_faces
from faceenc.recognizers import Recognizer, load_recognizer, load_recognizers
from tests.conftest import smooth_images

Found = tuple[NDArray[np.uint8], Face]
LEVELS = 12
QUICK = Strength.bounded(LEVELS / 255, 16)
SEEN = replace(STRENGTHS["subtle"], steps=6)


@pytest.fixture(scope="module")
def faces() -> list[Found]:
    pictures = read_orl()
    images = [enlarge(pictures[name])[::2, ::2].copy() for name in ("s5/1", "s5/2", "s9/1")]
    with FaceDetector() as detector:
        return [(image, detector(image)[0]) for image in images]


@pytest.fixture(scope="module")
def pair(faces: list[Found]) -> tuple[NDArray[np.uint8], list[Face]]:
    """Two people side by side."""
    (one, left), (other, right) = faces[0], faces[2]
    return np.hstack([one, other]), [left, moved(right, one.shape[1], 0)]


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


def change_of(result: NDArray[np.uint8], image: NDArray[np.uint8]) -> NDArray[np.int_]:
    """(H, W): by how much each pixel changed at most."""
    change: NDArray[np.int_] = np.abs(result.astype(int) - image).max(axis=2)
    return change


def seen(image: NDArray[np.uint8], result: NDArray[np.uint8], face: Face) -> Visibility:
    """How much people see of the head's change."""
    head = head_frame(face)
    place = seen_window(head, image.shape[1], image.shape[0])
    before, after = face_cut(image, place), face_cut(result, place)
    return measure_visibility(
        before, after, side=head.scale * max(before.shape) / max(place[2] - place[0], place[3] - place[1])
    )


class Counting(torch.nn.Module):
    """A net that keeps the crops that it is asked about with a gradient."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net
        self.asked: list[torch.Tensor] = []

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        if crops.requires_grad:
            self.asked.append(crops.detach())
        answer: torch.Tensor = self.net(crops)
        return answer


def test_the_face_is_no_longer_the_persons(faces: list[Found], protected: NDArray[np.uint8]) -> None:
    (image, face), other, _ = faces
    assert distance((image, face), other) < 0.6
    assert distance((image, face), (protected, face)) > 0.75
    assert distance(other, (protected, face)) > 0.6


def test_noise_stays_inside_eps_and_on_the_head(faces: list[Found], dlib: list[Recognizer]) -> None:
    """Also where recognisers cut out more than the head; of a photo that is no face, noise goes anywhere."""
    image, face = faces[0]
    wide, place = np.pad(image, ((60, 60), (60, 60), (0, 0)), mode="reflect"), moved(face, 60, 60)
    whole = Similarity(complex(max(wide.shape) / dlib[0].size), 0j)
    share = head_mask(head_frame(place), wide.shape[:2])[0, 0].numpy()
    for mask in (True, False):
        result, _ = protect_faces(wide, [place], Protection(replace(QUICK, steps=4), dlib, mask=mask), more=[[[whole]]])
        change = change_of(result, wide)
        assert change.max() == LEVELS
        assert (change <= LEVELS * share + 0.5).all() == mask
        assert bool(change[share == 0].any()) != mask


def test_random_noise_of_that_size_changes_nothing(faces: list[Found]) -> None:
    image, face = faces[0]
    signs = np.random.default_rng(0).choice([-LEVELS, LEVELS], image.shape)
    noisy = np.clip(image + signs, 0, 255).astype(np.uint8)
    assert distance((image, face), (noisy, face)) < 0.6


def test_no_more_is_seen_than_the_strength_says_and_not_much_less(faces: list[Found], dlib: list[Recognizer]) -> None:
    image, face = faces[0]
    result, (outcome,) = protect_faces(image, [face], Protection(SEEN, dlib))
    found = seen(image, result, face)
    assert SEEN.kept(found)
    assert found == outcome.seen
    assert found.shape > 0.6 * SEEN.shape
    assert found.noise < 90
    assert outcome.change.points.any()
    assert distance((image, face), (result, face)) > 0.3


def test_without_a_shape_nothing_moves(faces: list[Found], dlib: list[Recognizer]) -> None:
    image, face = faces[0]
    still = replace(SEEN, shape=0, steps=3)
    result, (outcome,) = protect_faces(image, [face], Protection(still, dlib))
    assert not outcome.change.points.any()
    assert outcome.seen is not None
    assert still.kept(outcome.seen)
    assert 0 < change_of(result, image).max() <= round(still.eps * 255), "a line that moves changes pixels by more"


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


@pytest.mark.parametrize("strength", [QUICK, replace(SEEN, steps=2)], ids=["bounded", "seen"])
def test_grey_stays_grey(strength: Strength, faces: list[Found], dlib: list[Recognizer]) -> None:
    image, face = faces[0]
    result, (outcome,) = protect_faces(image, [face], Protection(strength, dlib), grey=True)
    assert np.array_equal(result[..., 0], result[..., 1])
    assert np.array_equal(result[..., 0], result[..., 2])
    assert change_of(result, image).any()
    assert strength is not QUICK or outcome.distance > 1.1


def test_a_budget_ends_it_early(pair: tuple[NDArray[np.uint8], list[Face]], dlib: list[Recognizer]) -> None:
    """Each face gets one step at least."""
    image, both = pair
    endless = replace(QUICK, steps=100_000)
    steps: list[Step] = []
    _, outcomes = protect_faces(image, both, Protection(endless, dlib, budget=0.01), progress=steps.append)
    assert [outcome.steps for outcome in outcomes] == [1, 1]
    assert not any(outcome.reached for outcome in outcomes)
    assert [(step.face, step.faces, step.step) for step in steps] == [(1, 2, 1), (1, 2, 1), (2, 2, 1), (2, 2, 1)]
    assert steps[0].distances.keys() == {"dlib"}
    assert steps[-1].share == 1


def test_known_faces_are_made_again_and_not_attacked(
    pair: tuple[NDArray[np.uint8], list[Face]], dlib: list[Recognizer]
) -> None:
    image, both = pair
    net = Counting(dlib[0].embedding)
    protection = Protection(replace(QUICK, steps=4), [replace(dlib[0], embedding=net)])
    steps: list[Step] = []
    first, outcomes = protect_faces(image, both, protection, progress=steps.append)
    shares = [step.share for step in steps]
    assert len(net.asked) == 8
    assert shares == sorted(shares)
    assert {0.125, 0.5, 0.625, 1} <= set(shares)
    again, kept = protect_faces(image, both, protection, known=outcomes)
    assert len(net.asked) == 8
    assert np.array_equal(again, first)
    assert [(one.steps, one.reached, one.distance) for one in kept] == [(o.steps, o.reached, o.distance) for o in outcomes]
    place = protection.surrogates[0].align(image, moved(both[1], 5, 5))
    other, _ = protect_faces(image, both, protection, known=[outcomes[0], None], more=[(), [place]])
    assert len(net.asked) == 12
    middle = image.shape[1] // 2
    assert np.array_equal(other[:, :middle], first[:, :middle])
    assert not np.array_equal(other, first)


def test_two_faces_that_overlap_share_one_eps(faces: list[Found], dlib: list[Recognizer]) -> None:
    """The same face once more, moved by a few pixels: together they may not change a pixel by more than eps."""
    image, face = faces[0]
    shifted = moved(face, 12, 9)
    result, outcomes = protect_faces(image, [face, shifted], Protection(QUICK, dlib))
    assert len(outcomes) == 2
    assert change_of(result, image).max() <= LEVELS
    assert distance((image, face), (result, face)) > 0.6


@pytest.mark.parametrize("strength", [QUICK, replace(SEEN, steps=1)], ids=["bounded", "seen"])
def test_what_is_saved_is_what_counts(strength: Strength, faces: list[Found], dlib: list[Recognizer]) -> None:
    """A format that loses all noise is never protected, and nothing is seen of it."""
    image, face = faces[0]
    x0, y0, x1, y1 = face_window(image, face, dlib).place

    def lose_all(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.ascontiguousarray(image[y0:y1, x0:x1])

    _, (outcome,) = protect_faces(image, [face], Protection(strength, dlib, encode=lose_all))
    assert not outcome.reached
    assert outcome.distance < 0.05
    assert outcome.seen is None if strength is QUICK else outcome.seen is not None and outcome.seen.noise > 99


def test_a_decoy_is_nobody_and_faces_move_away_and_nearer_to_it(faces: list[Found], dlib: list[Recognizer]) -> None:
    image, face = faces[0]
    crowd = Crowd.seen_by(dlib)
    decoy = crowd.decoy(3)
    assert torch.equal(decoy[0], Crowd.seen_by(dlib).decoy(3)[0])
    assert float((decoy[0] - crowd.decoy(4)[0]).norm()) > 0.5
    assert float((crowd.people[0] - decoy[0]).norm(dim=1).min()) > 1
    own = embed_face(image, face, dlib)[0]
    strong = Strength.bounded(16 / 255, 16)
    result, (outcome,) = protect_faces(image, [face], Protection(strong, dlib, way=lambda number, own: decoy))
    after = embed_face(result, face, dlib)[0]
    assert float((after - decoy[0]).norm(dim=1).max()) < float((own - decoy[0]).norm(dim=1).min()) - 0.3
    assert outcome.reached, "away from the person first of all"


def test_ways_are_one_photo_s_own(dlib: list[Recognizer]) -> None:
    crowd = Crowd.seen_by(dlib)
    own = [torch.zeros(1, crowd.people[0].shape[1])]
    first = crowd.way_of(b"one", 0, own)[0]
    assert torch.equal(first, crowd.way_of(b"one", 0, own)[0])
    others = [crowd.way_of(photo, face, own)[0] for photo, face in ((b"one", 1), (b"two", 0))]
    assert all(float((first - other).norm()) > 0.5 for other in others)
    elsewhere = crowd.way_of(b"one", 0, [first])[0]
    assert float((first - elsewhere).norm()) > 1, "a way keeps off what it leads away from"


def test_eps_below_a_grey_level_is_refused(faces: list[Found], dlib: list[Recognizer]) -> None:
    image, face = faces[0]
    with pytest.raises(ConfigError, match="less than one grey level"):
        protect_faces(image, [face], Protection(replace(QUICK, eps=0.5 / 255), dlib))


class Halves(torch.nn.Module):
    """How bright the left and the right half of a crop are."""

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        return torch.stack([part.mean((1, 2, 3)) for part in crops.chunk(2, dim=3)], dim=1)


@pytest.mark.parametrize("wide", [True, False], ids=["wide", "narrow"])
def test_every_view_differs_and_wide_ones_are_mirrored_and_dimmed(
    wide: bool, faces: list[Found], dlib: list[Recognizer]
) -> None:
    image, face = faces[0]
    bright = np.zeros_like(image)
    bright[:, : round(face.box.x0 + face.box.width / 2)] = 200  # the face's right half, on the left in the picture
    net = Counting(Halves())
    surrogate = replace(dlib[0], embedding=net, wide_views=wide)
    protect_faces(bright, [face], Protection(Strength.bounded(1 / 255, 40), [surrogate]))
    drawn = torch.cat([Halves()(crops) for crops in net.asked])
    assert len(drawn.unique(dim=0)) == len(drawn) == 40
    plain = Halves()(to_tensor(surrogate.cut(bright, face)[None]))[0]
    assert plain[0] > plain[1]
    mirrored, brightness = int((drawn[:, 0] < drawn[:, 1]).sum()), drawn.amax(1)
    if wide:
        assert 10 <= mirrored <= 30
        assert float(brightness.max()) > 0.9 * float(plain.max())
        assert float(brightness.min()) < 0.65 * float(plain.max())
    else:
        assert mirrored == 0
        assert float(brightness.min()) > 0.85 * float(plain.max())


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
