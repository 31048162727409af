"""Recognisers of others: each kind against what it was made of, their descriptions, who may attack them."""

from __future__ import annotations

import logging
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from faceenc.attacks import PGD, run_attack
from faceenc.cli import main
from faceenc.core import CheckpointError, ConfigError, fetch
from faceenc.recognizers import Description, FaceResNet, Recognizer, load_recognizer, load_surrogate, offered_recognizers

CODE = """
import numpy as np
import torch
from torchvision.models import resnet18


def make():
    torch.manual_seed(0)
    return resnet18(num_classes=16)


def words():
    return "a word"


def fails():
    raise KeyError("nothing there")


def scores(crops):
    assert crops.dtype == np.uint8
    return crops[:, :2, :2].reshape(len(crops), -1).astype(np.float32)


def labels(crops):
    return (crops[:, 0, 0, 0] > 127).astype(int)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module of others, and an installed package that offers one of its factories."""
    module = f"others_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{module}.py").write_text(CODE)
    (tmp_path / "people.txt").write_text("\n".join(f"p{k}" for k in range(16)))
    package = tmp_path / "offers-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: offers\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(f"[faceenc.recognizers]\noffered = {module}:make\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def module(home: Path) -> str:
    return next(home.glob("others_*.py")).stem


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def exported(recognizer: FaceResNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint's net by torch's exporters, with the description beside each file."""
    pytest.importorskip("onnxscript")
    folder = tmp_path_factory.mktemp("exported")
    dims = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(recognizer, (torch.rand(2, 3, 64, 64),), dynamic_shapes=dims)
    torch.export.save(program, folder / "net.pt2")
    torch.onnx.export(program, f=str(folder / "net.onnx"), dynamo=True, verbose=False)
    (folder / "people.txt").write_text("\n".join(recognizer.classes))
    (folder / "net.toml").write_text('framing = "square"\nclasses = "people.txt"\nlicence = "mine"\n')
    (folder / "named.toml").write_text('source = "torch:net.pt2"\nframing = "square"\nclasses = "people.txt"\n')
    return folder


@pytest.mark.parametrize("spec", ["onnx:{}/net.onnx", "torch:{}/net.pt2", "{}/named.toml"])
def test_an_exported_net_is_the_checkpoint(
    spec: str, exported: Path, recognizer: FaceResNet, images: torch.Tensor, labels: torch.Tensor
) -> None:
    found = load_recognizer(spec.format(exported))
    assert found.differentiable
    assert found.classifier is not None
    assert (found.classifier.classes, found.size, found.classifier.framing) == (recognizer.classes, 64, "square")
    answers = found.classifier(images)
    torch.testing.assert_close(answers, recognizer(images).detach(), atol=1e-3, rtol=1e-4)
    assert (answers.argmax(1) == recognizer(images).argmax(1)).all()
    attack = PGD(steps=5)
    ours, theirs = (run_attack(attack, net, images, labels, eps=2 / 255).reached for net in (recognizer, found.classifier))
    assert abs(float(ours.float().mean() - theirs.float().mean())) <= 0.005
    assert found.licence == ("" if "named" in spec else "mine")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("npm"), reason="faceplugin comes by npm")
def test_a_packaged_net_by_its_file_is_its_twin_and_the_probe_tells_the_order_of_colours(
    caplog: pytest.LogCaptureFixture,
) -> None:
    twin, spec = load_recognizer("faceplugin"), f"onnx:{fetch('faceplugin')}"
    told = {}
    for colours in ("rgb", "bgr"):
        with caplog.at_level(logging.WARNING):
            found = load_recognizer(spec, description=Description(range=255, mean=(127,), std=(128,), colours=colours))
        told[colours] = caplog.text
        caplog.clear()
        x = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
        inputs = x if colours == "rgb" else x.flip(1)
        torch.testing.assert_close(found.embedding(x), twin.embedding(inputs), atol=1e-5, rtol=0)
        (ours,) = torch.autograd.grad(twin.embedding(inputs)[:, :9].sum(), x)
        (theirs,) = torch.autograd.grad(found.embedding(x)[:, :9].sum(), x)
        torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=1e-3)
        assert found.judging is not None
    assert "exchanged" in told["rgb"]
    assert 'try colours = "bgr"' in told["rgb"]
    assert not told["bgr"]


def test_any_module_of_a_factory(module: str, x: torch.Tensor) -> None:
    from torchvision.models import resnet18

    described = Description(size=64, classes="people.txt")
    for spec in (f"{module}:make", "offered"):
        with pytest.raises(ConfigError, match="add `trust_code`"):
            load_recognizer(spec)
        found = load_recognizer(spec, trust_code=True, description=described)
        torch.manual_seed(0)
        net = resnet18(num_classes=16).eval()
        assert found.classifier is not None
        torch.testing.assert_close(found.classifier(x), net(x).detach())
        torch.testing.assert_close(found.embedding(x), nn.functional.normalize(net(x)).detach())
    assert [one.name for one in offered_recognizers() if one.name == "offered"]


def test_colours_range_and_metric_are_as_described(module: str, x: torch.Tensor) -> None:
    usual = Description(size=64, metric="euclidean", classes="people.txt")
    plain = load_recognizer(f"{module}:make", trust_code=True, description=usual)
    fed = replace(usual, colours="bgr", range=255, mean=(1, 2, 3), std=(4,))
    found = load_recognizer(f"{module}:make", trust_code=True, description=fed)
    want = (x.flip(1) * 255 - torch.tensor([1.0, 2, 3]).view(1, 3, 1, 1)) / 4
    torch.testing.assert_close(found.embedding(x), plain.embedding(want), rtol=1e-4, atol=1e-4)
    assert found.network != plain.network
    assert found.record["colours"] == "bgr"


def test_one_of_timms_nets(x: torch.Tensor) -> None:
    pytest.importorskip("timm")
    found = load_recognizer("timm:resnet10t?random", description=Description(size=64, framing="arcface112"))
    assert found.embedding(x).shape == (3, 512)
    assert load_recognizer("timm:resnet10t?random", description=Description(size=64)).network != found.network
    with pytest.raises(CheckpointError, match="did you mean 'resnet10t'"):
        load_recognizer("timm:resnet10")


def test_a_function_judges_and_is_no_surrogate(home: Path, module: str, x: torch.Tensor) -> None:
    spec = f"call:{module}:scores"
    found = load_recognizer(spec, trust_code=True, description=Description(size=64, metric="euclidean"))
    crops = (x * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(found.embed_crops(crops), crops[:, :2, :2].reshape(3, -1))
    with pytest.raises(ConfigError, match="gives no gradients"):
        found.embed(x.requires_grad_(True))
    with pytest.raises(ConfigError, match="use it as a judge only"):
        load_surrogate(spec, trust_code=True)
    (home / "two.txt").write_text("dark\nbright\n")
    (home / "labels.toml").write_text(f'source = "call:{module}:labels"\nclasses = "two.txt"\nsize = 32\n')
    classifier = load_recognizer("labels.toml", trust_code=True).classifier
    assert classifier is not None
    assert classifier(torch.ones(2, 3, 32, 32)).tolist() == [[0, 1], [0, 1]]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        ("words", "made a str: expected a torch.nn.Module"),
        ("fails", "failed: KeyError: 'nothing there'"),
        ("nobody", "cannot be imported: AttributeError"),
    ],
)
def test_what_a_factory_does_wrong_is_one_line(make: str, words: str, module: str) -> None:
    with pytest.raises(CheckpointError, match=words) as caught:
        load_recognizer(f"{module}:{make}", trust_code=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colors = 'bgr'", "unknown key 'colors' in the top level: did you mean 'colours'"),
        ("colours = 'bgrr'", "colours is 'bgrr': did you mean 'bgr'"),
        ("framing = 'points'", "give both, or neither"),
        ("size = 5", "size is 5: expected at least 32"),
        ("mean = [1, 2]", "mean has 2 numbers: expected one, or one a channel"),
        ("std = [0]", "expected numbers above 0"),
        ("", "source is '': expected onnx:FILE"),
    ],
)
def test_a_description_is_checked(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_recognizer(str(tmp_path / "m.toml"))


def test_commands_ask_for_trust(module: str) -> None:
    done = CliRunner().invoke(main, ["evaluate", "--judge", f"{module}:make", "--data", "orl"], prog_name="faceenc")
    assert done.exit_code
    assert "add --trust-code" in done.output


def test_the_page_s_examples_work(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "recognizers.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```toml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "net.toml").write_text(text)
    with pytest.raises(CheckpointError, match=r"net\.onnx does not exist"):
        load_recognizer(str(tmp_path / "net.toml"))
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    names: dict[str, object] = {}
    exec(code, names)
    assert isinstance(names["net"], Recognizer)
