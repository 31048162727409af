"""TOML configurations of transfer measurements: surrogates, judges, attacks."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from faceenc.attacks import BATCH_SIZE, LINF, PGD, Noise, Transfer, parse_eps
from faceenc.benchmark.entries import attack_fields, read_entry, same_run
from faceenc.benchmark.folder import RENAMED_KEYS
from faceenc.benchmark.plan import AttackEntry
from faceenc.benchmark.runner import silent
from faceenc.benchmark.sources import load_sources
from faceenc.benchmark.transfer.goals import AWAY, EMBEDDING_GOALS
from faceenc.benchmark.transfer.measurement import TransferMeasurement
from faceenc.benchmark.transfer.plan import TransferPlan
from faceenc.benchmark.verification.pairs import halves, threshold_of
from faceenc.core import (
    ConfigError,
    Progress,
    build,
    check_keys,
    checked,
    describe_environment,
    folder_name,
    listed,
    named_fields,
    read_toml,
)
from faceenc.data import DataConfig, FaceSet, expand, load_data
from faceenc.recognizers import FAR, Recognizer, defence, joined, picture_model

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EmbedderConfig:
    """[[recognizers]]: `source` is as `load_recognizer` takes it: "dlib", a trained checkpoint, "onnx:FILE" ..."""

    name: str
    source: str


@dataclass(frozen=True, kw_only=True)
class TransferConfig:
    """A transfer measurement.

    Attributes:
        name: of the report.
        data: the people, aligned crops of 224 pixels.
        recognizers: each one judges.
        surrogates: names of those that noise is made on; several joined by + are attacked together.
        variants: what becomes of a picture before it is judged, besides nothing: defences such as "jpeg75".
        entries: the attacks.
        borrowed: the attack whose noise is also put on other images; "" for none.
        pairs: photos attacked, at most.
        far: false accept rate of the thresholds.
        seed: of everything.
        batch_size: images an attack gets at once.
        lfw_pairs: an LFW pairs file to judge the recognisers by; "" for none.
    """

    name: str
    data: DataConfig
    recognizers: tuple[EmbedderConfig, ...]
    surrogates: tuple[str, ...]
    variants: tuple[str, ...] = ("jpeg75",)
    entries: tuple[AttackEntry, ...]
    borrowed: str = ""
    pairs: int = 100
    far: float = FAR
    seed: int = 0
    batch_size: int = BATCH_SIZE
    lfw_pairs: str = ""

    def resolved(self) -> dict[str, Any]:
        """JSON-like, for run.json; a folder of this machine means nothing to who reads it elsewhere."""
        record: dict[str, Any] = named_fields(dataclasses.replace(self._portable(), entries=()))
        del record["entries"]
        record["attacks"] = [
            {
                "name": e.name, "goals": e.goals, "eps": e.eps, "attack": type(e.attack).__name__,
                "parameters": attack_fields(e.attack),
            }
            for e in self.entries
        ]  # fmt: skip
        return record

    def means(self, recorded: dict[str, Any], *, limit: int | None, device: str) -> bool:
        """As of `faceenc.benchmark.entries.same_run`."""
        return same_run(recorded, self._portable(), self.entries, limit=limit, device=device)

    def _portable(self) -> TransferConfig:
        """With names in place of absolute paths; judges are identified by their networks' fingerprints as well."""
        return dataclasses.replace(
            self,
            data=dataclasses.replace(self.data, source=_portable(self.data.source)),
            recognizers=tuple(dataclasses.replace(one, source=_portable(one.source)) for one in self.recognizers),
            lfw_pairs=_portable(self.lfw_pairs),
        )


def _portable(path: str) -> str:
    return Path(path).name if Path(path).is_absolute() else path


def read_transfer_config(path: Path) -> TransferConfig:
    """Read and check a configuration.

    Raises:
        ConfigError: not TOML, an unknown key, a value of the wrong kind or out of range.
    """
    return read_toml(path, transfer_config)


