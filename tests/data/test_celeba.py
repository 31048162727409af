"""CelebA's layouts, made small from the ORL faces: choice, split, the folder that is laid out, and what is missing."""

from __future__ import annotations

import csv
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from faceenc.cli import Group, main
from faceenc.core import DataError
from faceenc.data import choose, download, lay_out, load_folder
from tests.face_photos import write_blank, write_jpegs

pytestmark = pytest.mark.usefixtures("cache")

SIZE = 64
# CelebA's numbers for ORL's people, and how many images each has; image names are in no order of people.
PEOPLE = {"12": ("s1", 5), "9": ("s2", 5), "103": ("s3", 7), "2880": ("s4", 3)}
LISTED = {
    f"{(37 * (10 * place + number)) % 1000:06d}.jpg": (identity, f"{person}/{number + 1}")
    for place, (identity, (person, count)) in enumerate(PEOPLE.items())
    for number in range(count)
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("celeba") / "images"
    write_jpegs({orl: folder / name for name, (_, orl) in LISTED.items()})
    return folder


def _listing(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name} {identity}\n" for name, (identity, _) in sorted(LISTED.items())))


@pytest.fixture
def copy(images: Path, tmp_path: Path) -> Path:
    """A copy of CelebA in torchvision's layout."""
    root = tmp_path / "copy"
    shutil.copytree(images, root / "celeba" / "img_align_celeba")
    _listing(root / "celeba" / "identity_CelebA.txt")
    return root


def run(*words: object) -> Result:
    return CliRunner().invoke(Group("faceenc", commands=[main.commands["data"]]), ["data", "celeba", *map(str, words)])


@pytest.mark.parametrize(
    ("listing", "folder"),
    [
        ("celeba/identity_CelebA.txt", "celeba/img_align_celeba"),
        ("identity_CelebA.txt", "img_align_celeba/img_align_celeba"),
        ("Anno/identity_CelebA.txt", "Img/img_align_celeba"),
        ("CelebA/Anno/identity_CelebA.txt", "CelebA/Img/img_celeba"),
    ],
)
def test_layouts(listing: str, folder: str, images: Path, tmp_path: Path) -> None:
    shutil.copytree(images, tmp_path / folder)
    _listing(tmp_path / listing)
    subset = choose(tmp_path, identities=4)
    assert {image.source for image in subset.images} == {tmp_path / folder / name for name in LISTED}
    assert all(image.identity == LISTED[image.source.name][0] for image in subset.images)


def test_png_edition(copy: Path) -> None:
    aligned = copy / "celeba" / "img_align_celeba"
    for number, image in enumerate(sorted(aligned.iterdir())):
        image.unlink()
        write_blank(image.with_suffix(".png"), number)
    aligned.rename(aligned.with_name("img_align_celeba_png"))
    assert len(choose(copy, identities=4).images) == len(LISTED)


def test_the_people_with_the_most_images(copy: Path) -> None:
    assert {image.identity for image in choose(copy, identities=2).images} == {"103", "9"}
    assert {image.identity for image in choose(copy, identities=3).images} == {"103", "9", "12"}
    assert {image.identity for image in choose(copy, identities=4, min_images=5).images} == {"103", "9", "12"}


def test_split_is_by_image_and_the_same_for_the_folder(copy: Path, tmp_path: Path) -> None:
    subset = choose(copy, identities=4)
    assert subset == choose(copy, identities=4)
    manifest = lay_out(subset, tmp_path / "out")
    with manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == sorted(row["file"] for row in rows)
    for row in rows:
        image = manifest.parent / row["file"]
        assert row["identity"] == LISTED[image.name][0] == image.parent.name
        assert row["sha256"] == hashlib.sha256(image.read_bytes()).hexdigest()
        assert image.samefile(copy / "celeba" / "img_align_celeba" / image.name)
    parts = {identity: [row["split"] for row in rows if row["identity"] == identity] for identity in PEOPLE}
    assert {identity: own.count("test") for identity, own in parts.items()} == {"12": 1, "9": 1, "103": 2, "2880": 1}
    laid_out = load_folder(manifest.parent, SIZE, test_share=0.9)
    assert laid_out.classes == ("103", "12", "2880", "9")
    assert {laid_out.files[index] for index in laid_out.test} == {row["file"] for row in rows if row["split"] == "test"}


def test_command(copy: Path, tmp_path: Path) -> None:
    write_blank(copy / "celeba" / "img_align_celeba" / "000000.jpg")
    done = run(copy, "--output", tmp_path / "out", "--identities", 4, "--size", SIZE)
    assert done.exit_code == 0, done.output
    for part in ("people    4, with 3 to 7", "images    20: 15 for training, 5 for testing", "0 listed", "1 without a face"):
        assert part in done.output
    assert str(tmp_path / "out" / "manifest.csv") in done.output
    content = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert len(content) == 21
    (tmp_path / "out" / "9").rename(tmp_path / "nine")
    again = run(copy, "--output", tmp_path / "out", "--identities", 4, "--size", SIZE)
    assert again.exit_code == 0, again.output
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == content
    other = run(copy, "--output", tmp_path / "out", "--identities", 3, "--size", SIZE)
    assert (other.exit_code, other.stderr.count("error: "), other.stdout) == (2, 1, "")
    assert "is taken" in other.output


def test_output_is_made_whole_or_not_at_all(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subset = choose(copy, identities=2)
    killed = tmp_path / "new" / ".out.partial" / "9"
    killed.mkdir(parents=True)
    (killed / "half.jpg").write_bytes(b"half")
    (tmp_path / "new" / "out").mkdir()

    def no_links(self: Path, target: Path) -> None:
        raise OSError("no links on this disk")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    lay_out(subset, tmp_path / "new" / "out")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["out"]
    assert len(list((tmp_path / "new" / "out").rglob("*.jpg"))) == len(subset.images) == 12
    subset.images[-1].source.unlink()
    with pytest.raises(DataError, match="cannot make"):
        lay_out(subset, tmp_path / "new" / "other")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["out"]
    (tmp_path / "file").write_text("taken")
    with pytest.raises(DataError, match="is taken"):
        lay_out(subset, tmp_path / "file")


def test_a_few_missing_images_are_skipped(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    gone, image, twin = sorted(name for name, (identity, _) in LISTED.items() if identity == "103")[:3]
    folder = copy / "celeba" / "img_align_celeba"
    (folder / gone).write_bytes(b"")
    shutil.copy(folder / image, folder / twin)
    subset = choose(copy, identities=4)
    assert subset.missing == (gone,)
    assert {chosen.source.name for chosen in subset.images} == set(LISTED) - {gone, twin}
    for name in (gone, twin):
        assert any(name in record.getMessage() for record in caplog.records)
    assert len(choose(copy, identities=9).images) == len(subset.images)
    assert any("9 were asked for" in record.getMessage() for record in caplog.records)


def _without(*names: str) -> Callable[[Path], object]:
    def remove(folder: Path) -> None:
        for name in names:
            shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()

    return remove


def _packed(folder: Path) -> None:
    shutil.rmtree(folder / "img_align_celeba")
    (folder / "img_align_celeba.zip").write_bytes(b"PK")


def _partial(folder: Path) -> None:
    for name in sorted(LISTED)[::3]:
        (folder / "img_align_celeba" / name).unlink()


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder / "img_align_celeba")
    (folder / "img_align_celeba").mkdir()


@pytest.mark.parametrize(
    ("spoil", "part"),
    [
        (_without("identity_CelebA.txt"), "identity_CelebA.txt missing: fetch"),
        (_without("img_align_celeba"), "a folder img_align_celeba missing: fetch"),
        (_without("img_align_celeba", "identity_CelebA.txt"), "identity_CelebA.txt and a folder img_align_celeba missing"),
        (_emptied, "a folder img_align_celeba missing: fetch"),
        (_packed, "is still packed: unpack it"),
        (_partial, "of the 20 images of the chosen people are missing"),
        (lambda folder: (folder / "identity_CelebA.txt").write_text("<html>sorry</html>\n"), "line 1: '<html>sorry"),
        (lambda folder: (folder / "identity_CelebA.txt").write_text("1.jpg 7\n2.jpg 7\n"), "2 are needed"),
        (lambda folder: (folder / "identity_CelebA.txt").write_bytes(b"\xff\xfe"), "cannot read"),
    ],
)
def test_what_is_missing_is_said_in_one_line(spoil: Callable[[Path], object], part: str, copy: Path, tmp_path: Path) -> None:
    spoil(copy / "celeba")
    done = run(copy, "--output", tmp_path / "out", "--identities", 4, "--size", SIZE)
    assert done.exit_code == 2
    error = done.output.splitlines()[-1]
    assert error.startswith("error: ")
    assert part in error
    assert str(copy) in error
    assert not (tmp_path / "out").exists()


def test_a_download_that_fails_says_what_to_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    done = run(tmp_path / "copy", "--output", tmp_path / "out", "--fetch")
    assert done.exit_code == 2
    error = done.output.splitlines()[-1]
    assert error.startswith("error: torchvision cannot download CelebA (")
    assert f"img_align_celeba into {tmp_path / 'copy' / 'celeba'}" in error
    monkeypatch.setenv("FACEENC_OFFLINE", "1")
    with pytest.raises(DataError, match="FACEENC_OFFLINE forbids"):
        download(tmp_path / "copy")


def test_what_is_there_is_not_downloaded(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEENC_OFFLINE", "1")
    download(copy)


@pytest.mark.parametrize("wrong", [{"identities": 1}, {"min_images": 1}])
def test_senseless_numbers(wrong: dict[str, Any], copy: Path) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        choose(copy, **wrong)
