"""Whatever happens to a command at any moment: afterwards all is as if nothing had, and nothing is left behind.

    python benchmarks/faults.py [--work NAME ...] [--fault NAME ...] [--moments 20] [--seed 0] [--json FILE] [--faketime LIB]

Work: grid (faceenc-bench run in two processes), training, encrypt (a folder in two processes), photo (a single one), video,
transfer, each as small as it can be. Each is done undisturbed once; then it is disturbed at moments drawn from the time that
took, by seed:

- kill, int, term: SIGKILL, SIGINT and SIGTERM to the command. After the last two: exit code 130 or 143, one line that says
  how to go on, no trace.
- worker: SIGKILL to one of its processes (grid and encrypt).
- full: its folder is a file system of a random size that is too small, and is made larger afterwards.
- readonly, cache: its folder, or the cache, becomes write-protected.
- clock: the clock jumps by up to two years, to and fro (libfaketime's library, `pip download libfaketime`).
- twice: the same command is started a second time.

Then the command is run again as the message says (with --resume where there is a run), until it succeeds. What it made has
to be equal to the undisturbed run but for times; no temporary file, lock or process may be left, in its folder, the cache or
the temporary folder. A line for each that is wrong, and a table; exit code 1 if any is. Linux, as root: it goes into a mount
namespace of its own. Nothing is fetched: the cache has to hold the nets.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from faults_work import WORK, Work

INSIDE = "FACEENC_FAULTS_INSIDE"
PATIENCE = 300.0  # seconds
FAULTS = ("kill", "int", "term", "worker", "full", "readonly", "cache", "clock", "twice")
STOPS = {"int": (signal.SIGINT, 130), "term": (signal.SIGTERM, 143)}
REFUSED = ("being written by another run", "already holds", "being done by another run", "exists already")


def main() -> None:
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, *sys.argv])
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", nargs="+", choices=[*WORK], default=[*WORK])
    parser.add_argument("--fault", nargs="+", choices=FAULTS, default=FAULTS)
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the one moment of this number")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--faketime", type=Path)
    arguments = parser.parse_args()
    rows, wrong = [], 0
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as root:
        for name in arguments.work:
            bench = Bench(WORK[name](), Path(root) / name, arguments.faketime)
            print(f"{name}: undisturbed in {bench.seconds:.1f} s, {bench.size / 1e6:.2f} MB", flush=True)
            for fault in arguments.fault:
                if (fault == "worker" and not bench.work.workers) or (fault == "clock" and arguments.faketime is None):
                    continue
                outcomes: Counter[str] = Counter()
                found: list[str] = []
                numbers = range(arguments.moments) if arguments.only is None else [arguments.only]
                for number in numbers:
                    rng = random.Random(f"{arguments.seed} {name} {fault} {number}")
                    trial = bench.disturbed(fault, rng)
                    outcomes[trial.outcome] += 1
                    found += [f"{number} ({trial.when}): {words}" for words in trial.wrong]
                rows.append({"work": name, "fault": fault, "moments": len(numbers), **outcomes, "wrong": found})
                print(f"  {fault}: {len(numbers)} moments, {dict(outcomes)}, {len(found)} wrong", flush=True)
                for words in found:
                    print(f"    {words}", flush=True)
                wrong += len(found)
    if arguments.json:
        arguments.json.write_text(json.dumps({"seed": arguments.seed, "trials": rows}, indent=1) + "\n")
    sys.exit(bool(wrong))


@dataclass
class Trial:
    """One disturbance: what the command made of it, and what is wrong."""

    when: str
    outcome: str = ""
    wrong: list[str] = field(default_factory=list)


class Bench:
    """One work in a folder of its own, and what it makes undisturbed."""

    def __init__(self, work: Work, root: Path, faketime: Path | None) -> None:
        self.work, self.root, self.faketime = work, root, faketime
        self.out, self.temporary, self.inputs = root / "place", root / "tmp", root / "in"
        self.cache = root / "cache"
        for folder in (self.inputs, self.cache):
            folder.mkdir(parents=True)
        theirs = Path(os.environ.get("FACEENC_CACHE", Path.home() / ".cache" / "faceenc"))
        for file in theirs.iterdir():
            if file.suffix in (".tflite", ".onnx", ".dat", ".svm", ".whl", ".safetensors"):
                (self.cache / file.name).symlink_to(file.resolve())
        work.prepare(self.inputs)
        self.seconds = min(self._undisturbed() for _ in range(2))  # the first one fills the cache
        self.size = sum(file.stat().st_size for file in self.out.rglob("*") if file.is_file())
        self.before = {path.name for path in self.cache.iterdir()}
        self.usual = {path.name for path in self.temporary.iterdir()}  # what libraries leave there anyhow
        self.expected = work.content(self.out)

    def _undisturbed(self) -> float:
        self.fresh()
        began = time.monotonic()
        done = self.start(self.work.command(self.out, resume=False)).wait(PATIENCE)
        if done not in self.work.good:
            raise SystemExit(f"{self.work.name} ends with {done}: {self.said()}")
        return time.monotonic() - began

    def fresh(self, *, mount: bool = False, size: int = 0) -> None:
        for folder in (self.out, self.temporary):
            with contextlib.suppress(subprocess.CalledProcessError, FileNotFoundError):
                while os.path.ismount(folder):
                    subprocess.run(["umount", folder], check=True)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        if mount:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", self.out], check=True)

    def start(self, command: list[str], *, clock: Path | None = None) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ, "OMP_NUM_THREADS": "1", "FACEENC_CACHE": str(self.cache), "TMPDIR": str(self.temporary),
            "FACEENC_LOG": "off", "FACEENC_OFFLINE": "1", "PYTHONPATH": str(Path(__file__).parents[1]),
        }  # fmt: skip
        if clock is not None:
            environment |= {
                "LD_PRELOAD": str(self.faketime), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1",
            }  # fmt: skip
        with (self.root / "said").open("ab") as said:
            return subprocess.Popen(
                command, cwd=self.inputs, env=environment, stdout=said, stderr=said, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip

    def said(self) -> str:
        return (self.root / "said").read_text(errors="replace")

    def disturbed(self, fault: str, rng: random.Random) -> Trial:
        """Disturb the work, go on until it is done, and compare."""
        (self.root / "said").unlink(missing_ok=True)
        moment = rng.uniform(0, self.seconds)
        trial = Trial(f"{moment:.2f} s")
        size = rng.randrange(4096, max(8192, int(0.95 * self.size)))
        self.fresh(mount=fault in ("full", "readonly"), size=size if fault == "full" else 1 << 30)
        clock = self.root / "clock"
        clock.write_text("+0")
        process = self.start(self.work.command(self.out, resume=False), clock=clock if fault == "clock" else None)
        with self._undone(fault):
            code = self._disturb(fault, process, moment, rng, trial, clock)
        text = self.said()
        trial.outcome = "ended before" if code in self.work.good else f"code {code}"
        if "Traceback" in text or "Error:" in text:
            trial.wrong.append(f"a trace: {text[-400:]!r}")
        if fault in STOPS and code not in self.work.good:
            lines = [line for line in text.splitlines() if line.startswith("stopped: ")]
            early = not lines and moment < 0.5 and code == -STOPS[fault][0]  # Python itself was being loaded
            if not early and (code != STOPS[fault][1] or len(lines) != 1):
                trial.wrong.append(f"code {code}, said {text[-300:]!r}")
        if fault in ("full", "readonly") and code not in self.work.good and not self._named(text):
            trial.wrong.append(f"does not say what and where: {text[-300:]!r}")
        if fault in ("cache", "clock") and code not in self.work.good:
            trial.wrong.append(f"code {code}, said {text[-300:]!r}")
        self._go_on(trial)
        trial.wrong += self._left()
        return trial

    def _named(self, text: str) -> bool:
        errors = [line for line in text.splitlines() if line.startswith("error: ") or "failed" in line]
        return any(str(self.out) in line for line in errors)

    def _disturb(
        self, fault: str, process: subprocess.Popen[bytes], moment: float, rng: random.Random, trial: Trial, clock: Path
    ) -> int:
        if fault == "full":  # it is from the start
            return process.wait(PATIENCE)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(moment)
        if fault == "kill":
            process.kill()
        elif fault in STOPS:
            process.send_signal(STOPS[fault][0])
        elif fault == "worker":
            if workers := children(process.pid):
                os.kill(rng.choice(workers), signal.SIGKILL)
        elif fault == "readonly":
            # Refused while a file is open for writing.
            protect = ["mount", "-o", "remount,ro", str(self.out)]
            while process.poll() is None and subprocess.run(protect, stderr=subprocess.DEVNULL, check=False).returncode:
                time.sleep(0.02)
        elif fault == "cache":
            subprocess.run(["mount", "--bind", self.cache, self.cache], check=True)
            subprocess.run(["mount", "-o", "remount,bind,ro", self.cache], check=True)
        elif fault == "clock":
            clock.write_text(f"{rng.randrange(-730, 730):+d}d")
        elif fault == "twice":
            other = self.start(self.work.command(self.out, resume=self.work.begun(self.out)))
            second = other.wait(PATIENCE)
            if second not in self.work.good and not any(words in self.said() for words in REFUSED):
                trial.wrong.append(f"the second one ends with {second}: {self.said()[-300:]!r}")
        return process.wait(PATIENCE)

    @contextlib.contextmanager
    def _undone(self, fault: str) -> Iterator[None]:
        """What was in the way is out of it afterwards."""
        try:
            yield
        finally:
            if fault in ("full", "readonly"):
                subprocess.run(["mount", "-o", f"remount,rw,size={1 << 30}", self.out], check=True)
            if fault == "cache":  # which may not have come to it
                subprocess.run(["umount", self.cache], check=False, stderr=subprocess.DEVNULL)

    def _go_on(self, trial: Trial) -> None:
        for number in range(3):
            if number and self.work.finished(self.out):
                return  # the first one also takes away what a kill at the end left
            if not number and self.work.finished(self.out) and trial.outcome == "ended before":
                return
            if self.work.finished(self.out):
                self.start(self.work.command(self.out, resume=self.work.begun(self.out))).wait(PATIENCE)
                continue
            code = self.start(self.work.command(self.out, resume=self.work.begun(self.out))).wait(PATIENCE)
            if code not in self.work.good:
                trial.wrong.append(f"cannot go on, code {code}: {self.said()[-400:]!r}")
                return
        if not self.work.finished(self.out):
            trial.wrong.append("does not come to an end")

    def _left(self) -> list[str]:
        deadline = time.monotonic() + 10
        while (processes := ours(self.temporary)) and time.monotonic() < deadline:
            time.sleep(0.1)
        wrong = [f"processes left: {processes}"] if processes else []
        content = self.work.content(self.out)
        if content != self.expected:
            names = {name for name in {*content, *self.expected} if content.get(name) != self.expected.get(name)}
            wrong.append(f"differs from the undisturbed run: {sorted(names)[:5]}")
        hidden = [path.name for path in self.out.rglob("*") if path.name.startswith(".") or path.name.endswith(".tmp")]
        hidden += sorted({path.name for path in self.temporary.iterdir()} - self.usual)
        hidden += sorted({path.name for path in self.cache.iterdir()} - self.before)
        return wrong + ([f"left behind: {hidden[:5]}"] if hidden else [])


def children(pid: int) -> list[int]:
    """Worker processes of a command."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and b"spawn_main" in (place / "cmdline").read_bytes():
                found.append(int(place.name))
    return sorted(found)


def ours(temporary: Path) -> list[int]:
    """Processes that were given this temporary folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"TMPDIR={temporary}".encode() in (place / "environ").read_bytes() and (place / "cmdline").read_bytes():
                found.append(int(place.name))
    return found


if __name__ == "__main__":
    main()
