"""Recognisers as ONNX files: judged by onnxruntime; attacked in torch, where a converter reads them and is right.

The converter is onnx2pytorch; what it makes is trusted once its outputs are onnxruntime's, and its gradients are what
onnxruntime's outputs change by.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from faceenc.core import AssetError, CheckpointError
from faceenc.recognizers.foreign.description import Description
from faceenc.recognizers.foreign.exported import in_batches
from faceenc.recognizers.foreign.net import ForeignNet, Opened, WithoutGradients, first_tensor
from faceenc.recognizers.foreign.onnx_file import OnnxModel, read_onnx_model
from faceenc.recognizers.foreign.onnx_graph import as_graph

_SAME = 1e-4  # of the largest output, or of 1
_STEPS = (3e-3, 1e-2, 3e-2)  # of pixels in [0, 1], along a direction; nets of ReLUs bend at some of them
_SLOPE = 0.03  # by which slopes may differ, as a share of the gradient


def open_onnx(path: Path, description: Description) -> Opened:
    """An ONNX file that maps pictures to embeddings or logits.

    Raises:
        AssetError: onnxruntime is not installed.
        CheckpointError: as of `read_onnx_model`, or onnxruntime cannot run it.
    """
    model = read_onnx_model(path)
    description = description.sized(model.size)
    session = Session(model, path)
    x = torch.rand(2, 3, description.size, description.size, generator=torch.Generator().manual_seed(0))
    judge = ForeignNet(session, description, unit=False)
    try:
        expected = judge(x)
    except Exception as error:  # onnxruntime's own, none of which it exports
        raise CheckpointError(
            f"{path} fails in onnxruntime ({_first_line(error)}): check `size`, or export it anew"
        ) from error
    for whole in (True, False):
        try:
            net = Converted(model, whole=whole)
            doubt = _doubt(ForeignNet(net, description, unit=False), judge, x, expected)
        except ImportError as error:
            doubt = f"{error.name} is not installed: pip install 'faceenc[onnx]'"
        except Exception as error:  # of the converter, which knows not all operators, or of tracing
            doubt = f"it cannot be turned into a torch module ({_first_line(error)})"
        if not doubt:
            break
    if doubt:
        blind = WithoutGradients(session, f"{path} gives no gradients, for {doubt}")
        return Opened(blind, model.sha256, None, description, doubt)
    return Opened(net, model.sha256, session, description)


class Session(nn.Module):
    """A model in onnxruntime; without gradients.

    Shape
        (N, 3, H, W) float32, as the model wants its numbers -> (N, K) float32.
    """

    def __init__(self, model: OnnxModel, path: Path) -> None:
        super().__init__()
        try:
            import onnxruntime
        except ImportError as error:
            raise AssetError(
                f"onnx:{path} needs onnxruntime, which is not installed: pip install 'faceenc[onnx]'"
            ) from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # it complains of files at length
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self.session = onnxruntime.InferenceSession(
                model.proto.SerializeToString(), options, providers=["CPUExecutionProvider"],
                enable_fallback=0,  # to the same provider, with lines on the terminal
            )  # fmt: skip
        except Exception as error:  # onnxruntime's own, none of which it exports
            raise CheckpointError(f"{path} cannot be run by onnxruntime ({_first_line(error)}): export it anew") from error
        self.batch, self.channels_last, self.dtype = model.batch, model.channels_last, model.dtype
        self.input = self.session.get_inputs()[0].name
        self.output = _vectors([(one.name, one.shape) for one in self.session.get_outputs()])

    @torch.no_grad()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.batch is not None and len(x) != self.batch:
            return in_batches(self._run, x, self.batch)
        return self._run(x)

    def _run(self, x: torch.Tensor) -> torch.Tensor:
        pixels = x.permute(0, 2, 3, 1) if self.channels_last else x
        array = np.ascontiguousarray(pixels.cpu().numpy())
        if self.dtype == "uint8":
            array = np.rint(array).clip(0, 255)
        [found] = self.session.run([self.output], {self.input: array.astype(self.dtype)})
        return torch.from_numpy(np.asarray(found, np.float32)).to(x.device).flatten(1)


class Converted(nn.Module):
    """A model as a torch module; shapes as of `Session`.

    Args:
        model: as read.
        whole: as a graph that takes any number of pictures, if it can be had, and not as the converter makes it.
    """

    def __init__(self, model: OnnxModel, *, whole: bool) -> None:
        super().__init__()
        from onnx2pytorch import ConvertModel

        if model.dtype == "uint8":
            raise ValueError("it takes whole numbers")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.net = ConvertModel(model.proto).eval().float().requires_grad_(False)
            if whole:
                self.net = as_graph(self.net, model.batch)
        outputs = [(one.name, [dim.dim_value for dim in one.type.tensor_type.shape.dim]) for one in model.proto.graph.output]
        self.number = [name for name, _ in outputs].index(_vectors(outputs))
        self.batch, self.channels_last = None if whole else model.batch, model.channels_last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.permute(0, 2, 3, 1) if self.channels_last else x
        if self.batch is not None and len(x) != self.batch:
            return in_batches(self._run, x, self.batch)
        return self._run(x)

    def _run(self, x: torch.Tensor) -> torch.Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = self.net(x)
        return first_tensor(found[self.number] if isinstance(found, list | tuple) else found).flatten(1)


def _vectors(outputs: list[tuple[str, Any]]) -> str:
    """The first output that is a batch of vectors, also of single pixels; else the first."""
    flat = [name for name, shape in outputs if len(shape) == 2 or (len(shape) == 4 and list(shape[2:]) == [1, 1])]
    return flat[0] if flat else outputs[0][0]


def _doubt(net: nn.Module, judge: nn.Module, x: torch.Tensor, expected: torch.Tensor) -> str:
    """What is wrong with a converted net's outputs or gradients; "" if nothing is."""
    with torch.no_grad():
        off = float((net(x) - expected).abs().max()) / max(1.0, float(expected.abs().max()))
    if not off <= _SAME:
        return f"its torch module answers otherwise than onnxruntime (by {off:.1g}; {_SAME:g} is allowed)"
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1)) / expected.norm(dim=1, keepdim=True)
    start = (0.2 + 0.6 * x).requires_grad_(True)
    (gradient,) = torch.autograd.grad((net(start) * weights).sum(), start)
    size = float(gradient.norm())
    if not 0 < size < float("inf"):
        return "its torch module has no gradient"
    random = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    for direction in (gradient, random):
        direction = direction / direction.norm()
        slope = float((gradient * direction).sum())
        found = [_slope(judge, start.detach(), direction, step, weights) for step in _STEPS]
        nearest = min(found, key=lambda one: abs(one - slope))
        if not abs(nearest - slope) <= _SLOPE * size:
            return f"its gradient is {slope:.3g} where onnxruntime's answers change by {nearest:.3g}"
    return ""


@torch.no_grad()
def _slope(judge: nn.Module, x: torch.Tensor, direction: torch.Tensor, step: float, weights: torch.Tensor) -> float:
    ahead, behind = (float((judge(x + sign * step * direction).double() * weights).sum()) for sign in (1, -1))
    return (ahead - behind) / (2 * step)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
