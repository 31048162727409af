"""Files of strangers: no pickle in any container is read, nothing of theirs runs, and none takes all memory."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from faceenc.attacks import engine_in_use
from faceenc.core import CheckpointError, ConfigError
from faceenc.recognizers import load_recognizer


class Planted:
    """A pickle that leaves a file behind when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "it-ran"


@pytest.fixture
def planted(trace: Path) -> bytes:
    return pickle.dumps(Planted(trace), protocol=2)


def small_net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.ReLU(), nn.Flatten(), nn.Linear(64, 6)).eval()


def with_classes(path: Path, people: int) -> None:
    """A description beside the model: embedders are shown faces first, which takes seconds."""
    (path.parent / "people.txt").write_text("\n".join(f"p{k}" for k in range(people)))
    path.with_suffix(".toml").write_text('classes = "people.txt"')


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A harmless .pt2 file, which loads."""
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(small_net(), (torch.rand(2, 3, 32, 32),)), path)
    with_classes(path, 6)
    return path


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    with zipfile.ZipFile(path) as archive:
        entries = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(f"net/{name}", data)
    return path


def edited(name: str, change: Callable[[Any], None]) -> Callable[[dict[str, bytes]], None]:
    def edit(entries: dict[str, bytes]) -> None:
        table = json.loads(entries[name])
        change(table)
        entries[name] = json.dumps(table).encode()

    return edit


def refused(spec: str, words: str, trace: Path, *, trust_code: bool = True) -> None:
    with pytest.raises((CheckpointError, ConfigError), match=words) as caught:
        load_recognizer(spec, trust_code=trust_code)
    assert "\n" not in str(caught.value)
    assert not trace.exists(), "code of the file ran"


def test_a_planted_pickle_does_run_where_it_is_read(planted: bytes, trace: Path) -> None:
    pickle.loads(planted)
    assert trace.exists()


@pytest.mark.parametrize("kind", ["onnx:", "torch:"])
@pytest.mark.parametrize("name", ["net.pth", "net.pt2", "net.onnx"])
def test_a_bare_pickle_is_refused_by_any_name(kind: str, name: str, planted: bytes, trace: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(planted)
    refused(f"{kind}{tmp_path / name}", "is a pickle, which may run anything", trace)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_of_torch_save_is_refused(legacy: bool, trace: Path, tmp_path: Path) -> None:
    torch.save(Planted(trace), tmp_path / "net.pth", _use_new_zipfile_serialization=not legacy)
    refused(f"torch:{tmp_path / 'net.pth'}", "a pickle, which may run anything", trace)
    refused(f"onnx:{tmp_path / 'net.pth'}", "pickle|zip file, as torch writes", trace)


def test_the_samples_of_a_program_are_not_read(program: Path, planted: bytes, trace: Path) -> None:
    whole = io.BytesIO()
    torch.save(Planted(trace), whole)
    for data in (planted, whole.getvalue()):
        rewritten(program, lambda entries, data=data: entries.update({"data/sample_inputs/model.pt": data}))  # type: ignore[misc]
        assert load_recognizer(f"torch:{program}").embedding(torch.rand(3, 3, 32, 32)).shape == (3, 6)
        assert not trace.exists()


@pytest.mark.parametrize(
    "name", ["data/weights/model.pt", "data/constants/model.pt", "data/constants/custom_obj_0", "data/constants/opaque_0",
             "data/aotinductor/model/model.so", "extra/more.pkl"],
)  # fmt: skip
def test_entries_of_a_program_that_may_run_are_refused(name: str, program: Path, planted: bytes, trace: Path) -> None:
    rewritten(program, lambda entries: entries.update({name: planted}))
    refused(f"torch:{program}", "which is not read", trace)


WEIGHTS, MODEL = "data/weights/model_weights_config.json", "models/model.json"


def _first(table: Any) -> Any:
    return next(iter(table["config"].values()))


def _nodes(table: Any) -> Any:
    return table["graph_module"]["graph"]["nodes"]


def _claims(table: Any) -> None:
    _first(table)["tensor_meta"]["sizes"] = [{"as_int": 10**6}, {"as_int": 10**6}]


def _expression(table: Any) -> None:
    values = table["graph_module"]["graph"]["tensor_values"]
    next(iter(values.values()))["sizes"][0] = {"as_expr": {"expr_str": "__import__('os').system('touch it-ran')"}}


def _named(table: Any) -> None:
    _nodes(table)[0]["name"] = "x\n    import os"


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        (WEIGHTS, lambda table: _first(table).update(use_pickle=True), "as a pickle, which is not read"),
        (WEIGHTS, _claims, "claims a weight of shape"),
        (MODEL, lambda table: _nodes(table)[0].update(target="torch.os.system"), "calls torch.os.system, which is not run"),
        (MODEL, lambda table: _nodes(table)[0].update(target="torch.ops.higher_order.cond"), "which is not run"),
        (MODEL, _expression, "holds expr_str .*which is not run"),
        (MODEL, _named, "holds name .*which is not run"),
        (MODEL, lambda table: table.update(graph_module=[]), "is damaged"),
    ],
)
def test_what_a_program_may_not_hold(
    file: str, change: Callable[[Any], None], words: str, program: Path, trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trace.parent)
    rewritten(program, edited(file, change))
    refused(f"torch:{program}", words, trace)


def test_torchscript_needs_trust_and_its_pickles_are_looked_through(planted: bytes, trace: Path, tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    with pytest.warns(match="deprecated"):
        torch.jit.script(small_net()).save(path)
    refused(f"torch:{path}", "is TorchScript, which runs code of its maker: add `trust_code`", trace, trust_code=False)
    rewritten(path, lambda entries: entries.update({"data.pkl": planted}))
    refused(f"torch:{path}", "holds .* in net/data.pkl, and is not read", trace)


def image_net(path: Path, nodes: list[Any], weights: list[Any], shape: tuple[Any, ...] = (1, 3, 32, 32)) -> Path:
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], weights,
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def weight(shape: tuple[int, ...]) -> Any:
    return numpy_helper.from_array(np.random.default_rng(0).normal(size=shape).astype(np.float32), "w")


def plain(path: Path, **words: Any) -> Path:
    flat = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"])]
    return image_net(path, flat, [weight((3072, 8))], **words)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A model whose weights lie in a file beside it."""
    path = plain(tmp_path / "net.onnx")
    with_classes(path, 8)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="net.data", size_threshold=0)
    return path


