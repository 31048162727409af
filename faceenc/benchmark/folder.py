"""A benchmark's folder on disk: run.json, rows.csv that grow cell by cell, and the pictures of a few examples.

Nothing is ever half-written: run.json and pictures are renamed into place, and rows that a killed run left incomplete are
dropped when the run is taken up again. One process writes at a time.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faceenc.benchmark.rows import HEADER, Key, rows_text, whole_cells
from faceenc.core import FolderLock, RunError, check_writable, naming, read_file, read_text, sweep, write_atomically

PACK_FROM = 5_000_000  # bytes

# Of configurations: what 0.1 called them -> what they are called now.
RENAMED_KEYS = {"lent": "borrowed"}


class RunFolder:
    """One run's folder, fresh or taken up again.

    Args:
        path: made, if need be, by the first `write_run`.
        resume: go on with what is there.

    Raises:
        RunError: the folder holds a run and `resume` is off, or none that can be read and `resume` is on, or it cannot be
            written.
    """

    def __init__(self, path: Path, *, resume: bool) -> None:
        self.path = path
        self.resume = resume
        self.rows_path = path / "rows.csv"
        self.packed_path = path / "rows.csv.gz"
        self._lock = FolderLock(path)
        check_writable(path)
        self._refuse_taken()
        if resume and not (path / "run.json").exists():
            raise RunError(f"{path} holds no run to resume: check the path, or leave `resume` out")
        if resume:
            self.read_run()

    def _refuse_taken(self) -> None:
        taken = any(file.exists() for file in (self.path / "run.json", self.rows_path, self.packed_path))
        if taken and not self.resume:
            raise RunError(f"{self.path} already holds a run: pass `resume` to go on with it, or another `output`")

    @property
    def has_rows(self) -> bool:
        """Whether any cell has been stored."""
        return self.rows_path.exists() or self.packed_path.exists()

    @contextmanager
    def held(self) -> Iterator[None]:
        """No other process writes into the folder meanwhile, which is made if need be; may be nested.

        Raises:
            RunError: another process does, or the folder cannot be written.
        """
        if self._lock.held:
            yield
            return
        self._lock.acquire()
        try:
            self._refuse_taken()  # another run may have come first
            sweep(self.path / "examples")
            yield
        finally:
            self._lock.release()

    def read_run(self) -> dict[str, Any]:
        """The content of run.json.

        Raises:
            RunError: it is missing or damaged.
        """
        try:
            run: dict[str, Any] = json.loads(read_text(self.path / "run.json"))
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"{self.path / 'run.json'} cannot be read ({error}): start a new run elsewhere") from error
        if not isinstance(run, dict):
            raise RunError(f"{self.path / 'run.json'} holds no run: start a new run elsewhere")
        return run

    def write_run(self, run: Mapping[str, Any]) -> None:
        write_atomically(self.path / "run.json", json.dumps(run, indent=2) + "\n")

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add one cell's rows; they are on the disk when this returns."""
        text = rows_text(rows)
        with naming(self.rows_path), self.rows_path.open("ab", buffering=0) as file:
            before = file.tell()
            data = memoryview((text if before else HEADER + text).encode())
            try:
                while data:
                    data = data[file.write(data) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(before)  # a full disk leaves no half of a row
                raise

    def done_cells(self, expected: Mapping[Key, int]) -> set[Key]:
        """The cells whose rows are all there, once; rows of any other cell are dropped from the file.

        Args:
            expected: number of rows of each cell of the plan, by the cell's columns as they are written.

        Raises:
            RunError: the file cannot be read.
        """
        if self.packed_path.exists():
            try:
                write_atomically(self.rows_path, gzip.decompress(read_file(self.packed_path)))
            except (OSError, EOFError, zlib.error) as error:
                raise self._unreadable(self.packed_path, error) from error
            self.packed_path.unlink()
        if not self.rows_path.exists():
            return set()
        text = self._whole_lines()
        if not text.startswith(HEADER):
            self.rows_path.unlink()
            return set()
        cells = whole_cells(text.removeprefix(HEADER), expected)
        self._keep(cells)
        return set(cells)

    def finish(self, run: Mapping[str, Any], *, order: Mapping[Key, int] | None = None) -> None:
        """Write run.json as that of a finished run, unless it names cells that failed; large rows are compressed.

        Args:
            run: for run.json.
            order: the plan's cells and numbers of rows: the file is put in this order.
        """
        if order is not None and self.rows_path.exists():
            cells = whole_cells(self._whole_lines().removeprefix(HEADER), order)
            self._keep({key: cells[key] for key in order if key in cells})
        if self.rows_path.exists() and self.rows_path.stat().st_size > PACK_FROM:
            write_atomically(self.packed_path, gzip.compress(self.rows_path.read_bytes(), mtime=0))
            self.rows_path.unlink()
        self.write_run({**run, "finished": not run.get("failures")})

    def _whole_lines(self) -> str:
        try:
            data = read_file(self.rows_path)
            return data[: data.rfind(b"\n") + 1].decode()
        except (OSError, UnicodeDecodeError) as error:
            raise self._unreadable(self.rows_path, error) from error

    def _unreadable(self, path: Path, error: Exception) -> RunError:
        return RunError(f"{path} cannot be read ({error}): remove it to have its rows computed anew, or use a new `output`")

    def _keep(self, cells: Mapping[Key, list[str]]) -> None:
        """Let the file hold these lines and nothing else."""
        data = (HEADER + "".join(line for lines in cells.values() for line in lines)).encode()
        if data != self.rows_path.read_bytes():
            write_atomically(self.rows_path, data)
