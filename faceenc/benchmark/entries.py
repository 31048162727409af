"""The lines of a benchmark's grid as configurations write them: [[attacks]] tables, sizes, and the [minimum] table."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from faceenc.attacks import ATTACKS, ENGINES, LINF, NORMS, PGD, MinimumSearch, parse_eps
from faceenc.benchmark.plan import AttackEntry
from faceenc.core import Attack, ConfigError, build, check_keys, checked, fields_of_repr, listed, means, nearest

CLASSIFIER_GOALS = ("dodge", "impersonate")


def read_entry(table: Any, eps: tuple[float, ...], huge: float) -> AttackEntry:
    """One [[attacks]] table: `attack`, `name`, `norm`, `goals`, `eps`, `images`, and the attack's own parameters."""
    if not isinstance(table, dict) or not ({"name", "attack"} & set(table)):
        raise ConfigError('an [[attacks]] table needs a `name`, such as name = "pgd"')
    name = checked(table.get("name", table.get("attack")), str, "[[attacks]] name")
    kind = checked(table.get("attack", name), str, f"attack {name!r}: attack")
    if kind not in ATTACKS:
        raise ConfigError(f"attack {kind!r} is not known{nearest(kind, ATTACKS)}")
    where = f"attack {name!r}"
    factory = ATTACKS[kind]
    hints = typing.get_type_hints(factory.__init__ if inspect.isclass(factory) else factory)
    parameters = {name: hints[name] for name in inspect.signature(factory).parameters}
    check_keys(table, {"attack", "name", "goals", "eps", "images"} | set(parameters), where)
    own = inspect.signature(factory).parameters["norm"].default
    _check_choice(table.get("norm", own.name), NORMS, f"{where}: norm")
    norm = NORMS[table.get("norm", own.name)]
    if norm != LINF and "eps" not in table:
        raise ConfigError(f'{where}: the general eps is for Linf: give an {norm.name} attack its own, such as ["1.0"]')
    settings = {k: checked(table[k], parameters[k], f"{where}: {k}", k) for k in parameters if k in table and k != "norm"}
    _check_choice(settings.get("engine", "exact"), ENGINES, f"{where}: engine")
    goals = _checked_goals(checked(table.get("goals", ["dodge"]), tuple[str, ...], f"{where}: goals"), where)
    sizes = tuple(parse_eps(value, norm) for value in listed(table, "eps")) if "eps" in table else (*eps, huge)
    images = checked(table["images"], int, f"{where}: images", "images") if "images" in table else None
    attack = factory(norm=norm, **settings)
    able = getattr(attack, "goals", CLASSIFIER_GOALS)
    if set(goals) - set(able):
        raise ConfigError(f"{where}: ART cannot aim it at a chosen person: set goals = {list(able)}")
    return AttackEntry(
        name=name,
        attack=attack,
        goals=goals,
        eps=tuple(sorted({0.0, *sizes})),
        images=images,
    )


def attack_fields(attack: Attack) -> dict[str, Any]:
    """An attack's parameters as run.json keeps them: its norm by name."""
    fields = dataclasses.fields(typing.cast(Any, attack))
    return {field.name: getattr(value, "name", value) for field in fields for value in [getattr(attack, field.name)]}


def same_run(
    recorded: dict[str, Any], config: object, entries: Sequence[AttackEntry], *, limit: int | None, device: str
) -> bool:
    """Whether a run.json, of this version or an earlier one, says the same: what it lacks counts as its default.

    Args:
        recorded: its configuration, with the limit and the device.
        config: of this run; its field `entries` is not compared.
        entries: the lines of its grid.
        limit: of this run.
        device: of this run.
    """
    own = dict(recorded)
    if (own.pop("limit", None), own.pop("device", "cpu")) != (limit, device):
        return False
    return _same_entries(own.pop("attacks", None), entries) and means(own, config, leave=("entries",))


