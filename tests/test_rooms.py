"""The house, checked on the imports: arrows point down, rooms are entered by their faces, heavy libraries stay at home."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import faceenc
from benchmarks.structure import ROOMS, circles, graph, imports, modules, numbers

PACKAGE = Path(faceenc.__file__).parent
ROOT = Path(__file__).parent.parent
MODULES = modules(PACKAGE)
ARROWS = graph(PACKAGE)
FLOOR = {room: number for number, room in enumerate(ROOMS)}
OUTSIDE = [path for folder in ("tests", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]

# Each heavy library and the only modules that may import it. torch and numpy are everywhere but where FORBIDDEN says.
HOMES = {
    "art": {
        f"attacks.art.{part}" for part in ("batches", "blackbox", "bridge", "decision", "gradient", "minimal", "single")
    },
    "mediapipe": {"faces.detection"},
    "cv2": {f"media.video.{part}" for part in ("reading", "cameras", "encoders", "screens")}
    | {f"faces.{part}" for part in ("closer", "crops", "passes", "yunet")}
    | {"media.visibility.displacement", "media.registration"},
    "av": {f"media.video.{part}" for part in ("clips", "colours", "encoders", "sound")},
    "pyvirtualcam": {"media.video.screens"},
    "dlib": {"recognizers.dlib.original"},
    "frbench": {"recognizers.frbench"},
    "kornia": {"media.quality", "media.transforms"},
    "pillow_heif": {"media.photos.reading"},
    "safetensors": {"recognizers.checkpoint", "recognizers.cached_weights", "live.masks"},
    "onnx": {"recognizers.packaged.onnx_file", "recognizers.foreign.onnx_file"},
    "onnxruntime": {"recognizers.foreign.onnx_model"},
    "onnx2pytorch": {"recognizers.foreign.onnx_model"},
    "timm": {"recognizers.foreign.factories"},
    "tflite": {"recognizers.packaged.tflite_file"},
    "sklearn": {"recognizers.matching"},
    "scipy": {"train.evaluation"},
    "torchvision": {"recognizers.resnet", "data.celeba_files", "attacks.fused", "attacks.engines"},
    "matplotlib": {f"report.{part}" for part in ("plots", "heatmap", "minimum", "baseline")},
    "jinja2": {"report.page"},
    "ray": {"runs.on_ray"},
    "platformdirs": {"core.cache", "protect.safeguards.audit_log", "protect.safeguards.signing", "live.masks"},
    "cryptography": {"protect.safeguards.sealing", "protect.safeguards.signing"},
    "rich": {"cli.progress", "cli.tables"},
}
# Rooms, or modules, that load no torch (and types no numpy) before it is used.
FORBIDDEN = {"report": "torch", "core": "torch", "core.types": "numpy"}


def room(module: str) -> str:
    return module.split(".")[0]


def libraries(path: Path, *, typing_too: bool = True, inside_functions: bool = True) -> Iterator[str]:
    """The top-level names of everything that a file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        typing = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        if (typing and not typing_too) or (isinstance(node, ast.FunctionDef) and not inside_functions):
            skipped |= set(ast.walk(node))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("module", [name for name in MODULES if name not in ("", "__main__")])
def test_imports_point_down(module: str) -> None:
    for target in ARROWS[module]:
        assert FLOOR[room(target)] <= FLOOR[room(module)], f"faceenc.{module} imports faceenc.{target}, on a floor above it"


def offered(name: str) -> set[str]:
    face = importlib.import_module(f"faceenc.{name}" if name else "faceenc")
    return set(face.__all__)


@pytest.mark.parametrize("path", [*MODULES.values(), *OUTSIDE], ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_are_entered_by_their_faces(path: Path) -> None:
    """From outside a room, only names that its `__init__` offers are imported, and from the room itself."""
    own = path.relative_to(PACKAGE).parts[0] if path.is_relative_to(PACKAGE) else None
    for target in imports(path):
        _, _, inside = target.partition(".")
        other, _, name = inside.partition(".")
        if other in FLOOR and other != own and (PACKAGE / other).is_dir():
            assert name in offered(other), f"{path.name} imports {target}: faceenc.{other} offers no such name"


def test_no_module_imports_itself_through_others() -> None:
    assert circles(ARROWS) == []


def test_the_house_has_its_shape() -> None:
    found = numbers(ROOT)
    assert found["loose modules"] == found["upward arrows"] == found["modules in circles"] == 0
    assert found["arrows between rooms"] <= 80  # type: ignore[operator]


@pytest.mark.parametrize("name", [name for name in ROOMS if (PACKAGE / name).is_dir()])
def test_a_face_says_what_it_offers_and_hides_no_code(name: str) -> None:
    face = importlib.import_module(f"faceenc.{name}")
    assert len((face.__doc__ or "").splitlines()) >= 3
    for offer in face.__all__:
        assert getattr(face, offer).__class__.__name__ != "module", f"faceenc.{name}.{offer} is a module and a name"
    for path in (PACKAGE / name).rglob("__init__.py"):
        assert not any(isinstance(n, ast.FunctionDef | ast.ClassDef) for n in ast.walk(ast.parse(path.read_text())))


@pytest.mark.parametrize("module", MODULES)
def test_heavy_libraries_stay_at_home(module: str) -> None:
    for library in libraries(MODULES[module]):
        if library in HOMES:
            assert module in HOMES[library], f"{library} belongs to {HOMES[library]}, not to {module}"


@pytest.mark.parametrize("home", sorted({module for homes in HOMES.values() for module in homes}))
def test_homes_are_lived_in(home: str) -> None:
    assert any(home in homes and library in libraries(MODULES[home]) for library, homes in HOMES.items())


@pytest.mark.parametrize("module", [name for name in MODULES if room(name) in FORBIDDEN or name in FORBIDDEN])
def test_light_modules_stay_light(module: str) -> None:
    loaded = set(libraries(MODULES[module], typing_too=False, inside_functions=False))
    assert not loaded & {library for name, library in FORBIDDEN.items() if name in (module, room(module))}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (None, []),
        ("bench_main", ["--help"]),
        ("bench_main", ["run", "--help"]),
        ("bench_main", ["transfer", "--help"]),
        ("main", ["--help"]),
        *(("main", [name, "--help"]) for name in ("encrypt", "train", "evaluate", "recognize", "verify", "consent")),
        *(("main", [name, "--help"]) for name in ("decrypt", "webcam", "video", "enroll")),
        *(("main", ["data", name, "--help"]) for name in ("video", "celeba")),
    ],
)
def test_starting_loads_nothing_heavy(command: str | None, words: list[str]) -> None:
    heavy = ["torch", "art", "cv2", "mediapipe", "pandas", "numpy", "matplotlib", "rich", "cryptography", "sklearn", "scipy"]
    start = f"from faceenc.cli import {command}; {command}({words}, standalone_mode=False)" if command else "import faceenc"
    check = f"{start}\nimport sys; print('LOADED', [name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"