def transfer_config(table: dict[str, Any]) -> TransferConfig:
    """A configuration from its table.

    Raises:
        ConfigError: as of `read_transfer_config`.
    """
    table = _renamed(table)
    known = {one.name for one in dataclasses.fields(TransferConfig)} - {"entries"} | {"attacks", "eps"}
    check_keys(table, known, "the top level")
    for part in ("name", "recognizers", "attacks", "eps"):
        if part not in table:
            raise ConfigError(f"{part!r} is missing: see configs/transfer.toml for an example")
    eps = tuple(parse_eps(value, LINF) for value in listed(table, "eps"))
    recognizers = tuple(build(EmbedderConfig, part, "[[recognizers]]") for part in listed(table, "recognizers"))
    names = [one.name for one in recognizers]
    config = TransferConfig(
        name=folder_name(table["name"]),
        data=build(DataConfig, table.get("data", {}), "[data]"),
        recognizers=recognizers,
        surrogates=_names(table, "surrogates", names),
        variants=checked(table.get("variants", ["jpeg75"]), tuple[str, ...], "variants"),
        entries=tuple(_entry(part, eps) for part in listed(table, "attacks")),
        borrowed=checked(table.get("borrowed", ""), str, "borrowed"),
        pairs=checked(table.get("pairs", 100), int, "pairs"),
        far=checked(table.get("far", FAR), float, "far"),
        seed=checked(table.get("seed", 0), int, "seed"),
        batch_size=checked(table.get("batch_size", BATCH_SIZE), int, "batch_size"),
        lfw_pairs=checked(table.get("lfw_pairs", ""), str, "lfw_pairs"),
    )
    _check_names(config, names)
    return config


def _names(table: dict[str, Any], key: str, names: list[str]) -> tuple[str, ...]:
    return tuple(checked(listed({key: table.get(key, names)}, key), tuple[str, ...], key))


def _renamed(table: dict[str, Any]) -> dict[str, Any]:
    """The table with the keys of 0.1 under their names of now; for one release, then they are unknown keys."""
    renamed = dict(table)
    for old, new in RENAMED_KEYS.items():
        if old not in renamed:
            continue
        if new in renamed:
            raise ConfigError(f"{old!r} is the old name of {new!r}, and both are given: leave out {old!r}")
        logger.warning("the key %r is now called %r: rename it, the next release no longer knows the old name", old, new)
        renamed[new] = renamed.pop(old)
    return renamed


def _entry(table: Any, eps: tuple[float, ...]) -> AttackEntry:
    """As of a benchmark, with an embedder's goals; without eps 0, for rows say themselves what was matched before."""
    if not isinstance(table, dict):
        raise ConfigError("[[attacks]] must be tables")
    goals = checked(table.get("goals", [AWAY]), tuple[str, ...], f"attack {table.get('name')!r}: goals")
    if not goals or set(goals) - set(EMBEDDING_GOALS):
        raise ConfigError(
            f"attack {table.get('name')!r}: goals {list(goals)!r} must be some of {', '.join(EMBEDDING_GOALS)}"
        )
    entry = read_entry({key: value for key, value in table.items() if key != "goals"}, eps, 0.0)
    if not isinstance(entry.attack, PGD | Transfer | Noise):
        raise ConfigError(
            f"attack {entry.name!r} attacks names, and the recognisers measured here know none: use pgd, bim, fgsm,"
            " mi-fgsm, di-mi-fgsm, transfer or noise"
        )
    return dataclasses.replace(entry, goals=goals, eps=tuple(size for size in entry.eps if size))


