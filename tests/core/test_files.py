"""Files: nobody waits for a pipe, what killed processes left goes, a full disk is named, and names command nothing."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pandas as pd
import pytest
import torch

from faceenc.benchmark import RunFolder
from faceenc.cli import get_passphrase
from faceenc.core import (
    FaceencError,
    as_cell,
    atomic_file,
    from_cell,
    from_cells,
    read_text,
    read_toml,
    table_text,
    temporary_beside,
    write_atomically,
)
from faceenc.data import read_pair_file, read_pairs
from faceenc.media import Clip, count_frames, read_photo
from faceenc.protect import read_consent, read_key
from faceenc.recognizers import FaceResNet, load_checkpoint, load_recognizer
from faceenc.runs import Ledger
from faceenc.server import read_tokens
from faceenc.train import TrainFolder

posix = pytest.mark.skipif(sys.platform == "win32", reason="pipes, limits and signals of POSIX")


@pytest.fixture
def deadline() -> Iterator[None]:
    """A test that waits for ever ends."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise TimeoutError("it waits")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(20)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


READERS: dict[str, Callable[[Path], object]] = {
    "photo": read_photo,
    "clip": Clip,
    "frames": count_frames,
    "key": read_key,
    "consent": lambda path: read_consent(path, name="ada"),
    "passphrase": get_passphrase,
    "configuration": lambda path: read_toml(path, dict),
    "description": lambda path: load_recognizer(str(path)),
    "checkpoint": load_checkpoint,
    "pairs": read_pairs,
    "pair file": read_pair_file,
    "tokens": read_tokens,
    "ledger": lambda path: Ledger(path).refresh(),
    "run.json": lambda path: RunFolder(path.parent, resume=True),
    "train.json": lambda path: TrainFolder(path.parent, {}, resume=True),
}


@posix
@pytest.mark.usefixtures("deadline")
@pytest.mark.parametrize("what", READERS)
def test_a_pipe_is_not_waited_for(what: str, tmp_path: Path) -> None:
    pipe = tmp_path / {"description": "pipe.toml"}.get(what, what if what.endswith(".json") else "pipe")
    os.mkfifo(pipe)
    with pytest.raises(FaceencError, match=r"pipe|does not exist"):
        READERS[what](pipe)


@posix
@pytest.mark.usefixtures("deadline")
def test_a_passphrase_comes_through_a_pipe_that_somebody_writes() -> None:
    reading, writing = os.pipe()

    def write() -> None:
        time.sleep(0.2)
        os.write(writing, b"word\n")
        os.close(writing)

    writer = threading.Thread(target=write)
    writer.start()
    assert get_passphrase(Path(f"/dev/fd/{reading}")) == "word"
    writer.join()
    os.close(reading)


@posix
def test_what_killed_writers_left_goes_and_what_others_write_stays(tmp_path: Path) -> None:
    path = tmp_path / "a [1].png"
    code = (
        "from pathlib import Path; from faceenc.core import temporary_beside\n"
        f"with temporary_beside(Path({str(path)!r})): print('begun', flush=True); input()"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as alive:
        assert alive.stdout is not None
        assert alive.stdout.readline() == "begun\n"
        [at_work] = tmp_path.iterdir()
        (tmp_path / ".a [1].png.0123abcd.tmp").write_bytes(b"left by a killed writer")
        (tmp_path / ".another.png.0123abcd.tmp").write_bytes(b"of another file")
        write_atomically(path, "new")
        assert {file.name for file in tmp_path.iterdir()} == {path.name, at_work.name, ".another.png.0123abcd.tmp"}
        alive.kill()
    write_atomically(path, "newer")
    assert {file.name for file in tmp_path.iterdir()} == {path.name, ".another.png.0123abcd.tmp"}
    assert read_text(path) == "newer"


@posix
def test_private_files_are_so_from_the_start(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "key", private=True) as file:
        assert [stat.S_IMODE(part.stat().st_mode) for part in tmp_path.iterdir()] == [0o600]
        file.write(b"x")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_the_ending_of_a_temporary_file_stays(tmp_path: Path) -> None:
    with temporary_beside(tmp_path / "clip.mp4", suffix=".mp4") as temporary:
        assert temporary.suffix == ".mp4"
        assert temporary.is_file()
    assert not list(tmp_path.iterdir())


@contextmanager
def full(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes, as on a disk that has no more."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@posix
def test_a_full_disk_is_named_with_the_path_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with full(1000), pytest.raises(OSError, match="File too large") as caught:
        write_atomically(path, bytes(5000))
    assert caught.value.filename == str(path)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"before"
    with pytest.raises(OSError, match="No such file") as caught:
        write_atomically(tmp_path / "nowhere" / "file", b"")
    assert caught.value.filename == str(tmp_path / "nowhere" / "file")


@posix
def test_rows_that_do_not_fit_leave_no_half_of_a_row(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", resume=False)
    with folder.held():
        folder.append([{"image": "a"}])
        before = folder.rows_path.read_bytes()
        with full(len(before) + 10), pytest.raises(OSError, match="File too large") as caught:
            folder.append([{"image": "b"}])
        assert caught.value.filename == str(folder.rows_path)
        assert folder.rows_path.read_bytes() == before
        folder.append([{"image": "b"}])
        assert folder.rows_path.read_bytes() == before + before.split(b"\n")[1].replace(b"a", b"b") + b"\n"


@posix
def test_a_training_on_a_full_disk_names_its_state(tmp_path: Path) -> None:
    state: dict[str, Any] = {"epochs": [{"epoch": 1, "size": 32, "test_accuracy": 0.5}], "much": torch.zeros(15_000_000)}
    folder = TrainFolder(tmp_path / "run", {}, resume=False)
    with full(50_000_000), pytest.raises(OSError) as caught:  # noqa: PT011
        folder.save(state, FaceResNet(("a", "b"), 32), best=True)
    folder.close()
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(tmp_path / "run" / "state.pt"))
    names = {"train.json", "epochs.csv", "curve.png", "last.safetensors", "best.safetensors"}
    assert {file.name for file in (tmp_path / "run").iterdir()} == names


FORMULAS = ("=1+1", "+cmd", "-2+3", "@sum", "\ttab", "\rline", "'=1", "''@")
WORDS = ("plain", "", "'tis", "a=b", "-", "-0.5", "+1e-3", "-inf", "5", "nan")


@pytest.mark.parametrize("word", FORMULAS)
def test_no_cell_is_a_formula(word: str) -> None:
    assert as_cell(word) == f"'{word}"
    assert from_cell(as_cell(word)) == word


@pytest.mark.parametrize("word", [word for word in WORDS if word != "-"])
def test_other_cells_stay_as_they_are(word: str) -> None:
    assert as_cell(word) == word
    assert from_cell(word) == word


def test_tables_come_back(tmp_path: Path) -> None:
    table = pd.DataFrame({"name": [*FORMULAS, "plain"], "x": [-0.5] * 9, "n": range(9)})
    path = tmp_path / "table.csv"
    path.write_text(table_text(table), newline="")
    assert path.read_text().splitlines()[1:3] == ["'=1+1,-0.5,0", "'+cmd,-0.5,1"]
    pd.testing.assert_frame_equal(from_cells(pd.read_csv(path)), table, check_dtype=False)
