"""TOML tables, checked: unknown keys and values of the wrong kind are errors that name what was meant."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from faceenc.core.errors import ConfigError


def find_config(name: str) -> Path:
    """The path of a configuration: a file, or the name of one that travels with the package ("demo").

    Raises:
        ConfigError: there is no such file.
    """
    path = Path(name)
    if path.is_file():
        return path
    known = builtin_configs()
    if path.stem in known and path.parent in (Path(), Path("configs")):
        return known[path.stem]
    raise ConfigError(f"configuration {name} does not exist, neither built in nor as a TOML file{nearest(path.stem, known)}")


def builtin_configs() -> dict[str, Path]:
    """The configurations that travel with the package, by name."""
    package = Path(__file__).parent.parent
    # Installed, they lie inside the package; in a checkout, beside it.
    folders = [folder for folder in (package / "configs", package.parent / "configs") if folder.is_dir()]
    return {file.stem: file for folder in reversed(folders) for file in sorted(folder.glob("*.toml"))}


T = typing.TypeVar("T")


def read_toml(path: Path, make: Callable[[dict[str, Any]], T]) -> T:
    """What `make` makes of the top level of a TOML file.

    Raises:
        ConfigError: it cannot be read, is no TOML, or `make` refuses it; names the file.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no text, and so no configuration: give a TOML file") from error
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}") from error
    try:
        return make(table)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def build(cls: Callable[..., T], table: Any, where: str) -> T:
    """A dataclass from a table, nested dataclasses and tuples of them included."""
    if not isinstance(table, dict):
        raise ConfigError(f"{where} must be a table")
    hints = typing.get_type_hints(cls)
    check_keys(table, set(hints), where)
    return cls(**{key: checked(value, hints[key], f"{where} {key}") for key, value in table.items()})


def checked(value: Any, hint: Any, where: str) -> Any:
    """`value` as the type `hint` asks for; ints pass as floats, lists as tuples, tables as dataclasses."""
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(Any, hint), value, where)
    if typing.get_origin(hint) is tuple and isinstance(value, list | tuple):
        return tuple(checked(item, typing.get_args(hint)[0], where) for item in value)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return checked(value, typing.get_args(hint)[0], where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if typing.get_origin(hint) is tuple or not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(f"{where} is {value!r}: expected {getattr(hint, '__name__', hint)}")
    if hint is int and value < 0:
        raise ConfigError(f"{where} is {value!r}: it cannot be negative")
    return value


def listed(table: Mapping[str, Any], key: str) -> list[Any]:
    """The list that stands under `key`, with at least one item."""
    value = table[key]
    if not isinstance(value, list) or not value:
        raise ConfigError(f"{key!r} must be a list with at least one item")
    return value


def check_keys(table: Mapping[str, Any], known: set[str], where: str) -> None:
    """Raises ConfigError for a key that is not known."""
    for key in table:
        if key not in known:
            raise ConfigError(f"unknown key {key!r} in {where}{nearest(key, known)}")


def nearest(name: str, known: typing.Iterable[str]) -> str:
    """How an error message ends: with the known name that is most like this one, or with all of them."""
    match = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f": did you mean {match[0]!r}?" if match else f": known are {', '.join(sorted(known))}"