def _check_names(config: TransferConfig, names: list[str]) -> None:
    for variant in config.variants:
        defence(variant)
    for what, given in (("recognizers", names), ("attacks", [entry.name for entry in config.entries])):
        if len(set(given)) != len(given):
            raise ConfigError(f"two {what} have the same name: give each its own `name`")
    if any("+" in name for name in names):
        raise ConfigError("a recogniser's name has no +: it joins surrogates, and judges with what a picture went through")
    for surrogate in config.surrogates:
        if unknown := [name for name in surrogate.split("+") if name not in names]:
            raise ConfigError(f"surrogate {unknown[0]!r} is none of the recognizers: {', '.join(names)}")
    if config.borrowed and config.borrowed not in [entry.name for entry in config.entries]:
        raise ConfigError(
            f"borrowed = {config.borrowed!r} names no attack: known are {', '.join(e.name for e in config.entries)}"
        )
    for entry in config.entries:
        if isinstance(entry.attack, Noise) and len(entry.goals) > 1:
            raise ConfigError(f"attack {entry.name!r} is noise and has no goal: give it one at most")


def prepare_transfer(
    config: TransferConfig, limit: int | None, device: str, trust_code: bool = False
) -> TransferMeasurement:
    """What a worker measures on, made of what the driver left in the cache."""
    recognizers = load_transfer_sources(config, device, trust_code=trust_code)
    data = load_pictures(config, progress=silent)
    plan = make_transfer_plan(config, data, limit=limit, device=device, progress=silent, recognizers=recognizers)
    return TransferMeasurement(plan)


def load_transfer_sources(config: TransferConfig, device: str, *, trust_code: bool = False) -> dict[str, Recognizer]:
    """The recognisers by their names in the configuration, all of it looked for first: as of `load_sources`.

    Raises:
        ConfigError: noise is to be made on one that gives no gradients.
    """
    sources = {one.name: one.source for one in config.recognizers}
    files = [config.lfw_pairs]
    found = load_sources(sources, folders=[config.data.source], files=files, device=device, trust_code=trust_code)
    for name in dict.fromkeys(part for surrogate in config.surrogates for part in surrogate.split("+")):
        if name in found and not found[name].differentiable:
            raise ConfigError(f"{name} gives no gradients, which noise is made by: leave it out of `surrogates`")
    return found


def load_pictures(config: TransferConfig, *, progress: Progress) -> FaceSet:
    """The people in the one picture that all recognisers take their crops from: aligned, the built-in ORL faces as well."""
    return load_data(config.data, progress=progress, orl_framing="aligned")


def make_transfer_plan(
    config: TransferConfig,
    data: FaceSet,
    *,
    limit: int | None,
    device: str = "cpu",
    progress: Progress,
    recognizers: Mapping[str, Recognizer] | None = None,
) -> TransferPlan:
    """Everything a measurement needs; nets compute on the device.

    Args:
        config: what to compute.
        data: the people, aligned.
        limit: attack only so many photos.
        device: "cpu" or "cuda".
        progress: called with the surrogates.
        recognizers: by their names in the configuration; None loads them.

    Raises:
        AssetError: weights cannot be had.
        CheckpointError: a checkpoint cannot be read or wants other crops.
        DataError: too few people for thresholds.
    """
    known = recognizers or load_transfer_sources(config, device)
    embedders = {one.name: picture_model(known[one.name], one.name) for one in config.recognizers}
    surrogates = []
    for number, name in enumerate(config.surrogates):
        progress("surrogates", number, len(config.surrogates))
        members = [embedders[part] for part in name.split("+")]
        if len(members) == 1:
            surrogates.append(members[0])
        else:
            fit = halves(data).fit
            surrogates.append(joined(name, members, [threshold_of(one, data, fit, far=config.far) for one in members]))
    progress("surrogates", len(config.surrogates), len(config.surrogates))
    return TransferPlan(
        config={**config.resolved(), "limit": limit, **({} if device == "cpu" else {"device": device})},
        data=data,
        surrogates=surrogates,
        judges=list(embedders.values()),
        variants=("", *config.variants),
        entries=config.entries,
        borrowed=config.borrowed,
        count=min(config.pairs, limit or config.pairs),
        far=config.far,
        seed=config.seed,
        batch_size=config.batch_size,
        environment=describe_environment(),
        lfw_pairs=expand(config.lfw_pairs) if config.lfw_pairs else None,
        same_config=partial(config.means, limit=limit, device=device),
    )
