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
from faceenc.benchmark.config import Config, read_task
from faceenc.benchmark.estimate import estimate_time
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
from faceenc.benchmark.verification.config import VerificationConfig, portable
from faceenc.benchmark.verification.measurement import VerificationMeasurement
from faceenc.benchmark.verification.prepare import (
    estimate_verification,
    make_verification_plan,
    prepare_verification,
)
from faceenc.core import ConfigError, Progress, find_config, from_cells
from faceenc.data import load_data
from faceenc.report import render
from faceenc.runs import Executor, executor_for

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

        return from_cells(pd.read_csv(self.folder / "summary.csv"))


def run_config(
    config: str | Path | None = None,
    *,
    recognizers: Sequence[str] = (),
    data: str | Path | None = None,
    output: Path | None = None,
    resume: bool = False,
    limit: int | None = None,
    seed: int | None = None,
    device: str = "cpu",
    jobs: int = 1,
    cluster: str | None = None,
    trust_code: bool = False,
    progress: Progress = silent,
) -> Report:
    """Attack recognisers, of known people by name or of strangers by pairs, and write the report.

    Args:
        config: a TOML file, or the name of a built-in configuration; None is "demo", and "verification" where recognisers
            are named.
        recognizers: as `load_recognizer` takes them, instead of the configuration's.
        data: a folder of people or "orl", instead of the configuration's.
        output: the run's folder; None is runs/NAME, numbered.
        resume: go on with the killed run in `output`.
        limit: attack only the first so many test images.
        seed: instead of the configuration's seeds.
        device: where nets compute.
        jobs: processes that compute cells, of one thread each.
        cluster: a Ray cluster whose workers compute cells, as of `faceenc.runs.OnRay`; `jobs` above 1 is how many at most.
        trust_code: whether recognisers may be code of others.
        progress: is told of data, training and cells.

    Raises:
        ConfigError: the configuration makes no sense.
        RunError: the folder holds another run, or none to resume.
        FaceencError: data or recognisers cannot be had.
    """
    config = named_config(config, recognizers)
    settings, executor = read_run(config, recognizers, data, seed), executor_for(jobs, cluster)
    with _folder(output, settings.name, resume) as folder:
        command = _command(
            "run", config, limit=limit, seed=seed, device=device, trust_code=trust_code, recognizers=recognizers, data=data
        )
        measurement: Measurement[Any]
        setup: Callable[[], Measurement[Any]]
        if isinstance(settings, VerificationConfig):
            pairs = make_verification_plan(settings, limit=limit, device=device, trust_code=trust_code, progress=progress)
            measurement = VerificationMeasurement(pairs, progress)
            setup = partial(prepare_verification, settings, limit, device, trust_code)
        else:
            people = load_data(settings.data, progress=progress)
            plan = make_plan(settings, people, limit=limit, device=device, trust_code=trust_code, progress=progress)
            measurement = Classification(plan, progress)
            setup = partial(prepare_classification, settings, limit, device, trust_code)
        return _measure(measurement, folder, command, progress, executor, setup)


def named_config(config: str | Path | None, recognizers: Sequence[str]) -> str | Path:
    """What is meant where no configuration is named."""
    return config or ("verification" if recognizers else "demo")


def read_run(
    config: str | Path, recognizers: Sequence[str], data: str | Path | None, seed: int | None
) -> Config | VerificationConfig:
    """A configuration with what is said instead of it, as of `run_config`."""
    settings = read_task(find_config(str(config)))
    if recognizers or data is not None:
        settings = settings.of([str(one) for one in recognizers], None if data is None else str(data))
    return settings if seed is None else replace(settings, seeds=(seed,))


def plan_run(
    config: str | Path | None = None,
    *,
    recognizers: Sequence[str] = (),
    data: str | Path | None = None,
    limit: int | None = None,
    seed: int | None = None,
    trust_code: bool = False,
    progress: Progress = silent,
) -> pd.DataFrame:
    """What `run_config` would do, one row an attack, and about how many seconds it would take here, besides training.

    Raises:
        As of `run_config`.
    """
    settings = read_run(named_config(config, recognizers), recognizers, data, seed)
    if isinstance(settings, VerificationConfig):
        plan = make_verification_plan(settings, limit=limit, trust_code=trust_code, progress=progress)
        return estimate_verification(plan)
    return estimate_time(settings, load_data(settings.data, progress=progress), limit=limit)


def run_transfer_config(
    config: str | Path = "transfer",
    *,
    output: Path | None = None,
    resume: bool = False,
    limit: int | None = None,
    device: str = "cpu",
    jobs: int = 1,
    cluster: str | None = None,
    trust_code: bool = False,
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
        cluster: a Ray cluster whose workers compute cells, as of `faceenc.runs.OnRay`; `jobs` above 1 is how many at most.
        trust_code: whether recognisers may be code of others.
        progress: is told of data, recognisers and cells.

    Raises:
        As of `run_config`.
    """
    settings, executor = read_transfer_config(find_config(str(config))), executor_for(jobs, cluster)
    with _folder(output, settings.name, resume) as folder:
        recognizers = load_transfer_sources(settings, device, trust_code=trust_code)
        data = load_pictures(settings, progress=progress)
        plan = make_transfer_plan(settings, data, limit=limit, device=device, progress=progress, recognizers=recognizers)
        setup = partial(prepare_transfer, settings, limit, device, trust_code)
        command = _command("transfer", config, limit=limit, device=device, trust_code=trust_code)
        return _measure(TransferMeasurement(plan, progress), folder, command, progress, executor, setup)


def plan_transfer(
    config: str | Path = "transfer",
    *,
    limit: int | None = None,
    trust_code: bool = False,
    progress: Progress = silent,
) -> pd.DataFrame:
    """What `run_transfer_config` would do, and about how long it would take here: as of `estimate_transfer`.

    Raises:
        As of `run_config`.
    """
    settings = read_transfer_config(find_config(str(config)))
    recognizers = load_transfer_sources(settings, "cpu", trust_code=trust_code)
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
    except BaseException as stop:
        if (folder.path / "run.json").exists():
            stop.add_note(f"go on with `output={folder.path}` `resume`")
        raise


def _measure(
    measurement: Measurement[Any],
    folder: RunFolder,
    command: str,
    progress: Progress,
    executor: Executor | None,
    setup: Callable[[], Measurement[Any]],
) -> Report:
    """Run and render."""
    with folder.held():
        failures = run_benchmark(
            measurement,
            folder,
            command=command,
            progress=progress,
            executor=executor,
            setup=setup if executor is not None else None,
        )
        return Report(folder.path, render(folder.path) if folder.has_rows else None, failures)


def _command(
    name: str,
    config: str | Path,
    *,
    limit: int | None,
    device: str,
    seed: int | None = None,
    recognizers: Sequence[str] = (),
    data: str | Path | None = None,
    trust_code: bool = False,
) -> str:
    """How to run this again from anywhere: no folder of this machine is named."""
    own = [word for one in recognizers for word in ("--recognizer", portable(str(one)))]
    options = {
        "--data": None if data is None else portable(str(data)),
        "--limit": limit,
        "--seed": seed,
        "--device": device if device != "cpu" else None,
    }
    words = [word for option, value in options.items() if value is not None for word in (option, str(value))]
    words += ["--trust-code"] if trust_code else []
    return shlex.join(["faceenc-bench", name, Path(config).name, *own, *words])
