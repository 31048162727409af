"""From a configuration to a folder with rows and report: the two benchmarks, whole."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faceenc.benchmark.classification import Classification
from faceenc.benchmark.config import read_config
from faceenc.benchmark.folder import RunFolder
from faceenc.benchmark.prepare import make_plan, prepare_classification
from faceenc.benchmark.runner import Measurement, run_benchmark, silent
from faceenc.benchmark.transfer.config import (
    load_pictures,
    load_transfer_sources,
    make_transfer_plan,
    prepare_transfer,
    read_transfer_config,
)
from faceenc.benchmark.transfer.estimate import estimate_transfer
from faceenc.benchmark.transfer.measurement import TransferMeasurement
from faceenc.core import ConfigError, Progress, find_config
from faceenc.data import load_data
from faceenc.report import render
from faceenc.runs import Processes

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Report:
    """What a benchmark came to.

    Attributes:
        folder: of the run, with rows.csv, summary.csv, run.json, pages and plots.
        page: the report; None if there are no rows.
        failures: the cells that could not be computed, each with the reason; resuming tries them again.
    """

    folder: Path
    page: Path | None
    failures: Sequence[Mapping[str, Any]] = field(default=())

    @property
    def summary(self) -> pd.DataFrame:
        """One row for each recogniser, judge, attack, goal and size: accuracies with Wilson intervals, and more."""
        import pandas as pd

        return pd.read_csv(self.folder / "summary.csv")


def run_config(
    config: str | Path = "demo",
    *,
    output: Path | None = None,
    resume: bool = False,
    limit: int | None = None,
    seed: int | None = None,
    device: str = "cpu",
    jobs: int = 1,
    progress: Progress = silent,
) -> Report:
    """Attack recognisers of known people, and write the report.

    Args:
        config: a TOML file, or the name of a built-in configuration.
        output: the run's folder; None is runs/NAME, numbered.
        resume: go on with the killed run in `output`.
        limit: attack only the first so many test images.
        seed: instead of the configuration's seeds.
        device: where nets compute.
        jobs: processes that compute cells, of one thread each.
        progress: is told of data, training and cells.

    Raises:
        ConfigError: the configuration makes no sense.
        RunError: the folder holds another run, or none to resume.
        FaceencError: data or recognisers cannot be had.
    """
    settings = read_config(find_config(str(config)))
    if seed is not None:
        settings = replace(settings, seeds=(seed,))
    with _folder(output, settings.name, resume) as folder:
        data = load_data(settings.data, progress=progress)
        plan = make_plan(settings, data, limit=limit, device=device, progress=progress)
        setup = partial(prepare_classification, settings, limit, device)
        command = _command("run", config, limit=limit, seed=seed, device=device)
        return _measure(Classification(plan, progress), folder, command, progress, jobs, setup)


def run_transfer_config(
    config: str | Path = "transfer",
    *,
    output: Path | None = None,
    resume: bool = False,
    limit: int | None = None,
    device: str = "cpu",
    jobs: int = 1,
    progress: Progress = silent,
) -> Report:
    """Make noise on some recognisers and let all judge it, on people whom neither attack nor threshold knows.

    Args:
        config: a TOML file, or the name of a built-in configuration.
        output: the run's folder; None is runs/NAME, numbered.
        resume: go on with the killed run in `output`.
        limit: attack only so many photos.
        device: where nets compute.
        jobs: processes that compute cells, of one thread each.
        progress: is told of data, recognisers and cells.

    Raises:
        As of `run_config`.
    """
    settings = read_transfer_config(find_config(str(config)))
    with _folder(output, settings.name, resume) as folder:
        recognizers = load_transfer_sources(settings, device)
        data = load_pictures(settings, progress=progress)
        plan = make_transfer_plan(settings, data, limit=limit, device=device, progress=progress, recognizers=recognizers)
        setup = partial(prepare_transfer, settings, limit, device)
        command = _command("transfer", config, limit=limit, device=device)
        return _measure(TransferMeasurement(plan, progress), folder, command, progress, jobs, setup)


def plan_transfer(config: str | Path = "transfer", *, limit: int | None = None, progress: Progress = silent) -> pd.DataFrame:
    """What `run_transfer_config` would do, and about how long it would take here: as of `estimate_transfer`.

    Raises:
        As of `run_config`.
    """
    settings = read_transfer_config(find_config(str(config)))
    recognizers = load_transfer_sources(settings, "cpu")
    data = load_pictures(settings, progress=progress)
    return estimate_transfer(make_transfer_plan(settings, data, limit=limit, progress=progress, recognizers=recognizers))


def _free_folder(name: str) -> Path:
    """runs/NAME, or runs/NAME-2 and so on if that is taken."""
    folders = [Path("runs") / name, *(Path("runs") / f"{name}-{k}" for k in range(2, 10_000))]
    return next(folder for folder in folders if not folder.exists())


@contextmanager
def _folder(output: Path | None, name: str, resume: bool) -> Iterator[RunFolder]:
    """The run's folder. One that is resumed is held from the start; a new one is made when there is something to write."""
    if resume and output is None:
        raise ConfigError("`resume` needs `output=FOLDER`: the folder of the run to go on with")
    folder = RunFolder(output or _free_folder(name), resume=resume)
    try:
        with folder.held() if resume else nullcontext():
            yield folder
    except KeyboardInterrupt as stop:
        if (folder.path / "run.json").exists():
            stop.add_note(f"go on with `output={folder.path}` `resume`")
        raise


def _measure(
    measurement: Measurement[Any],
    folder: RunFolder,
    command: str,
    progress: Progress,
    jobs: int,
    setup: Callable[[], Measurement[Any]],
) -> Report:
    """Run and render."""
    with folder.held():
        failures = run_benchmark(
            measurement,
            folder,
            command=command,
            progress=progress,
            executor=Processes(jobs) if jobs > 1 else None,
            setup=setup if jobs > 1 else None,
        )
        return Report(folder.path, render(folder.path) if folder.has_rows else None, failures)


def _command(name: str, config: str | Path, *, limit: int | None, device: str, seed: int | None = None) -> str:
    """How to run this again from anywhere: no folder of this machine is named."""
    options = {"--limit": limit, "--seed": seed, "--device": device if device != "cpu" else None}
    words = [word for option, value in options.items() if value is not None for word in (option, str(value))]
    return shlex.join(["faceenc-bench", name, Path(config).name, *words])
