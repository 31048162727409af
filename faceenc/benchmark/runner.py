"""The one loop of both benchmarks: what is measured becomes tidy rows, cell by cell, resumable, in one process or many."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from faceenc.benchmark.folder import RENAMED_KEYS, RunFolder
from faceenc.benchmark.rows import CELL_COLUMNS, Key, cell_key
from faceenc.core import Progress, RunError
from faceenc.runs import Executor, Failure, InProcess

_Cell = TypeVar("_Cell")


@dataclass(frozen=True, eq=False)
class Measured:
    """What a cell yields; picklable.

    Attributes:
        rows: as of `ROW_COLUMNS`.
        beside: what the measurement keeps beside the rows.
    """

    rows: Sequence[Mapping[str, Any]]
    beside: Any = None


class Measurement(Protocol[_Cell]):
    """What the loop knows of a benchmark: classification and verification are one each.

    It holds nets and what cells share. Only `measure` is called in workers, on one that `setup` made there; all files are
    written by the driver.
    """

    kind: str  # of run.json: "" or "transfer"

    @property
    def config(self) -> Mapping[str, Any]:
        """Resolved, JSON-like."""
        ...

    def same_config(self, recorded: dict[str, Any]) -> bool:
        """Whether a configuration that an earlier run recorded means this one."""
        ...

    def parts(self) -> dict[str, Any]:
        """Of run.json: the data, the recognisers, the machine."""
        ...

    def fixed(self, run: Mapping[str, Any]) -> dict[str, Any]:
        """What of run.json must be the same in a run that is taken up again."""
        ...

    def cells(self) -> Sequence[_Cell]:
        """The plan, in the order of the rows. Cells are picklable and declare what they need (`faceenc.runs.Sized`)."""
        ...

    def expected(self, cell: _Cell) -> dict[Key, int]:
        """How many rows a cell gives for each of its keys."""
        ...

    def begin(self, folder: RunFolder, done: Collection[Key]) -> None:
        """Write what is there before the first cell."""
        ...

    def measure(self, cell: _Cell) -> Measured:
        """Attack, judge, and describe each image in one row."""
        ...

    def keep(self, folder: RunFolder, cell: _Cell, measured: Measured, done: Collection[Key]) -> None:
        """Write what belongs to a cell beside its rows."""
        ...

    def diagnose(self) -> list[dict[str, Any]]:
        """What the flags want to know and the rows do not hold, for run.json."""
        ...

    def complete(self, folder: RunFolder, progress: Progress) -> None:
        """Write the other files of a run."""
        ...


def run_benchmark(
    measurement: Measurement[_Cell],
    folder: RunFolder,
    *,
    command: str,
    progress: Progress,
    executor: Executor | None = None,
    setup: Callable[[], Measurement[_Cell]] | None = None,
) -> list[dict[str, Any]]:
    """Compute the cells that `folder` does not hold yet, and store each as it is finished; at the end in the plan's order.

    Args:
        measurement: what to compute.
        folder: fresh, or with a part of the same plan's rows.
        command: how to run this again, for the report.
        progress: called with the cells done, and with what else takes long.
        executor: where cells are computed; None is this process.
        setup: makes the same measurement in a worker of `executor`; picklable. None takes `measurement` itself.

    Returns:
        One record a cell that failed, as run.json keeps them: its columns, and the reason.

    Raises:
        RunError: the folder holds another run, or is being written by one.
        FaceencError: the measurement cannot be made.
    """
    started = time.time()
    with folder.held():
        record = _open_record(measurement, folder, command)
        cells = measurement.cells()
        expected = {key: count for cell in cells for key, count in measurement.expected(cell).items()}
        done = folder.done_cells(expected)
        measurement.begin(folder, done)
        left = [cell for cell in cells if not done.issuperset(measurement.expected(cell))]
        progress("cells", len(cells) - len(left), len(cells))
        failures = []
        answers = (executor or InProcess()).run(run_cell, left, setup=setup or (lambda: measurement))
        with closing(answers):
            for count, (number, answer) in enumerate(answers, len(cells) - len(left) + 1):
                cell = left[number]
                if isinstance(answer, Failure):
                    columns = dict(zip(CELL_COLUMNS, next(iter(measurement.expected(cell))), strict=True))
                    failures.append({"cell": columns, "reason": f"the process at work on it {answer}"})
                else:
                    measurement.keep(folder, cell, answer, done)
                    folder.append(row for row in answer.rows if cell_key(row) not in done)
                progress("cells", count, len(cells))
        progress("cells", len(cells), len(cells))
        record["diagnostics"] = measurement.diagnose()
        measurement.complete(folder, progress)
        record["seconds"] = round(record.get("seconds", 0) + time.time() - started, 1)
        folder.finish(record | ({"failures": failures} if failures else {}), order=expected)
    return failures


def run_cell(measurement: Measurement[_Cell], cell: _Cell) -> Measured:
    """The task of a run: one cell, on what `setup` made in this process."""
    return measurement.measure(cell)


def silent(what: str, done: int, total: int) -> None:
    """The progress of a worker, which nobody sees."""


def counted(progress: Progress, total: int) -> Callable[[int], None]:
    """What an attack is to call with the number of images that it has just done, out of `total`."""
    done = 0

    def report(count: int) -> None:
        nonlocal done
        done += count
        progress("images", done, total)

    return report


def _open_record(measurement: Measurement[Any], folder: RunFolder, command: str) -> dict[str, Any]:
    """run.json as it stands before the first cell; written at once, so that a killed run can be resumed."""
    record: dict[str, Any] = {
        "schema": 1,
        **({"kind": measurement.kind} if measurement.kind else {}),
        "name": measurement.config["name"],
        "finished": False,
        "command": command,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "config": measurement.config,
        **measurement.parts(),
    }
    if (folder.path / "run.json").exists():
        before = folder.read_run()
        _refuse_other(folder, before, record, measurement)
        record = {**record, **before, "finished": False, "command": command, "config": measurement.config}
        record.pop("failures", None)
    folder.write_run(record)
    return record


def _refuse_other(
    folder: RunFolder, before: Mapping[str, Any], record: Mapping[str, Any], measurement: Measurement[Any]
) -> None:
    """A run that is taken up again must be the one that was begun."""
    config = before.get("config")
    config = {RENAMED_KEYS.get(key, key): value for key, value in config.items()} if isinstance(config, dict) else {}
    # Through JSON, since tuples come back as lists.
    now = json.loads(json.dumps({"config": record["config"], **measurement.fixed(record)}))
    then = {"config": config, **measurement.fixed(before)}
    if measurement.same_config(config):
        then["config"] = now["config"]
    for part, value in now.items():
        if then[part] != value:
            raise RunError(f"{folder.path} holds a run of another {part}: resume with the same, or use a new `output`")
