"""Photos saved: whole or not there, not over another file unless forced, whoever else is at the name, nothing left over."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from faceenc.core import DataError, atomic_file
from faceenc.media import save_photo

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")
ROUNDS = 30


def line(path: Path | str, data: bytes = b"new", *, force: bool = False) -> str:
    with pytest.raises(DataError) as caught:
        save_photo(path, data, force=force)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """As FAT and some network drives answer."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)


@pytest.fixture(params=["links", "no links"])
def either_disk(request: pytest.FixtureRequest) -> None:
    if request.param == "no links":
        request.getfixturevalue("without_links")


@pytest.mark.usefixtures("either_disk")
def test_saved_in_one_piece_and_never_over_another_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    save_photo(path, b"old", force=False)
    assert line(path) == f"{path} exists already: choose another name, or `force` to overwrite it"
    assert path.read_bytes() == b"old"
    save_photo(path, b"new", force=True)
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["x.png"]


@POSIX
@pytest.mark.usefixtures("either_disk")
def test_a_link_to_nowhere_is_something_too(tmp_path: Path) -> None:
    (tmp_path / "x.png").symlink_to(tmp_path / "nowhere")
    assert "exists already" in line(tmp_path / "x.png")
    assert names(tmp_path) == ["x.png"]


@pytest.mark.usefixtures("either_disk")
def test_a_folder_of_that_name_stays(tmp_path: Path) -> None:
    (tmp_path / "x.png").mkdir()
    assert "exists already" in line(tmp_path / "x.png")
    assert line(tmp_path / "x.png", force=True).startswith(f"cannot write {tmp_path / 'x.png'}: ")
    assert names(tmp_path) == ["x.png"]


def test_missing_folder(tmp_path: Path) -> None:
    path = tmp_path / "none" / "x.png"
    assert line(path) == f"cannot write {path}: no such file or directory; check the folder and the free space"
    (tmp_path / "file").touch()
    assert line(tmp_path / "file" / "x.png").startswith("cannot write ")
    assert names(tmp_path) == ["file"]


def test_a_long_name_is_no_hindrance(tmp_path: Path) -> None:
    for letter in "xß":
        path = tmp_path / (letter * (250 // len(letter.encode())) + ".png")
        save_photo(path, b"new", force=False)
        assert path.read_bytes() == b"new"


@pytest.mark.usefixtures("either_disk")
def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with atomic_file(tmp_path / "x.png", overwrite=False) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == []


@pytest.mark.usefixtures("without_links")
def test_a_failure_at_the_last_step_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "replace", fail)
    assert "input/output error" in line(tmp_path / "x.png")
    assert names(tmp_path) == []


@pytest.mark.usefixtures("either_disk")
@pytest.mark.parametrize("step", ["link", "replace"])
def test_who_comes_at_the_last_moment_is_not_overwritten(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, really = tmp_path / "x.png", getattr(os, step)
    came = []

    def late(*names: object, **options: object) -> None:
        with suppress(FileExistsError), path.open("xb") as file:
            came.append(file.write(b"theirs"))
        really(*names, **options)

    monkeypatch.setattr(os, step, late)
    try:
        save_photo(path, b"ours", force=False)
    except DataError as error:
        assert "exists already" in str(error)  # noqa: PT017
        assert came
    else:
        assert not came
    assert path.read_bytes() == (b"theirs" if came else b"ours")
    assert names(tmp_path) == ["x.png"]


CHILD = """
import errno, os, sys
from pathlib import Path
from faceenc.media import save_photo
from faceenc.core import DataError

def attempt(path, data, force=False):
    try:
        save_photo(path, data, force=force)
    except DataError as error:
        return str(error)
    return "saved"
"""


def child(code: str, folder: Path, *words: str, under: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*under, sys.executable, "-c", CHILD + code, *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120, check=False)


@pytest.mark.parametrize("links", [True, False])
def test_of_two_processes_at_one_name_one_wins(links: bool, tmp_path: Path) -> None:
    code = CHILD + (
        "def refuse(*_, **__): raise OSError(errno.EPERM, 'no links')\n"
        "if sys.argv[2] == 'False': os.link = refuse\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        f"for number in range({ROUNDS}): print(attempt(f'{{number}}.png', sys.argv[1].encode() * 5000))\n"
    )
    pipe = subprocess.PIPE
    racers = [
        subprocess.Popen([sys.executable, "-c", code, name, str(links)], stdin=pipe, stdout=pipe, text=True, cwd=tmp_path)
        for name in "ab"
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    printed = [racer.communicate(timeout=120)[0].splitlines() for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0]
    for number, (one, other) in enumerate(zip(*printed, strict=True)):
        lost = f"{number}.png exists already: choose another name, or `force` to overwrite it"
        assert {one, other} == {"saved", lost}
        assert (tmp_path / f"{number}.png").read_bytes() == (b"a" if one == "saved" else b"b") * 5000
    assert len(names(tmp_path)) == ROUNDS


@POSIX
def test_read_only_folder(tmp_path: Path) -> None:
    """Root may write everywhere: a process of nobody's tries."""
    tmp_path.chmod(0o555)
    code = "if os.geteuid() == 0: os.seteuid(65534)\nprint(attempt('x.png', b'new'))\nprint(attempt('x.png', b'new', True))"
    done = child(code, tmp_path)
    tmp_path.chmod(0o755)
    assert done.stdout == "cannot write x.png: permission denied; check the folder and the free space\n" * 2
    assert names(tmp_path) == []


@POSIX
def test_a_limit_on_files_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "old.png").write_bytes(b"old")
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "print(attempt('new.png', bytes(5000)))\nprint(attempt('old.png', bytes(5000), True))"
    )
    lines = child(code, tmp_path).stdout.splitlines()
    assert lines == [f"cannot write {x}.png: file too large; check the folder and the free space" for x in ("new", "old")]
    assert (tmp_path / "old.png").read_bytes() == b"old"
    assert names(tmp_path) == ["old.png"]


def _mounting(tmp_path: Path, kind: str) -> tuple[str, ...]:
    """A command in front of another, which runs it with a file system of its own at `tmp_path`; skips where it may not."""
    own = ("unshare", "--mount", "--map-root-user", "sh", "-c", f'mount {kind} "$0" && cd "$0" && exec "$@"', str(tmp_path))
    if shutil.which("unshare") is None or subprocess.run([*own, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    return own


def test_full_disk(tmp_path: Path) -> None:
    code = (
        "Path('old.png').write_bytes(b'old')\n"
        "print(attempt('new.png', bytes(200_000)))\nprint(attempt('old.png', bytes(200_000), True))\n"
        "print(Path('old.png').read_bytes(), os.listdir('.'))\nprint(attempt('new.png', bytes(20_000)))"
    )
    done = child(code, tmp_path, under=_mounting(tmp_path, "-t tmpfs -o size=64k none"))
    assert done.stdout.splitlines() == [
        "cannot write new.png: no space left on device; check the folder and the free space",
        "cannot write old.png: no space left on device; check the folder and the free space",
        "b'old' ['old.png']",
        "saved",
    ]


def test_read_only_disk(tmp_path: Path) -> None:
    done = child("print(attempt('x.png', b'new'))", tmp_path, under=_mounting(tmp_path, "-t tmpfs -o ro none"))
    assert done.stdout == "cannot write x.png: read-only file system; check the folder and the free space\n"
