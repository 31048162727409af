"""What commands offer and take by default is what the rooms below do: to start quickly, commands say it themselves."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click
import pytest

from faceenc.attacks import ENGINES
from faceenc.benchmark import crosscheck
from faceenc.cli import bench_main, main
from faceenc.core import OnNoFace
from faceenc.data import choose, extract_faces, load_folder
from faceenc.faces import ALIGNED_SIZE, Framing
from faceenc.live import METHODS, enroll, video_method
from faceenc.media import PhotoFormat
from faceenc.protect import STRENGTHS, Options


def option(name: str, *words: str, group: click.Group = main) -> click.Parameter:
    command: click.Command = group
    for word in words:
        assert isinstance(command, click.Group)
        command = command.commands[word]
    return next(one for one in command.params if one.name == name)


def choices(*where: str) -> set[str]:
    kind = option(*where).type
    assert isinstance(kind, click.Choice)
    return set(kind.choices)


def default(function: Callable[..., Any], name: str) -> Any:
    return inspect.signature(function).parameters[name].default


def test_choices() -> None:
    assert choices("strength", "encrypt") == set(STRENGTHS)
    assert choices("shape", "encrypt") == {"strength", "none"}
    assert choices("format", "encrypt") == {"same", *(name.lower() for name in get_args(PhotoFormat))}
    assert choices("framing", "data", "celeba") == set(get_args(Framing))
    assert choices("method", "webcam") == set(METHODS)
    assert choices("method", "video") < set(METHODS)
    assert choices("engine", "webcam") == set(ENGINES)
    for where in (("encrypt",), ("train",), ("data", "celeba")):
        assert choices("on_no_face", *where) == set(get_args(OnNoFace))


@pytest.mark.parametrize("name", ["on_no_face", "faces", "seed", "quality", "budget"])
def test_encrypt(name: str) -> None:
    fields = {field.name: field.default for field in dataclasses.fields(Options)}
    found = option(name, "encrypt").default
    assert (found if isinstance(found, str | int) else None) == fields[name]


def test_the_usual_strength_is_the_usual_options() -> None:
    assert STRENGTHS[str(option("strength", "encrypt").default)] == Options().strength


def test_the_usual_surrogates() -> None:
    surrogate = option("surrogates", "encrypt")
    assert isinstance(surrogate, click.Option)
    *some, last = Options().attacked
    assert f"[default: {', '.join(some)} and {last}]" in (surrogate.help or "")
    assert Options(target="Ada", consent=Path("ada")).attacked == Options().attacked, "as far as the consent holds them"


@pytest.mark.parametrize(
    ("name", "where", "wanted"),
    [
        ("steps", ("enroll",), default(enroll, "steps")),
        ("seed", ("enroll",), default(enroll, "seed")),
        ("steps", ("video",), default(video_method, "steps")),
        ("identities", ("data", "celeba"), default(choose, "identities")),
        ("min_images", ("data", "celeba"), default(choose, "min_images")),
        ("size", ("data", "celeba"), ALIGNED_SIZE),
        ("framing", ("data", "celeba"), default(load_folder, "framing")),
        ("on_no_face", ("data", "celeba"), default(load_folder, "on_no_face")),
        ("frames", ("data", "video"), default(extract_faces, "frames")),
        ("margin", ("data", "video"), default(extract_faces, "margin")),
    ],
)
def test_defaults(name: str, where: tuple[str, ...], wanted: object) -> None:
    assert option(name, *where).default == wanted


def test_crosscheck() -> None:
    assert option("steps", "crosscheck", group=bench_main).default == default(crosscheck, "steps")
    assert set(option("engines", "crosscheck", group=bench_main).default) == {*ENGINES} - {"auto"}