def test_external_data_is_read_from_the_model_s_folder_alone(outside: Path, planted: bytes, trace: Path) -> None:
    (outside.parent / "net.data").write_bytes(planted)
    refused(f"onnx:{outside}", r"net\.data is a pickle", trace)
    (outside.parent / "net.data").write_bytes(b"\x01" * 10)
    refused(f"onnx:{outside}", "has 10 bytes, net.onnx says", trace)
    proto = onnx.load(outside, load_external_data=False)
    for place in ("../net.data", "/etc/passwd", "none.data"):
        proto.graph.initializer[0].external_data[0].value = place
        outside.write_bytes(proto.SerializeToString())
        refused(f"onnx:{outside}", "which is no file in its folder", trace)


def test_a_net_of_one_picture_at_a_time_takes_many(outside: Path) -> None:
    found = load_recognizer(f"onnx:{outside}")
    x = torch.rand(5, 3, 32, 32)
    torch.testing.assert_close(found.embedding(x), torch.cat([found.embedding(one[None]) for one in x]))
    assert found.judging is not None
    torch.testing.assert_close(found.judging(x), found.embedding(x), atol=1e-5, rtol=0)


def test_a_net_of_one_picture_at_a_time_is_a_graph_that_engines_make_faster(tmp_path: Path) -> None:
    """Convolutions, PReLUs, a sum and a shape with the batch in it, as face nets of one picture have them."""
    random = np.random.default_rng(0)

    def tensor(name: str, *shape: int) -> Any:
        return numpy_helper.from_array(random.normal(0, 0.3, shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], kernel_shape=[3, 3], strides=[4, 4]),
        helper.make_node("PRelu", ["a", "slope"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c", "b"], ["d"]),
        helper.make_node("Reshape", ["d", "s"], ["f"]),
        helper.make_node("MatMul", ["f", "w3"], ["y"]),
    ]
    weights = [
        *(tensor("w1", 8, 3, 3, 3), tensor("slope", 8, 1, 1), tensor("w2", 8, 8, 3, 3), tensor("w3", 512, 16)),
        numpy_helper.from_array(np.array([1, -1]), "s"),
    ]
    found = load_recognizer(f"onnx:{image_net(tmp_path / 'net.onnx', nodes, weights)}")
    assert engine_in_use(found.embedding, "fused") == "fused (traced graph)"
    x = torch.rand(5, 3, 32, 32)
    assert found.judging is not None
    torch.testing.assert_close(found.judging(x), found.embedding(x), atol=1e-5, rtol=0)


def _huge(path: Path) -> Path:
    shape = numpy_helper.from_array(np.array([1, 3, 32, 10**9]), "s")
    return image_net(
        path, [helper.make_node("ConstantOfShape", ["s"], ["o"]), helper.make_node("Add", ["x", "o"], ["y"])], [shape]
    )


def _unknown(path: Path) -> Path:
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
        helper.make_node("Cast", ["m"], ["n"], to=TensorProto.INT64),
        helper.make_node("Unsqueeze", ["n", "a"], ["s"]),
        helper.make_node("ConstantOfShape", ["s"], ["y"]),
    ]
    return image_net(path, nodes, [numpy_helper.from_array(np.array([0]), "a")])


