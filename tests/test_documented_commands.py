"""Commands that pages show are taken as they stand: names, options and the kinds of their values."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from faceenc.cli import bench_main, main

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "reports").glob("*/README.md"))]
GROUPS = {"faceenc": main, "faceenc-bench": bench_main}


def commands(page: Path) -> list[str]:
    """Those in fenced or indented blocks, each on one line; what a shell does with them is cut off."""
    found, fenced = [], False
    for line in page.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        fenced ^= line.startswith("```")
        if fenced or line.startswith("    "):
            found += re.findall(r"(?:^ *|&& )(?:\S*/bin/)?(faceenc(?:-bench)? .*?)(?= *(?:[>|#]|&&|$))", line)
    return found


SHOWN = [(page.relative_to(ROOT).as_posix(), line) for page in PAGES for line in commands(page)]


def test_pages_show_commands() -> None:
    assert {line.split()[0] for _, line in SHOWN} == set(GROUPS)
    assert len(SHOWN) > 20


@pytest.mark.parametrize(("page", "line"), SHOWN)
def test_the_command_is_taken(page: str, line: str) -> None:
    name, *words = shlex.split(line)
    group = GROUPS[name]
    assert isinstance(group, click.Group)
    context = click.Context(group, info_name=name)
    command, found, rest = group.resolve_command(context, words)
    assert found is not None
    found.make_context(command, rest, parent=context)
