"""All photos of `faceenc encrypt`, one after the other or side by side."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faceenc.cli.encrypt_results import print_result
from faceenc.cli.progress import progress_bars
from faceenc.cli.stopping import stop_if_asked
from faceenc.protect import Encrypt, current_settings
from faceenc.runs import StoppedError, run_files

if TYPE_CHECKING:
    from faceenc.cli.encrypt_key import Key
    from faceenc.core import Progress
    from faceenc.protect import Options
    from faceenc.runs import FileResult, Task
    from faceenc.server import EncryptRemotely


@dataclass(frozen=True)
class Run:
    """All photos of a run, each reported as soon as it is done."""

    tasks: list[Task]
    options: Options
    jobs: int
    cluster: str | None
    device: str
    force: bool
    ledger: Path
    locks: Path | None
    as_json: bool
    key: Key | None
    remote: tuple[str, str | None] | None = None

    def __call__(self) -> list[FileResult]:
        jobs, alone = min(self.jobs, len(self.tasks)), len(self.tasks) == 1
        work = self._work(jobs, self.cluster)
        # A key is made along with its photo, so that one is done anew, whatever the record says.
        settings = current_settings(self.options, key=None if self.key is None else secrets.token_hex(8))
        results: list[FileResult] = []
        with ExitStack() as stack:
            progress = stack.enter_context(progress_bars(silent=alone or self.as_json, as_json=self.as_json))
            begun = False

            def begin(done: int, total: int) -> None:
                nonlocal begun
                begun = not alone
                if begun:
                    progress("photos", done, total)

            def print_done(result: FileResult, done: int, total: int) -> None:
                stop_if_asked()
                if alone:
                    stack.close()  # the bar ends above the tables
                elif begun:
                    progress("photos", done, total)
                print_result(result, self.options, as_json=self.as_json, alone=alone)

            try:
                results = run_files(
                    self.tasks,
                    partial(self._protect_alone, progress) if alone and not self.remote else work,
                    settings=settings,
                    jobs=jobs,
                    cluster=None if alone else self.cluster,
                    force=self.force,
                    ledger=self.ledger,
                    locks=self.locks,
                    progress=print_done,
                    starting=begin,
                    initializer=work.prepare,
                )
            except StoppedError as stop:
                results = stop.results
                raise
            finally:
                if self.key is not None and all(result.status != "done" for result in results):
                    self.key.withdraw()
        return results

    def _work(self, jobs: int, cluster: str | None) -> Encrypt | EncryptRemotely:
        if self.remote is not None:
            from faceenc.server import EncryptRemotely

            return EncryptRemotely(self.options, *self.remote)
        work = Encrypt(self.options, self.device)
        return work.for_processes() if jobs > 1 or cluster else work

    def _protect_alone(self, progress: Progress, source: Path, target: Path) -> dict[str, Any]:
        from faceenc.protect import shared_protector

        protector = shared_protector(self.options, self.device)
        return protector(source, output=target, make_keyfile=self.key, progress=progress).to_json()