def _loop(path: Path) -> Path:
    body = helper.make_graph([], "body", [], [])
    return image_net(path, [helper.make_node("Loop", ["", ""], ["y"], body=body)], [])


def _bytes(data: bytes) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        path.write_bytes(data)
        return path

    return make


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_huge, r"makes a tensor of shape \[1, 3, 32, 1000000000\]"),
        (_unknown, "makes a tensor of no known size"),
        (_loop, "has a node ai.onnx.Loop, which is not run"),
        (lambda path: plain(path, shape=(1, 3, 32, 16)), "pictures of 32 x 16 pixels"),
        (lambda path: plain(path, shape=(1, 3072)), "expected pictures"),
        (_bytes(b""), "is an empty file"),
        (_bytes(b"no net at all"), "cannot be read as ONNX|no graph"),
        (_bytes(b"<!DOCTYPE html>"), "is a page of the web"),
        (lambda path: path / "none", "does not exist"),
    ],
)
def test_onnx_files_that_are_none_or_too_much(make: Callable[[Path], Path], words: str, trace: Path, tmp_path: Path) -> None:
    refused(f"onnx:{make(tmp_path / 'net.onnx')}", words, trace)


def test_what_has_no_gradients_judges_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    nodes = [
        helper.make_node("Mul", ["x", "k"], ["m"]),
        helper.make_node("Round", ["m"], ["r"]),
        helper.make_node("Flatten", ["r"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    path = image_net(tmp_path / "net.onnx", nodes, [weight((3072, 8)), numpy_helper.from_array(np.float32([9]), "k")])
    with_classes(path, 8)
    found = load_recognizer(f"onnx:{path}")
    assert not found.differentiable
    assert "only judges: its torch module has no gradient" in caplog.text
    assert found.embed_crops(np.zeros((2, 32, 32, 3), np.uint8)).shape == (2, 8)
    with pytest.raises(ConfigError, match="gives no gradients"):
        found.embed(torch.rand(1, 3, 32, 32).requires_grad_(True))
