"""Settings as named fields: what a record keeps of them, and whether a record means the same settings.

Records are compared field by field. A field that a record lacks counts as its default, so that a new option with its default
undoes nothing that was made before there was one.
"""

from __future__ import annotations

import ast
import dataclasses
import math
from collections.abc import Collection, Mapping
from pathlib import PurePath
from typing import Any

_MISSING = dataclasses.MISSING


def named_fields(value: Any) -> Any:
    """JSON-like: dataclasses as objects of their fields, tuples as lists; paths, infinities and nan as text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: named_fields(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: named_fields(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [named_fields(item) for item in value]
    wordless = isinstance(value, PurePath) or (isinstance(value, float) and not math.isfinite(value))
    return str(value) if wordless else value


def means(record: Any, value: Any, *, leave: Collection[str] = ()) -> bool:
    """Whether a record, as read from JSON, says the same as these settings.

    Args:
        record: what `named_fields` made of settings, now or in an earlier version; an object that has a name may be recorded
            by it.
        value: the settings: dataclasses, mappings, sequences and plain values.
        leave: fields of the outermost dataclass that are not compared.
    """
    if isinstance(record, str) and getattr(value, "name", None) == record:
        return True
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: field for field in dataclasses.fields(value) if field.name not in leave}
        if not isinstance(record, Mapping) or set(record) - set(fields):
            return False
        return all(
            means(record[name], getattr(value, name))
            if name in record
            else named_fields(_default(field)) == named_fields(getattr(value, name))
            for name, field in fields.items()
        )
    if isinstance(value, Mapping):
        same = isinstance(record, Mapping) and set(record) == set(value)
        return same and all(means(record[key], item) for key, item in value.items())
    if isinstance(value, list | tuple):
        same = isinstance(record, list | tuple) and len(record) == len(value)
        return same and all(means(one, item) for one, item in zip(record, value, strict=True))
    return bool(record == named_fields(value))


def fields_of_repr(text: str) -> dict[str, Any] | None:
    """The named fields in a dataclass's repr, as version 0.1 recorded settings; nothing is evaluated.

    Returns:
        As of `named_fields`; None if it is no such repr.
    """
    try:
        found = _plain(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return found if isinstance(found, dict) else None


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not _MISSING else field.default


def _plain(node: ast.expr) -> Any:
    if isinstance(node, ast.Call):
        if node.args and not node.keywords:  # PosixPath('a/b')
            return ast.literal_eval(node.args[0])
        return {word.arg: _plain(word.value) for word in node.keywords if word.arg}
    if isinstance(node, ast.Tuple | ast.List):
        return [_plain(item) for item in node.elts]
    if isinstance(node, ast.Name):  # nan, inf: repr's words that are no literals
        return float(node.id)
    return ast.literal_eval(node)
