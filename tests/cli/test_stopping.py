"""Ctrl-C and SIGTERM: nothing half-written stays, a line says how to go on, the exit code says which it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from faceenc.cli import Command, progress_bars
from faceenc.runs import Processes
from tests.encrypting import DLIB, portrait, save
from tests.face_photos import write_people

PATIENCE = 120  # seconds until a test gives up waiting
TRAINING = """
name = "tiny"
[data]
source = "people"
size = 64
on_no_face = "whole"
[training]
init = "random"
batch_size = 4
stages = [ { size = 64, epochs = EPOCHS, learning_rate = 1e-3 } ]
"""
ATTACK = """
eps = ["8/255"]
batch_size = 4
example_eps = "0/255"
[[attacks]]
name = "pgd"
steps = 5000
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


@contextmanager
def started(program: str, *words: object, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """A command in a process of its own, which does not outlive the block."""
    code = f"from faceenc.__main__ import {program}; {program}()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        cwd=cwd, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        # A shell's background jobs, and so their children, ignore the interrupt unless told otherwise.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def stop(process: subprocess.Popen[str], how: signal.Signals, ready: Callable[[], object], code: int, remedy: str) -> None:
    """Stop the command as soon as it is `ready`."""
    deadline = time.monotonic() + PATIENCE
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.01)
    process.send_signal(how)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, said
    assert said.splitlines()[-1] == f"stopped: {remedy}"
    assert "Traceback" not in said


def test_encrypt_is_terminated_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    for number in (1, 2):
        save(tmp_path / "in" / f"{number}.png", portrait(f"s{number}/1"))
    words = ["encrypt", "in", *DLIB, "--steps", "3000", "--output", "out", "--jobs", 2]
    with started("main", *words, cwd=tmp_path) as process:
        remedy = "no photos are done; run the same command again to go on"
        stop(process, signal.SIGTERM, lambda: list(tmp_path.glob("out/.*.tmp")), 143, remedy)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"faceenc-run.jsonl"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("swallowed", [True, False])
def test_a_signal_that_a_library_takes_for_its_own_failure_stops_all_the_same(number: int, swallowed: bool) -> None:
    """What is raised below C code may come out as another error, or be taken for a reason to go another way."""

    @click.command(cls=Command)
    def work() -> None:
        with progress_bars(silent=True) as progress:
            try:
                signal.raise_signal(number)
            except KeyboardInterrupt as stop:
                if not swallowed:
                    raise ValueError("could not determine the shape of an object") from stop
            progress("steps", 1, 2)
            raise AssertionError("it goes on")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        done = CliRunner().invoke(work)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (done.exit_code, done.stderr) == (128 + number, "stopped: run the same command again\n")


def test_a_signal_while_a_command_is_loaded_is_one_line() -> None:
    """As it strikes at the first import of the command line."""
    code = (
        "import signal, sys\n"
        "class Strike:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'faceenc.cli.options': signal.raise_signal(signal.SIGINT)\n"
        "sys.meta_path.insert(0, Strike())\n"
        "from faceenc.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=PATIENCE,
        cwd=Path(__file__).parents[2], preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (130, "stopped: run the same command again\n")


@pytest.mark.slow
def test_trainings_and_benchmarks_say_that_they_can_be_resumed(tmp_path: Path) -> None:
    write_people(tmp_path / "people", {"s1": 4, "s2": 4, "s3": 4})
    name, _, rest = TRAINING.partition("[data]")
    attack, _, attacks = ATTACK.partition("[[")
    (tmp_path / "bench.toml").write_text(f"{name}{attack}[data]{rest.replace('EPOCHS', '1')}[[{attacks}")
    (tmp_path / "train.toml").write_text(TRAINING.replace("EPOCHS", "900"))
    bench = ("bench_main", "run", "bench.toml", "--output", "bench")
    train = ("main", "train", "train.toml", "--output", "train")
    with started(*bench, cwd=tmp_path) as first, started(*train, cwd=tmp_path) as second:
        ready = (tmp_path / "bench" / "run.json").exists
        stop(first, signal.SIGTERM, ready, 143, "go on with --output bench --resume")
        ready = (tmp_path / "train" / "state.pt").exists
        stop(second, signal.SIGINT, ready, 130, "go on with --output train --resume")
    assert not [path for path in tmp_path.rglob(".*") if path.name != ".cache"]


def sleep(state: None, item: float) -> None:
    time.sleep(item)


def test_a_worker_that_is_being_started_is_not_lost_on_sigterm() -> None:
    """The signal waits until the process is there, so that it is ended with the others."""
    code = (
        "import os, signal; from multiprocessing import active_children; from tests.cli import test_stopping as test\n"
        "def stop(number, frame): raise KeyboardInterrupt\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "if __name__ == '__main__':\n"
        "    test.terminate_while_starting(); assert active_children() == []; print('ended')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=PATIENCE,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("ended\n", "")


def terminate_while_starting() -> None:
    """SIGTERM comes while the first worker is being started."""
    from multiprocessing import process

    start = process.BaseProcess.start

    def start_and_stop(self: process.BaseProcess) -> None:
        start(self)
        signal.raise_signal(signal.SIGTERM)

    process.BaseProcess.start = start_and_stop  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        list(Processes(2).run(sleep, [60.0, 60.0]))
