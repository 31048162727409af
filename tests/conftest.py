"""Shared by all tests: a small recogniser that has learnt something, and images to attack."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from faceenc.attacks import Dodge, Impersonate
from faceenc.core import Goal
from faceenc.data import FaceSet
from faceenc.recognizers import FaceResNet
from tests.face_photos import fill_cache

SIZE, PEOPLE = 64, 8
FRBENCH_NET = "mobilefacenet_arcface_ms1m"

# Processes side by side that each take all cores would wait for one another. The commands that tests start take as many
# threads as the tests themselves: another number of threads adds in another order.
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    threads = max(1, (os.cpu_count() or 1) // int(workers))
    os.environ["OMP_NUM_THREADS"] = str(threads)
    torch.set_num_threads(threads)


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test writes to the user's log or configuration, nor takes the user's passphrase."""
    folder = tmp_path_factory.mktemp("user")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEENC_LOG", str(folder / "log"))
        patch.setenv("FACEENC_CONFIG", str(folder / "config"))
        patch.delenv("FACEENC_PASSPHRASE", raising=False)
        yield


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with the assets and without any crops, for one file of tests."""
    folder = tmp_path_factory.mktemp("cache")
    fill_cache(folder)
    return folder


@pytest.fixture
def cache(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That folder, in use."""
    monkeypatch.setenv("FACEENC_CACHE", str(own_cache))
    return own_cache


@pytest.fixture(autouse=True)
def fresh_logging() -> None:
    """A command sets up the package's logger; what one test's command says must not depend on another's."""
    logger = logging.getLogger("faceenc")
    # Before each test: a wider fixture's command has run by then, and nothing had put that right.
    logger.handlers = []
    logger.setLevel(logging.NOTSET)


def smooth_images(count: int, size: int, seed: int) -> torch.Tensor:
    """(count, 3, size, size) blurry random pictures on the 8-bit grid, in [0, 1]."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 6, generator=rng)
    return (torch.nn.functional.interpolate(coarse, size, mode="bicubic").clamp(0, 1) * 255).round() / 255


def noisy_people(people: int, photos: int, size: int) -> FaceSet:
    """Easily told "people": each a smooth picture, noise in each photo; the first eight photos are for training."""
    rng = np.random.default_rng(0)
    base = (smooth_images(people, size, seed=4).permute(0, 2, 3, 1).numpy() * 255).astype(np.int16)
    noisy = np.stack([base + rng.integers(-12, 13, base.shape) for _ in range(photos)], 1).clip(0, 255)
    index = np.arange(people * photos)
    return FaceSet(
        name="blobs",
        classes=tuple(f"p{k}" for k in range(people)),
        images=noisy.astype(np.uint8).reshape(-1, size, size, 3),
        labels=index // photos,
        files=tuple(f"p{k // photos}/{k % photos}" for k in index),
        train=index[index % photos < 8],
        test=index[index % photos >= 8],
        credit="made here",
    )


@pytest.fixture(scope="session")
def images() -> torch.Tensor:
    return smooth_images(PEOPLE, SIZE, seed=1)


@pytest.fixture(scope="session")
def labels() -> torch.Tensor:
    return torch.arange(PEOPLE)


@pytest.fixture(scope="session")
def recognizer(images: torch.Tensor, labels: torch.Tensor) -> FaceResNet:
    """A ResNet-18 trained for a few seconds to tell `images` apart."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = FaceResNet(tuple(f"p{k}" for k in range(PEOPLE)), SIZE)
    rng = torch.Generator().manual_seed(2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(20):
        noisy = (images.repeat(2, 1, 1, 1) + 0.05 * torch.randn(2 * PEOPLE, 3, SIZE, SIZE, generator=rng)).clamp(0, 1)
        loss = torch.nn.functional.cross_entropy(model(noisy), labels.repeat(2), label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    optimizer.zero_grad()
    model.eval()
    with torch.no_grad():
        assert (model(images).argmax(1) == labels).all()
    return model


@pytest.fixture(params=["dodge", "impersonate"])
def goal(request: pytest.FixtureRequest, labels: torch.Tensor) -> Goal:
    return Dodge(labels) if request.param == "dodge" else Impersonate((labels + 1) % PEOPLE)


@pytest.fixture
def frbench_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What frbench would fetch, with random weights."""
    frbench = pytest.importorskip("frbench")
    from frbench.backbones import build_backbone

    monkeypatch.setenv("FRBENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("FRBENCH_CONFIG", str(tmp_path / "config.json"))
    folder = tmp_path / FRBENCH_NET
    folder.mkdir()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        torch.save(build_backbone("mobilefacenet", {}, torch.device("cpu")).state_dict(), folder / "weights.pt")
    (folder / "config.yaml").write_text(
        "backbone: {name: mobilefacenet}\ninput: {mean: [0.5, 0.5, 0.5], var: [0.5, 0.5, 0.5]}"
    )
    contents = {"config": "config.yaml", "weight": "weights.pt"}
    manifest = {
        FRBENCH_NET: {"target_name": FRBENCH_NET, "contents": contents, "sha": "0"},
        "retinaface_mobilenetv1": {"target_name": "none"},
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert Path(frbench.CACHE) == tmp_path
    return tmp_path
