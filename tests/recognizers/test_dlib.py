"""dlib's face net as a torch module, against dlib itself where it is installed; and what is transplanted from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from faceenc.core import ASSETS, CheckpointError, Face, cache_dir, fetch
from faceenc.data import enlarge, read_orl
from faceenc.faces import FaceDetector
from faceenc.media import to_tensor
from faceenc.recognizers import MEANS, DlibNet, FaceResNet, chip, dlib_chip, load_dlibnet, read_network
from faceenc.train import embedding_head, transplant_weights

PEOPLE, PHOTOS = 10, 3


@pytest.fixture(scope="module")
def net() -> DlibNet:
    return load_dlibnet()


@pytest.fixture(scope="module")
def photos() -> list[tuple[NDArray[np.uint8], Face]]:
    """Three enlarged ORL pictures of each of ten people, with their face."""
    pictures = read_orl()
    with FaceDetector() as detector:
        large = [enlarge(pictures[f"s{s}/{k}"]) for s in range(1, PEOPLE + 1) for k in range(1, PHOTOS + 1)]
        return [(picture, detector(picture)[0]) for picture in large]


@pytest.fixture(scope="module")
def chips(photos: list[tuple[NDArray[np.uint8], Face]]) -> NDArray[np.uint8]:
    return np.stack([chip(*photo) for photo in photos])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: data[:-1], "ends too early"),
        (lambda data: data + b"0", "end of the file"),
        (lambda data: data[:2], "ends too early"),
        (lambda data: data.replace(b"loss_metric_2", b"loss_metric_9", 1), "loss_metric_9"),
        (lambda data: data.replace(b"max_pool_2", b"avg_pool_2", 1), "avg_pool_2"),
        (lambda data: b"", "ends too early"),
    ],
)
def test_any_other_file_is_refused(damage: object, reason: str) -> None:
    data = fetch("dlib-face-net").read_bytes()
    with pytest.raises(CheckpointError, match=reason) as caught:
        read_network(damage(data))  # type: ignore[operator]
    assert "\n" not in str(caught.value)


def test_weights_are_kept_as_safetensors(net: DlibNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = fetch("dlib-face-net").read_bytes()
    assert (cache_dir() / "dlib-face-net.safetensors").is_file(), "the fixture has loaded the net"
    monkeypatch.setenv("FACEENC_CACHE", str(tmp_path))
    monkeypatch.setenv("FACEENC_OFFLINE", "1")
    (tmp_path / ASSETS["dlib-face-net"].filename).write_bytes(source)
    load_dlibnet()
    (tmp_path / ASSETS["dlib-face-net"].filename).unlink()
    again = load_dlibnet()  # from the safetensors alone
    for (name, value), other in zip(net.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(value, other), name
    kept = tmp_path / "dlib-face-net.safetensors"
    kept.write_bytes(kept.read_bytes()[:1000])
    (tmp_path / ASSETS["dlib-face-net"].filename).write_bytes(source)
    assert torch.equal(load_dlibnet().head.weight, net.head.weight), "a damaged file is made anew"


def test_embeddings_tell_people_apart(net: DlibNet, chips: NDArray[np.uint8]) -> None:
    embeddings = net(to_tensor(chips))
    assert embeddings.shape == (PEOPLE * PHOTOS, 128)
    distances = torch.cdist(embeddings, embeddings)
    same = torch.arange(len(chips))[:, None] // PHOTOS == torch.arange(len(chips)) // PHOTOS
    genuine = distances[same & ~torch.eye(len(chips), dtype=torch.bool)]
    assert genuine.median() < 0.45
    assert distances[~same].median() > 0.6
    nearest = (distances + 9 * torch.eye(len(chips))).argmin(1)
    assert (nearest // PHOTOS == torch.arange(len(chips)) // PHOTOS).float().mean() > 0.95


def test_other_sizes_are_refused(net: DlibNet) -> None:
    with pytest.raises(ValueError, match="150"):
        net(torch.zeros(1, 3, 160, 160))


def test_equal_to_dlib_itself(net: DlibNet, chips: NDArray[np.uint8]) -> None:
    dlib = pytest.importorskip("dlib")
    reference = dlib.face_recognition_model_v1(str(fetch("dlib-face-net")))
    rng = np.random.default_rng(0)
    # Faces, noise, and the largest contrasts there are.
    tried = [*chips[::6], rng.integers(0, 256, (150, 150, 3), np.uint8), rng.integers(0, 2, (150, 150, 3), np.uint8) * 255]
    wanted = np.array([np.array(reference.compute_face_descriptor(picture)) for picture in tried])
    assert np.abs(net(to_tensor(np.stack(tried))).numpy() - wanted).max() < 1e-5


def test_chips_by_key_points_and_by_dlibs_landmarks_agree(
    net: DlibNet, photos: list[tuple[NDArray[np.uint8], Face]], chips: NDArray[np.uint8]
) -> None:
    """Against dlib's whole pipeline: its detector, its landmarks, its chip."""
    dlib = pytest.importorskip("dlib")
    detector, predictor = dlib.get_frontal_face_detector(), dlib.shape_predictor(str(fetch("dlib-landmarks-5")))
    distances = []
    for (picture, face), by_key_points in list(zip(photos, chips, strict=True))[::3]:
        found = detector(picture, 0)
        if not found:
            continue
        own = dlib.get_face_chip(picture, predictor(picture, found[0]), size=150, padding=0.25)
        e = net(to_tensor(np.stack([own, by_key_points, dlib_chip(picture, face)])))
        distances.append([float((e[1] - e[0]).norm()), float((e[2] - e[0]).norm())])
    assert len(distances) > 5
    key_points, landmarks = np.median(distances, 0)
    assert key_points < 0.25, "different people are 0.76 apart, a mirror image 0.19"
    assert landmarks < 0.15


def test_the_transplanted_blocks_compute_the_same(net: DlibNet, chips: NDArray[np.uint8]) -> None:
    """ResNet-18 pads where dlib does not: one pixel further on their windows coincide, away from the border."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = FaceResNet(("a", "b"))
    x = to_tensor(chips[:4])
    transplant_weights(model, net, x)
    resnet = model.network
    with torch.no_grad():
        ours = resnet.bn1(resnet.conv1(((x - model.mean) / model.std)[:, :, 1:, 1:])).relu()
        theirs = net.stem((x * 255 - torch.tensor(MEANS).view(1, 3, 1, 1)) / 256).relu()
        torch.testing.assert_close(ours[:, :32, 2:60, 2:60], theirs[:, :, 1:59, 1:59], rtol=1e-3, atol=1e-3)
        ours, theirs = resnet.layer1[0](resnet.maxpool(ours)), net.blocks[0](torch.nn.functional.max_pool2d(theirs, 3, 2))
        torch.testing.assert_close(ours[:, :32, 5:28, 5:28], theirs[:, :, 4:27, 4:27], rtol=1e-3, atol=1e-3)


def test_the_embedding_head_is_the_regression() -> None:
    """Targets that are a linear function of the features are found again, up to the ridge."""
    rng = torch.Generator().manual_seed(0)
    features = torch.rand(2000, 16, generator=rng)
    weight, bias = torch.randn(16, 8, generator=rng), torch.randn(8, generator=rng)
    found = embedding_head(features, features @ weight + bias)
    assert found.weight.shape == (8, 16)
    torch.testing.assert_close(found.weight.T, weight, rtol=0.03, atol=0.03)
    torch.testing.assert_close(found(features).mean(0), (features @ weight + bias).mean(0), rtol=1e-4, atol=1e-4)
