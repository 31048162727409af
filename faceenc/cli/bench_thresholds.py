"""`faceenc-bench thresholds`: which threshold belongs to a false match rate, and how well a recogniser does there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from faceenc.cli.options import PATH, command, device_option, trust_option
from faceenc.cli.progress import progress_bars
from faceenc.cli.tables import print_table
from faceenc.core import ConfigError, resolve_device

if TYPE_CHECKING:
    from pathlib import Path

    from faceenc.benchmark import AtThreshold, Baseline
    from faceenc.recognizers import Recognizer


@command()
@click.argument("recognizer")
@click.argument("data")
@click.option("--pairs", type=PATH, metavar="FILE", help="Compare only the photos that LFW's pairs file names.")
@click.option("--fmr", "fmrs", type=float, multiple=True, metavar="RATE",
              help="False match rate to find a threshold for; may be repeated."
                   "  [default: 0.1, 0.01, 0.001, 0.0001]")  # fmt: skip
@click.option("-o", "--output", type=PATH, metavar="FILE", help="Also write everything, with the DET curve, as JSON.")
@click.option("--json", "as_json", is_flag=True, help="Print one object of JSON instead of the tables.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the draws of people.")
@device_option
@trust_option
def thresholds(
    recognizer: str,
    data: str,
    pairs: Path | None,
    fmrs: tuple[float, ...],
    output: Path | None,
    as_json: bool,
    seed: int,
    device: str,
    trust_code: bool,
) -> None:
    """Find the thresholds of RECOGNIZER for false match rates, and how well it tells the people of DATA apart there.

    RECOGNIZER is whatever `faceenc-bench list` names. DATA is a folder with a sub-folder of photos a person, orl (the demo's
    40 people), or a .bin of verification pairs. Take people whom the recogniser was not trained on. Photos are compared all
    with all. Intervals hold 95 % of 1,000 draws of people. A tags.csv in the folder, with a line a person (person,TAG,...),
    slices the rates by its tags.
    """
    import json
    from dataclasses import asdict

    from faceenc.benchmark import FARS, measure_baseline
    from faceenc.core import write_atomically
    from faceenc.recognizers import load_recognizer

    for fmr in fmrs:
        if not 0 < fmr <= 1:
            raise ConfigError(f"--fmr {fmr:g}: expected a share above 0 and at most 1, such as 0.001")
    one = load_recognizer(recognizer, device=resolve_device(device), trust_code=trust_code)
    with progress_bars(as_json=as_json) as progress:
        found, protocol = measure_baseline(one, data, pairs=pairs, fmrs=fmrs or FARS, seed=seed, progress=progress)
    text = json.dumps(found.to_json() | ({"protocol": asdict(protocol)} if protocol else {}))
    if output is not None:
        write_atomically(output, text + "\n")
    if as_json:
        click.echo(text)
    else:
        _print(one, found)
        if protocol is not None:
            accuracy = f"accuracy {_percent(protocol.accuracy)} % (standard error {100 * protocol.deviation:.2f})"
            shown = accuracy if protocol.folds > 1 else "accuracy not shown, which takes both kinds of pairs in two folds"
            click.echo(f"LFW's protocol: {shown}, {protocol.used} of {protocol.pairs} pairs in {protocol.folds} folds")


def _print(recognizer: Recognizer, found: Baseline) -> None:
    from faceenc.benchmark import own_distance

    rows: list[dict[str, Any]] = [
        {
            "FMR": f"{rate.fmr:g}",
            f"threshold ({recognizer.metric})": _distance(own_distance(recognizer, rate.threshold)),
            "between": _between(*(own_distance(recognizer, end) for end in rate.threshold_interval), digits=4),
            "TAR %": _percent(rate.tar.value),
            "95 % of draws": _between(100 * rate.tar.low, 100 * rate.tar.high, digits=1),
            "false matches": rate.false_matches,
            "": _doubt(rate.threshold, rate.fmr, found.impostor, rough=rate.rough),
        }
        for rate in found.rates
    ]
    whom = f"{found.people} people, " if found.people else ""
    click.echo(f"{found.recognizer} on {found.data}: {whom}{found.genuine} genuine and {found.impostor} impostor pairs")
    print_table(rows, title="thresholds by false match rate (FMR)")
    if math.isnan(found.eer.value):
        click.echo("no pair of two people" if not found.impostor else "no pair of one person")
    else:
        click.echo(f"EER {_percent(found.eer.value)} % ({_between(100 * found.eer.low, 100 * found.eer.high, digits=1)})")
    if found.ranks:
        click.echo("right person " + ", ".join(f"at rank {k} {_percent(share)} %" for k, share in found.ranks.items()))
    click.echo(f"failure to acquire: {found.not_acquired} of {found.photos} photos without a usable face")
    if (of := found.spread) is not None:
        click.echo(
            f"at FMR 0.01 {of.never_rejected:.0%} of {of.people} people are never rejected, the tenth that is rejected most"
            f" is in {of.worst_tenth:.0%} of its pairs; a tenth of the people takes part in {of.often_mistaken:.0%} of the"
            " false matches"
        )
    if len(found.at) > 1:
        print_table([_slice(one) for one in found.at], title="the threshold of FMR 0.01, by tag")
    if not found.people:
        click.echo("whom the pairs show is not known: intervals take every pair for people of its own, and are too narrow")


def _slice(one: AtThreshold) -> dict[str, Any]:
    return {
        "tag": one.tag or "everybody",
        "value": one.value,
        "people": one.people,
        "FMR %": _percent(one.fmr.value),
        "FMR, 95 % of draws": _between(100 * one.fmr.low, 100 * one.fmr.high, digits=1),
        "FNMR %": _percent(one.fnmr.value),
        "FNMR, 95 % of draws": _between(100 * one.fnmr.low, 100 * one.fnmr.high, digits=1),
    }


def _doubt(threshold: float, fmr: float, impostor: int, *, rough: bool) -> str:
    if math.isnan(threshold):
        return f"not shown: takes {math.ceil(1 / fmr)} impostor pairs"
    return "rough: fewer than 30 false matches" if rough else ""


def _distance(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"


def _percent(share: float) -> str:
    return "" if math.isnan(share) else f"{100 * share:.1f}"


def _between(low: float, high: float, *, digits: int) -> str:
    return "" if math.isnan(low) else f"{low:.{digits}f} to {high:.{digits}f}"
