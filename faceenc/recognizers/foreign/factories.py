"""Recognisers that code of others makes: `package.module:factory`, entry points, timm's nets, functions that only answer."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import inspect
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import nn

from faceenc.core import AssetError, CheckpointError, ConfigError, nearest
from faceenc.recognizers.foreign.description import FRAMINGS, Description, read_classes
from faceenc.recognizers.foreign.net import Opened, WithoutGradients
from faceenc.recognizers.foreign.trust import check_trust

if TYPE_CHECKING:
    from numpy.typing import NDArray

ENTRY_POINTS = "faceenc.recognizers"


def entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    """Recognisers that installed packages offer, by name; none of their code runs."""
    return {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}


def open_entry_point(name: str, description: Description, *, trust_code: bool) -> Opened:
    """What an installed package offers by a name; as of `open_factory`."""
    point = entry_points()[name]
    check_trust(trust_code, f"{name} is {point.value}, code of the package {point.dist.name if point.dist else '?'}")
    try:
        factory = point.load()
    except Exception as error:  # code of others fails in any way
        raise CheckpointError(f"{name} ({point.value}) cannot be loaded: {_reason(error)}") from error
    return _opened(_made(factory, name), name, description)


def open_factory(spec: str, description: Description, *, trust_code: bool) -> Opened:
    """What a function, class or module of a module of Python gives: any `nn.Module`.

    Args:
        spec: "package.module:factory"; looked for in the current folder too.
        description: how to feed it.
        trust_code: whether it may run.

    Raises:
        ConfigError: code of others is not trusted.
        CheckpointError: there is no such factory, it fails, or makes no module.

    A module's own `input_size`, `framing` and `classes` count where the description is silent.
    """
    check_trust(trust_code, f"{spec} runs code of its maker")
    return _opened(_made(_imported(spec), spec), spec, description)


def open_call(spec: str, description: Description, *, trust_code: bool) -> Opened:
    """A function that answers crops (N, size, size, 3) uint8 with scores (N, K), embeddings (N, D) or labels (N,).

    Args:
        spec: "package.module:function"; as of `open_factory`, as are the errors.
        description: `classes` says that answers are scores or labels.
        trust_code: whether it may run.
    """
    check_trust(trust_code, f"call:{spec} runs code of its maker")
    function = _imported(spec)
    if not callable(function):
        raise CheckpointError(
            f"call:{spec} is a {type(function).__name__}: expected a function of crops (N, size, size, 3) uint8"
        )
    if description.range != 1 or description.mean or description.std:
        raise ConfigError(f"call:{spec} is given pixels as they are, 0 to 255: leave range, mean and std out")
    doubt = f"call:{spec} gives no gradients"
    people = len(read_classes(Path(description.classes))) if description.classes else 0
    net = WithoutGradients(_Called(function, spec, people), doubt)
    return Opened(net, _source_sha256(function, spec), None, description.sized(None), doubt, costly=True)


def open_timm(name: str, description: Description) -> Opened:
    """One of timm's nets with its pretrained weights, or with random ones ("NAME?random"): embeddings, or logits.

    Raises:
        AssetError: timm is not installed, or the weights cannot be had.
        CheckpointError: timm knows no such net.
    """
    try:
        import timm
    except ImportError as error:
        raise AssetError(f"timm:{name} needs timm, which is not installed: pip install 'faceenc[timm]'") from error
    name, _, word = name.partition("?")
    if not timm.is_model(name.partition(".")[0]) or word not in ("", "random"):
        raise CheckpointError(f"timm knows no net {name!r}{nearest(name, timm.list_models())}; ?random adds no weights")
    wanted: dict[str, Any] = {} if description.classes else {"num_classes": 0}
    sized: dict[str, Any] = {"img_size": description.size} if description.size else {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        try:
            try:
                net = timm.create_model(name, pretrained=not word, **wanted, **sized)
            except TypeError:  # most nets take pictures of any size, and no word about it
                net = timm.create_model(name, pretrained=not word, **wanted)
        except Exception as error:  # of the hub, the network, and of timm
            raise AssetError(
                f"weights of timm:{name} cannot be had ({_reason(error)}): go online, or add ?random"
            ) from error
    known = dict(cast(Any, net.pretrained_cfg))
    described = replace(
        description,
        size=description.size or int(known.get("input_size", (3, 224, 224))[-1]),
        mean=description.mean or tuple(value * description.range for value in known.get("mean", ())),
        std=description.std or tuple(value * description.range for value in known.get("std", ())),
    )
    return _opened(net, f"timm:{name}", described)._replace(licence=str(known.get("license") or ""))


class _Called(nn.Module):
    """A function as a module: pictures in, (N, K) out."""

    def __init__(self, function: Callable[[NDArray[np.uint8]], Any], spec: str, people: int) -> None:
        super().__init__()
        self.function, self.spec, self.people = function, spec, people

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        crops = (x * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
        try:
            answer = np.asarray(self.function(crops))
        except Exception as error:  # code of others fails in any way
            raise CheckpointError(f"call:{self.spec} failed: {_reason(error)}") from error
        if answer.shape == (len(crops),) and answer.dtype.kind in "iu" and self.people:
            if not 0 <= answer.min(initial=0) <= answer.max(initial=0) < self.people:
                raise CheckpointError(f"call:{self.spec} answers a label that is none of the {self.people} classes")
            answer = np.eye(self.people, dtype=np.float32)[answer]
        if answer.ndim != 2 or len(answer) != len(crops) or answer.dtype.kind not in "fiu":
            raise CheckpointError(
                f"call:{self.spec} answers {answer.shape} of {answer.dtype} to {len(crops)} crops: expected (N, K) numbers,"
                " or (N,) labels of a description with classes"
            )
        return torch.from_numpy(answer.astype(np.float32)).to(x.device)


def _imported(spec: str) -> Any:
    """What a module of Python has by a name, "package.module:name"."""
    home, _, name = spec.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = importlib.import_module(home)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:  # code of others fails in any way
        raise CheckpointError(
            f"{spec} cannot be imported: {_reason(error)}; check the name, or install its package"
        ) from error
    finally:
        sys.path.remove(str(Path.cwd()))
    return found


def _made(factory: Any, spec: str) -> nn.Module:
    if isinstance(factory, nn.Module):
        return factory
    try:
        made = factory()
    except Exception as error:  # code of others fails in any way
        raise CheckpointError(f"{spec} failed: {_reason(error)}") from error
    if not isinstance(made, nn.Module):
        raise CheckpointError(
            f"{spec} made a {type(made).__name__}: expected a torch.nn.Module; of a function that answers, write call:{spec}"
        )
    return made


def _opened(net: nn.Module, spec: str, description: Description) -> Opened:
    net = net.eval().requires_grad_(False)
    digest = hashlib.sha256(f"{type(net).__module__}.{type(net).__qualname__} {spec}".encode())
    for name, value in net.state_dict().items():
        if isinstance(value, torch.Tensor):
            digest.update(name.encode() + value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    classes = getattr(net, "classes", ())
    named = isinstance(classes, list | tuple) and all(isinstance(name, str) for name in classes)
    size, framing = getattr(net, "input_size", None), getattr(net, "framing", "")
    if not description.size and isinstance(size, int):
        description = replace(description, size=size)
    if not description.framing and framing in FRAMINGS and framing != "points":
        description = replace(description, framing=framing)
    return Opened(net, digest.hexdigest(), None, description.sized(None), classes=tuple(classes) if named else ())


def _source_sha256(function: Any, spec: str) -> str:
    """Of the module's text: all that can be known of a function that may ask anybody."""
    try:
        text = Path(inspect.getsourcefile(function) or "").read_bytes()
    except (TypeError, OSError):
        text = b""
    return hashlib.sha256(spec.encode() + text).hexdigest()


def _reason(error: BaseException) -> str:
    line = (str(error).strip().splitlines() or [""])[0][:200]
    return f"{type(error).__name__}: {line}" if line else type(error).__name__
