"""TOML configurations with task = "verification": subjects, pairs, attacks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faceenc.attacks import BATCH_SIZE, LINF, MinimumSearch, parse_eps
from faceenc.benchmark.entries import attack_fields, read_entry, read_minimum, read_seeds, same_run
from faceenc.benchmark.plan import AttackEntry
from faceenc.core import ConfigError, build, check_keys, checked, folder_name, listed
from faceenc.data import DataConfig
from faceenc.recognizers import FAR, defence

TASK = "verification"


@dataclass(frozen=True)
class SubjectConfig:
    """[[recognizers]]: one that is measured.

    Attributes:
        source: as `load_recognizer` takes it.
        name: in tables; by default the source, of a file its name.
        defence: what every picture goes through first (`faceenc.recognizers.defence`).
        aware: the attack goes through the defence; if not, it meets the bare recogniser and the defended one only judges.
    """

    source: str
    name: str = ""
    defence: str = ""
    aware: bool = True

    def __post_init__(self) -> None:
        defence(self.defence)
        if not self.source:
            raise ConfigError('[[recognizers]] source is "": name a recogniser, such as source = "sface"')
        if not self.aware and not self.defence:
            raise ConfigError('[[recognizers]] aware = false is about a defence: set one, such as defence = "jpeg75"')
        if not self.name:
            object.__setattr__(self, "name", short_name(self.source) + (f"+{self.defence}" if self.defence else ""))


def short_name(source: str) -> str:
    """Of a recogniser in tables: the source, of a file its name."""
    kind, _, rest = source.rpartition(":")
    return Path(rest).name if kind in ("", "onnx", "torch") else source


@dataclass(frozen=True, kw_only=True)
class VerificationConfig:
    """A benchmark of embedders.

    Attributes:
        name: of the report.
        data: the people; half of them fit the thresholds. Size and framing are each recogniser's own.
        recognizers: the subjects.
        entries: the lines of the grid, from [[attacks]].
        eps: sizes that every attack without its own `eps` is run at, besides 0 and `huge_eps`.
        huge_eps: a size at which no pair may match any more.
        pairs: genuine ones for dodging and as many impostor ones for impersonation, at most.
        far: false match rate of the thresholds.
        seeds: each runs the whole grid; the first one draws the pairs.
        batch_size: images an attack gets at once.
        crosscheck: pairs of the first recogniser on which our PGD is compared with ART's step by step; 0 for none.
        minimum: how the minimal perturbation is searched for; None for not at all.
        notes: what the report says beside the flags.
    """

    name: str
    data: DataConfig
    recognizers: tuple[SubjectConfig, ...]
    entries: tuple[AttackEntry, ...]
    eps: tuple[float, ...]
    huge_eps: float = 128 / 255
    pairs: int = 200
    far: float = FAR
    seeds: tuple[int, ...] = (0,)
    batch_size: int = BATCH_SIZE
    crosscheck: int = 0
    minimum: MinimumSearch | None = None
    notes: str = ""

    def __post_init__(self) -> None:
        names = [one.name for one in self.recognizers]
        if len(set(names)) != len(names):
            raise ConfigError("two recognizers have the same name: give each its own `name`")

    def resolved(self) -> dict[str, Any]:
        """JSON-like, for run.json; a folder of this machine means nothing to who reads it elsewhere."""
        record: dict[str, Any] = {"task": TASK, **dataclasses.asdict(self._portable())}
        del record["entries"]
        record["attacks"] = [
            {"name": e.name, "attack": type(e.attack).__name__, "goals": e.goals, "eps": e.eps, "images": e.images}
            | attack_fields(e.attack)
            for e in self.entries
        ]
        return record

    def means(self, recorded: dict[str, Any], *, limit: int | None, device: str) -> bool:
        """As of `faceenc.benchmark.entries.same_run`."""
        own = {key: value for key, value in recorded.items() if key != "task"}
        return same_run(own, self._portable(), self.entries, limit=limit, device=device)

    def of(self, recognizers: Sequence[str], data: str | None) -> VerificationConfig:
        """The same for other recognisers, or other people, where any are named."""
        subjects = tuple(SubjectConfig(source) for source in dict.fromkeys(recognizers)) or self.recognizers
        people = self.data if data is None else dataclasses.replace(self.data, source=data)
        return dataclasses.replace(self, recognizers=subjects, data=people)

    def _portable(self) -> VerificationConfig:
        people = dataclasses.replace(self.data, source=portable(self.data.source))
        subjects = tuple(dataclasses.replace(one, source=portable(one.source)) for one in self.recognizers)
        return dataclasses.replace(self, data=people, recognizers=subjects)


def portable(source: str) -> str:
    """With a file's or folder's name in place of an absolute path."""
    kind, sign, path = source.rpartition(":")
    return f"{kind}{sign}{Path(path).name}" if Path(path).is_absolute() else source


def verification_config(table: dict[str, Any]) -> VerificationConfig:
    """A configuration from its table.

    Raises:
        ConfigError: an unknown key (names the nearest known one), a value of the wrong kind or out of range.
    """
    known = {field.name for field in dataclasses.fields(VerificationConfig)} - {"entries"} | {"attacks", "task"}
    check_keys(table, known, "the top level")
    for part in ("name", "recognizers", "attacks", "eps"):
        if part not in table:
            raise ConfigError(f"{part!r} is missing: see configs/verification.toml for an example")
    eps = tuple(parse_eps(value, LINF) for value in listed(table, "eps"))
    huge = parse_eps(table.get("huge_eps", "128/255"), LINF)
    hints = {"pairs": int, "far": float, "batch_size": int, "crosscheck": int, "notes": str}
    config = VerificationConfig(
        name=folder_name(table["name"]),
        data=build(DataConfig, table.get("data", {}), "[data]"),
        recognizers=tuple(build(SubjectConfig, part, "[[recognizers]]") for part in listed(table, "recognizers")),
        entries=tuple(_entry(part, eps, huge) for part in listed(table, "attacks")),
        eps=eps,
        huge_eps=huge,
        seeds=read_seeds(table.get("seeds", [0])),
        minimum=read_minimum(table["minimum"]) if "minimum" in table else None,
        **{key: checked(table[key], hint, key) for key, hint in hints.items() if key in table},
    )
    lines = [(entry.name, entry.attack.norm.name, goal) for entry in config.entries for goal in entry.goals]
    if len(set(lines)) != len(lines):
        raise ConfigError("two attacks of one norm and goal have the same name: give each its own `name`")
    return config


def _entry(table: Any, eps: tuple[float, ...], huge: float) -> AttackEntry:
    entry = read_entry(table, eps, huge)
    if why := getattr(entry.attack, "no_embedders", ""):
        raise ConfigError(f"attack {entry.name!r} cannot attack embedders: {why}")
    return entry
