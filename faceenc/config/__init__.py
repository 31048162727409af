"""TOML configurations: read into frozen dataclasses, checked, and turned into the objects of a run.

The one place that knows every name a configuration may use. Sizes are written as fractions of the pixel range ("8/255") for
Linf, as plain numbers ("1.0") for L2.
"""

from __future__ import annotations

import dataclasses
import os
import re
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faceenc.attacks.minimum import MinimumSearch
from faceenc.config.entries import read_entry, read_minimum
from faceenc.config.toml_tables import build, check_keys, checked, listed, read_toml
from faceenc.grid import Entry
from faceenc.models.defences import defence
from faceenc.norms import LINF, parse_eps
from faceenc.train import Training
from faceenc.types import ConfigError


@dataclass(frozen=True)
class DataConfig:
    """[data]: the people.

    Attributes:
        source: "orl" (the built-in demo) or a folder with one sub-folder a person. `~` and `$VARIABLES` are replaced.
        size: side of the crops in pixels.
        framing: "aligned" or "square", see `faceenc.images.frame_face`; the demo's crops are square ones.
        test_share: share of each person's photos that are for testing.
        min_images: people with fewer photos are left out.
        on_no_face: "skip", "whole" or "fail": what becomes of photos without a face.
        unlabelled: folders of other faces, which training with init "dlib" learns from without their names.
    """

    source: str = "orl"
    size: int = 224
    framing: str = "aligned"
    test_share: float = 0.222
    min_images: int = 2
    on_no_face: str = "skip"
    unlabelled: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, known in (("framing", ("aligned", "square")), ("on_no_face", ("skip", "whole", "fail"))):
            if getattr(self, name) not in known:
                raise ConfigError(f"[data] {name} {getattr(self, name)!r} is not known: use one of {', '.join(known)}")
        if not 0 < self.test_share < 1:
            raise ConfigError(f"[data] test_share {self.test_share} must lie between 0 and 1")
        if self.min_images < 2:
            raise ConfigError(f"[data] min_images {self.min_images} must be at least 2: one to learn, one to test")


@dataclass(frozen=True)
class RecognizerConfig:
    """[[recognizers]]: `checkpoint` is a faceenc safetensors file; without it one is trained as [training] says.

    Attributes:
        name: in tables.
        checkpoint: see above.
        defence: what every picture goes through first, such as "jpeg75" or "crop90+jpeg75" (`faceenc.models.defences`).
        aware: the attack goes through the defence; if not, it meets the bare recogniser and the defended one only judges.
        training: how the recogniser is trained; by default as the [training] of the top level says, if there is one.
    """

    name: str = "resnet18"
    checkpoint: str = ""
    defence: str = ""
    aware: bool = True
    training: Training = dataclasses.field(default_factory=Training)

    def __post_init__(self) -> None:
        defence(self.defence)
        if not self.aware and not self.defence:
            raise ConfigError('[[recognizers]] aware = false is about a defence: set one, such as defence = "jpeg75"')


@dataclass(frozen=True)
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
        minimum: how the smallest noise that fools is looked for; None for not at all.
        notes: what the report says beside the flags, such as why one was to be expected.
    """

    name: str
    data: DataConfig
    recognizers: tuple[RecognizerConfig, ...]
    entries: tuple[Entry, ...]
    eps: tuple[float, ...]
    huge_eps: float
    seeds: tuple[int, ...]
    batch_size: int
    example_eps: float
    crosscheck: int
    minimum: MinimumSearch | None
    notes: str

    def resolved(self) -> dict[str, Any]:
        """JSON-like, for run.json."""
        record = dataclasses.asdict(self)
        del record["entries"]
        record["attacks"] = [
            {"name": e.name, "attack": type(e.attack).__name__, "goals": e.goals, "eps": e.eps, "images": e.images}
            | {f.name: _plain(getattr(e.attack, f.name)) for f in dataclasses.fields(typing.cast(Any, e.attack))}
            for e in self.entries
        ]
        return record


@dataclass(frozen=True)
class TrainConfig:
    """A training: `name` of its folder, the people, and how."""

    name: str
    data: DataConfig
    training: Training


def read_train_config(path: Path) -> TrainConfig:
    """Read and check the configuration of a training.

    Raises:
        ConfigError: as of `read_config`.
    """

    def make(table: dict[str, Any]) -> TrainConfig:
        if "attacks" in table:
            raise ConfigError("this is a benchmark's configuration: run it with faceenc-bench run")
        return build(TrainConfig, {"name": path.stem, "data": {}, "training": {}} | table, "the top level")

    return read_toml(path, make)


def expand(path: str) -> Path:
    """A path of a configuration with `~` and `$VARIABLES` replaced.

    Raises:
        ConfigError: a variable is not set.
    """
    expanded = os.path.expandvars(path)
    if match := re.search(r"\$(\w+|\{\w+\})", expanded):
        name = match[1].strip("{}")
        raise ConfigError(f"{path!r} names the variable {name}, which is not set: set it, as in {name}=/path/to/data")
    return Path(expanded).expanduser()


def find_config(name: str) -> Path:
    """The path of a configuration: a file, or the name of one that travels with the package ("demo").

    Raises:
        ConfigError: there is no such file.
    """
    path = Path(name)
    if path.is_file():
        return path
    package = Path(__file__).parent.parent
    # Installed, the configurations lie inside the package; in a checkout, beside it.
    folders = [folder for folder in (package / "configs", package.parent / "configs") if folder.is_dir()]
    for folder in folders:
        if (folder / f"{path.stem}.toml").is_file() and path.parent in (Path(), Path("configs")):
            return folder / f"{path.stem}.toml"
    known = ", ".join(sorted({file.stem for folder in folders for file in folder.glob("*.toml")}))
    raise ConfigError(f"configuration {name} does not exist: give a TOML file, or one of: {known}")


def read_config(path: Path) -> Config:
    """Read and check a configuration.

    Raises:
        ConfigError: not TOML, an unknown key (names the nearest known one), a value of the wrong kind or out of range.
    """
    return read_toml(path, _config)


def _config(table: dict[str, Any]) -> Config:
    known = {field.name for field in dataclasses.fields(Config)} - {"entries"} | {"attacks", "training"}
    check_keys(table, known, "the top level")
    for part in ("name", "attacks", "eps"):
        if part not in table:
            raise ConfigError(f"{part!r} is missing: see the demo configuration for an example")
    eps = tuple(parse_eps(value, LINF) for value in listed(table, "eps"))
    huge = parse_eps(table.get("huge_eps", "128/255"), LINF)
    recognizers = [_recognizer(part, table.get("training")) for part in table.get("recognizers") or [{}]]
    config = Config(
        name=checked(table["name"], str, "name"),
        data=build(DataConfig, table.get("data", {}), "[data]"),
        recognizers=tuple(recognizers),
        entries=tuple(read_entry(part, eps, huge) for part in listed(table, "attacks")),
        eps=eps,
        huge_eps=huge,
        seeds=checked(tuple(table.get("seeds", [0])), tuple[int, ...], "seeds"),
        batch_size=checked(table.get("batch_size", 16), int, "batch_size"),
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
    if training is not None and isinstance(part, dict) and not part.get("checkpoint"):
        part = {"training": training} | part
    return build(RecognizerConfig, part, "[[recognizers]]")


def _plain(value: Any) -> Any:
    return getattr(value, "name", value)
