"""Recognisers on ORL faces: dlib itself, its twin, a trained one's features, and frbench where it is installed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from faceenc.core import AssetError, Box, CheckpointError, Face, fetch
from faceenc.data import enlarge, read_orl
from faceenc.faces import AlignedCrop, FaceDetector, frame_face
from faceenc.media import to_tensor
from faceenc.recognizers import (
    FaceResNet,
    Recognizer,
    _fitted,
    _hog_detector,
    has_dlib,
    hog_box,
    load_judges,
    load_recognizer,
    operating_point,
    save_checkpoint,
)
from tests.conftest import FRBENCH_NET as NET

Photo = tuple[NDArray[np.uint8], Face]
NAMES = ("s1/1", "s1/2", "s2/1", "s3/1")

needs_dlib = pytest.mark.skipif(not has_dlib(), reason="dlib-bin is not installed")


@pytest.fixture(scope="module")
def detector() -> Iterator[FaceDetector]:
    with FaceDetector() as found:
        yield found


@pytest.fixture(scope="module")
def photos(detector: FaceDetector) -> dict[str, Photo]:
    pictures = read_orl()
    return {name: (large := enlarge(pictures[name]), detector(large)[0]) for name in NAMES}


@pytest.mark.parametrize("spec", [pytest.param("dlib", marks=needs_dlib), "dlib-torch"])
def test_dlib_and_its_twin_tell_people_apart(spec: str, photos: dict[str, Photo]) -> None:
    judge = load_recognizer(spec)
    threshold = operating_point(judge).threshold
    assert judge.name == spec
    first, same, *others = (judge.embed_face(*photos[name]) for name in NAMES)
    assert first.shape == (128,)
    assert judge.distance(first, first) == 0
    assert judge.distance(first, same) < threshold == 0.6
    assert min(judge.distance(first, other) for other in others) > threshold
    together = judge.embed_crops(np.stack([judge.cut(*photos[name]) for name in NAMES]))
    np.testing.assert_allclose(together[:2], [first, same], atol=1e-5)


@needs_dlib
def test_the_twin_agrees_with_dlib_but_for_the_landmarks(photos: dict[str, Photo]) -> None:
    dlib, twin = load_recognizer("dlib"), load_recognizer("dlib-torch")
    assert dlib.network == twin.network
    distances = [np.linalg.norm(dlib.embed_face(*photo) - twin.embed_face(*photo)) for photo in photos.values()]
    assert max(distances) < 0.35, "a mirror image is 0.2 away, different people 0.76"


@needs_dlib
def test_dlibs_judge_is_dlibs_own_pipeline(photos: dict[str, Photo]) -> None:
    import dlib

    judge = load_recognizer("dlib")
    hog, predictor = dlib.get_frontal_face_detector(), dlib.shape_predictor(str(fetch("dlib-landmarks-5")))
    net = dlib.face_recognition_model_v1(str(fetch("dlib-face-net")))
    image, face = photos["s1/1"]
    (rectangle,) = hog(image, 0)
    own = np.array(net.compute_face_descriptor(image, predictor(image, rectangle), 0, 0.25))
    # The detector's rectangles lie on a grid, and ours are found at another size.
    assert np.linalg.norm(judge.embed_face(image, face) - own) < 0.15


@needs_dlib
def test_the_detectors_copy_finds_the_same_and_is_made_anew_when_damaged(
    photos: dict[str, Photo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEENC_CACHE", str(tmp_path))
    boxes = []
    for damage in (None, None, b"dlib"):  # made, read, made again
        if damage:
            (copy,) = tmp_path.glob("dlib-finder-*.svm")
            copy.write_bytes(damage)
        _hog_detector.cache_clear()
        boxes.append([hog_box(*photo) for photo in photos.values()])
    assert boxes[0] == boxes[1] == boxes[2]
    assert all(boxes[0])
    (copy,) = tmp_path.iterdir()
    assert copy.stat().st_size > 100_000


@needs_dlib
def test_dlibs_detector_sees_small_faces_too(photos: dict[str, Photo]) -> None:
    image, face = photos["s2/1"]
    factor = 0.12  # a face of 40 pixels
    small = np.array(Image.fromarray(image).resize((68, 78), Image.Resampling.BOX))
    box = Box(*(factor * v for v in (face.box.x0, face.box.y0, face.box.x1, face.box.y1)))
    points = tuple((factor * x, factor * y) for x, y in face.landmarks["mediapipe"])
    tiny = Face(box, {"mediapipe": points}, 1.0)
    large, little = hog_box(image, face), hog_box(small, tiny)
    assert large is not None
    assert little is not None
    assert little.width == pytest.approx(factor * large.width, rel=0.2)
    assert hog_box(np.full_like(image, 90), face) is None
    assert load_recognizer("dlib").embed_face(np.full_like(image, 90), face).shape == (128,), "MediaPipe's box then"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = FaceResNet(("a", "b"), 64, "aligned").eval()
    path = tmp_path_factory.mktemp("models") / "random.safetensors"
    save_checkpoint(model, path, {})
    return path


def test_a_trained_recogniser_judges_by_its_features(checkpoint: Path, photos: dict[str, Photo]) -> None:
    judge = load_recognizer(str(checkpoint))
    embeddings = np.stack([judge.embed_face(*photo) for photo in photos.values()])
    assert embeddings.shape == (4, 512)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    crop = frame_face(*photos["s3/1"], size=64, framing="aligned")
    np.testing.assert_array_equal(judge.cut(*photos["s3/1"]), crop)
    model = judge.classifier
    assert model is not None
    assert model(to_tensor(crop[None])).shape == (1, 2), "it still names people"
    model.network.fc = torch.nn.Identity()
    with torch.no_grad():
        pooled = model(to_tensor(crop[None]))[0].double().numpy()
    assert judge.distance(pooled / np.linalg.norm(pooled), embeddings[3]) < 1e-6
    assert judge.distance(embeddings[0], embeddings[1]) == pytest.approx(1 - embeddings[0] @ embeddings[1])


def test_a_threshold_that_one_in_a_hundred_strangers_passes(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    seen = []

    class Watched(AlignedCrop):
        def cut(self, image: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
            seen.append(super().cut(image, face))
            return seen[-1]

    class Pixels(torch.nn.Module):
        """The plainest of recognisers."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.normalize(x.flatten(1) - x.flatten(1).mean(1, keepdim=True), dim=1)

    judge = Recognizer("pixels", "pixels", Watched(16), Pixels())
    with caplog.at_level(logging.INFO, logger="faceenc"):
        point = operating_point(judge)
        threshold = point.threshold
        assert "fitting its threshold" in caplog.text
        caplog.clear()
        _fitted().clear()
        assert operating_point(Recognizer("again", "pixels", Watched(16), Pixels())) == point
        assert caplog.text == "", "it is kept for this network"
    assert len(list(cache.glob("threshold-*.npz"))) == 1
    assert len(seen) == 120
    assert point.pairs == 7020
    assert point.euclidean**2 == pytest.approx(2 * threshold)
    embeddings = judge.embed_crops(np.stack(seen))
    distances = 1 - embeddings @ embeddings.T
    people = np.arange(120) // 3
    passed = (distances[people[:, None] != people] <= threshold + 1e-9).mean()
    assert passed == pytest.approx(0.01, abs=0.0005)
    assert (distances[people[:, None] == people] <= threshold).mean() > 0.4


