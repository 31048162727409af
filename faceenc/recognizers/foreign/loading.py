"""From the words for a recogniser of others to a `Recognizer`."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from pathlib import Path

from torch import nn

from faceenc.core import CheckpointError, ConfigError
from faceenc.recognizers.foreign.description import Description, read_classes, read_description
from faceenc.recognizers.foreign.factories import entry_points, open_call, open_entry_point, open_factory, open_timm
from faceenc.recognizers.foreign.net import ForeignClassifier, ForeignNet, Opened, check_answers
from faceenc.recognizers.foreign.probing import probe
from faceenc.recognizers.recognizer import Recognizer
from faceenc.recognizers.tiny_weights import drop_tiny_weights

log = logging.getLogger(__name__)

ONNX, TORCH, TIMM, CALL = "onnx:", "torch:", "timm:", "call:"
_FILES = (ONNX, TORCH)
_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def is_foreign(spec: str) -> bool:
    """Whether these words are for a recogniser of others, or for the TOML file that describes one."""
    if spec.startswith((ONNX, TORCH, TIMM, CALL)) or spec.endswith(".toml"):
        return True
    return not Path(spec).exists() and (_FACTORY.fullmatch(spec) is not None or spec in entry_points())


def load_foreign(spec: str, *, description: Description | None = None, trust_code: bool = False) -> Recognizer:
    """A recogniser of others.

    Args:
        spec: "onnx:FILE", "torch:FILE", "timm:NAME", "package.module:factory", "call:package.module:function", an
            entry point's name, or a TOML file whose `source` is one of these.
        description: how to feed it; None is the TOML file of the model's name beside it, or what the model says.
        trust_code: whether code of others may run.

    Raises:
        AssetError: a package that runs it is not installed, or weights cannot be had.
        CheckpointError: the file is no model, damaged, or makes something else than embeddings or logits of pictures.
        ConfigError: code of others would run, or the description makes no sense.
    """
    name = spec
    if spec.endswith(".toml") and not spec.startswith(_FILES):
        description = read_description(Path(spec))
        spec = _in_folder(description.source, Path(spec))
    elif description is None and spec.startswith(_FILES):
        beside = Path(spec.partition(":")[2]).with_suffix(".toml")
        description = read_description(beside) if beside.is_file() else None
    opened = _open(spec, description or Description(), trust_code=trust_code)
    return _recognizer(name, opened)


def _in_folder(source: str, toml: Path) -> str:
    if not source or source.endswith(".toml") or not is_foreign(source):
        raise ConfigError(
            f"{toml}: source is {source!r}: expected onnx:FILE, torch:FILE, timm:NAME, package.module:factory or"
            " call:package.module:function"
        )
    kind, _, rest = source.partition(":")
    return f"{kind}:{toml.parent / Path(rest).expanduser()}" if source.startswith(_FILES) else source


def _open(spec: str, description: Description, *, trust_code: bool) -> Opened:
    rest = spec.partition(":")[2]
    if spec.startswith(ONNX):
        # onnx takes its time, which who has no such file need not wait for; so does torch's reader.
        from faceenc.recognizers.foreign.onnx_model import open_onnx

        return open_onnx(Path(rest), description)
    if spec.startswith(TORCH):
        from faceenc.recognizers.foreign.exported import open_torch

        return open_torch(Path(rest), description, trust_code=trust_code)
    if spec.startswith(TIMM):
        return open_timm(rest, description)
    if spec.startswith(CALL):
        if not _FACTORY.fullmatch(rest):
            raise ConfigError(f"{spec} names no function: write call:package.module:function")
        return open_call(rest, description, trust_code=trust_code)
    if _FACTORY.fullmatch(spec):
        return open_factory(spec, description, trust_code=trust_code)
    return open_entry_point(spec, description, trust_code=trust_code)


def _recognizer(name: str, opened: Opened) -> Recognizer:
    described = opened.description
    drop_tiny_weights(opened.net)
    names = read_classes(Path(described.classes)) if described.classes else opened.classes
    unit = described.metric == "cosine"
    judge: nn.Module = ForeignNet(opened.judge or opened.net, described, unit=unit)
    outputs = check_answers(judge.eval(), described.size, about=name)
    if names and len(names) != outputs:
        raise CheckpointError(f"{name} answers {outputs} numbers a face and has {len(names)} classes: expected as many")
    record = {**described.record(), "source": Path(name).name if "/" in name else name}
    if opened.doubt:
        log.warning("%s only judges: %s", name, opened.doubt)
    found = Recognizer(
        name=name,
        network=hashlib.sha256(json.dumps([opened.fingerprint, described.record()], sort_keys=True).encode()).hexdigest(),
        crops=described.crops(),
        embedding=ForeignNet(opened.net, described, unit=unit).eval(),
        metric=described.distance,
        licence=described.licence or opened.licence,
        classifier=_classifier(opened, names) if names else None,
        record=record,
        judging=judge if opened.judge is not None else None,
        differentiable=not opened.doubt,
        wide_views=True,
    )
    if not names and not opened.costly:
        probe(found, described, lambda other: ForeignNet(opened.judge or opened.net, other, unit=unit).eval())
    return found


def _classifier(opened: Opened, names: tuple[str, ...]) -> ForeignClassifier:
    net = ForeignNet(opened.net, opened.description, unit=False)
    return ForeignClassifier(net, opened.description, names).eval()
