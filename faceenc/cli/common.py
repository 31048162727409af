"""What both commands share: commands that are imported when called, errors as one line, tables."""

from __future__ import annotations

import atexit
import errno
import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

import click

from faceenc.cli.messages import CALLED, as_options
from faceenc.cli.options import Command
from faceenc.core import FaceencError

if TYPE_CHECKING:
    from pathlib import Path


_LINE = 100  # about a command; longer ones are cut


class Commands(MutableMapping[str, click.Command]):
    """Commands by name, each imported when it is asked for: help, and every other command, start sooner.

    Args:
        homes: the module of each, where it has the command's name, and the line about it in the list.
    """

    def __init__(self, homes: Mapping[str, tuple[str, str]]) -> None:
        self.homes = homes
        self._loaded: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._loaded and name in self.homes:
            module, line = self.homes[name]
            command: click.Command = getattr(import_module(module), name)
            command.short_help = line
            self._loaded[name] = command
        return self._loaded[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self.homes, *self._loaded]))

    def __len__(self) -> int:
        return len({*self.homes, *self._loaded})


def _line(command: click.Command) -> str:
    return command.get_short_help_str(limit=_LINE)


class Group(click.Group, Command):
    """Turns every `FaceencError`, and a full or read-only disk, into one line and an exit code; --debug shows the trace."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.commands]  # in the order in which they are wanted

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        homes = self.commands.homes if isinstance(self.commands, Commands) else {}
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, homes[name][1] if name in homes else _line(self.commands[name])) for name in self.commands]
            )

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        CALLED[:0] = [command] if command else []
        return name, command, rest

    def main(self, *args: Any, **kwargs: Any) -> Any:
        CALLED[:] = [self]
        try:
            return super().main(*args, **kwargs)
        except (FaceencError, OSError) as error:
            from faceenc.cli.logs import shows_traces

            if shows_traces():
                raise
            # A full disk is made larger, and the run goes on; other errors say themselves what to do.
            notes = getattr(error, "__notes__", ()) if isinstance(error, OSError) else ()
            remedies = [as_options(note) for note in notes]
            click.echo("; then ".join([f"error: {as_options(_line_of(error))}", *remedies]), err=True)
            sys.exit(getattr(error, "exit_code", 2))
        except SystemExit as end:
            if not (args or kwargs) and isinstance(end.code, int):  # the command itself, not a call from a program
                _leave(end.code)
            raise


@contextmanager
def resumable(folder: Path, record: str) -> Iterator[None]:
    """Ctrl-C or a full disk in the block says how to go on, if the run has left its record in its folder by then."""
    try:
        yield
    except BaseException as stop:
        if (folder / record).exists():
            stop.add_note(f"go on with --output {folder} --resume")
        raise


def _line_of(error: Exception) -> str:
    """An error as one line, with its remedy."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "free some space" if full else "check the path, its permissions and the disk"
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror.lower()}; {remedy}"


def _leave(code: int) -> NoReturn:
    """End the process now. Taking torch down in good order takes a second and serves nobody."""
    try:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # nobody reads any more
        code = code or 1
    os._exit(code)