def test_each_recogniser_is_asked_once(checkpoint: Path, tmp_path: Path) -> None:
    judges = load_judges([str(checkpoint), str(checkpoint)])
    assert [judge.name for judge in judges] == ["dlib" if has_dlib() else "dlib-torch", str(checkpoint)]
    assert len({judge.network for judge in judges}) == 2
    with pytest.raises(CheckpointError, match="does not exist"):
        load_recognizer(str(tmp_path / "none.safetensors"))


def test_frbench_judges_and_carries_gradients(frbench_cache: Path, photos: dict[str, Photo]) -> None:
    judge = load_recognizer(f"frbench:{NET}")
    assert judge.name == f"frbench:{NET}"
    embedding = judge.embed_face(*photos["s1/1"])
    assert embedding.shape == (512,)
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)
    mirrored = np.ascontiguousarray(judge.cut(*photos["s1/1"])[:, ::-1])
    assert judge.distance(judge.embed_crops(mirrored[None])[0], embedding) < 1e-5, "the mean over both"
    x = to_tensor(judge.cut(*photos["s1/1"])[None]).requires_grad_(True)
    attacked = judge.embed(x)
    assert (attacked - judge.embed(x.flip(-1))).abs().max() > 1e-5, "gradients come from the face alone"
    (gradient,) = torch.autograd.grad(attacked[0, :5].sum(), x)
    assert (gradient != 0).float().mean() > 0.5
    assert judge.embed(torch.zeros(1, 3, 112, 112)).shape == (1, 512), "a black crop is no cause for a warning"


@pytest.mark.usefixtures("frbench_cache")
def test_frbenchs_crops_have_the_face_in_arcfaces_places(photos: dict[str, Photo]) -> None:
    image, face = photos["s2/1"]
    dotted = np.zeros_like(image)
    for x, y in face.landmarks["mediapipe"][:4]:
        dotted[round(y) - 6 : round(y) + 6, round(x) - 6 : round(x) + 6] = 255
    crop = load_recognizer(f"frbench:{NET}").cut(dotted, face)[..., 0].astype(float)
    assert crop.shape == (112, 112)
    for x, y in [(38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (56.1, 92.3)]:
        around = crop[round(y) - 9 : round(y) + 10, round(x) - 9 : round(x) + 10]
        rows, columns = np.indices(around.shape) - 9
        assert around.sum() > 0
        assert np.hypot((around * rows).sum(), (around * columns).sum()) / around.sum() < 6
    assert crop[:30].sum() == 0


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        (NET, lambda cache: (cache / "manifest.json").unlink(), "frbench-download"),
        (NET, lambda cache: (cache / NET / "weights.pt").unlink(), "frbench-download"),
        (NET, lambda cache: (cache / NET / "weights.pt").write_bytes(b"PK"), "--force"),
        ("retinaface_mobilenetv1", lambda cache: None, "no recogniser"),
        ("elephantnet_arcface_ms1m", lambda cache: None, "no recogniser"),
    ],
)
def test_what_frbench_lacks_is_said_and_not_fetched(name: str, damage: object, said: str, frbench_cache: Path) -> None:
    damage(frbench_cache)  # type: ignore[operator]
    before = sorted(frbench_cache.rglob("*"))
    with pytest.raises(AssetError, match=said) as caught:
        load_recognizer(f"frbench:{name}")
    assert "\n" not in str(caught.value)
    assert sorted(frbench_cache.rglob("*")) == before


def test_cosine_distances_are_never_negative() -> None:
    judge = Recognizer("any", "any", AlignedCrop(), torch.nn.Identity())
    one = np.full(3, 1 / np.sqrt(3)) * (1 + 1e-12)
    assert judge.distance(one, one) == 0
    assert judge.distance(one, -one) == pytest.approx(2)
