"""`load_recognizer`: a recogniser by the words that people use for it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from faceenc.core import ASSETS, AssetError, ConfigError, cache_dir
from faceenc.faces import AlignedCrop, ArcFaceCrop, SquareCrop
from faceenc.recognizers.dlib.crops import DlibCrop
from faceenc.recognizers.dlib.network import DLIB, load_dlibnet
from faceenc.recognizers.dlib.original import describe, has_dlib
from faceenc.recognizers.foreign.description import Description
from faceenc.recognizers.foreign.factories import entry_points
from faceenc.recognizers.foreign.loading import is_foreign, load_foreign
from faceenc.recognizers.frbench import load_frbench
from faceenc.recognizers.operating_points import operating_point
from faceenc.recognizers.packaged.nets import PACKAGED, load_packaged
from faceenc.recognizers.recognizer import Recognizer

logger = logging.getLogger(__name__)

DLIB_TORCH = "dlib-torch"
FRBENCH = "frbench:"
# What photos are protected against by default: four nets of four makers, trained on different people.
ENSEMBLE: tuple[str, ...] = (DLIB, "sface", "faceplugin", "mobilefacenet")


_FOREIGN = {
    "onnx:FILE.onnx": "a model of ONNX, run by onnxruntime and attacked in torch",
    "torch:FILE.pt2": "a program of torch.export.save, or TorchScript (--trust-code)",
    "package.module:factory": "what a function of yours makes, any torch module; --trust-code",
    "timm:NAME": "one of timm's nets",
    "call:package.module:function": "a function that only answers, and gives no gradients; --trust-code",
    "FILE.toml": "one of these, described",
}


class Offered(NamedTuple):
    """A recogniser, or a kind of them, that `load_recognizer` takes.

    Attributes:
        name: what to write.
        what: it is.
        licence: of its weights; "" where each has its own.
        cached: whether it needs no fetching; None where nothing is fetched.
    """

    name: str
    what: str
    licence: str = ""
    cached: bool | None = None


def offered_recognizers() -> list[Offered]:
    """Everything that can be named."""

    def kept(name: str) -> bool:
        return any((cache_dir() / file).is_file() for file in (ASSETS[name].filename, f"{name}.safetensors"))

    net = "dlib-face-net"
    own = "by its own code" if has_dlib() else "as a torch module (dlib-bin is not installed)"
    return [
        Offered(DLIB, f"dlib's face net, {own}", ASSETS[net].licence, kept(net)),
        Offered(DLIB_TORCH, "dlib's face net, always as a torch module", ASSETS[net].licence, kept(net)),
        *(Offered(name, ASSETS[name].credit, ASSETS[name].licence, kept(name)) for name in PACKAGED),
        Offered("FILE.safetensors", "what `faceenc train` wrote"),
        Offered(f"{FRBENCH}NAME", "one of frbench's, which frbench-download fetches"),
        *(Offered(name, what) for name, what in _FOREIGN.items()),
        *(Offered(name, f"{point.value}, by an installed package; --trust-code") for name, point in entry_points().items()),
    ]


def load_recognizer(
    spec: str, *, device: str = "cpu", trust_code: bool = False, description: Description | None = None
) -> Recognizer:
    """A recogniser.

    Args:
        spec: "dlib" (by its own code where dlib-bin is installed), "dlib-torch" (never so), "sface", "faceplugin",
            "mobilefacenet", "frbench:NAME", the path of a checkpoint that `faceenc train` wrote, or one of others:
            "onnx:FILE", "torch:FILE", "timm:NAME", "package.module:factory", "call:package.module:function", the name of an
            entry point of the group "faceenc.recognizers", or a TOML file of a `Description`. It becomes the name.
        device: where its nets compute, as torch names it.
        trust_code: whether code of others may run: factories, functions, entry points, TorchScript.
        description: how to feed a recogniser of others; None is the TOML file of the model's name beside it.

    Raises:
        AssetError: weights, or the package that reads them, cannot be had.
        CheckpointError: no such checkpoint or model, damaged, or not what it should be.
        ConfigError: code of others is not trusted, or the description makes no sense.
    """
    if spec in (DLIB, DLIB_TORCH):
        found = _dlib(original=spec == DLIB and has_dlib())
    elif spec.startswith(FRBENCH):
        found = _frbench(spec)
    elif spec in PACKAGED:
        found = _packaged(spec)
    elif is_foreign(spec):
        found = load_foreign(spec, description=description, trust_code=trust_code)
    else:
        found = _checkpoint(Path(spec))
    return found if device == "cpu" else found.on(device)


def load_recognizers(specs: Sequence[str], *, device: str = "cpu", trust_code: bool = False) -> list[Recognizer]:
    """Each once, in order; arguments and errors as of `load_recognizer`."""
    return [load_recognizer(spec, device=device, trust_code=trust_code) for spec in dict.fromkeys(specs)]


def load_surrogate(spec: str, *, device: str = "cpu", trust_code: bool = False) -> Recognizer:
    """A recogniser that gives gradients; arguments and errors as of `load_recognizer`.

    Raises:
        ConfigError: it gives none.
    """
    found = load_recognizer(spec, device=device, trust_code=trust_code)
    if not found.differentiable:
        raise ConfigError(f"{spec} gives no gradients, which attacks need that are made here: use it as a judge only")
    return found


def load_surrogates(specs: Sequence[str], *, device: str = "cpu", trust_code: bool = False) -> list[Recognizer]:
    """Each once, in order; arguments and errors as of `load_surrogate`."""
    return [load_surrogate(spec, device=device, trust_code=trust_code) for spec in dict.fromkeys(specs)]


def load_judges(specs: Sequence[str] = (), *, device: str = "cpu", trust_code: bool = False) -> list[Recognizer]:
    """dlib, and those that are named."""
    return load_recognizers([DLIB, *specs], device=device, trust_code=trust_code)


def load_ensemble(*, device: str = "cpu") -> list[Recognizer]:
    """Those of `ENSEMBLE` that can be had, with the thresholds that attacks count in; one warning names all others.

    Raises:
        AssetError: dlib, which judges as well, cannot be had.
    """
    found, missing = [load_recognizer(DLIB, device=device)], []
    for name in ENSEMBLE[1:]:
        try:
            recognizer = load_recognizer(name, device=device)
            operating_point(recognizer)
        except AssetError as error:
            reason, _, _ = str(error).partition("; ")  # what follows is what to do by hand
            missing.append(f"{name} ({reason})")
        else:
            found.append(recognizer)
    if missing:
        logger.warning(
            "attacking without %s; recognisers that are not attacked may still match: go online once and run"
            " `faceenc assets --fetch`",
            ", ".join(missing),
        )
    return found


def ensemble_networks() -> dict[str, str]:
    """The `network` of each of `ENSEMBLE` -> its name; nothing is loaded."""
    return {DLIB if name == DLIB else ASSETS[name].sha256: name for name in ENSEMBLE}


def choose_judges(
    attacked: Sequence[Recognizer], specs: Sequence[str] = (), *, device: str = "cpu", trust_code: bool = False
) -> list[Recognizer]:
    """dlib, what is attacked, and those that are named; each network once, and dlib's by its own code where that is at hand.

    Args:
        attacked: loaded already, and not loaded again.
        specs: as of `load_recognizer`, as are the errors.
        device: see there.
        trust_code: see there.
    """
    known = {one.name: one for one in attacked}
    dlib = known.get(DLIB if has_dlib() else DLIB_TORCH) or load_recognizer(DLIB, device=device)
    named = [known.get(spec) or load_recognizer(spec, device=device, trust_code=trust_code) for spec in dict.fromkeys(specs)]
    judges: dict[str, Recognizer] = {}
    for judge in (dlib, *attacked, *named):
        judges.setdefault(judge.network, judge)
    return list(judges.values())


def _dlib(*, original: bool) -> Recognizer:
    return Recognizer(
        name=DLIB if original else DLIB_TORCH,
        network=DLIB,
        crops=DlibCrop(original),
        embedding=load_dlibnet(),
        metric="euclidean",
        licence="CC0",
        describe=describe if original else None,
        wide_views=True,
    )


def _packaged(name: str) -> Recognizer:
    asset = ASSETS[name]
    return Recognizer(
        name=name,
        network=asset.sha256,
        crops=ArcFaceCrop(),
        embedding=load_packaged(name),
        licence=asset.licence,
        wide_views=True,
    )


def _frbench(spec: str) -> Recognizer:
    name = spec.removeprefix(FRBENCH)
    net = load_frbench(name)
    return Recognizer(
        name=spec,
        network=net.fingerprint,
        crops=ArcFaceCrop(net.crop),
        embedding=net,
        judging=net.with_mirror_image(),
    )


def _checkpoint(path: Path) -> Recognizer:
    # torchvision takes a second to load, which who has no checkpoint need not wait for.
    from faceenc.recognizers.checkpoint import load_checkpoint, weights_sha256
    from faceenc.recognizers.resnet import PooledFeatures

    model, record = load_checkpoint(path)
    model.requires_grad_(False)
    crops = AlignedCrop(model.input_size) if model.framing == "aligned" else SquareCrop(model.input_size)
    return Recognizer(
        name=str(path),
        network=weights_sha256(model),
        crops=crops,
        embedding=PooledFeatures(model).eval(),
        classifier=model,
        record=record,
    )
