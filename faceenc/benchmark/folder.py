"""A benchmark's folder on disk: run.json, rows.csv that grow cell by cell, and the pictures of a few examples.

Nothing is ever half-written: run.json and pictures are renamed into place, and rows that a killed run left incomplete are
dropped when the run is taken up again.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from faceenc.core import RunError, write_atomically

ROW_COLUMNS = (
    "recognizer", "judge", "attack", "norm", "goal", "eps", "seed", "image", "label", "target",
    "clean_prediction", "adversarial_prediction", "clean_probability", "adversarial_probability",
    "label_probability", "target_probability", "loss", "success", "linf", "l2", "psnr", "ssim",
    "overshoot", "queries", "seconds",
)  # fmt: skip
PACK_FROM = 5_000_000  # bytes

# Of configurations: what 0.1 called them -> what they are called now.
RENAMED_KEYS = {"lent": "borrowed"}

CELL_COLUMNS = ("recognizer", "judge", "attack", "norm", "goal", "eps", "seed")


class RunFolder:
    """One run's folder, fresh or taken up again.

    Args:
        path: made, if need be, by the first `write_run`.
        resume: go on with what is there.

    Raises:
        RunError: the folder holds a run and `resume` is off, or it holds none and `resume` is on.
    """

    def __init__(self, path: Path, *, resume: bool) -> None:
        self.path = path
        self.rows_path = path / "rows.csv"
        self.packed_path = path / "rows.csv.gz"
        taken = any(file.exists() for file in (path / "run.json", self.rows_path, self.packed_path))
        if taken and not resume:
            raise RunError(f"{path} already holds a run: pass --resume to go on with it, or another --output")
        if resume and not (path / "run.json").exists():
            raise RunError(f"{path} holds no run to resume: check the path, or leave --resume out")

    def read_run(self) -> dict[str, Any]:
        """The content of run.json.

        Raises:
            RunError: it is missing or damaged.
        """
        try:
            run: dict[str, Any] = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{self.path / 'run.json'} cannot be read ({error}): start a new run elsewhere") from error
        return run

    def write_run(self, run: Mapping[str, Any]) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"folder {self.path} cannot be made ({error.strerror}): choose another --output") from error
        write_atomically(self.path / "run.json", json.dumps(run, indent=2) + "\n")

    def refuse_other(self, run: Mapping[str, Any], parts: Iterable[str]) -> None:
        """A run that is taken up again must be the one that was begun.

        Raises:
            RunError: one of these parts of the folder's run.json differs.
        """
        if not (self.path / "run.json").exists():
            return
        before = self.read_run()
        if isinstance(config := before.get("config"), dict):
            before["config"] = {RENAMED_KEYS.get(key, key): value for key, value in config.items()}
        for part in parts:
            # Through JSON, since tuples come back as lists.
            if before.get(part) != json.loads(json.dumps(run[part])):
                raise RunError(f"{self.path} holds a run of another {part}: resume with the same, or use a new --output")

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add one cell's rows; they are on the disk when this returns."""
        text = io.StringIO()
        writer = csv.DictWriter(text, ROW_COLUMNS, lineterminator="\n")
        if not self.rows_path.exists():
            writer.writeheader()
        writer.writerows({name: _written(value) for name, value in row.items()} for row in rows)
        with self.rows_path.open("a", encoding="utf-8", newline="") as file:
            file.write(text.getvalue())
            file.flush()
            os.fsync(file.fileno())

    def done_cells(self, expected: Mapping[tuple[str, ...], int]) -> set[tuple[str, ...]]:
        """The cells whose rows are all there; rows of any other cell are dropped from the file.

        Args:
            expected: number of rows of each cell of the plan, by the cell's columns as they are written.
        """
        if self.packed_path.exists():
            write_atomically(self.rows_path, gzip.decompress(self.packed_path.read_bytes()))
            self.packed_path.unlink()
        if not self.rows_path.exists():
            return set()
        text = self.rows_path.read_text(encoding="utf-8")
        lines = text[: text.rfind("\n") + 1].splitlines(keepends=True)
        if lines[:1] != [",".join(ROW_COLUMNS) + "\n"]:
            self.rows_path.unlink()
            return set()
        keys = [tuple(row[: len(CELL_COLUMNS)]) for row in csv.reader(lines[1:])]
        counts = {key: keys.count(key) for key in set(keys)}
        done = {key for key, count in counts.items() if expected.get(key) == count}
        kept = [line for line, key in zip(lines[1:], keys, strict=True) if key in done]
        if len(kept) != len(lines) - 1 or len(text) != sum(map(len, lines)):
            write_atomically(self.rows_path, "".join([lines[0], *kept]))
        return done

    def finish(self, run: Mapping[str, Any]) -> None:
        """Write run.json as that of a finished run; large rows are compressed."""
        if self.rows_path.stat().st_size > PACK_FROM:
            write_atomically(self.packed_path, gzip.compress(self.rows_path.read_bytes(), mtime=0))
            self.rows_path.unlink()
        self.write_run({**run, "finished": True})


def cell_key(row: Mapping[str, Any]) -> tuple[str, ...]:
    """A cell's columns as they are written."""
    return tuple(_written(row[name]) for name in CELL_COLUMNS)


def _written(value: Any) -> str:
    """Floats with nine significant digits: enough for float32, and the same text whenever the value is the same."""
    if value is None:
        return ""
    return f"{value:.9g}" if isinstance(value, float) else str(value)
