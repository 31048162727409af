"""Fields of the rooms below in the words of the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from faceenc.core import shown

if TYPE_CHECKING:
    from pathlib import Path

# The command that was called and its groups, innermost first: their options are what messages name.
CALLED: list[click.Command] = []


def left_out_lines(left_out: Mapping[Path, str]) -> list[str]:
    """A line a reason of what lies in folders and is no photo."""
    from faceenc.media import by_reason

    return [shown(line) for line in by_reason(left_out)]


def as_options(message: str) -> str:
    """A message of the rooms below, which names fields (`output`, `on_no_face=whole`), in the words of this command line."""
    message = shown(message)
    if "`" not in message:
        return message
    siblings = [command for group in CALLED if isinstance(group, click.Group) for command in group.commands.values()]
    options = {
        str(param.name): max(param.opts, key=len)
        for command in reversed([*CALLED, *siblings])
        for param in command.params
        if isinstance(param, click.Option)
    }

    def worded(field: re.Match[str]) -> str:
        return " ".join(filter(None, (options[field[1]], field[2]))) if field[1] in options else field[0]

    return re.sub(r"`([a-z_]+)(?:=([^`]*))?`", worded, message)
