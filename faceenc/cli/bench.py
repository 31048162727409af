"""`faceenc-bench`: how well do face recognisers withstand adversarial noise?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from faceenc import __version__
from faceenc.cli.bench_list import list_names
from faceenc.cli.bench_thresholds import thresholds
from faceenc.cli.common import Group
from faceenc.cli.options import (
    PATH,
    cluster_option,
    debug_option,
    device_option,
    formerly,
    measured,
    running,
    to_write,
    trust_option,
)
from faceenc.cli.progress import progress_bars
from faceenc.cli.tables import print_table
from faceenc.core import from_cells, resolve_device

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from faceenc.benchmark import Report


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="faceenc-bench")
@debug_option
def bench_main() -> None:
    """Measure how well face recognisers withstand adversarial noise, and report it."""


@bench_main.command()
@click.argument("config", required=False)
@measured(
    "--recognizer",
    "recognizers",
    multiple=True,
    metavar="NAME|FILE",
    help="Instead of the configuration's; repeatable. Without CONFIG it is measured on pairs of strangers.",
)
@measured("--data", metavar="FOLDER|orl", help="Instead of the configuration's people: one sub-folder a person.")
@to_write("-o", "--output", type=PATH, help="The run's folder.  [default: runs/NAME, numbered]")
@running("--resume", is_flag=True, help="Go on with the killed run in --output.")
@measured("--limit", type=click.IntRange(min=1), help="Attack only the first so many test images, or pairs.")
@measured("--seed", type=click.IntRange(min=0), help="Instead of the configuration's seeds.")
@device_option
@trust_option
@running("--jobs", type=click.IntRange(min=1), default=1, help="Processes that compute cells, of one thread each.")
@cluster_option
@running("--dry-run", is_flag=True, help="Print the plan and an estimate of its time, and stop.")
@click.pass_context
def run(
    context: click.Context,
    /,
    config: str | None,
    recognizers: tuple[str, ...],
    data: str | None,
    output: Path | None,
    resume: bool,
    limit: int | None,
    seed: int | None,
    device: str,
    jobs: int,
    cluster: str | None,
    trust_code: bool,
    dry_run: bool,
) -> None:
    """Run a benchmark and write its report.

    CONFIG is a TOML file or the name of a built-in configuration. The default, "demo", needs nothing else: it fetches the
    ORL faces, trains a ResNet-18 on them, attacks it and writes the report, in about ten minutes on two processor cores.
    With --recognizer the default is "verification": each recogniser is attacked on pairs of strangers at its own crops.

    Exit code 3 if some cells could not be computed, because their process was killed twice: --resume tries them again.
    """
    from faceenc.benchmark import named_config, plan_run, run_config

    if dry_run:
        with progress_bars() as progress:
            table = plan_run(
                config, recognizers=recognizers, data=data, limit=limit, seed=seed, trust_code=trust_code, progress=progress
            )
        _print_plan(table, str(named_config(config, recognizers)), ", besides training")
        return
    with progress_bars() as progress:
        report = run_config(
            config,
            recognizers=recognizers,
            data=data,
            output=output,
            resume=resume,
            limit=limit,
            seed=seed,
            device=resolve_device(device),
            jobs=jobs,
            cluster=cluster,
            trust_code=trust_code,
            progress=progress,
        )
    if report.page is not None:
        _print_summary(report.folder)
    _conclude(context, report)


def _print_plan(table: pd.DataFrame, name: str, besides: str = "") -> None:
    print_table(table.assign(seconds=table["seconds"].round(1)), title=f"plan of {name}")
    click.echo(f"about {table['seconds'].sum() / 60:.0f} minutes{besides}")


def _conclude(context: click.Context, report: Report) -> None:
    if report.page is not None:
        click.echo(f"report: {report.page}")
    if report.failures:
        first = report.failures[0]
        cell = " ".join(value for value in first["cell"].values() if value)
        click.echo(
            f"error: {len(report.failures)} cells have no rows, the first ({cell}) because {first['reason']}: run the same"
            f" command with --output {report.folder} --resume to try again, with fewer --jobs if memory is short",
            err=True,
        )
        context.exit(3)


@bench_main.command()
@click.argument("config", default="transfer")
@to_write("-o", "--output", type=PATH, help="The run's folder.  [default: runs/NAME, numbered]")
@running("--resume", is_flag=True, help="Go on with the killed run in --output.")
@measured("--limit", type=click.IntRange(min=1), help="Attack only so many photos.")
@device_option
@trust_option
@running("--jobs", type=click.IntRange(min=1), default=1, help="Processes that compute cells, of one thread each.")
@cluster_option
@running("--dry-run", is_flag=True, help="Print the plan and an estimate of its time, and stop.")
@click.pass_context
def transfer(
    context: click.Context,
    /,
    config: str,
    output: Path | None,
    resume: bool,
    limit: int | None,
    device: str,
    jobs: int,
    cluster: str | None,
    trust_code: bool,
    dry_run: bool,
) -> None:
    """Make noise on some recognisers and let all judge it, on people whom neither attack nor threshold knows.

    CONFIG is a TOML file or the name of a built-in configuration. The default, "transfer", needs nothing else: it makes
    noise on one of the face nets that packages carry and lets it and three others judge, on the ORL faces. The report holds
    the matrix of surrogates and judges, dodging and impersonation, and the verification view.
    """
    from faceenc.benchmark import plan_transfer, run_transfer_config

    if dry_run:
        with progress_bars() as progress:
            table = plan_transfer(config, limit=limit, trust_code=trust_code, progress=progress)
        _print_plan(table, config)
        return
    with progress_bars() as progress:
        report = run_transfer_config(
            config,
            output=output,
            resume=resume,
            limit=limit,
            device=resolve_device(device),
            jobs=jobs,
            cluster=cluster,
            trust_code=trust_code,
            progress=progress,
        )
    _conclude(context, report)


bench_main.add_command(list_names)
bench_main.add_command(thresholds)


@bench_main.command()
@click.argument("folder", type=PATH)
def report(folder: Path) -> None:
    """Write the report of the run in FOLDER anew, from its rows; no attack is run."""
    from faceenc.report import render

    with progress_bars(silent=True):
        page = render(folder)
    _print_summary(folder)
    click.echo(f"report: {page}")


@bench_main.command(cls=formerly({"--images": "--limit"}))
@click.argument("config", default="demo")
@measured("--limit", "images", type=click.IntRange(min=1), default=16, help="Test images, attacked as one batch.")
@measured("--steps", type=click.IntRange(min=1), default=10, help="Steps of both attacks.")
@measured("--engine", "engines", multiple=True, default=("exact", "fused", "bf16"), help="Of our PGD; repeatable.")
@to_write("-o", "--output", type=PATH, help="Also write the whole table, step by step, as CSV.")
@device_option
def crosscheck(config: str, images: int, steps: int, engines: tuple[str, ...], output: Path | None, device: str) -> None:
    """Compare our PGD with ART's from the same start: pixels at each step, predictions, accuracies, time.

    CONFIG says on which data and recogniser (its first one). ART runs with frozen weights.
    """
    from faceenc.benchmark import crosscheck as compare
    from faceenc.benchmark import make_plan, read_config
    from faceenc.core import find_config, table_text, write_atomically
    from faceenc.data import load_data

    settings = read_config(find_config(config))
    with progress_bars() as progress:
        data = load_data(settings.data, progress=progress)
        plan = make_plan(settings, data, limit=images, device=resolve_device(device), progress=progress)
        x, labels = plan.pixels(plan.rows), plan.labels(plan.rows)
        table = compare(plan.subjects[0].model, x, labels, steps=steps, engines=engines, progress=progress)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(output, table_text(table))
    table["art_time_over_ours"] = table["art_seconds"] / table["seconds"]
    shown = table[table["step"].isin([1, steps])]
    print_table(shown.drop(columns=["eps", "images"]), title=f"our PGD against ART's, {len(x)} images")


def _print_summary(folder: Path) -> None:
    import pandas as pd

    summary = from_cells(pd.read_csv(folder / "summary.csv"))
    several = summary["judge"].nunique() > 1
    what = "pairs that match" if (folder / "verification.csv").is_file() else "accuracy"
    title = what if several else f"{what}, {summary['clean_accuracy'].iloc[0]:.1%} without noise"
    summary = summary[summary["eps"] > 0]
    elsewhere = (summary["recognizer"] != summary["judge"]).any()
    columns = {
        **({"noise made on": summary["recognizer"]} if elsewhere else {}),
        **({"recogniser": summary["judge"], "clean": summary["clean_accuracy"].map("{:.1%}".format)} if several else {}),
        "attack": summary["attack"],
        "goal": ["targeted" if goal == "impersonate" else "" for goal in summary["goal"]],
        "eps": [_size(eps, norm) for eps, norm in zip(summary.eps, summary.norm, strict=True)],
        "images": summary["n"],
        "accuracy": [f"{accuracy:.1%}" for accuracy in summary["adversarial_accuracy"]],
        "95 %": [f"{100 * low:.1f}-{100 * high:.1f}" for low, high in zip(summary.ci_low, summary.ci_high, strict=True)],
        "target hit": ["" if pd.isna(rate) else f"{rate:.1%}" for rate in summary["target_rate"]],
        "s/image": summary["seconds_per_image"].round(3),
    }
    print_table(pd.DataFrame(columns), title=title)


def _size(eps: float, norm: str) -> str:
    return f"{eps * 255:g}/255" if norm == "linf" else f"{norm} {eps:g}"
