"""TOML tables, checked: unknown keys and values of the wrong kind are errors that name what was meant."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import tomllib
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from faceenc.core.errors import ConfigError
from faceenc.core.files import read_text
from faceenc.core.ranges import check_range


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


TOP = "the top level"
BACKSLASH = "in double quotes a backslash begins a special character: write paths with / or in single quotes"

_EXPECTED = {int: "a whole number", float: "a number", str: "text in quotes", bool: "true or false"}

T = typing.TypeVar("T")


def read_toml(path: Path, make: Callable[[dict[str, Any]], T]) -> T:
    """What `make` makes of the top level of a TOML file.

    Raises:
        ConfigError: it cannot be read, is no TOML, or `make` refuses it; names the file.
    """
    text = ""
    try:
        text = read_text(path, "utf-8-sig")  # Windows' editors begin files with a mark
        table = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is no text in UTF-8, and so no configuration: give a TOML file, saved as UTF-8"
        ) from error
    except RecursionError:
        raise ConfigError(
            f"{path} nests tables or lists too deeply: write it as the configurations that come with faceenc are"
        ) from None
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}{_backslash(text, str(error))}") from error
    try:
        return make(table)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _backslash(text: str, error: str) -> str:
    """How a parser's message goes on where a Windows path was meant."""
    line = re.search(r"at line (\d+)", error)
    if line is None or not re.search(r'"[^"]*\\', text.split("\n")[int(line[1]) - 1]):
        return ""
    return f"; {BACKSLASH}"


def build(cls: Callable[..., T], table: Any, where: str) -> T:
    """A dataclass from a table, nested dataclasses and tuples of them included."""
    if not isinstance(table, dict):
        raise ConfigError(f"{where} is {shortened(table)}: expected a table")
    hints = typing.get_type_hints(cls)
    check_keys(table, set(hints), where)
    for field in dataclasses.fields(typing.cast(Any, cls)):
        if field.name not in table and field.default is field.default_factory is dataclasses.MISSING:
            raise ConfigError(
                f"{where} lacks {field.name!r}: write {field.name} = {_EXPECTED.get(hints[field.name], '...')}"
            )
    begin = "" if where == TOP else f"{where} "
    return cls(**{key: checked(value, hints[key], f"{begin}{key}", key, where) for key, value in table.items()})


def checked(value: Any, hint: Any, where: str, name: str = "", table: str = "") -> Any:
    """`value` as the type `hint` asks for; ints pass as floats, lists as tuples, tables as dataclasses.

    Args:
        value: from a TOML file.
        hint: a type.
        where: begins the error's line.
        name: of `RANGES`, where a number has to lie; by default `where`.
        table: that it stands in, as of `check_range`.

    Raises:
        ConfigError: it is of another type, out of its range or not finite.
    """
    name = name or where
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(Any, hint), value, where)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where} is {shortened(value)}: expected a list in square brackets")
        item = typing.get_args(hint)[0]
        return tuple(checked(one, item, where, name, table) for one in value)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return checked(value, typing.get_args(hint)[0], where, name, table)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        check_range(value, name, where, table)  # before what no float can hold
        value = float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(f"{where} is {shortened(value)}: expected {_EXPECTED.get(hint, hint.__name__)}")
    if hint in (int, float):
        check_range(value, name, where, table)
        if not math.isfinite(value):
            raise ConfigError(f"{where} is {value!r}: expected a finite number")
        if value < 0:
            raise ConfigError(f"{where} is {value!r}: it cannot be negative")
    if hint is str and name != "notes" and not value.isprintable():
        raise ConfigError(f"{where} is {shortened(value)} and holds what cannot be printed: {BACKSLASH}")
    return value


def shortened(value: object) -> str:
    """A value as a line of an error shows it."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"


def folder_name(value: Any) -> str:
    """The `name` of a configuration, which its folder gets.

    Raises:
        ConfigError: it is no name of a folder, or leads out of the one it is made in.
    """
    name = str(checked(value, str, "name"))
    if not name.strip(". ") or set("/\\") & set(name) or len(name.encode()) > 100:
        raise ConfigError(f'name is {shortened(name)}: expected the name of a folder, without / and \\, such as "mine"')
    return name


def listed(table: Mapping[str, Any], key: str) -> list[Any]:
    """The list that stands under `key`, with at least one item."""
    value = table[key]
    if isinstance(value, dict):
        raise ConfigError(f"[{key}] is a single table: write [[{key}]], in double brackets, above each of the {key}")
    if not isinstance(value, list) or not value:
        raise ConfigError(f"{key!r} is {shortened(value)}: expected a list with at least one item")
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
