"""`faceenc-bench list`: what can be named on the command line and in configurations."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from faceenc.cli.options import command
from faceenc.cli.tables import print_table

if TYPE_CHECKING:
    from pathlib import Path


@command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one object of JSON instead of the tables.")
def list_names(as_json: bool) -> None:
    """List what can be named: built-in configurations, attacks and recognisers."""
    import json

    from faceenc.core import builtin_configs
    from faceenc.recognizers import offered_recognizers

    configurations = [_configuration(name, path) for name, path in builtin_configs().items()]
    attacks, recognizers = _attacks(), [one._asdict() for one in offered_recognizers()]
    if as_json:
        click.echo(json.dumps({"configurations": configurations, "attacks": attacks, "recognizers": recognizers}))
        return
    print_table(configurations, title="configurations")
    click.echo()
    shown = [{**one, "norms": ", ".join(one["norms"]), "targeted": "yes" if one["targeted"] else "no"} for one in attacks]
    print_table(shown, title='attacks: attack = "NAME"; the first norm is the usual one')
    click.echo()
    words = {True: "yes", False: "no", None: ""}
    print_table([{**one, "cached": words[one["cached"]]} for one in recognizers],
                title="recognisers: --surrogate, --judge, source of a configuration's recognizers")  # fmt: skip


def _configuration(name: str, path: Path) -> dict[str, str]:
    """Its name, the command that takes it, and the first sentence of its comment."""
    import tomllib

    text = path.read_text(encoding="utf-8")
    table = tomllib.loads(text)
    kind = "faceenc-bench transfer" if "surrogates" in table else "faceenc-bench run"
    kind = kind if "attacks" in table else "faceenc train"
    comment = re.match(r"(?:#.*\n)*", text)
    return {"name": name, "for": kind, "what": _first(re.sub(r"^# ?", "", comment[0] if comment else "", flags=re.M))}


def _attacks() -> Any:
    """Each by its name in a configuration: the norms that it takes, its own first, and whether it can aim at a person."""
    import inspect

    from faceenc.attacks import ATTACKS, NORMS
    from faceenc.core import ConfigError

    found = []
    for name, make in ATTACKS.items():
        norms = [inspect.signature(make).parameters["norm"].default.name]
        for other in NORMS:
            try:
                attack = make(norm=NORMS[other])
            except ConfigError:
                continue
            norms += [other] if other not in norms else []
        targeted = "impersonate" in getattr(attack, "goals", ("impersonate",))
        found.append({"name": name, "norms": norms, "targeted": targeted, "what": _first(make.__doc__ or "")})
    return found


def _first(text: str) -> str:
    """The first sentence, without the papers."""
    paragraph = " ".join(text.split("\n\n")[0].split())
    return re.split(r"\. |\.$|; ", re.sub(r" ?\([^()]*https?:[^()]*\)", "", paragraph), maxsplit=1)[0]
