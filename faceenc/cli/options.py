"""Options as all commands have them: how much is said, headings of the help, the words of the release before."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from faceenc.cli.stopping import asked_to_stop, stop_code, stoppable, terminated

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])
_Option = Callable[..., Callable[[_Decorated], _Decorated]]
# In a context's meta: arguments for `set_up_logging`, and words that go with the next release -> today's.
_SAID, _RENAMED = "faceenc.cli.said", "faceenc.cli.renamed"
INCOMPLETE = 3  # exit code where a part is done
_WIDEST = 26  # of the column of options
_LONG = 10  # options: a shorter help needs no headings
_REST = "Options"
# In the order in which help shows them.
HEADINGS = (
    "Who reaches it", "Limits",
    "Camera", "What to measure", "Training", "What to write", "How strong", "Who", "Evidence", "Running", _REST,
)  # fmt: skip


class Option(click.Option):
    """One that stands below a heading of the help, of `HEADINGS`."""

    def __init__(self, *args: Any, heading: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.heading = heading


def heading(title: str) -> _Option[Any]:
    """`click.option` for what stands below a heading."""

    def option(*names: str, **attributes: Any) -> Callable[[_Decorated], _Decorated]:
        return click.option(*names, cls=Option, heading=title, **attributes)

    return option


to_write, how_strong, who = heading("What to write"), heading("How strong"), heading("Who")
evidence, running = heading("Evidence"), heading("Running")
camera, measured, training = heading("Camera"), heading("What to measure"), heading("Training")


def _saying(level: str, *, traces: bool = False) -> dict[str, Any]:
    """A flag that says how much is said."""

    def given(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value:
            context.meta[_SAID] = {**context.meta.get(_SAID, {}), "level": level, **({"traces": True} if traces else {})}

    return {"is_flag": True, "expose_value": False, "callback": given}


# The same objects in every command: click tells parameters apart by identity. The last one on a line counts.
HOW_MUCH = (
    click.Option(["-q", "--quiet"], help="Errors and results only, no progress.", **_saying("ERROR")),
    click.Option(["-v", "--verbose"], help="Say more.", **_saying("DEBUG")),
)
debug_option = click.option("--debug", help="All messages, and the trace of an error.", **_saying("TRACE", traces=True))


def _rename(context: click.Context | None, old: str, today: str) -> None:
    """To be said when it is known how much is."""
    if context is not None:
        context.meta.setdefault(_RENAMED, {})[old] = today


class Command(click.Command):
    """Takes -q and -v, and shows options below their headings."""

    def invoke(self, ctx: click.Context) -> Any:
        if not isinstance(self, click.Group):
            from faceenc.cli.logs import set_up_logging

            logger = set_up_logging(**ctx.meta.get(_SAID, {}))
            for old, today in ctx.meta.get(_RENAMED, {}).items():
                logger.warning("%s is %s now; the old word goes with the next release", old, today)
        with stoppable():
            try:
                done = super().invoke(ctx)
            except click.exceptions.Exit:
                raise
            except (KeyboardInterrupt, Exception) as stop:
                if not isinstance(stop, KeyboardInterrupt) and not asked_to_stop():
                    raise
                from faceenc.cli.messages import as_options

                remedy = as_options("; ".join(getattr(stop, "__notes__", ()))) or "run the same command again"
                click.echo(f"stopped: {remedy}", err=True)
                ctx.exit(stop_code())
            if terminated():  # a command that closes what it writes, as the camera's, ends as if it were done
                ctx.exit(stop_code())
            return done

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        own = super().get_params(ctx)
        return [*own[: len(self.params)], *HOW_MUCH, *own[len(self.params) :]]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        for param in options:
            title = getattr(param, "heading", _REST) if len(options) >= _LONG else _REST
            record = param.get_help_record(ctx)
            if record is not None:
                sections.setdefault(title, []).append(record)
        # One column through all sections; a longer option stands on a line of its own.
        width = min(_WIDEST, max(len(names) for records in sections.values() for names, _ in records))
        for title in sorted(sections, key=HEADINGS.index):
            with formatter.section(title):
                formatter.write_dl([(names.ljust(width), text) for names, text in sections[title]], _WIDEST)


def command(name: str | None = None, cls: type[click.Command] = Command) -> Callable[[Callable[..., Any]], click.Command]:
    """`click.command` for a `Command`, or for what `formerly` makes of it."""
    return click.command(name, cls=cls)


class FilePath(click.Path):
    """A path as `Path`, whose module is only loaded once there is one: help starts sooner."""

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        from pathlib import Path

        return Path(os.fsdecode(super().convert(value, param, ctx)))


PATH = FilePath()


class Eps(click.ParamType[int]):
    """The radius of a ball as N/255, in whole levels; the bare N of the release before still works, with a line."""

    name = "N/255"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = value if isinstance(value, int) else re.fullmatch(r"\s*(\d+)\s*(/\s*255\s*)?", value)
        levels = found if isinstance(found, int) else int(found[1]) if found else 0
        if not 1 <= levels <= MOST_LEVELS:
            self.fail(f"{value!r} is not in the range from 1/255 to {MOST_LEVELS}/255.", param, ctx)
        if isinstance(found, re.Match) and not found[2]:
            _rename(ctx, f"--eps {levels}", f"--eps {levels}/255")
        return levels


MOST_LEVELS = 32  # of eps in live pictures


def formerly(old: Mapping[str, str]) -> type[click.Command]:
    """A command that takes the words of the release before, with a line that says the new ones.

    Args:
        old: an option or flag, or one of its values as OPTION=VALUE -> today's; after a blank, how its value begins. An
            option whose word today is none, but a sentence in brackets, is dropped with its value.
    """

    class Renaming(Command):
        def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
            flags = {name for param in self.params if getattr(param, "is_flag", False) for name in param.opts}
            words: list[str] = []
            given = iter(args)
            for word in given:
                if word == "--":
                    words += [word, *given]
                    break
                option, sign, value = word.partition("=")
                if not sign and old.get(option) not in flags and any(known.partition("=")[0] == option for known in old):
                    value = next(given, "")
                today = old.get(option) or old.get(f"{option}={value}")
                if today is None:
                    words += [word] if sign or not value else [word, value]
                    continue
                _rename(ctx, option, today.strip("()"))
                name, _, begin = today.partition(" ")
                words += [] if today.startswith("(") else [name] if today in flags else [name, begin + value]
            return super().parse_args(ctx, words)

    return Renaming


SURROGATE_WORDS = {"--model": "--surrogate"}
JUDGE_WORDS = {"--model": "--judge", "--frbench": "--judge frbench:"}
LIVE_WORDS = {
    **SURROGATE_WORDS, "--engine=pgd": "--method", "--engine=mask": "--method", "--target": "--to", "--max-faces": "--faces",
    "--goal": "(part of --to NAME)",
}  # fmt: skip


# What --surrogate and --judge take, besides dlib.
RECOGNISERS = (
    "sface, faceplugin, mobilefacenet, a trained recogniser (.safetensors), frbench:NAME, onnx:FILE or another kind of"
    " faceenc-bench list"
)


def trust_option(function: _Decorated) -> _Decorated:
    """--trust-code, the same in every command that takes recognisers."""
    decorated: _Decorated = running(
        "--trust-code", is_flag=True, help="Run code of others: factories, functions, entry points, TorchScript.",
    )(function)  # fmt: skip
    return decorated


def cluster_option(function: _Decorated) -> _Decorated:
    """--cluster, the same in every command that shares work out."""
    decorated: _Decorated = running(
        "--cluster", metavar="local|auto|HOST:PORT",
        help="Let a Ray cluster work, on this machine or many; all see the files under the same paths.",
    )(function)  # fmt: skip
    return decorated


def device_option(function: _Decorated) -> _Decorated:
    """--device, the same in every command that computes; `faceenc.core.resolve_device` says what it means here."""
    decorated: _Decorated = running(
        "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True,
        help="Where nets compute; auto is a CUDA device where there is one.",
    )(function)  # fmt: skip
    return decorated
