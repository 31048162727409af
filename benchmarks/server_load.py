"""The server under load: many clients at once for some minutes, then many photos in a row; latencies, refusals, memory.

    python benchmarks/server_load.py [--clients 64] [--seconds 120] [--row 1000] [--workers 2] [--output FILE.json]

Small ORL faces, `subtle`, one step, on loopback. Every photo that is accepted has to come back once, be a photo of the same
size that differs from what was sent, and carry its own evidence; the only error that may come is 429. Memory is what server
and workers hold (RSS) by /proc, each second; flat is the largest of the second half against that of the second quarter.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from faceenc.data import read_orl

WISH = {"strength": "subtle", "steps": "1", "format": "jpeg"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--row", type=int, default=1000, help="photos one after the other")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--output", type=Path)
    words = parser.parse_args()
    photos = small_photos()
    command = [sys.executable, "-m", "faceenc", "serve", "--port", "0", "--workers", str(words.workers), "--queue", "32"]
    environment = os.environ | {"FACEENC_LOG": "off"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment) as server:
        try:
            assert server.stdout is not None
            found = re.search(r"serving on (\S+)/", server.stdout.readline())
            assert found, "the server did not start"
            wait_until_ready(found[1], words.workers)
            record = {
                "machine": f"{os.cpu_count()} cores", "workers": words.workers, "wish": WISH,
                "many clients": many_clients(found[1], server.pid, photos, words.clients, words.seconds),
                "one after the other": in_a_row(found[1], server.pid, photos, words.row),
            }  # fmt: skip
        finally:
            server.terminate()
    text = json.dumps(record, indent=1)
    print(text)
    if words.output:
        words.output.write_text(text + "\n", encoding="utf-8")
    faults = [part for part in record.values() if isinstance(part, dict) and part.get("wrong")]
    sys.exit(1 if faults else 0)


def small_photos() -> list[tuple[bytes, tuple[int, int]]]:
    """ORL faces of 184 x 224 pixels as JPEG files, with their sizes."""
    found = []
    for name, picture in read_orl().items():
        if name.endswith("/1"):
            image = Image.fromarray(picture).convert("RGB").resize((184, 224), Image.Resampling.BICUBIC)
            file = io.BytesIO()
            image.save(file, "JPEG", quality=92)
            found.append((file.getvalue(), image.size))
    return found


def wait_until_ready(url: str, workers: int) -> None:
    while f"faceenc_workers_ready {workers}.0" not in httpx.get(f"{url}/metrics", trust_env=False).text:
        time.sleep(0.2)


def many_clients(url: str, pid: int, photos: list[Any], clients: int, seconds: float) -> dict[str, Any]:
    statuses: Counter[str] = Counter()
    latencies: list[float] = []
    wrong: list[str] = []
    end = time.monotonic() + seconds

    def one(number: int) -> None:
        with httpx.Client(base_url=url, timeout=300, trust_env=False) as client:
            turn = number
            while time.monotonic() < end:
                turn += clients
                data, size = photos[turn % len(photos)]
                began = time.monotonic()
                answer = client.post("/v1/protect", params=WISH, content=data)
                statuses[str(answer.status_code)] += 1
                if answer.status_code == 200:
                    latencies.append(time.monotonic() - began)
                    wrong.extend(complaint(answer, data, size))
                elif answer.status_code == 429:
                    time.sleep(min(float(answer.headers["retry-after"]), 2))
                else:
                    wrong.append(answer.text[:200])

    with Memory(pid) as memory:
        threads = [threading.Thread(target=one, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    done = statuses["200"]
    return {
        "clients": clients, "seconds": seconds, "statuses": dict(statuses), "photos a second": round(done / seconds, 2),
        "latency": percentiles(latencies), "wrong": wrong[:10], "memory": memory.summary(),
    }  # fmt: skip


def in_a_row(url: str, pid: int, photos: list[Any], count: int) -> dict[str, Any]:
    latencies, wrong = [], []
    with Memory(pid) as memory, httpx.Client(base_url=url, timeout=300, trust_env=False) as client:
        for number in range(count):
            data, size = photos[number % len(photos)]
            began = time.monotonic()
            answer = client.post("/v1/protect", params=WISH, content=data)
            latencies.append(time.monotonic() - began)
            wrong += complaint(answer, data, size) if answer.status_code == 200 else [answer.text[:200]]
    return {"photos": count, "latency": percentiles(latencies), "wrong": wrong[:10], "memory": memory.summary()}


def complaint(answer: httpx.Response, data: bytes, size: tuple[int, int]) -> list[str]:
    """What is wrong with a photo that came back."""
    with Image.open(io.BytesIO(answer.content)) as image:
        if image.size != size:
            return [f"{image.size} pixels, sent {size}"]
    if answer.content == data or answer.headers["faceenc-faces"] != "1":
        return ["it came back as it was sent"]
    return []


def percentiles(values: list[float]) -> dict[str, float]:
    if len(values) < 2:
        return {}
    cut = statistics.quantiles(values, n=100)
    return {f"p{k}": round(cut[k - 1], 2) for k in (50, 90, 99)} | {"max": round(max(values), 2)}


class Memory:
    """RSS of the server and of its workers together, each second, in MB."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.samples: list[tuple[float, float]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(1):
            tasks = Path(f"/proc/{self.pid}/task").glob("*/children")
            children = {int(pid) for task in tasks for pid in task.read_text().split()}
            self.samples.append((resident(self.pid), sum(map(resident, children))))

    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, values in zip(("server", "workers"), zip(*self.samples, strict=True), strict=True):
            quarter, half = len(values) // 4, len(values) // 2
            before, after = max(values[quarter:half] or values), max(values[half:] or values)
            found[name] = {"MB, second quarter": round(before), "MB, second half": round(after)}
            found[name]["ratio"] = round(after / before, 3)
        return found


def resident(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
