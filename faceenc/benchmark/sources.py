"""What a measurement needs, looked for before any work: everything that is missing is named at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from faceenc.attacks import Noise
from faceenc.benchmark.plan import AttackEntry
from faceenc.core import ConfigError, DataError, FaceencError
from faceenc.data import expand
from faceenc.recognizers import Recognizer, load_recognizer

_T = TypeVar("_T")


def load_sources(
    recognizers: Mapping[str, str],
    *,
    folders: Sequence[str] = (),
    files: Sequence[str] = (),
    device: str = "cpu",
    trust_code: bool = False,
) -> dict[str, Recognizer]:
    """The recognisers of a configuration, once its folders and files are known to be there; no photo is read.

    Args:
        recognizers: what `load_recognizer` takes, by the configuration's names for it.
        folders: that have to be there; "orl" and "" are.
        files: that have to be there; "" is.
        device: where nets compute.
        trust_code: whether recognisers may be code of others.

    Raises:
        ConfigError: several things are missing, each named with its remedy.
        FaceencError: one is.
    """
    sources = {name: _loader(source, device, trust_code) for name, source in recognizers.items()}
    places: dict[str, Callable[[], None]] = {
        **{folder: _look_for(folder, "folder") for folder in folders if folder not in ("orl", "")},
        **{file: _look_for(file, "file") for file in files if file},
    }
    missing: list[FaceencError] = []
    _gathered(places, missing)
    found = _gathered(sources, missing)
    if len(missing) > 1:
        listed = "; ".join(f"({number}) {error}" for number, error in enumerate(missing, 1))
        raise ConfigError(f"{len(missing)} things are missing: {listed}") from missing[0]
    if missing:
        raise missing[0]
    return found


def following_gradients(entries: Sequence[AttackEntry], minimum: object | None) -> list[str]:
    """The names of the attacks that need gradients; the search for the smallest noise does, too."""
    names = [e.name for e in entries if not (isinstance(e.attack, Noise) or hasattr(e.attack, "max_queries"))]
    return [*names, *(["minimum"] if minimum is not None else [])]


def check_gradients(name: str, recognizer: Recognizer, follow: Sequence[str]) -> None:
    """Raises ConfigError where attacks need gradients and the recogniser gives none."""
    if follow and not recognizer.differentiable:
        listed = ", ".join(dict.fromkeys(follow))
        raise ConfigError(f"{name} gives no gradients, and {listed} follow them: use art-square or noise alone")


def _gathered(makers: Mapping[str, Callable[[], _T]], missing: list[FaceencError]) -> dict[str, _T]:
    """What each maker makes, by its name; what cannot be had joins `missing`."""
    found = {}
    for name, make in makers.items():
        try:
            found[name] = make()
        except FaceencError as error:
            missing.append(error)
    return found


def _loader(source: str, device: str, trust_code: bool) -> Callable[[], Recognizer]:
    """Loads a recogniser when it is called."""

    def load() -> Recognizer:
        try:
            return load_recognizer(str(expand(source)), device=device, trust_code=trust_code)
        except FaceencError as error:
            if source.endswith("/best.safetensors") and not Path(os.path.expandvars(source)).exists():
                made = source.removesuffix("/best.safetensors")
                raise ConfigError(f"{error}; `faceenc train ... --output {made}` makes it") from error
            raise

    return load


def _look_for(path: str, kind: str) -> Callable[[], None]:
    def look() -> None:
        place = expand(path)
        if not (place.is_dir() if kind == "folder" else place.is_file()):
            what = "one sub-folder a person with photos in it" if kind == "folder" else "a file"
            raise DataError(f"no {kind} {place}: expected {what}")

    return look
