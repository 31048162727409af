"""What `faceenc encrypt` says: about each photo as soon as it is done, and about all of them in the end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from faceenc.cli.messages import as_options, left_out_lines
from faceenc.cli.stopping import stop_code
from faceenc.core import shown

if TYPE_CHECKING:
    from faceenc.protect import Options
    from faceenc.runs import FileResult


_NONE, _SOME, _MATCHED = 2, 3, 4


def print_result(result: FileResult, options: Options, *, as_json: bool, alone: bool = False) -> None:
    """One photo's result; of the only photo with all the evidence. Whatever went wrong is a line on standard error."""
    if as_json:
        record = {
            "source": str(result.source),
            "status": result.status,
            "message": as_options(result.message),
            **result.details,
            **({"output": str(result.target)} if result.details and result.target is not None else {}),
        }
        click.echo(json.dumps(record))
    if result.status == "left out":
        return
    if result.status == "failed":
        word = "skipped" if _passed_over(result, options) else "error"
        click.echo(f"{word}: {as_options(result.message)}", err=True)
    elif as_json:
        return
    elif result.status == "skipped":
        click.echo(f"{shown(result.source)}: {shown(result.message)}")
    else:
        _print_done(result, alone=alone)


def _print_done(result: FileResult, *, alone: bool) -> None:
    from faceenc.cli.evidence_tables import print_evidence, what_is_seen

    details: dict[str, Any] = result.details
    if alone:
        print_evidence(details, details["undetected"])
    names = " -> ".join(shown(path) for path in (result.source, result.target) if path is not None)
    click.echo(f"{names}: {what_is_seen(details)}; {result.seconds:.1f} s")
    for note in details["notes"]:
        click.echo(f"  note: {as_options(note)}")
    click.echo(f"  {details['summary']}")


def print_stopped(stop: KeyboardInterrupt) -> int:
    """Ctrl-C or SIGTERM, in a line; returns the exit code."""
    results: Sequence[FileResult] = getattr(stop, "results", ())
    done = sum(result.status == "done" or bool(result.details.get("faces")) for result in results)
    counted = "1 photo is" if done == 1 else f"{done or 'no'} photos are"
    click.echo(f"stopped: {counted} done; run the same command again to go on", err=True)
    return stop_code()


def conclude(results: Sequence[FileResult], options: Options, *, as_json: bool) -> int:
    """The last line of several photos; returns the exit code."""
    from faceenc.runs import BUSY

    left_out = {result.source: result.message for result in results if result.status == "left out"}
    results = [result for result in results if result.status != "left out"]
    faceless = [result for result in results if _passed_over(result, options)]
    counted = [result for result in results if result not in faceless]
    matched = sum(_matched(result) for result in counted)
    busy = sum(result.message == BUSY for result in counted)
    failed = sum(result.status == "failed" for result in counted)
    good = len(counted) - matched - busy - failed
    if not as_json and len(results) > 1:
        others = (
            (matched, _what(options)),
            (len(faceless), "without a face"),
            (busy, BUSY),
            (failed, "failed"),
        )
        parts = [f"{good} of {len(results)} photos protected", *(f"{count} {what}" for count, what in others if count)]
        click.echo(", ".join(parts))
    for line in [] if as_json else left_out_lines(left_out):
        click.echo(line)
    if not as_json and matched:
        click.echo(_advice([result for result in counted if _matched(result)], options))
    if not good + matched:
        return _NONE
    return _SOME if busy or failed else _MATCHED if matched else 0


def _matched(result: FileResult) -> bool:
    """Whether its faces are still matched, or not taken for whom they were to look like."""
    return bool(result.details.get("matched") or result.details.get("unlike"))


def _what(options: Options) -> str:
    return "still matched" if options.target is None else f"still matched, or not taken for {options.target}"


def _advice(matched: Sequence[FileResult], options: Options) -> str:
    """Which photos are still matched, and what to do about it."""
    from faceenc.media import NAMED
    from faceenc.protect import STRENGTHS

    names = [shown(result.source) for result in matched]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    strength, strong = options.strength, STRENGTHS["strong"]
    remedy = f"--steps {2 * strength.steps}" if strength.noise <= strong.noise else "--strength strong"
    return f"{_what(options)}: {', '.join(names[:NAMED])}{more}; try {remedy if strength.sees else 'a larger --eps'}"


def _passed_over(result: FileResult, options: Options) -> bool:
    return options.on_no_face == "skip" and result.details.get("error") == "NoFaceError"
