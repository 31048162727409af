"""The design, checked on the imports: arrows point down, heavy libraries stay in the file that is named for them."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import faceenc

PACKAGE = Path(faceenc.__file__).parent

# A module by its room, or by its own name where it lies lower than its room.
LAYERS = {
    0: ["types", ""],
    1: [
        "assets",
        "images",
        "norms",
        "goals",
        "geometry",
        "alignment",
        "diversity",
        "transforms",
        "metrics",
        "devices",
        "drawing",
        "files",
        "frames",
        "runfolder",
        "safeguards",
        "photolist",
        "photos",
        "workers",
        "verification",
        "config.toml_tables",
        "encrypt.ledger",
        "encrypt.preview",
        "evidence.quality",
        "evidence.variants",
    ],
    2: ["detect", "groupdetector", "models", "data"],
    3: ["attacks"],
    4: [
        "enrol",
        "accuracy",
        "train",
        "evaluate",
        "recognize",
        "obfuscation",
        "transfer",
        "evidence",
        "protect",
        "encrypt",
        "live",
        "tables",
        "checks",
        "grid",
        "minima",
        "minimum_tables",
        "crosscheck",
        "benchmark",
        "report",
    ],
    5: ["config"],
    6: ["cli", "__main__"],
}
LAYER = {name: number for number, names in LAYERS.items() for name in names}


def layer(module: str) -> int:
    return LAYER[module] if module in LAYER else LAYER[module.split(".")[0]]


# Each heavy library and the only modules that may import it. torch and numpy are everywhere but where FORBIDDEN says.
HOMES = {
    "art": {
        f"attacks.art_{part}" for part in ("adapters", "blackbox", "bridge", "decision", "gradient", "minimal", "single")
    },
    "mediapipe": {"detect"},
    "cv2": {"frames", "frames.cameras", "frames.encoders", "frames.screens"},
    "pyvirtualcam": {"frames.screens"},
    "dlib": {"models.dlibchip"},
    "frbench": {"models.frbench"},
    "kornia": {"metrics", "transforms"},
    "pillow_heif": {"photos.reading"},
    "safetensors": {"models.checkpoint", "models.dlibnet", "live.masks"},
    "torchvision": {"models.resnet", "data.celeba_files", "attacks.fused", "attacks.engines"},
    "matplotlib": {"report.plots", "report.heatmap", "report.minimum"},
    "jinja2": {"report"},
    "platformdirs": {"assets", "safeguards.audit", "safeguards.signing", "live.masks"},
    "cryptography": {"safeguards.sealing", "safeguards.signing"},
}
FORBIDDEN = {
    "report": "torch",
    "report.minimum": "torch",
    "minimum_tables": "torch",
    "tables": "torch",
    "report.plots": "torch",
    "checks": "torch",
    "checks.transfer": "torch",
    "types": "numpy",
}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__"), path


MODULES = dict(modules())


def imports(path: Path, *, typing_too: bool = True) -> Iterator[str]:
    """Every imported module, wherever in the file the import stands."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[ast.AST] = set()
    if not typing_too:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
                skipped |= set(ast.walk(node))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(path: Path) -> set[str]:
    """Modules of this package that `path` imports, by their name inside it."""
    found = set()
    for name in imports(path):
        if name.split(".")[0] == "faceenc":
            inside = name.partition(".")[2]
            while inside and inside not in MODULES:
                inside = inside.rpartition(".")[0]
            found.add(inside)
    return found


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    for imported in own_imports(MODULES[module]):
        own, other = layer(module), layer(imported)
        assert other <= own, f"faceenc.{module} (layer {own}) imports faceenc.{imported} (layer {other})"


def test_no_module_imports_itself_through_others() -> None:
    graph = {name: own_imports(path) - {name, ""} for name, path in MODULES.items()}
    while graph:
        free = [name for name, needs in graph.items() if not needs & set(graph)]
        assert free, f"circular imports among {sorted(graph)}"
        for name in free:
            del graph[name]


@pytest.mark.parametrize("module", MODULES)
def test_heavy_libraries_stay_at_home(module: str) -> None:
    for name in imports(MODULES[module]):
        library = name.split(".")[0]
        if library in HOMES:
            assert module in HOMES[library], f"{library} belongs to {HOMES[library]}, not to {module}"
        assert not (library == "rich" and not module.startswith("cli")), "printing belongs to the commands"


@pytest.mark.parametrize("module", FORBIDDEN)
def test_light_modules_stay_light(module: str) -> None:
    libraries = {name.split(".")[0] for name in imports(MODULES[module], typing_too=False)}
    assert FORBIDDEN[module] not in libraries


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (None, []),
        ("bench", ["--help"]),
        ("bench", ["run", "--help"]),
        ("bench", ["transfer", "--help"]),
        ("main", ["--help"]),
        *(
            ("main", [command, "--help"])
            for command in ("encrypt", "train", "evaluate", "recognize", "verify", "consent", "decrypt")
        ),
        *(("main", [command, "--help"]) for command in ("webcam", "video", "enroll")),
        *(("main", ["data", command, "--help"]) for command in ("video", "celeba")),
    ],
)
def test_starting_loads_nothing_heavy(module: str | None, words: list[str]) -> None:
    heavy = ["torch", "art", "cv2", "mediapipe", "pandas", "numpy", "matplotlib", "rich", "cryptography"]
    start = f"from faceenc.cli.{module} import main; main({words}, standalone_mode=False)" if module else "import faceenc"
    check = f"{start}\nimport sys; print('LOADED', [name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"