def _same_entries(recorded: Any, entries: Sequence[AttackEntry]) -> bool:
    """Whether the attacks of a run.json are these lines of the grid: a parameter that a record lacks has its default.

    Args:
        recorded: one object a line: name, attack (its class), goals, eps, images, and the parameters beside them (`run`) or
            under "parameters" (`transfer`), where version 0.1 wrote a repr.
        entries: of the configuration.
    """
    if not isinstance(recorded, list) or len(recorded) != len(entries):
        return False
    return all(_same_entry(one, entry) for one, entry in zip(recorded, entries, strict=True))


def _same_entry(recorded: Any, entry: AttackEntry) -> bool:
    if not isinstance(recorded, dict):
        return False
    parameters: Any = dict(recorded)
    line = {name: parameters.pop(name, None) for name in ("name", "attack", "goals", "eps")}
    line["images"] = parameters.pop("images", entry.images)  # a transfer takes all
    if "parameters" in parameters:
        parameters = parameters["parameters"]
        parameters = fields_of_repr(parameters) if isinstance(parameters, str) else parameters
    now = {"name": entry.name, "attack": type(entry.attack).__name__, "goals": entry.goals, "eps": entry.eps}
    return means(line, now | {"images": entry.images}) and means(parameters, entry.attack)


def read_seeds(value: Any) -> tuple[int, ...]:
    """The `seeds` of a configuration.

    Raises:
        ConfigError: no list of different numbers.
    """
    seeds: tuple[int, ...] = checked(value, tuple[int, ...], "seeds", "seed")
    if not seeds or len(set(seeds)) != len(seeds):
        raise ConfigError(f"seeds is {value!r}: expected a list of different numbers, at least one, such as [0]")
    return seeds


@dataclass(frozen=True)
class _MinimumTable:
    """[minimum]: for each image the smallest noise with which PGD succeeds.

    Attributes:
        norm: "linf" or "l2".
        goals: "dodge", "impersonate" or both.
        largest: where the search begins; images that stand there are reported as standing.
        resolution: smallest difference between two sizes that counts.
        images: how many of the test images, 0 for all.
        steps: PGD's, at each size tried.
        rel_step: PGD's.
        restarts: PGD's; the first of them goes on from the noise found at a larger size.
        engine: PGD's.
    """

    norm: str = "linf"
    goals: tuple[str, ...] = ("dodge",)
    largest: str = "16/255"
    resolution: str = "1/255"
    images: int = 0
    steps: int = 20
    rel_step: float = 0.25
    restarts: int = 1
    engine: str = "fused"


def read_minimum(table: Any) -> MinimumSearch:
    """The [minimum] table.

    Raises:
        ConfigError: an unknown key, or a value that makes no sense.
    """
    given = build(_MinimumTable, table, "[minimum]")
    _check_choice(given.norm, NORMS, "[minimum]: norm")
    _check_choice(given.engine, ENGINES, "[minimum]: engine")
    norm = NORMS[given.norm]
    largest, resolution = parse_eps(given.largest, norm), parse_eps(given.resolution, norm)
    if not 0 < resolution <= largest:
        raise ConfigError(f"[minimum]: resolution {given.resolution!r} must lie between 0 and largest, {given.largest!r}")
    # Whether an image falls is all that is asked, so it may leave as soon as it does, with a margin for rounding.
    attack = PGD(norm, given.steps, given.rel_step, restarts=given.restarts, engine=given.engine, early_stop=0.2)
    return MinimumSearch(attack, _checked_goals(given.goals, "[minimum]"), largest, resolution, given.images or None)


def _check_choice(value: str, known: typing.Iterable[str], where: str) -> None:
    if not isinstance(value, str) or value not in known:
        raise ConfigError(f"{where} {value!r} is not known: use one of {', '.join(known)}")


def _checked_goals(goals: tuple[str, ...], where: str) -> tuple[str, ...]:
    if not goals or set(goals) - set(CLASSIFIER_GOALS):
        raise ConfigError(f"{where}: goals {list(goals)!r} must be some of {', '.join(CLASSIFIER_GOALS)}")
    return goals
