"""What /openapi.json promises, tried by schemathesis with values that it allows and others: nothing is a fault here."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.server.running import Running

pytest.importorskip("schemathesis")


@pytest.mark.slow
def test_no_request_is_answered_with_a_fault() -> None:
    with Running("--queue", "2") as server:
        server.wait_until_ready()
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json", "--max-examples", "40"]
        done = subprocess.run(
            [*command, "--checks", "not_a_server_error", "--workers", "2", "--seed", "1", "--request-timeout", "60"],
            capture_output=True, text=True, check=False, timeout=900,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        assert int(re.findall(r"(\d+) generated", done.stdout)[-1]) > 100, done.stdout[-2000:]
    assert "Traceback" not in server.stderr
    assert " 500 " not in server.stderr
