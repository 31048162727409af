"""`faceenc encrypt` as people use it: a real photo in, a protected one out with evidence, or one line that says why not."""

from __future__ import annotations

import ctypes
import hashlib
import io
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from faceenc.faces import FaceDetector
from faceenc.media import read_photo
from faceenc.recognizers import ENSEMBLE, has_dlib, load_ensemble, load_judges, operating_point
from tests.encrypting import DLIB, LOUD, QUICK, check_refused, contents, photos, portrait, records, run, save, tinted
from tests.photo_files import STORED, camera_exif, cmyk_profile, encoded, noise, oriented, png_file, smooth

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")
MASK = smooth(162, 142, channels=1)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result, bytes]:
    """A phone's photo, protected with nothing but its name: the folder, what was said, and the photo's bytes before."""
    load_ensemble()  # in a fresh cache nets are fetched and thresholds fitted first, and that is said
    folder = tmp_path_factory.mktemp("default")
    lying = Image.fromarray(np.ascontiguousarray(STORED[6](tinted(step=2))))
    exif = b"Exif\0\0" + camera_exif(orientation=6)
    photo = save(folder / "holiday.jpg", lying, quality=95, exif=exif, icc_profile=PROFILE)
    before = photo.read_bytes()
    load_ensemble()  # what is fetched, and fitted at first use, is said then
    return folder, run(photo, env={"FACEENC_LOG": str(folder / "log")}), before


def test_one_photo_with_nothing_but_its_name(default: tuple[Path, Result, bytes]) -> None:
    folder, done, before = default
    said = [line for line in done.stderr.splitlines() if not re.search(r"still at work|protecting: \d+ of 100", line)]
    assert (done.exit_code, said) == (0, []), "but how far it is, where it takes over half a minute"
    assert (folder / "holiday.jpg").read_bytes() == before
    assert set(photos(folder)) == {"holiday.jpg", "holiday-protected.png", "log/audit.jsonl"}
    lines = done.stdout.splitlines()
    judges = [load_judges()[0].name, *ENSEMBLE[1:]]
    table = [line.split()[:3] for line in lines if line.startswith("1 ")]
    asked = [["1", judge, variant] for judge in judges for variant in ("saved", "jpeg75", "half", "blur")]
    assert table[: len(asked)] == asked
    assert {detector for _, detector, _ in table[len(asked) :]} == {"MediaPipe", "YuNet", *(["dlib"] if has_dlib() else [])}
    where = f"{folder / 'holiday.jpg'} -> {folder / 'holiday-protected.png'}"
    assert lines[-2].startswith(f"{where}: noise seen (SSIMULACRA2 ")
    assert "; largest change " in lines[-2]
    assert lines[-1].startswith(
        f"  attacked: {judges[0]}, sface, faceplugin and mobilefacenet no longer match the face as saved"
    )
    assert "; no recogniser that was not attacked was asked; " in lines[-1]
    assert lines[-1].endswith(" may still match")


def test_what_is_saved_is_the_photo_upright_without_its_past(default: tuple[Path, Result, bytes]) -> None:
    folder, _, before = default
    with Image.open(folder / "holiday-protected.png") as image, Image.open(io.BytesIO(before)) as original:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (284, 324))
        assert not image.getexif()
        assert image.info.keys() == {"icc_profile"}
        assert image.info["icc_profile"] == PROFILE
        upright = np.asarray(ImageOps.exif_transpose(original)).astype(int)
        assert 0 < np.abs(np.asarray(image) - upright).mean() < 20
    assert b"Camera Works" in before
    assert b"Camera Works" not in (folder / "holiday-protected.png").read_bytes()


def test_the_audit_log_has_hashes_and_the_goal(default: tuple[Path, Result, bytes]) -> None:
    folder, _, before = default
    [line] = (folder / "log" / "audit.jsonl").read_text().splitlines()
    entry = json.loads(line)
    assert (entry["action"], entry["goal"], entry["faces"], entry["consent"]) == ("encrypt", "away", 1, None)
    assert entry["source_sha256"] == hashlib.sha256(before).hexdigest()
    assert entry["output_sha256"] == hashlib.sha256((folder / "holiday-protected.png").read_bytes()).hexdigest()


