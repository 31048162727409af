"""TOML configurations: read into frozen dataclasses, checked, and turned into the objects of a run.

The one place that knows every name a configuration may use. Sizes are written as fractions of the pixel range ("8/255") for
Linf, as plain numbers ("1.0") for L2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faceenc.attacks import BATCH_SIZE, LINF, MinimumSearch, parse_eps
from faceenc.benchmark.entries import attack_fields, read_entry, read_minimum, read_seeds, same_run
from faceenc.benchmark.plan import AttackEntry
from faceenc.benchmark.verification.config import TASK as VERIFICATION
from faceenc.benchmark.verification.config import VerificationConfig, portable, short_name, verification_config
from faceenc.core import ConfigError, build, check_keys, checked, folder_name, listed, read_toml
from faceenc.data import DataConfig
from faceenc.recognizers import defence
from faceenc.train import Training

CLASSIFICATION = "classification"


@dataclass(frozen=True)
class RecognizerConfig:
    """[[recognizers]]: a classifier; without `source` one is trained as [training] says.

    Attributes:
        name: in tables.
        source: a classifier as `load_recognizer` takes it, such as a file that `faceenc train` wrote; it has to know the
            people of the data by name.
        defence: what every picture goes through first, such as "jpeg75" or "crop90+jpeg75" (`faceenc.recognizers.defence`).
        aware: the attack goes through the defence; if not, it meets the bare recogniser and the defended one only judges.
        training: how the recogniser is trained; by default as the [training] of the top level says, if there is one.
    """

    name: str = "resnet18"
    source: str = ""
    defence: str = ""
    aware: bool = True
    training: Training = dataclasses.field(default_factory=Training)

    def __post_init__(self) -> None:
        defence(self.defence)
        if not self.aware and not self.defence:
            raise ConfigError('[[recognizers]] aware = false is about a defence: set one, such as defence = "jpeg75"')


@dataclass(frozen=True, kw_only=True)
class Config:
    """A benchmark.

    Attributes:
        name: of the report.
        data: the people.
        recognizers: the subjects.
        entries: the lines of the grid, from [[attacks]].
        eps: sizes that every attack without its own `eps` is run at, besides 0 and `huge_eps`.
        huge_eps: a size at which accuracy must fall to chance.
        seeds: each runs the whole grid.
        batch_size: images an attack gets at once.
        example_eps: the size whose pictures the report shows; 0 for a report without faces.
        crosscheck: images on which our PGD is compared with ART's step by step; 0 for none.
        minimum: how the minimal perturbation is searched for; None for not at all.
        notes: what the report says beside the flags, such as why one was to be expected.
    """

    name: str
    data: DataConfig
    recognizers: tuple[RecognizerConfig, ...]
    entries: tuple[AttackEntry, ...]
    eps: tuple[float, ...]
    huge_eps: float = 128 / 255
    seeds: tuple[int, ...] = (0,)
    batch_size: int = BATCH_SIZE
    example_eps: float
    crosscheck: int = 0
    minimum: MinimumSearch | None = None
    notes: str = ""

    def resolved(self) -> dict[str, Any]:
        """JSON-like, for run.json."""
        record = dataclasses.asdict(self._portable())
        del record["entries"]
        record["attacks"] = [
            {"name": e.name, "attack": type(e.attack).__name__, "goals": e.goals, "eps": e.eps, "images": e.images}
            | attack_fields(e.attack)
            for e in self.entries
        ]
        return record

    def means(self, recorded: dict[str, Any], *, limit: int | None, device: str) -> bool:
        """As of `faceenc.benchmark.entries.same_run`."""
        return same_run(recorded, self._portable(), self.entries, limit=limit, device=device)

    def of(self, recognizers: Sequence[str], data: str | None) -> Config:
        """The same for other recognisers, or other people, where any are named."""
        subjects = tuple(RecognizerConfig(name=short_name(source), source=source) for source in dict.fromkeys(recognizers))
        people = self.data if data is None else dataclasses.replace(self.data, source=data)
        return dataclasses.replace(self, recognizers=subjects or self.recognizers, data=people)

    def _portable(self) -> Config:
        subjects = tuple(dataclasses.replace(one, source=portable(one.source)) for one in self.recognizers)
        return dataclasses.replace(self, recognizers=subjects)


def read_task(path: Path) -> Config | VerificationConfig:
    """Read and check a configuration of either task: "classification", which is meant where none stands, or "verification".

    Raises:
        ConfigError: as of `read_config`.
    """
    return read_toml(path, _task)


def _task(table: dict[str, Any]) -> Config | VerificationConfig:
    task = table.get("task", CLASSIFICATION)
    if task not in (CLASSIFICATION, VERIFICATION):
        raise ConfigError(f"task is {task!r}: expected {CLASSIFICATION!r} or {VERIFICATION!r}")
    return verification_config(table) if task == VERIFICATION else _config(table)


def read_config(path: Path) -> Config:
    """Read and check a configuration of classifiers.

    Raises:
        ConfigError: not TOML, an unknown key (names the nearest known one), a value of the wrong kind or out of range.
    """
    return read_toml(path, _config)


def _config(table: dict[str, Any]) -> Config:
    if (task := table.get("task", CLASSIFICATION)) != CLASSIFICATION:
        raise ConfigError(f"task is {task!r}: only faceenc-bench run takes it, here {CLASSIFICATION!r} is expected")
    known = {field.name for field in dataclasses.fields(Config)} - {"entries"} | {"attacks", "training", "task"}
    check_keys(table, known, "the top level")
    for part in ("name", "attacks", "eps"):
        if part not in table:
            raise ConfigError(f"{part!r} is missing: see the demo configuration for an example")
    eps = tuple(parse_eps(value, LINF) for value in listed(table, "eps"))
    huge = parse_eps(table.get("huge_eps", "128/255"), LINF)
    recognizers = [
        _recognizer(part, table.get("training"))
        for part in (listed(table, "recognizers") if "recognizers" in table else [{}])
    ]
    config = Config(
        name=folder_name(table["name"]),
        data=build(DataConfig, table.get("data", {}), "[data]"),
        recognizers=tuple(recognizers),
        entries=tuple(read_entry(part, eps, huge) for part in listed(table, "attacks")),
        eps=eps,
        huge_eps=huge,
        seeds=read_seeds(table.get("seeds", [0])),
        batch_size=checked(table.get("batch_size", BATCH_SIZE), int, "batch_size"),
        example_eps=parse_eps(table.get("example_eps", table["eps"][-1]), LINF),
        crosscheck=checked(table.get("crosscheck", 0), int, "crosscheck"),
        minimum=read_minimum(table["minimum"]) if "minimum" in table else None,
        notes=checked(table.get("notes", ""), str, "notes"),
    )
    attacks = [(entry.name, entry.attack.norm.name, goal) for entry in config.entries for goal in entry.goals]
    for what, names in (("attacks of one norm and goal", attacks), ("recognizers", [r.name for r in recognizers])):
        if len(set(names)) != len(names):
            raise ConfigError(f"two {what} have the same name: give each its own `name`")
    return config


def _recognizer(part: Any, training: Any) -> RecognizerConfig:
    if isinstance(part, dict):
        if "checkpoint" in part and "source" not in part:  # its name until version 0.2
            part = {"source" if key == "checkpoint" else key: value for key, value in part.items()}
        if training is not None and not part.get("source"):
            part = {"training": training} | part
        if isinstance(part.get("source"), str) and "name" not in part:
            part = {"name": short_name(part["source"])} | part
    return build(RecognizerConfig, part, "[[recognizers]]")
