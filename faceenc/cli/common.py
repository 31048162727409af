"""What both commands share: errors as one line, progress bars, logging."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import click

from faceenc.core import FaceencError

if TYPE_CHECKING:
    from faceenc.core import Progress


_GC_THRESHOLD = 50_000  # loading torch makes so many objects that looking for garbage costs a sixth of it


class Group(click.Group):
    """Turns every `FaceencError`, and a full or read-only disk, into one line and an exit code; --debug shows the trace."""

    # The groups and the command that were called, innermost first: their options are what messages name.
    called: ClassVar[list[click.Command]] = []

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        Group.called = [*([command] if command else []), *self.commands.values(), self, *Group.called]
        return name, command, rest

    def main(self, *args: Any, **kwargs: Any) -> Any:
        gc.set_threshold(_GC_THRESHOLD)
        Group.called = [self]
        try:
            return super().main(*args, **kwargs)
        except (FaceencError, OSError) as error:
            if logging.getLogger("faceenc").level == logging.DEBUG:
                raise
            click.echo(f"error: {as_options(str(error))}", err=True)
            sys.exit(getattr(error, "exit_code", 2))
        except SystemExit as end:
            if not (args or kwargs) and isinstance(end.code, int):  # the command itself, not a call from a program
                _leave(end.code)
            raise


def as_options(message: str) -> str:
    """A message of the rooms below, which names fields (`output`, `on_no_face=whole`), in the words of this command line."""
    options = {
        str(param.name): max(param.opts, key=len)
        for command in reversed(Group.called)
        for param in command.params
        if isinstance(param, click.Option)
    }

    def worded(field: re.Match[str]) -> str:
        return " ".join(filter(None, (options[field[1]], field[2]))) if field[1] in options else field[0]

    return re.sub(r"`([a-z_]+)(?:=([^`]*))?`", worded, message)


def formerly(old: Mapping[str, str]) -> type[click.Command]:
    """A command that takes the words of the release before, with a line that says the new ones.

    Args:
        old: an option, or one of its values as OPTION=VALUE -> today's option; after a blank, how its value begins.
    """

    class Renaming(click.Command):
        def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
            words: list[str] = []
            given = iter(args)
            for word in given:
                if word == "--":
                    words += [word, *given]
                    break
                option, sign, value = word.partition("=")
                if not sign and any(known.partition("=")[0] == option for known in old):
                    value = next(given, "")
                today = old.get(option) or old.get(f"{option}={value}")
                if today is None:
                    words += [word] if sign or not value else [word, value]
                    continue
                name, _, begin = today.partition(" ")
                logging.getLogger("faceenc").warning("%s is %s now; the old word goes with the next release", option, today)
                words += [name, begin + value]
            return super().parse_args(ctx, words)

    return Renaming


JUDGE_WORDS = {"--model": "--judge", "--frbench": "--judge frbench:"}
SURROGATE_WORDS = {"--model": "--surrogate"}


def _leave(code: int) -> NoReturn:
    """End the process now. Taking torch down in good order takes a second and serves nobody."""
    try:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # nobody reads any more
        code = code or 1
    os._exit(code)


class _Echo(logging.Handler):
    """Messages on standard error as it is at that moment, so that progress bars can make room for them."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(as_options(self.format(record)), err=True)


def set_up_logging(debug: bool) -> None:
    """Our own messages on standard error; with --debug also those that only explain."""
    handler = _Echo()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logger = logging.getLogger("faceenc")
    logger.handlers = [handler]
    logger.setLevel(logging.DEBUG if debug else logging.INFO)


@contextmanager
def progress_bars(*, silent: bool = False) -> Iterator[Progress]:
    """Bars with the time left, one for each kind of work, on standard error.

    Args:
        silent: where that is no terminal, nothing at all instead of one line each.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    tasks: dict[str, TaskID] = {}
    columns = (TextColumn("{task.description:>12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("left"), TimeRemainingColumn())  # fmt: skip
    # What is printed meanwhile makes room for the bars, unless it goes to a file: rich would send it to the terminal.
    redirect = sys.stdout.isatty()
    with Progress(*columns, console=console, disable=not console.is_terminal, redirect_stdout=redirect) as bars:

        def advance(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
                if not silent and not console.is_terminal and done < total:
                    count = f"{total - done} of {total}" if done else total
                    logging.getLogger("faceenc").info("%s: %s to do", what, count)
            bars.update(tasks[what], completed=done, total=total)

        yield advance


def device_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--device, the same in every command that computes; `faceenc.core.resolve_device` says what it means here."""
    return click.option(
        "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True,
        help="Where nets compute; auto is a CUDA device where there is one.",
    )(command)  # fmt: skip
