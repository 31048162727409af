"""The audit log: whole lines, from several processes at once, and never in the way of the work."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

import faceenc
from faceenc.protect import audit, log_dir


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACEENC_LOG", str(tmp_path / "logs" / "faceenc"))
    monkeypatch.setattr("faceenc.protect.safeguards.audit_log._warned", False)
    return tmp_path / "logs" / "faceenc"


def test_a_line_says_when_what_and_with_which_version(folder: Path) -> None:
    before = datetime.now(UTC)
    audit("encrypt", source_sha256="ab" * 32, goal="away", photo=Path("a\nb.png"), day=date(2030, 1, 2), distance=0.75)
    audit("decrypt")
    first, second = (json.loads(line) for line in (folder / "audit.jsonl").read_bytes().splitlines())
    time = datetime.fromisoformat(first.pop("time"))
    assert time.utcoffset() == timedelta(0)
    assert abs(time - before) < timedelta(minutes=5)
    assert first == {
        "faceenc": faceenc.__version__,
        "action": "encrypt",
        "source_sha256": "ab" * 32,
        "goal": "away",
        "photo": "a\nb.png",
        "day": "2030-01-02",
        "distance": 0.75,
    }
    assert second["action"] == "decrypt"


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_the_log_is_the_user_s_own(folder: Path) -> None:
    audit("encrypt")
    assert (folder / "audit.jsonl").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("fields", [{"photo": b"\x89PNG"}, {"time": "yesterday"}, {"faceenc": "9"}, {"who": object()}])
def test_contents_and_forged_fields_are_refused(folder: Path, fields: dict[str, object]) -> None:
    with pytest.raises(TypeError):
        audit("encrypt", **fields)
    assert not folder.exists()


def test_processes_do_not_mix_their_lines(folder: Path) -> None:
    script = "import sys\nfrom faceenc.protect import audit\nfor k in range(200): audit(sys.argv[1], k=k, filler='x' * 3000)"
    running = [subprocess.Popen([sys.executable, "-c", script, name]) for name in ("first", "second")]
    assert [process.wait(timeout=60) for process in running] == [0, 0]
    records = [json.loads(line) for line in (folder / "audit.jsonl").read_bytes().splitlines()]
    for name in ("first", "second"):
        assert [record["k"] for record in records if record["action"] == name] == list(range(200))


def test_a_log_that_cannot_be_written_warns_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.parent.mkdir()
    folder.write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING, "faceenc"):
        audit("encrypt")
        audit("encrypt")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(folder) in caplog.text
    assert "FACEENC_LOG" in caplog.text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_only_warns(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.mkdir(parents=True)
    (folder / "audit.jsonl").symlink_to("/dev/full")
    with caplog.at_level(logging.WARNING, "faceenc"):
        audit("encrypt")
    assert "no space left" in caplog.text


def test_without_the_variable_the_platform_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACEENC_LOG", raising=False)
    assert log_dir().is_absolute()
    assert "faceenc" in log_dir().parts
