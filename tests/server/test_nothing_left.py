"""Nothing of anybody's photos on any disk, and nothing left behind, however the server ends."""

from __future__ import annotations

import os
import re
import shutil
import signal
import threading
import time
from pathlib import Path

import httpx
import pytest

from faceenc.core import cache_dir
from tests.server.running import QUICK, Running, write_faces

# What programs write to that is no file on a disk.
_NO_DISK = re.compile(r"^(/dev/|/proc/|pipe:|socket:|anon_inode:|/sys/|/memfd:)")


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_faces(tmp_path_factory.mktemp("faces"), "s1/1")[0].read_bytes()


def large(data: bytes) -> bytes:
    """The same photo with two megabytes behind its end, which PNG readers pass over: above what parsers keep in memory."""
    return data + b"\0" * 2_000_000


@pytest.mark.slow  # the gate runs this file's besides
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace says what is written: apt install strace")
def test_no_file_is_written_for_uploads_jobs_and_dead_workers(face: bytes, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    before = (
        str(shutil.which("strace")),
        "-f",
        "-qq",
        "-e",
        "trace=open,openat,openat2,creat,memfd_create,mkdir,mkdirat",
        "-o",
        str(trace),
    )
    # Without a PATH nothing looks for libraries by compiling, as ctypes does while a worker starts.
    environment = {"FACEENC_LOG": "off", "PATH": str(tmp_path), "FACEENC_OFFLINE": "1"}
    with Running(before=before, environment=environment) as server:
        server.wait_until_ready()
        begun = time.time()
        with httpx.Client(base_url=server.url, timeout=120, trust_env=False) as http:
            job = http.post("/v1/jobs", data=QUICK | {"steps": "4"}, files={"photo": large(face)}).json()
            killed = False
            with http.stream("GET", job["events"]) as stream:
                for line in stream.iter_lines():
                    if not killed and '"step":1,' in line:
                        killed = True
                        traced = int(
                            (Path(f"/proc/{server.process.pid}/task/{server.process.pid}") / "children").read_text()
                        )
                        for pid in children(traced):
                            os.kill(pid, signal.SIGKILL)
            assert killed
            assert http.get(job["result"]).content.startswith(b"\x89PNG")
            assert http.post("/v1/protect", params=QUICK, content=large(face)).status_code == 200
        os.kill(traced, signal.SIGTERM)
        server.process.wait(60)
    opened = re.findall(r'(?:openat?2?|creat)\([^"]*"([^"]+)", [^)]*O_(?:WRONLY|RDWR|CREAT)[^)]*\) = \d+', trace.read_text())
    # The workers' own caches of code are made before any photo comes, and hold none.
    written = {name for name in opened if not _NO_DISK.match(name) and recent(name, begun)}
    assert written == set()


def recent(name: str, begun: float) -> bool:
    path = Path(name)
    return not path.exists() or path.stat().st_mtime >= begun


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    found = {int(child) for task in tasks for child in task.read_text().split()}
    return [child for child in found if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


@pytest.mark.slow
def test_sigterm_lets_what_runs_finish_and_takes_nothing_new(face: bytes) -> None:
    with Running() as server:
        server.wait_until_ready()
        answers: list[httpx.Response] = []

        def ask() -> None:
            words = QUICK | {"steps": "8"}
            answers.append(httpx.post(f"{server.url}/v1/protect", params=words, content=face, timeout=60, trust_env=False))

        asking = threading.Thread(target=ask)
        asking.start()
        metrics = f"{server.url}/metrics"
        while "faceenc_photos_running 1.0" not in httpx.get(metrics, trust_env=False).text:
            time.sleep(0.05)
        workers = server.workers
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        with pytest.raises(httpx.TransportError):
            httpx.post(f"{server.url}/v1/protect", params=QUICK, content=face, timeout=5, trust_env=False)
        asking.join(60)
        assert answers[0].status_code == 200
        assert server.end() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert "Traceback" not in server.stderr


@pytest.mark.slow
def test_a_killed_server_leaves_no_process_and_no_file(face: bytes, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    cached = {path: path.stat().st_mtime_ns for path in cache_dir().iterdir() if path.is_file()}
    with Running(environment={"TMPDIR": str(temporary), "FACEENC_LOG": "off"}) as server:
        server.wait_until_ready()
        url = f"{server.url}/v1/jobs"
        job = httpx.post(url, data={"strength": "strong"}, files={"photo": large(face)}, trust_env=False).json()
        with httpx.stream("GET", f"{server.url}{job['events']}", timeout=60, trust_env=False) as stream:
            for line in stream.iter_lines():
                if '"step":1,' in line:
                    break
        workers = server.workers
        assert workers
        assert server.end(signal.SIGKILL) == -signal.SIGKILL
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert [path for path in temporary.rglob("*") if path.is_file()] == []
    assert {path: path.stat().st_mtime_ns for path in cached} == cached
