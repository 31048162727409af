"""What a user installs: the wheel carries configurations and templates, and works outside any checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the built wheel, and nothing else, is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, ROOT], check=True)
    [wheel] = folder.glob("faceenc-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "faceenc/configs/demo.toml" in names
    assert "faceenc/py.typed" in names
    assert not any(name.startswith(("tests/", "benchmarks/")) for name in names)
    target = folder / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", target, wheel], check=True)
    return target


def test_the_wheel_works_outside_the_checkout(site: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    code = (
        "import faceenc; print(faceenc.__file__)\n"
        "from faceenc.core import find_config; print(find_config('demo'))\n"
        "from faceenc.cli import bench_main; bench_main(['run', '--dry-run'])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    module, config, *plan = done.stdout.splitlines()
    assert Path(module).is_relative_to(site)
    assert Path(config).is_relative_to(site)
    assert "art-pgd" in "\n".join(plan)


def test_the_report_of_the_wheel_finds_its_templates(site: Path, tmp_path: Path) -> None:
    from tests.synthetic import write_run

    folder = write_run(tmp_path / "run")
    code = "import sys; from faceenc.cli import bench_main; bench_main(['report', sys.argv[1]])"
    command = [sys.executable, "-c", code, str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (folder / "report.html").stat().st_size > 10_000
