"""`faceenc encrypt` between pipes: nothing but the photo on standard output, all that is said on standard error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faceenc.cli import main
from faceenc.media import decode_photo
from tests.encrypting import QUICK, check_refused, contents, run, save, tinted


def test_a_photo_goes_through_a_pipe_in_its_own_format(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.jpg", tinted(), quality=95)
    before = photo.read_bytes()
    command = [sys.executable, "-m", "faceenc", "encrypt", "-", *QUICK]
    done = subprocess.run(command, input=before, capture_output=True, check=True, cwd=tmp_path)
    made = decode_photo(done.stdout)
    assert made.format == "JPEG"
    assert np.abs(made.pixels.astype(int) - decode_photo(before).pixels).max() > 20
    said = done.stderr.decode()
    for part in ("protected against original", "- -> -: noise", "dlib no longer matches the face as saved"):
        assert part in said
    assert contents(tmp_path) == {"a.jpg": before}


def test_a_file_goes_to_standard_output_and_standard_input_to_a_file(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png", tinted())
    done = run(photo, *QUICK, "--output", "-", "--format", "webp", "--json")
    assert done.exit_code == 0, done.stderr
    assert decode_photo(done.stdout_bytes).format == "WEBP"
    record = json.loads(done.stderr)
    assert (record["source"], record["output"], record["status"]) == (str(photo), "-", "done")
    target = tmp_path / "b.png"
    for words, code in (([], 0), ([], 2), (["--force"], 0)):
        done = run("-", *QUICK, "--output", target, "--json", *words, input=photo.read_bytes())
        assert done.exit_code == code, done.output
    assert json.loads(done.stdout)["output"] == str(target)
    assert decode_photo(target.read_bytes()).pixels.shape == tinted().shape


def test_what_cannot_go_through_a_pipe_is_one_line(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png", tinted())
    wall = save(tmp_path / "wall.png", Image.new("RGB", (90, 120))).read_bytes()
    before = contents(tmp_path)
    check_refused(run("-", *QUICK, input=b"Dear all"), "cannot read the photo's bytes: not an image of a known format")
    check_refused(run("-", *QUICK, input=wall), "no face found in the image", word="skipped")
    check_refused(run("-", photo), "- takes one photo at a time")
    check_refused(run(tmp_path, "--output", "-"), "- takes one photo at a time")
    check_refused(run("-", "--output", tmp_path), f"{tmp_path} is a folder, and the photo has no name")
    check_refused(run("-", "--output", photo, "--format", "jpeg"), "--format jpeg does not fit a.png")
    check_refused(run("-", "--output", photo), f"{photo} exists already")
    for words in (["--preview"], ["--keep-key", tmp_path / "k"]):
        check_refused(run(photo, "--output", "-", *words), "--keep-key and --preview go with files")
    assert contents(tmp_path) == before


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX terminals")
@pytest.mark.parametrize(
    ("stream", "photo", "said"), [("stdin", "-", "standard input"), ("stdout", "a.png", "standard output")]
)
def test_no_photo_is_read_from_or_written_to_a_terminal(
    stream: str, photo: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    control, terminal = os.openpty()
    with os.fdopen(terminal, "w") as there:
        for opened in (there, None):  # or closed by the shell
            monkeypatch.setattr(sys, stream, opened)
            with pytest.raises(SystemExit) as caught:
                main(["encrypt", photo, "--output", "-"])
            monkeypatch.undo()
            assert caught.value.code == 2
            assert capsys.readouterr().err.startswith(f"error: {said} is a terminal or closed")
    os.close(control)
