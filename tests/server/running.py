"""A server of `faceenc serve` in a process of its own, on loopback, as a user starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
from PIL import Image

from faceenc.data import enlarge, read_orl

COMMAND = [sys.executable, "-m", "faceenc", "serve", "--port", "0"]
QUICK = {"strength": "subtle", "steps": "2"}


class Running:
    """A context manager.

    Args:
        words: of the command.
        environment: besides this process's.
        before: what the command is a part of, such as strace.
    """

    def __init__(self, *words: str, environment: dict[str, str] | None = None, before: tuple[str, ...] = ()) -> None:
        self.process = subprocess.Popen(
            [*before, *COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | (environment or {}),
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"serving on (\S+)/", line)
        assert found, (line, self.process.stderr.read() if self.process.stderr else "")
        self.url = found[1]
        self.stderr = ""

    def wait_until_ready(self) -> Self:
        deadline = time.monotonic() + 120
        while httpx.get(f"{self.url}/health/ready", trust_env=False).status_code != 200:
            assert time.monotonic() < deadline, "no worker gets ready"
            time.sleep(0.1)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.end()

    def end(self, number: int = signal.SIGTERM) -> int:
        """The exit code, after this signal."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        if self.process.stderr is not None and not self.process.stderr.closed:
            self.stderr += self.process.communicate(timeout=60)[1] or ""
        return self.process.returncode

    @property
    def workers(self) -> list[int]:
        """Their process ids."""
        tasks = Path(f"/proc/{self.process.pid}/task")
        children = {int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()}
        return [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def write_faces(folder: Path, *names: str) -> list[Path]:
    """ORL faces as PNG files, named s1-1.png and so on."""
    paths = []
    for name in names:
        paths.append(folder / f"{name.replace('/', '-')}.png")
        Image.fromarray(enlarge(read_orl()[name])).save(paths[-1])
    return paths
