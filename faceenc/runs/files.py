"""A folder of photos in, a folder of files out: each one once, whatever stops the run, and whoever else is at it.

A run that was stopped goes on where it was by being started again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from faceenc.core import DataError
from faceenc.runs.executor import Executor, Failure, InProcess
from faceenc.runs.file_work import BUSY, FileWork, Work
from faceenc.runs.ledger import Ledger
from faceenc.runs.on_ray import executor_for
from faceenc.runs.plan import FileResult, Task

logger = logging.getLogger(__name__)

_TRACE = 5  # a level below DEBUG: for whoever looks for an error of ours

# Called with each file: its result, how many files are settled by now, and how many there are.
OnResult = Callable[[FileResult, int, int], object]


class StoppedError(KeyboardInterrupt):
    """Ctrl-C during a run; `results` are of the files that were settled before."""

    def __init__(self, results: list[FileResult]) -> None:
        super().__init__()
        self.results = results


def run_files(
    tasks: Sequence[Task],
    work: Work,
    *,
    settings: object,
    jobs: int,
    cluster: str | None = None,
    force: bool,
    ledger: Path,
    locks: Path | None = None,
    progress: OnResult | None = None,
    starting: Callable[[int, int], object] | None = None,
    initializer: Callable[[], object] | None = None,
) -> list[FileResult]:
    """Do what is not done yet.

    A file is done if the ledger has the same content of the source and means the same settings, and the target is as it was
    made. A target that is not ours, or that was changed since, is an error of that file. Runs at the same time, with the
    same ledger or at least the same locks, share the files among them.

    Args:
        tasks: as of `plan.plan_files`: no two targets are the same.
        work: raises `FaceencError` for a file that it cannot do. Picklable if `jobs` is above 1.
        settings: all that the result depends on besides the source, with the algorithm's version: a frozen dataclass, or
            JSON-like; recorded as `named_fields`, and compared so (`means`).
        jobs: how many processes work; 1 means this one alone.
        cluster: a Ray cluster whose workers do, as of `executor_for`; all see the files under the same paths.
        force: do everything anew, and overwrite what is not ours.
        ledger: a file in the output folder, made if need be.
        locks: as of `Ledger`.
        progress: called with each file as soon as it is settled.
        starting: called before the first file is worked on, with how many are settled by then, and how many there are.
        initializer: called once in each process that works, before its first file; not at all if nothing is to be done.

    Returns:
        One result a task, in their order.

    Raises:
        DataError: nothing can be written where the ledger lies.
        StoppedError: Ctrl-C.
        Exception: what `initializer` raised.
    """
    if not tasks:
        return []
    job = FileWork(work, settings, force, Ledger(ledger, locks))
    job.ledger.prepare()
    results: dict[int, FileResult] = {}
    try:
        with closing(_settle_all(job, tasks, executor_for(jobs, cluster) or InProcess(), initializer, starting)) as settled:
            for number, result in settled:
                results[number] = result
                if "traceback" in result.details and result.status == "failed":
                    logger.log(_TRACE, "%s: %s", result.source, result.details["traceback"])
                if progress is not None:
                    progress(result, len(results), len(tasks))
    except KeyboardInterrupt:
        raise StoppedError([results[number] for number in sorted(results)]) from None
    finally:
        job.ledger.tidy()
    return [results[number] for number in range(len(tasks))]


def exit_code(results: Sequence[FileResult]) -> int:
    """0 if all files are done, now or before; 3 if some failed; 2 if all did."""
    failed = sum(result.status == "failed" for result in results)
    return 0 if not failed else 2 if failed == len(results) else 3


def record_rest(results: Sequence[FileResult], ledger: Path, locks: Path | None = None) -> None:
    """Record of what failed and of what is no photo why no file is made of it; what the record says already stays.

    Nothing is recorded in a folder without a record: no photo was done there. A full disk costs the lines alone.

    Args:
        results: of a run, and of `plan.plan_files`.
        ledger: as of `run_files`.
        locks: as of `run_files`.
    """
    remarks = {one.source: (one.status, one.message) for one in results if one.status in ("failed", "left out")}
    if remarks and os.path.isfile(ledger):  # noqa: PTH113 - which never raises
        record = Ledger(ledger, locks)
        with suppress(OSError, DataError):
            record.remark(remarks)
        record.tidy()


def _settle_all(
    job: FileWork,
    tasks: Sequence[Task],
    executor: Executor,
    initializer: Callable[[], object] | None,
    starting: Callable[[int, int], object] | None,
) -> Generator[tuple[int, FileResult]]:
    busy: dict[int, FileResult] = {}
    for number, result in _try_all(job, tasks, executor, initializer, starting):
        if result.message == BUSY:
            busy[number] = result
        else:
            yield number, result
    # By now another run may have finished what it was at.
    yield from ((number, job.settled(tasks[number]) or result) for number, result in busy.items())


def _try_all(
    job: FileWork,
    tasks: Sequence[Task],
    executor: Executor,
    initializer: Callable[[], object] | None,
    starting: Callable[[int, int], object] | None,
) -> Generator[tuple[int, FileResult]]:
    left = []
    for number, task in enumerate(tasks):
        job.sweep(task)
        if (result := job.settled(task)) is not None:
            yield number, result
        else:
            left.append(number)
    doing = [tasks[number] for number in left]
    if doing and starting is not None:
        starting(len(tasks) - len(doing), len(tasks))
    try:
        with closing(executor.run(_do, doing, setup=partial(_begin, job, initializer))) as answers:
            for place, answer in answers:
                task = doing[place]
                if isinstance(answer, Failure):
                    job.sweep(task)
                    why = f"{task.source}: the process at work on it {answer}; memory may be short: try fewer `jobs`"
                    # It may have died after the last step.
                    answer = job.settled(task) or FileResult(task.source, task.target, "failed", why)
                yield left[place], answer
    finally:  # Ctrl-C may have struck while a hidden folder was being removed
        for task in doing:
            job.sweep(task)


def _begin(job: FileWork, initializer: Callable[[], object] | None) -> FileWork:
    if initializer is not None:
        initializer()
    return job


def _do(job: FileWork, task: Task) -> FileResult:
    return job(task)
