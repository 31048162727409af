"""Damaged input of every kind, by seed: only a `FaceencError` may come out, within 10 seconds and 1 GB each.

    python benchmarks/fuzz.py [KIND ...] [--share 1.0] [--seed 0] [--only NUMBER] [--json FILE]

KIND is one of photos (10,000), checkpoints, configurations, keys, consents, run-folders, ledgers, clips and models (ONNX;
1,000 each); without any, all. Each input depends on the seed, its kind and its number alone, so that `KIND --only NUMBER`
tries one again, in this process and with its trace. Inputs are tried in a process of their own, which is replaced where it
dies or takes longer. A line a kind: how many were read, refused, and wrong (another exception, a crash, too long, too much
memory, something written on the terminal), and one for each that was wrong; exit code 1 if any was. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import random
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

SECONDS, BYTES = 10.0, 1 << 30
SETTING_UP = 120.0  # seconds


def main() -> None:
    from fuzz_inputs import KINDS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], metavar="KIND")
    parser.add_argument("--share", type=float, default=1.0, help="of the counts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    kinds = arguments.kinds or [*KINDS]
    if arguments.serve is not None:
        serve(kinds[0], arguments.seed, arguments.serve, int(KINDS[kinds[0]][1] * arguments.share))
        return
    if arguments.only is not None:
        with tempfile.TemporaryDirectory() as folder:
            print(KINDS[kinds[0]][0](Path(folder))(generator(kinds[0], arguments.seed, arguments.only)))
        return
    tables = []
    for kind in kinds:
        table = try_kind(kind, arguments.seed, int(KINDS[kind][1] * arguments.share), arguments.share)
        tables.append(table)
        print(
            f"{kind}: {table['tried']} tried, {table['read']} read, {table['refused']} refused, {len(table['wrong'])} wrong;"
            f" slowest {table['slowest']:.2f} s, most memory {table['memory'] / 2**20:.0f} MB; {table['seconds']:.0f} s",
            flush=True,
        )
        for words in table["wrong"]:
            print(f"  {words}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"seed": arguments.seed, "kinds": tables}, indent=1) + "\n")
    sys.exit(any(table["wrong"] for table in tables))


def generator(kind: str, seed: int, number: int) -> random.Random:
    return random.Random(f"{seed} {kind} {number}")


def try_kind(kind: str, seed: int, count: int, share: float) -> dict[str, Any]:
    began, number, wrong = time.monotonic(), 0, []
    counts: Counter[str] = Counter()
    slowest, memory = 0.0, 0
    while number < count:
        command = [sys.executable, __file__, kind, "--seed", str(seed), "--serve", str(number), "--share", str(share)]
        with tempfile.TemporaryFile() as said, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said) as worker:
            assert worker.stdout is not None
            patience = SETTING_UP
            while number < count:
                line = heard(worker, patience)
                if line is None:
                    worker.kill()
                    worker.wait()
                    what = f"took more than {SECONDS:.0f} s" if worker.returncode == -9 else f"died: {worker.returncode}"
                    said.seek(0)
                    wrong.append(f"{number}: {what} {said.read()[-300:].decode(errors='replace')!r}")
                    number += 1
                    break
                patience = SECONDS + 2
                answer = json.loads(line)
                if "number" not in answer:
                    continue
                number = answer["number"] + 1
                counts[answer["outcome"]] += 1
                slowest, memory = max(slowest, answer["seconds"]), max(memory, answer["memory"])
                if answer["words"]:
                    wrong.append(f"{answer['number']}: {answer['words']}")
            worker.kill()
    seconds = time.monotonic() - began
    return {"kind": kind, "tried": count, "read": counts["read"], "refused": counts["refused"], "wrong": wrong,
            "slowest": slowest, "memory": memory, "seconds": seconds}  # fmt: skip


def heard(worker: subprocess.Popen[bytes], patience: float) -> bytes | None:
    """A line of a worker; None if it died, or says nothing for so long."""
    assert worker.stdout is not None
    ready, _, _ = select.select([worker.stdout], [], [], patience)
    return (worker.stdout.readline() or None) if ready else None


def serve(kind: str, seed: int, first: int, count: int) -> None:
    """Try inputs one after the other, and say of each what came of it."""
    import resource

    from fuzz_inputs import KINDS

    from faceenc.core import FaceencError

    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever is printed is wrong

    def tell(**answer: Any) -> None:
        answers.write(json.dumps(answer).encode() + b"\n")

    logging.getLogger("faceenc").setLevel(logging.ERROR)  # a warning is a line of ours
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm"))
    try:
        try_one = KINDS[kind][0](folder)
        with contextlib.suppress(Exception):  # what is loaded late is not the input's
            try_one(generator(kind, seed, -1))
        size = vitals("VmSize") + BYTES
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        tell(ready=True)
        printed = os.fstat(2).st_size
        for number in range(first, count):
            Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
            before, began, words = vitals("VmRSS"), time.monotonic(), ""
            try:
                try_one(generator(kind, seed, number))
                outcome = "read"
            except FaceencError as error:
                outcome = "refused"
                if "\n" in str(error) or len(str(error)) > 1000:
                    words = f"no line: {str(error)[:200]!r}"
            except BaseException as error:
                outcome = "wrong"
                place = traceback.extract_tb(error.__traceback__)[-1]
                words = f"{type(error).__name__}: {str(error)[:150]!r} at {Path(place.filename).name}:{place.lineno}"
            seconds, memory = time.monotonic() - began, max(0, vitals("VmHWM") - before)
            now = os.fstat(2).st_size
            if not words and now > printed:
                words = f"printed {os.pread(2, 200, printed).decode(errors='replace')!r}"
            printed = now
            if not words and seconds > SECONDS:
                words = f"took {seconds:.0f} s"
            if not words and memory > BYTES:
                words = f"took {memory / 2**20:.0f} MB"
            tell(number=number, outcome=outcome, seconds=seconds, memory=memory, words=words)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def vitals(name: str) -> int:
    """Bytes of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) << 10
    return 0


if __name__ == "__main__":
    main()