def test_recognisers_no_longer_match_and_verify_agrees(default: tuple[Path, Result, bytes]) -> None:
    folder, encrypted, _ = default
    original, protected = folder / "holiday.jpg", folder / "holiday-protected.png"
    other = save(folder / "other" / "s5-2.png", tinted("s5/2", step=2))
    with FaceDetector() as detector:
        images = [read_photo(path).pixels for path in (original, protected, other)]
        found = [(image, detector(image)[0]) for image in images]
    for judge in load_ensemble():
        vectors = [judge.embed_face(*face) for face in found]
        assert judge.distance(vectors[0], vectors[2]) < operating_point(judge).threshold, "the person's photos match before"
        assert judge.distance(vectors[0], vectors[1]) > operating_point(judge).threshold
        assert judge.distance(vectors[1], vectors[2]) > operating_point(judge).threshold
    done = run(original, protected, command="verify")
    assert done.exit_code == 0, done.output
    said, before = ([line.split() for line in one.stdout.splitlines()] for one in (done, encrypted))
    figures = [line for line in said[:-2] if line[0] in ("1", "face", "whole")]
    assert len(figures) > 6
    assert [line for line in figures if line not in before] == [], "the same boxes, so the same figures"
    assert done.stdout.splitlines()[-2] in encrypted.stdout


# Each kind of photo lies in another way in its file: EXIF orientation, what it becomes, and what is said about that.
KINDS: dict[str, tuple[int, str, str | None]] = {
    "plain.png": (1, "RGB", None),
    "grey.png": (2, "L", None),
    "greyalpha.png": (3, "LA", None),
    "alpha.png": (4, "RGBA", None),
    "cmyk.jpg": (5, "RGB", "CMYK taken to RGB by its colour profile"),
    "palette.png": (6, "RGB", "palette taken to RGB"),
    "deep.png": (7, "L", "16-bit samples taken to 8 bits"),
    "mislabelled.jpg": (8, "RGB", "named .jpg, but by its content PNG"),
}


def lying(name: str) -> Image.Image:
    """The portrait as the file of that name holds it."""
    stored = STORED[KINDS[name][0]]
    colour, grey, mask = (np.ascontiguousarray(stored(part)) for part in (tinted(), portrait()[..., 0], MASK))
    if name == "cmyk.jpg":
        return Image.fromarray(colour).convert("CMYK")
    if name == "palette.png":
        return Image.fromarray(colour).quantize(256)
    if name == "deep.png":
        return Image.fromarray(grey.astype(np.uint16) * 257)
    layers = {"grey.png": [grey], "greyalpha.png": [grey, mask], "alpha.png": [colour, mask]}.get(name, [colour])
    return Image.fromarray(np.dstack(layers) if len(layers) > 1 else layers[0])


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    """Photos of many kinds, protected in one run: the folder, and the record of each."""
    folder = tmp_path_factory.mktemp("kinds")
    for name, (turned, _, _) in KINDS.items():
        options = {"icc_profile": cmyk_profile(), "quality": 95} if name == "cmyk.jpg" else {}
        file_format = "JPEG" if name == "cmyk.jpg" else "PNG"
        (folder / name).write_bytes(encoded(lying(name), file_format, exif=oriented(turned), **options))
    done = run(folder, *QUICK, "--json", "--output", folder / "out")
    assert done.stderr == ""
    return folder, {Path(record["source"]).name: record for record in records(done)}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_comes_out_upright_and_keeps_what_matters(
    name: str, kinds: tuple[Path, dict[str, dict[str, Any]]]
) -> None:
    folder, results = kinds
    _, mode, note = KINDS[name]
    assert len(results[name]["faces"]) == 1
    assert results[name]["notes"] == ([] if note is None else [note])
    with Image.open(folder / "out" / f"{Path(name).stem}.png") as image:
        assert (image.format, image.mode, image.size) == ("PNG", mode, (142, 162))
        assert not image.getexif()
        out = np.asarray(image).reshape(162, 142, -1).astype(int)
    if mode.endswith("A"):
        assert np.array_equal(out[..., -1], MASK)
        out = out[..., :-1]
    change = np.abs(out - (portrait()[..., :1] if mode[0] == "L" else tinted()))
    if name == "cmyk.jpg":  # in whose profile cyan ink is red
        change = np.abs(out - read_photo(folder / name).pixels)
    assert 0 < change.max() <= LOUD + (name == "palette.png") * 60


def test_heic_with_its_extra(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.fromarray(tinted())).save(tmp_path / "phone.heic", quality=95)
    done = run(tmp_path / "phone.heic", *QUICK, "--format", "same", "--quality", "90")
    assert done.exit_code == 0, done.output
    after = read_photo(tmp_path / "phone-protected.heic")
    assert (after.format, after.pixels.shape) == ("HEIF", (162, 142, 3))


def test_heic_without_its_extra_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))
    check_refused(run(tmp_path / "phone.heic", *DLIB), "phone.heic: it is HEIC", "pip install 'faceenc[heic]'")
    photo = save(tmp_path / "a.png", tinted())
    check_refused(run(photo, *DLIB, "--format", "heif"), "a.png", "pip install 'faceenc[heic]'")
    assert set(photos(tmp_path)) == {"phone.heic", "a.png"}


def animated(file_format: str) -> bytes:
    pictures = [Image.fromarray(tinted(f"s5/{number}")) for number in (1, 2)]
    return encoded(pictures[0], file_format, save_all=True, append_images=pictures[1:], duration=80)


