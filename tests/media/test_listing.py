"""Which files in folders are photos, and why others are none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from faceenc.media import by_reason, list_photos, output_path, protected_copies
from tests.photo_files import encoded, smooth

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX files")


@POSIX
def test_every_photo_in_a_folder_is_found_and_whatever_else_is_there_named(tmp_path: Path) -> None:
    photo = encoded(smooth(9, 9), "JPEG")
    kinds = {
        "a.jfif": b"",
        "b.jpe": b"",
        "c.mpo": b"",
        "d.jpg_large": photo,
        "e": photo,
        "f.bak": encoded(smooth(9, 9), "PNG"),
    }
    raw, video, live = "a camera's raw file", "a video: ", "the video of a live photo: "
    others = {
        "g.CR2": raw, "h.dng": raw, "i.MOV": video, "a.mov": live, "notes.txt": "no photo", "pipe": "no file: ",
        "link": "a link to a folder: ", "nowhere": "no file: a broken link",
        ".hidden": "hidden", ".git": "hidden", "0.jpg": "the same photo as ", f"{'long' * 62}.mov": "a video: ",
    }  # fmt: skip
    (tmp_path / "in" / ".git").mkdir(parents=True)
    for name, content in kinds.items():
        (tmp_path / "in" / name).write_bytes(content)
    for name in ("g.CR2", "h.dng", "i.MOV", "a.mov", "notes.txt", ".hidden", ".git/x"):
        (tmp_path / "in" / name).write_bytes(b"words")
    os.mkfifo(tmp_path / "in" / "pipe")
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    (tmp_path / "in" / "nowhere").symlink_to("none")
    (tmp_path / "in" / "loop").symlink_to("loop")
    (tmp_path / "in" / "loop.jpg").symlink_to("loop.jpg")  # a photo by its name: whoever reads it says what it is
    (tmp_path / "in" / "0.jpg").symlink_to("e")
    (tmp_path / "in" / f"{'long' * 62}.mov").touch()
    (tmp_path / "in" / ".faceenc-1234.tmp").mkdir()
    listed = list_photos([tmp_path / "in"], output=None)
    assert listed.photos == [tmp_path / "in" / name for name in [*kinds, "loop.jpg"]]
    assert [path.name for path in listed.errors] == ["loop"]
    assert "too many levels" in str(listed.errors[tmp_path / "in" / "loop"])
    assert sorted(path.name for path in listed.left_out) == sorted(others)
    for path, why in listed.left_out.items():
        assert why.startswith(others[path.name])


@POSIX
def test_a_folder_that_cannot_be_read_is_named_and_costs_no_other(tmp_path: Path) -> None:
    """Root may read everything: a process of nobody's tries."""
    for name in ("a.jpg", "half/d.jpg", "half/e", "locked/b.jpg", "sub/c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "locked").chmod(0)
    (tmp_path / "half").chmod(0o444)  # which says what is in it, and nothing else
    tmp_path.chmod(0o755)
    code = (
        "import os; from pathlib import Path; from faceenc.media import list_photos, photo_format\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"
        "listed = list_photos([Path()], output=None)\n"
        "print(*listed.photos, *listed.errors, *listed.errors.values(), sep='\\n')\n"
        "assert {photo_format(photo) for photo in listed.photos} == {'PNG'}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    for name in ("locked", "half"):
        (tmp_path / name).chmod(0o700)
    said = ["cannot read half/e: permission denied; check its permissions"]
    said += ["cannot read the folder locked: permission denied; check its permissions"]
    assert done.stdout.splitlines() == ["a.jpg", "half/d.jpg", "sub/c.jpg", "half/e", "locked", *said]


def test_what_is_left_out_is_told_by_reason_and_not_without_end() -> None:
    left_out = {Path("in") / f"{number}.mov": "a video" for number in range(12)} | {Path("in/x"): "`no` photo"}
    video, other = by_reason(left_out, place=" of the gallery", below=Path("in"))
    assert video.startswith("left out of the gallery (a video): 0.mov, 1.mov, ")
    assert video.endswith(", 9.mov and 2 more")
    assert other == "left out of the gallery (no photo): x"


def test_what_is_made_of_a_photo_with_a_very_long_name_has_a_name_that_disks_take() -> None:
    for stem in ("x" * 251, "\u00e9" * 125):
        made = output_path(f"{stem}.jpg", "HEIF")
        assert len(os.fsencode(made.with_stem(f"{made.stem}-9999-preview").name)) <= 255
        assert protected_copies([Path(f"{stem}.jpg"), made]) == {made}
    assert output_path("x.jpg", "PNG").name == "x-protected.png"
