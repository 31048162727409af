"""`faceenc decrypt` as people use it: files in, a PNG out, or one line."""

from __future__ import annotations

import hashlib
import json
import os
import select
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from faceenc.cli import get_passphrase, main
from faceenc.core import ConfigError, write_atomically
from faceenc.media import PhotoFormat, encode_photo, read_photo
from faceenc.protect import Cost, make_key

WORD = "Passwört with spaces"


def write_pair(folder: Path, original: Image.Image, file_format: PhotoFormat = "PNG") -> None:
    """original.png, protected.png (or .jpg) and photo.key, as encrypting leaves them."""
    original.save(folder / "original.png", icc_profile=original.info.get("icc_profile"))
    photo = read_photo(folder / "original.png")
    moved = photo.pixels.copy()
    moved[5:25, 5:25] ^= 4
    protected = folder / ("protected.jpg" if file_format == "JPEG" else "protected.png")
    protected.write_bytes(encode_photo(replace(photo, pixels=moved), format=file_format))
    hashes = {f"{path.stem}_file_sha256": hashlib.sha256(path.read_bytes()).hexdigest()
              for path in (folder / "original.png", protected)}  # fmt: skip
    key = make_key(photo, read_photo(protected), passphrase=WORD, cost=Cost(log2_n=4), **hashes)
    write_atomically(folder / "photo.key", key)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACEENC_LOG", str(tmp_path / "log"))
    monkeypatch.delenv("FACEENC_PASSPHRASE", raising=False)
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(60, 200, (40, 60, 3), np.uint8)
    write_pair(tmp_path, Image.fromarray(noise))
    return tmp_path


def run(*words: str, typed: str | None = None, **environment: str) -> Result:
    return CliRunner().invoke(main, ["decrypt", *words], input=typed, env=environment)


def restored(folder: Path, name: str = "protected-restored.png") -> bool:
    """Whether the original is back, and nothing half-done lies about."""
    assert not list(folder.glob(".*"))
    with Image.open(folder / name) as back, Image.open(folder / "original.png") as original:
        assert back.format == "PNG"
        assert (back.mode, back.info.get("icc_profile")) == (original.mode, original.info.get("icc_profile"))
        return np.array_equal(np.asarray(back), np.asarray(original))


@pytest.mark.parametrize("way", ["typed", "variable", "file", "standard input"])
def test_the_passphrase_comes_in_every_way(folder: Path, way: str) -> None:
    words = ["protected.png", "--key", "photo.key"]
    if way == "typed":
        done = run(*words, typed=f"{WORD}\n")
    elif way == "variable":
        done = run(*words, FACEENC_PASSPHRASE=WORD)
    elif way == "file":
        (folder / "word.txt").write_bytes(b"\xef\xbb\xbf" + WORD.encode() + b"\r\nnot this")
        done = run(*words, "--passphrase-file", "word.txt", FACEENC_PASSPHRASE="not this")
    else:
        done = run(*words, "--passphrase-file", "-", typed=f"{WORD}\n")
    assert done.exit_code == 0, done.output
    assert "60x40, every pixel as in the original" in done.output
    assert WORD not in done.output
    assert restored(folder)
    line = json.loads((folder / "log" / "audit.jsonl").read_text(encoding="utf-8"))
    for name, field in (("protected.png", "source_sha256"), ("protected-restored.png", "output_sha256")):
        assert line[field] == hashlib.sha256((folder / name).read_bytes()).hexdigest()


@pytest.mark.parametrize("mode", ["RGBA", "L", "LA"])
def test_every_kind_of_photo_comes_back(folder: Path, mode: str) -> None:
    channels = np.random.default_rng(1).integers(0, 256, (40, 60, len(mode)), np.uint8)
    image = Image.fromarray(channels if len(mode) > 1 else channels[..., 0])
    image.info["icc_profile"] = b"any profile, byte for byte" * 20
    write_pair(folder, image)
    done = run("protected.png", "--key", "photo.key", FACEENC_PASSPHRASE=WORD)
    assert done.exit_code == 0, done.output
    assert restored(folder)


def test_what_jpeg_lost_comes_back_too(folder: Path) -> None:
    original = Image.open(folder / "original.png")
    write_pair(folder, original, "JPEG")
    done = run("protected.jpg", "--key", "photo.key", "--output", "back.PNG", FACEENC_PASSPHRASE=WORD)
    assert done.exit_code == 0, done.output
    assert restored(folder, "back.PNG")


def test_16_bits_are_told_of(folder: Path) -> None:
    write_pair(folder, Image.fromarray(np.arange(2400, dtype=np.uint16).reshape(40, 60) * 27))
    done = run("protected.png", "--key", "photo.key", FACEENC_PASSPHRASE=WORD)
    assert done.exit_code == 0, done.output
    assert "about the original: 16-bit samples taken to 8 bits" in done.output