def refused_files() -> dict[str, tuple[bytes, str]]:
    """Names with content, and a part of what is said."""
    whole = encoded(tinted(), "JPEG")
    return {
        "moving.gif": (animated("GIF"), "it is animated; save one of its pictures"),
        "moving.png": (animated("PNG"), "it is animated; save one of its pictures"),
        "half.jpg": (whole[: len(whole) // 2], "truncated"),
        "empty.jpg": (b"", "the file is empty"),
        "letter.jpg": (b"Dear all, see the photo", "not an image of a known format"),
        "bomb.png": (png_file(50000, 50000, 8, 2, bytes(100)), "it has more than 50 megapixels; scale it down first"),
        "float.tif": (encoded(Image.new("F", (4, 4), 0.5), "TIFF"), "export it with 8 or 16 bits"),
    }


@pytest.mark.parametrize("name", refused_files())
def test_files_that_cannot_be_protected(name: str, tmp_path: Path) -> None:
    content, part = refused_files()[name]
    (tmp_path / name).write_bytes(content)
    check_refused(run(tmp_path / name, env={"FACEENC_LOG": str(tmp_path / "log")}), f"cannot read {tmp_path / name}: ", part)
    assert contents(tmp_path) == {name: content}


def test_what_is_no_file(tmp_path: Path) -> None:
    missing = tmp_path / "none.jpg"
    check_refused(run(missing), f"cannot read {missing}: no such file or directory; check the path")
    check_refused(run(tmp_path), f"no photos in {tmp_path}: expected images in it or below")
    if sys.platform != "win32":
        os.mkfifo(tmp_path / "pipe.jpg")
        for words in ([], ["--format", "same"]):
            check_refused(run(tmp_path / "pipe.jpg", *words), "it is a folder, a pipe or a device; give a file")
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("size", [(1, 1), (20000, 10), (90, 120)], ids=str)
def test_without_a_face_nothing_is_written(size: tuple[int, int], tmp_path: Path) -> None:
    photo = save(tmp_path / "wall.png", Image.new("RGB", size, (90, 100, 110)))
    before = contents(tmp_path)
    said = f"no face found in {photo}: nothing is written; --on-no-face whole protects the whole photo"
    check_refused(run(photo, *DLIB), said, word="skipped")
    check_refused(run(photo, *DLIB, "--on-no-face", "fail"), said)
    if size == (1, 1):
        check_refused(run(photo, *DLIB, "--on-no-face", "whole"), f"{photo} has 1 x 1 pixels, too few for a face")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("kind", ["half a face", "a ribbon"])
def test_the_whole_photo_without_a_face(kind: str, tmp_path: Path) -> None:
    """What is taken for a face is the square in the middle; where nothing in it is like one, dlib may see no difference."""
    picture, box, code, quick = tinted()[:, 71:], [0, 45.5, 71, 116.5], 0, QUICK
    if kind == "a ribbon":
        picture, box, code, quick = noise(10, 20000), [9995, 0, 10005, 10], 4, (*DLIB, "--eps", "2/255", "--steps", "2")
    photo = save(tmp_path / "a.png", np.ascontiguousarray(picture))
    done = run(photo, *quick, "--on-no-face", "whole", "--json")
    [record] = records(done)
    assert record["faces"][0]["box"] == box
    assert done.exit_code == code
    assert record["matched"] == bool(code)
    change = np.abs(pixels(tmp_path / "a-protected.png").astype(int) - picture)
    assert 0 < change.max() <= LOUD


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """Twelve people in one photo, in three rows of four."""
    folder = tmp_path_factory.mktemp("group")
    rows = [np.hstack([portrait(f"s{4 * row + column + 1}/1") for column in range(4)]) for row in range(3)]
    photo = save(folder / "group.png", np.vstack(rows))
    return photo, run(photo, *QUICK, "--json")


def centre(box: list[float]) -> tuple[int, int]:
    """The place of a box in the sheet of 4 x 3 pictures."""
    return int((box[0] + box[2]) / 2 // 142), int((box[1] + box[3]) / 2 // 162)


def test_twelve_people_are_all_found_and_all_protected(group: tuple[Path, Result]) -> None:
    photo, done = group
    assert done.exit_code == 0, done.output
    [record] = records(done)
    assert sorted(centre(face["box"]) for face in record["faces"]) == [(x, y) for x in range(4) for y in range(3)]
    assert not any(entry["match"] for face in record["faces"] for entry in face["judges"] if entry["variant"] == "saved")
    assert record["photo"]["max_change"] <= LOUD
    assert pixels(photo.with_name("group-protected.png")).shape == pixels(photo).shape


def test_json_has_the_agreed_form(group: tuple[Path, Result]) -> None:
    photo, done = group
    assert done.stderr == ""
    [record] = records(done)
    target = photo.with_name("group-protected.png")
    assert (record["source"], record["output"], record["status"]) == (str(photo), str(target), "done")
    assert record["photo"].keys() == {"psnr", "max_change"}
    for face in record["faces"]:
        assert face.keys() == {"box", "ssim", "psnr", "noise", "butteraugli", "shape", "judges", "seen"}
        assert [entry["variant"] for entry in face["judges"]] == ["saved", "jpeg75", "half", "blur"]
        for entry in face["judges"]:
            assert entry.keys() == {"judge", "variant", "distance", "threshold", "match", "rank", "able"}
            assert (entry["threshold"], entry["rank"]) == (0.6, None)
    assert record["summary"].endswith(" may still match")


@pytest.mark.parametrize(("words", "count"), [(["largest"], 1), (["2"], 2)])
def test_only_the_largest_faces(words: list[str], count: int, group: tuple[Path, Result], tmp_path: Path) -> None:
    photo, all_of_them = group
    boxes = [face["box"] for face in records(all_of_them)[0]["faces"]]
    [record] = records(run(photo, *QUICK, "--json", "--faces", *words, "--output", tmp_path / "a.png"))
    assert [face["box"] for face in record["faces"]] == boxes[:count]
    change = np.abs(pixels(tmp_path / "a.png").astype(int) - pixels(photo)).max(axis=-1)
    touched = {(x, y) for x in range(4) for y in range(3) if change[162 * y :, 142 * x :][:162, :142].any()}
    assert touched == {centre(box) for box in boxes[:count]}


@contextmanager
def without_root_s_rights() -> Iterator[None]:
    """Root may write everywhere: not so meanwhile, while it stays the owner of its files."""
    if sys.platform == "win32" or os.geteuid() != 0:
        yield
        return
    library = ctypes.CDLL(None, use_errno=True)
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert library.capget(header, data) == 0
    effective = data[0]
    data[0] = effective & ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert library.capset(header, data) == 0
    try:
        yield
    finally:
        data[0] = effective
        assert library.capset(header, data) == 0


@POSIX
def test_a_folder_that_takes_nothing(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png", tinted())
    tmp_path.chmod(0o555)
    try:
        with without_root_s_rights():
            one = run(photo, *QUICK)
            all_of_them = run(tmp_path, *QUICK)
            elsewhere = run(photo, *QUICK, "--output", tmp_path / "out")
    finally:
        tmp_path.chmod(0o755)
    check_refused(one, f"cannot write {tmp_path / 'a-protected.png'}: permission denied; check the folder")
    check_refused(all_of_them, f"cannot write into {tmp_path}: permission denied; choose another --output")
    check_refused(elsewhere, f"cannot write into {tmp_path / 'out'}: permission denied; choose another --output")
    assert set(contents(tmp_path)) == {"a.png"}


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes, which the system reports like a full disk."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@POSIX
def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.jpg", tinted())
    with full_disk(8000):
        done = run(photo, *QUICK)
    check_refused(done, "cannot write", "a-protected.png: file too large; check the folder and the free space")
    assert set(contents(tmp_path)) == {"a.jpg"}
    assert not list(tmp_path.glob(".*"))


def test_nothing_is_overwritten_without_force(tmp_path: Path) -> None:
    photo, target = save(tmp_path / "a.png", tinted()), tmp_path / "a-protected.png"
    target.write_bytes(b"my own picture")
    before = contents(tmp_path)
    for words in ([], ["--output", target]):
        check_refused(run(photo, *QUICK, *words), f"{target} exists already: move it away, or overwrite it with --force")
    for words in (["--output", photo], ["--output", photo, "--force"]):
        check_refused(run(photo, *QUICK, *words), f"{photo} is the photo itself")
    assert contents(tmp_path) == before
    done = run(photo, *QUICK, "--force")
    assert done.exit_code == 0, done.output
    assert photos(tmp_path).keys() == before.keys()
    assert pixels(target).shape == (162, 142, 3)
    check_refused(run(photo, *QUICK), f"{target} exists already")


@pytest.mark.parametrize(
    ("words", "name", "kind"),
    [
        (["--output", "new/b.webp"], "new/b.webp", "WEBP"),
        (["--output", "out"], "out/caf\udce9.png", "PNG"),
    ],
)
@POSIX
def test_where_to(words: list[str], name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The photo's name is of the time before UTF-8."""
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "caf\udce9.jpg", tinted(), quality=90)
    done = run("caf\udce9.jpg", *QUICK, *words)
    assert (done.exit_code, done.stderr) == (0, "")
    assert set(photos(tmp_path)) == {"caf\udce9.jpg", name}
    with Image.open(name) as image:
        assert (image.format, image.size) == (kind, (142, 162))
