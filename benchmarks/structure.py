"""The numbers of the house: rooms, arrows between them, circles, loose modules, files and lines.

    python benchmarks/structure.py [CHECKOUT ...]

A room is a folder below `faceenc/`, or (as every loose module is) a module at its top; an arrow is one room's import of
another. A room with rooms in it counts as one with `--whole`. Give an older checkout beside this one to compare.
"""

from __future__ import annotations

import argparse
import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

# The order of the floors, lowest first; doors last.
ROOMS = (
    *("core", "media", "report", "runs", "faces", "data", "recognizers", "attacks", "train", "protect", "benchmark", "live"),
    *("server", "cli", "api"),
)
FACES = ("__init__", "__main__")  # at the top, and no module of their own


def imports(path: Path) -> Iterator[str]:
    """Every module or name of this package that a file imports, wherever the import stands: "faceenc.core.Box"."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "faceenc")
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "faceenc" and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules(package: Path) -> dict[str, Path]:
    """Modules by their name inside the package: "attacks.pgd"; a folder's `__init__` by the folder's name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def graph(package: Path) -> dict[str, set[str]]:
    """Module -> the modules that it imports; a name that a room's face offers is an import of that face."""
    known = modules(package)
    arrows: dict[str, set[str]] = {}
    for name, path in known.items():
        arrows[name] = set()
        for target in imports(path):
            inside = target.partition(".")[2]
            while inside and inside not in known:
                inside = inside.rpartition(".")[0]
            arrows[name].add(inside)
        arrows[name] -= {name, ""}
    return arrows


def room_of(module: str, package: Path, *, whole: bool) -> str:
    """The folder that a module lies in (with `whole` the one at the top), or its own name where it lies loose."""
    path = package / module.replace(".", "/")
    folder = module if path.is_dir() else module.rpartition(".")[0]
    return (folder.split(".")[0] if whole else folder) or module


def rooms(package: Path, *, whole: bool) -> dict[str, set[str]]:
    """Room -> the rooms that it imports."""
    found: dict[str, set[str]] = {}
    for module, targets in graph(package).items():
        if module in ("", *FACES):
            continue
        own = room_of(module, package, whole=whole)
        found.setdefault(own, set()).update(room_of(target, package, whole=whole) for target in targets)
    return {room: targets - {room} for room, targets in found.items()}


def circles(arrows: dict[str, set[str]]) -> list[str]:
    """What is left when everything without open needs has been taken away, again and again: names in circles."""
    left = {name: set(targets) for name, targets in arrows.items()}
    while free := [name for name, targets in left.items() if not targets & set(left) - {name}]:
        for name in free:
            del left[name]
    return sorted(left)


def numbers(checkout: Path) -> dict[str, object]:
    """The figures of one checkout."""
    package = checkout / "faceenc"
    known = modules(package)
    small, whole = rooms(package, whole=False), rooms(package, whole=True)
    floor = {name: number for number, name in enumerate(ROOMS)}
    ordered = set(whole) <= set(floor)
    upward = sum(floor[target] > floor[room] for room, targets in whole.items() for target in targets) if ordered else "-"
    lines = [len(path.read_text(encoding="utf-8").splitlines()) for path in known.values()]
    return {
        "rooms": len(whole),
        "arrows between rooms": sum(map(len, whole.values())),
        "rooms, with those in rooms": len(small),
        "arrows between all these": sum(map(len, small.values())),
        "upward arrows": upward,
        "modules in circles": len(circles(graph(package))),
        "loose modules": len([name for name in known if name and "." not in name and name not in (*FACES, "api")
                              and not (package / name).is_dir()]),
        "files": len(known),
        "median lines of a file": int(statistics.median(lines)),
        "lines": sum(lines),
        "lines of stubs": sum(len(p.read_text(encoding="utf-8").splitlines()) for p in package.rglob("*.pyi")),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", nargs="*", type=Path, default=[Path(__file__).parent.parent])
    tables = [numbers(checkout) for checkout in parser.parse_args().checkouts]
    for name in tables[0]:
        print(f"{name:28}" + "".join(f"{table[name]!s:>10}" for table in tables))


if __name__ == "__main__":
    main()
