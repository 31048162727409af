"""docs/measuring.md: from an ONNX file to a report, as written there."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from faceenc.cli import bench_main
from faceenc.core import fetch
from tests.face_photos import write_people

PAGE = Path(__file__).parents[2] / "docs" / "measuring.md"


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("npm"), reason="faceplugin comes by npm")
def test_from_an_onnx_file_to_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    block = re.search(r"## Measure your own model.*?```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert block is not None
    described = re.search(r"cat > net\.toml <<'END'.*?\n(.*?)END\n", block[1], re.S)
    assert described is not None
    (tmp_path / "net.toml").write_text(described[1])
    shutil.copy(fetch("faceplugin"), "net.onnx")
    write_people(Path("photos/people"), {f"s{number}": 4 for number in range(1, 13)})
    commands = [shlex.split(line)[1:] for line in block[1].splitlines() if line.startswith("faceenc-bench ")]
    assert len(commands) == 2
    for words in commands:
        result = CliRunner().invoke(bench_main, [*words, *(["--limit", "3"] if words[0] == "run" else [])])
        assert result.exit_code == 0, result.output
    page = Path("runs/net/report.html").read_text(encoding="utf-8")
    assert "onnx:net.onnx" in page
    assert "impostor pairs" in page
