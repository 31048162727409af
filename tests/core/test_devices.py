"""--device: one meaning in every command; what a GPU computes is what the processor computes, up to rounding."""

from __future__ import annotations

import click
import pytest
import torch

from faceenc.cli import bench_main, main
from faceenc.core import DEVICES, ConfigError, resolve_device
from faceenc.recognizers import load_recognizer

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


def test_every_command_that_computes_takes_the_same_devices() -> None:
    names = ("encrypt", "verify", "consent", "video", "webcam", "enroll", "recognize", "evaluate", "train")
    commands = [main.commands[name] for name in names] + [
        bench_main.commands[name] for name in ("run", "transfer", "crosscheck")
    ]
    for command in commands:
        (option,) = [param for param in command.params if param.name == "device"]
        assert isinstance(option.type, click.Choice)
        assert tuple(option.type.choices) == DEVICES, command.name
        assert option.default == "auto"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_auto_is_the_processor() -> None:
    assert resolve_device("auto") == resolve_device("cpu") == "cpu"
    with pytest.raises(ConfigError, match="no CUDA device here"):
        resolve_device("cuda")


def test_pictures_and_answers_stay_where_the_caller_has_them() -> None:
    alone, there = load_recognizer("dlib-torch"), load_recognizer("dlib-torch", device="cpu").on("cpu")
    x = torch.rand(2, 3, 150, 150, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    assert torch.equal(alone.embed(x), there.embed(x))
    (gradient,) = torch.autograd.grad(there.embed(x).sum(), x)
    assert gradient.abs().sum() > 0


@needs_cuda
def test_a_gpu_answers_as_the_processor_does() -> None:
    assert resolve_device("auto") == "cuda"
    here, there = load_recognizer("dlib-torch"), load_recognizer("dlib-torch", device="cuda")
    x = torch.rand(2, 3, 150, 150, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    torch.testing.assert_close(there.embed(x), here.embed(x), rtol=1e-2, atol=1e-3)
    (gradient,) = torch.autograd.grad(there.embed(x).sum(), x)
    assert gradient.device.type == "cpu"
