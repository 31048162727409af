"""The commands that `faults.py` disturbs, each as small as it can be, and what of their output has to be equal."""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests' photos of people

Content = dict[str, str]

DATA = """
[data]
source = "people"
size = 32
on_no_face = "whole"
"""
GRID = f"""
name = "grid"
eps = ["2/255", "4/255", "8/255"]
batch_size = 4
{DATA}
[[recognizers]]
name = "net"
training = {{ init = "random", batch_size = 8, stages = [{{ size = 32, epochs = 1, learning_rate = 1e-3 }}] }}
[[attacks]]
name = "pgd"
steps = 20
[[attacks]]
name = "pgd-l2"
attack = "pgd"
norm = "l2"
eps = ["1.0", "2.0"]
steps = 20
"""
TRAINING = f"""
name = "training"
{DATA}
[training]
init = "random"
batch_size = 8
stages = [{{ size = 32, epochs = 4, learning_rate = 1e-3 }}]
"""
TRANSFER = """
name = "transfer"
eps = ["8/255", "16/255"]
pairs = 6
far = 0.1
surrogates = ["sface"]
[data]
source = "orl"
[[recognizers]]
name = "sface"
source = "sface"
[[recognizers]]
name = "mobilefacenet"
source = "mobilefacenet"
[[attacks]]
name = "pgd"
engine = "exact"
steps = 2
goals = ["away"]
"""


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def rows_without_times(path: Path) -> str:
    with path.open(encoding="utf-8", newline="") as file:
        return digest(json.dumps([{**row, "seconds": ""} for row in csv.DictReader(file)]).encode())


class Work(ABC):
    """A command that is disturbed."""

    name = ""
    program = "main"
    good: tuple[int, ...] = (0,)
    workers = False

    @abstractmethod
    def prepare(self, inputs: Path) -> None:
        """Write what the command reads."""

    @abstractmethod
    def words(self, out: Path, *, resume: bool) -> list[str]:
        """Of the command line."""

    def command(self, out: Path, *, resume: bool) -> list[str]:
        code = f"from faceenc.__main__ import {self.program}; {self.program}()"
        return [sys.executable, "-c", code, *self.words(out, resume=resume)]

    def begun(self, out: Path) -> bool:
        """Whether there is a run to resume."""
        return False

    @abstractmethod
    def finished(self, out: Path) -> bool:
        """Whether all is made."""

    @abstractmethod
    def content(self, out: Path) -> Content:
        """What has to be equal, by name."""


def people(inputs: Path) -> None:
    from tests.face_photos import write_people

    write_people(inputs / "people", {"s1": 6, "s2": 6, "s3": 6})


def record(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return found


class Grid(Work):
    name, program, workers = "grid", "bench_main", True
    text = GRID
    jobs: tuple[str, ...] = ("--jobs", "2")
    verb = "run"

    def prepare(self, inputs: Path) -> None:
        people(inputs)
        (inputs / "mine.toml").write_text(self.text)

    def words(self, out: Path, *, resume: bool) -> list[str]:
        return [self.verb, "mine.toml", "-o", str(out / "run"), *self.jobs, *(["--resume"] if resume else [])]

    def begun(self, out: Path) -> bool:
        return (out / "run" / "run.json").exists()

    def finished(self, out: Path) -> bool:
        return bool(record(out / "run" / "run.json").get("finished")) and (out / "run" / "report.md").is_file()

    def content(self, out: Path) -> Content:
        found = {}
        for path in out.rglob("*"):
            name = path.relative_to(out).as_posix()
            if path.suffix == ".png":
                found[name] = digest(path.read_bytes())
            elif path.is_file():
                found[name] = rows_without_times(path) if path.name == "rows.csv" else "there"
        return found


class Transfer(Grid):
    name, workers, verb = "transfer", False, "transfer"
    text = TRANSFER
    jobs = ()


class Training(Grid):
    name, program, workers = "training", "main", False
    text = TRAINING
    jobs = ()
    verb = "train"

    def begun(self, out: Path) -> bool:
        return (out / "run" / "train.json").exists()

    def finished(self, out: Path) -> bool:
        return bool(record(out / "run" / "train.json").get("finished"))

    def content(self, out: Path) -> Content:
        from safetensors.torch import load_file

        found = {path.relative_to(out).as_posix(): "there" for path in out.rglob("*") if path.is_file()}
        for name in ("best", "last"):
            path = out / "run" / f"{name}.safetensors"
            if path.is_file():
                weights = load_file(path)
                found[f"run/{name}.safetensors"] = digest(
                    b"".join(weights[key].numpy().tobytes() for key in sorted(weights))
                )
        return found


class Encrypt(Work):
    name, good, workers = "encrypt", (0, 4), True

    def prepare(self, inputs: Path) -> None:
        from tests.encrypting import portrait, save

        for number in range(1, 5):
            save(inputs / "photos" / f"{number}.png", portrait(f"s{number}/1"))

    def words(self, out: Path, *, resume: bool) -> list[str]:
        return ["encrypt", "photos", "-o", str(out / "run"), "--surrogate", "dlib", "--steps", "2", "--jobs", "2"]

    def finished(self, out: Path) -> bool:
        return len(list((out / "run").glob("*.png"))) == 4

    def content(self, out: Path) -> Content:
        found = {path.relative_to(out).as_posix(): digest(path.read_bytes()) for path in out.rglob("*") if path.is_file()}
        ledger = out / "run" / "faceenc-run.jsonl"
        if ledger.is_file():
            targets = {}
            for line in ledger.read_text().splitlines():
                try:
                    entry = json.loads(line)
                    targets[entry["target"]] = entry["files"]
                except (ValueError, KeyError):  # torn by a kill, and passed over
                    continue
            found["run/faceenc-run.jsonl"] = digest(json.dumps(targets, sort_keys=True).encode())
        return found


class One(Encrypt):
    """A single photo, whose record is in the temporary folder."""

    name, workers = "photo", False

    def words(self, out: Path, *, resume: bool) -> list[str]:
        return ["encrypt", "photos/1.png", "-o", str(out / "1.png"), "--surrogate", "dlib", "--steps", "2", "--preview"]

    def finished(self, out: Path) -> bool:
        return (out / "1.png").is_file()


class Video(Work):
    name = "video"

    def prepare(self, inputs: Path) -> None:
        from tests.live_clips import moving, write_clip

        write_clip(inputs / "clip.mp4", moving(["s1/9"], 8))

    def words(self, out: Path, *, resume: bool) -> list[str]:
        return ["video", "clip.mp4", str(out / "clip.mp4"), "--steps", "2", "--no-evidence", "--surrogate", "sface"]

    def finished(self, out: Path) -> bool:
        return (out / "clip.mp4").is_file()

    def content(self, out: Path) -> Content:
        return {path.relative_to(out).as_posix(): digest(path.read_bytes()) for path in out.rglob("*") if path.is_file()}


WORK: dict[str, Callable[[], Work]] = {work.name: work for work in (Grid, Training, Encrypt, One, Video, Transfer)}
