"""`faceenc-bench`: how well do face recognisers withstand adversarial noise?"""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from faceenc import __version__
from faceenc.cli.common import Group, check_device, print_table, progress_bars, set_up_logging
from faceenc.core import ConfigError


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="faceenc-bench")
@click.option("--debug", is_flag=True, help="Show the trace of an error and all log messages.")
def bench_main(debug: bool) -> None:
    """Measure how well face recognisers withstand adversarial noise, and report it."""
    set_up_logging(debug)


def _free_folder(name: str) -> Path:
    """runs/NAME, or runs/NAME-2 and so on if that is taken."""
    folders = [Path("runs") / name, *(Path("runs") / f"{name}-{k}" for k in range(2, 10_000))]
    return next(folder for folder in folders if not folder.exists())


@bench_main.command()
@click.argument("config", default="demo")
@click.option("--output", type=click.Path(path_type=Path), help="The run's folder.  [default: runs/NAME, numbered]")
@click.option("--resume", is_flag=True, help="Go on with the killed run in --output.")
@click.option("--limit", type=click.IntRange(min=1), help="Attack only the first so many test images.")
@click.option("--seed", type=click.IntRange(min=0), help="Instead of the configuration's seeds.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", help="Where to compute.")
@click.option("--dry-run", is_flag=True, help="Print the plan and an estimate of its time, and stop.")
def run(
    config: str,
    output: Path | None,
    resume: bool,
    limit: int | None,
    seed: int | None,
    device: str,
    dry_run: bool,
) -> None:
    """Run a benchmark and write its report.

    CONFIG is a TOML file or the name of a built-in configuration. The default, "demo", needs nothing else: it fetches the
    ORL faces, trains a ResNet-18 on them, attacks it and writes the report, in about ten minutes on two processor cores.
    """
    from dataclasses import replace

    from faceenc.benchmark import make_plan, read_config
    from faceenc.core import find_config
    from faceenc.data import load_data

    settings = read_config(find_config(config))
    if seed is not None:
        settings = replace(settings, seeds=(seed,))
    if resume and output is None:
        raise ConfigError("--resume needs --output FOLDER: the folder of the run to go on with")
    check_device(device)
    with progress_bars() as progress:
        data = load_data(settings.data, progress=progress)
        if dry_run:
            from faceenc.benchmark import estimate_time

            table = estimate_time(settings, data, limit=limit)
        else:
            from faceenc.benchmark import RunFolder
            from faceenc.benchmark import run_benchmark as run_plan
            from faceenc.report import render

            folder = RunFolder(output or _free_folder(settings.name), resume=resume)
            plan = make_plan(settings, data, limit=limit, device=device, progress=progress)
            run_plan(plan, folder, command=_command(config, limit, seed, device), progress=progress)
            page = render(folder.path)
    if dry_run:
        print_table(table, title=f"plan of {settings.name}")
        click.echo(f"about {table['seconds'].sum() / 60:.0f} minutes, besides training")
    else:
        _print_summary(folder.path)
        click.echo(f"report: {page}")


def _command(config: str, limit: int | None, seed: int | None, device: str) -> str:
    """How to run this again from anywhere: no folder of this machine is named."""
    options = {"--limit": limit, "--seed": seed, "--device": device if device != "cpu" else None}
    words = [word for option, value in options.items() if value is not None for word in (option, str(value))]
    return shlex.join(["faceenc-bench", "run", Path(config).name, *words])


@bench_main.command()
@click.argument("config", default="transfer")
@click.option("--output", type=click.Path(path_type=Path), help="The run's folder.  [default: runs/NAME, numbered]")
@click.option("--resume", is_flag=True, help="Go on with the killed run in --output.")
@click.option("--limit", type=click.IntRange(min=1), help="Attack only so many photos.")
def transfer(config: str, output: Path | None, resume: bool, limit: int | None) -> None:
    """Make noise on some recognisers and let all judge it, on people whom neither attack nor threshold knows.

    CONFIG is a TOML file or the name of a built-in configuration, such as "transfer". The report holds the matrix of
    surrogates and judges, dodging and impersonation, and the verification view.
    """
    from faceenc.benchmark import RunFolder, make_transfer_plan, read_transfer_config, run_transfer
    from faceenc.core import find_config
    from faceenc.data import expand, load_data
    from faceenc.report import render

    settings = read_transfer_config(find_config(config))
    if resume and output is None:
        raise ConfigError("--resume needs --output FOLDER: the folder of the run to go on with")
    words = ["faceenc-bench", "transfer", Path(config).name, *(["--limit", str(limit)] if limit else [])]
    with progress_bars() as progress:
        data = load_data(settings.data, progress=progress)
        plan = make_transfer_plan(settings, data, limit=limit, progress=progress)
        folder = RunFolder(output or _free_folder(settings.name), resume=resume)
        pairs = expand(settings.lfw_pairs) if settings.lfw_pairs else None
        run_transfer(plan, folder, command=shlex.join(words), lfw_pairs=pairs, progress=progress)
        page = render(folder.path)
    click.echo(f"report: {page}")


@bench_main.command()
@click.argument("folder", type=click.Path(path_type=Path))
def report(folder: Path) -> None:
    """Write the report of the run in FOLDER anew, from its rows; no attack is run."""
    from faceenc.report import render

    page = render(folder)
    _print_summary(folder)
    click.echo(f"report: {page}")


@bench_main.command()
@click.argument("config", default="demo")
@click.option("--images", type=click.IntRange(min=1), default=16, help="Test images, attacked as one batch.")
@click.option("--steps", type=click.IntRange(min=1), default=10, help="Steps of both attacks.")
@click.option("--engine", "engines", multiple=True, default=("exact", "fused", "bf16"), help="Of our PGD; repeatable.")
@click.option("--output", type=click.Path(path_type=Path), help="Also write the whole table, step by step, as CSV.")
def crosscheck(config: str, images: int, steps: int, engines: tuple[str, ...], output: Path | None) -> None:
    """Compare our PGD with ART's from the same start: pixels at each step, predictions, accuracies, time.

    CONFIG says on which data and recogniser (its first one). ART runs with frozen weights.
    """
    from faceenc.benchmark import crosscheck as compare
    from faceenc.benchmark import make_plan, read_config
    from faceenc.core import find_config, write_atomically
    from faceenc.data import load_data

    settings = read_config(find_config(config))
    with progress_bars() as progress:
        data = load_data(settings.data, progress=progress)
        plan = make_plan(settings, data, limit=images, device="cpu", progress=progress)
        x, labels = plan.pixels(plan.rows), plan.labels(plan.rows)
        table = compare(plan.subjects[0].model, x, labels, steps=steps, engines=engines, progress=progress)
    if output is not None:
        write_atomically(output, table.to_csv(index=False))
    table["art_time_over_ours"] = table["art_seconds"] / table["seconds"]
    shown = table[table["step"].isin([1, steps])]
    print_table(shown.drop(columns=["eps", "images"]), title=f"our PGD against ART's, {len(x)} images")


def _print_summary(folder: Path) -> None:
    import pandas as pd

    summary = pd.read_csv(folder / "summary.csv")
    several = summary["judge"].nunique() > 1
    title = "accuracy" if several else f"accuracy, {summary['clean_accuracy'].iloc[0]:.1%} without noise"
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