@pytest.mark.parametrize(
    ("words", "passphrase", "reason"),
    [
        ("protected.png --key photo.key", "wrong", "the passphrase is wrong"),
        ("protected.png --key photo.key", " ", "FACEENC_PASSPHRASE is empty"),
        ("protected.png", WORD, "--key is missing"),
        ("protected.png --key none.key", WORD, "cannot read the key none.key: no such file"),
        ("protected.png --key original.png", WORD, "it is not a key that faceenc made"),
        ("protected.png --key half.key", WORD, "it is truncated"),
        ("none.png --key photo.key", WORD, "none.png"),
        ("photo.key --key photo.key", WORD, "photo.key"),
        ("original.png --key photo.key", WORD, "was changed since it was protected"),
        ("small.png --key photo.key", WORD, "resized from 60x40 to 30x20"),
        ("protected.png --key photo.key --output back.jpg", WORD, "only PNG keeps the pixels"),
        ("protected.png --key photo.key --output original.png", WORD, "original.png exists already"),
        ("protected.png --key photo.key --output none/back.png", WORD, "cannot write none/back.png: no such file"),
        ("protected.png --key photo.key --passphrase-file none", WORD, "cannot read none: no such file"),
        ("protected.png --key photo.key --passphrase-file original.png", WORD, "it is not UTF-8 text"),
        ("protected.png --key photo.key --passphrase-file empty", WORD, "the first line of empty is empty"),
    ],
)
def test_one_line_says_why_not(folder: Path, words: str, passphrase: str, reason: str) -> None:
    (folder / "half.key").write_bytes((folder / "photo.key").read_bytes()[:100])
    (folder / "empty").touch()
    Image.open(folder / "protected.png").resize((30, 20)).save(folder / "small.png")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = run(*words.split(), FACEENC_PASSPHRASE=passphrase)
    assert done.exit_code == 2
    assert done.output.startswith("error: ")
    assert done.output.count("\n") == 1
    assert reason in done.output
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_force_overwrites(folder: Path) -> None:
    (folder / "protected-restored.png").write_text("something else")
    done = run("protected.png", "--key", "photo.key", FACEENC_PASSPHRASE=WORD)
    assert done.exit_code == 2
    assert "exists already" in done.output
    done = run("protected.png", "--key", "photo.key", "--force", FACEENC_PASSPHRASE=WORD)
    assert done.exit_code == 0, done.output
    assert restored(folder)


def test_where_nobody_can_be_asked_the_line_says_what_to_set(folder: Path) -> None:
    done = run("protected.png", "--key", "photo.key", typed="")
    assert done.exit_code == 2
    assert "no passphrase: set FACEENC_PASSPHRASE" in done.output


def test_a_new_passphrase_is_asked_for_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACEENC_PASSPHRASE", raising=False)
    with CliRunner().isolation(input="one\ntwo\none\none\n"):
        assert get_passphrase(None, confirm=True) == "one"
    monkeypatch.setenv("FACEENC_PASSPHRASE", "")
    with pytest.raises(ConfigError, match="FACEENC_PASSPHRASE is empty"):
        get_passphrase(None, confirm=True)


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals")
@pytest.mark.parametrize("keys", [f"{WORD}\n", "\x03"], ids=["typed", "Ctrl-C"])
def test_at_a_terminal_nothing_is_shown_and_ctrl_c_leaves_nothing(folder: Path, keys: str) -> None:
    import pty

    process, terminal = pty.fork()
    if process == 0:  # pragma: no cover (another process)
        command = [sys.executable, "-c", "from faceenc.cli import main; main()", "decrypt", "protected.png"]
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored in jobs that a script runs in the background
        try:
            os.execv(sys.executable, [*command, "--key", "photo.key"])
        finally:
            os._exit(127)
    try:
        shown = read_until(terminal, b"Passphrase of the key:")
        os.write(terminal, keys.encode())
        shown += read_until(terminal, None)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    except BaseException:
        os.kill(process, signal.SIGKILL)
        raise
    finally:
        os.close(terminal)
    assert WORD.encode() not in shown
    if keys == "\x03":
        assert status == 130
        assert b"stopped: run the same command again" in shown
        assert b"Traceback" not in shown
        assert not list(folder.glob("*restored*"))
        assert not (folder / "log").exists()
    else:
        assert status == 0, shown
        assert restored(folder)


def read_until(terminal: int, wanted: bytes | None) -> bytes:
    """What a terminal shows, up to `wanted` or the program's end."""
    shown, deadline = b"", time.monotonic() + 60
    while wanted is None or wanted not in shown:
        if not select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0]:
            raise TimeoutError(shown)
        try:
            part = os.read(terminal, 4096)
        except OSError:  # Linux' way to say that the other end is closed
            part = b""
        if not part:
            break
        shown += part
    return shown
