"""The options of `faceenc encrypt`: formats, keys, whom to look like; and what is refused."""

from __future__ import annotations

import io
import json
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from faceenc.core import named_fields
from faceenc.faces import FaceSearch
from faceenc.media import read_photo
from faceenc.protect import STRENGTHS, Strength, load_consent, pixels_sha256
from faceenc.recognizers import load_recognizer
from tests.encrypting import DLIB, LOUD, QUICK, check_refused, contents, photos, portrait, records, run, save, tinted
from tests.photo_files import camera_exif, encoded

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MAKER, GPS = 0x010F, 0x8825
WORD = {"FACEENC_PASSPHRASE": "Passwört with spaces"}


def embed(path: Path) -> NDArray[np.float64]:
    """As the torch twin of dlib's net sees the face in a file."""
    image = read_photo(path).pixels
    with FaceSearch() as search:
        return load_recognizer("dlib-torch").embed_face(image, search(image)[0])


def distance(one: Path, other: Path) -> float:
    return float(np.linalg.norm(embed(one) - embed(other)))


def test_the_photo_s_own_format_with_metadata_and_a_preview(tmp_path: Path) -> None:
    exif = b"Exif\0\0" + camera_exif(orientation=1)
    for name in ("a.jpg", "b.webp", "c.tif", "d.bmp"):
        extras = {} if name == "d.bmp" else {"icc_profile": PROFILE}
        extras |= {"exif": exif} if name in ("a.jpg", "b.webp") else {}
        save(tmp_path / name, tinted(), **extras)
    names = sorted(tmp_path.iterdir())
    done = run(*names, *QUICK, "--format", "same", "--keep-metadata", "--preview", "--output", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == "4 of 4 photos protected"
    made = {"a.jpg": "JPEG", "b.webp": "WEBP", "c.tif": "TIFF", "d.png": "PNG"}
    previews = [f"{Path(name).stem}-preview.png" for name in made]
    assert set(photos(tmp_path / "out")) == {*made, *previews}
    for name, file_format in made.items():
        with Image.open(tmp_path / "out" / name) as image:
            assert (image.format, image.size) == (file_format, (142, 162))
            assert image.info.get("icc_profile") == (None if name == "d.png" else PROFILE)
            if name in ("a.jpg", "b.webp"):
                assert image.getexif()[MAKER] == "Camera Works"
                assert image.getexif().get_ifd(GPS)[1] == "N"
    with Image.open(tmp_path / "out" / "c-preview.png") as image:
        shown = np.asarray(image)
    third = (shown.shape[1] - 16) // 3
    before, after = shown[:-33, :third], shown[:-33, -third:]  # above two lines of captions
    assert 0 < np.abs(before.astype(int) - after).max() <= LOUD
    captions = [(shown[-33:, k * (third + 8) : k * (third + 8) + third] < 128).any(axis=(1, 2)) for k in range(3)]
    assert [dark[:16].any() for dark in captions] == [True] * 3, "each says what it is"
    assert [dark[17:].any() for dark in captions] == [True, True, False]
    assert (shown[:, third : third + 8] == 255).all()


def test_protection_lasts_through_the_quality_that_it_is_saved_with(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png", tinted(step=2))
    words = [*DLIB, "--eps", "24/255", "--steps", "8"]
    done = run(photo, *words, "--output", tmp_path / "a.jpg", "--quality", "70", "--json")
    assert done.exit_code == 0, done.output
    [record] = records(done)
    assert record["noise"][0]["reached"], "in all views of the file as it will be"
    assert not any(entry["match"] for entry in record["faces"][0]["judges"])
    with Image.open(tmp_path / "a.jpg") as image, Image.open(io.BytesIO(encoded(tinted(), "JPEG", quality=70))) as other:
        assert vars(image)["quantization"] == vars(other)["quantization"]
    assert distance(photo, tmp_path / "a.jpg") > 0.6


def test_what_strengths_are_made_of_options(tmp_path: Path) -> None:
    """As the record of a folder keeps them."""
    save(tmp_path / "a.png", tinted())

    def recorded(*words: str) -> dict[str, object]:
        assert run(tmp_path, *DLIB, *words, "--force").exit_code in (0, 4)
        lines = (tmp_path / "faceenc-run.jsonl").read_text().splitlines()
        strength: dict[str, object] = json.loads(lines[-1])["settings"]["options"]["strength"]
        return strength

    bounded = Strength.bounded(8 / 255, STRENGTHS["subtle"].steps)
    assert recorded("--eps", "8/255", "--strength", "subtle") == named_fields(bounded)
    assert recorded("--eps", "8/255", "--shape", "none", "--steps", "1") == named_fields(replace(bounded, steps=1))
    still = replace(STRENGTHS["strong"], shape=0, steps=1)
    assert recorded("--strength", "strong", "--shape", "none", "--steps", "1") == named_fields(still)


def test_a_bar_shows_how_far_the_one_photo_is(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png", tinted())
    done = run(photo, *QUICK, env={"TTY_COMPATIBLE": "1"})
    assert done.exit_code == 0, done.output
    assert "protecting" in done.stderr
    assert "100/100" in done.stderr
    assert "protecting" not in done.stdout
    assert done.stdout.splitlines()[-2].startswith(f"{photo} -> ")
    again = run(photo, *QUICK, "--force", "--json", env={"TTY_COMPATIBLE": "1"})
    assert again.exit_code == 0
    assert "protecting" in again.stderr, "the lines of JSON go elsewhere"
    assert len(again.stdout.splitlines()) == 1


@pytest.mark.parametrize("target", ["a-protected.png", "b.jpg"])
def test_a_key_gives_the_original_back_bit_for_bit(target: str, tmp_path: Path) -> None:
    photo = save(tmp_path / "a.jpg", tinted(), quality=90, icc_profile=PROFILE)
    words = [] if target == "a-protected.png" else ["--output", tmp_path / target]
    done = run(photo, *QUICK, *words, "--keep-key", tmp_path / "a.key", env=WORD)
    assert done.exit_code == 0, done.output
    assert set(photos(tmp_path)) == {"a.jpg", target, "a.key"}
    restored = tmp_path / "back.png"
    done = run(tmp_path / target, "--key", tmp_path / "a.key", "--output", restored, command="decrypt", env=WORD)
    assert done.exit_code == 0, done.output
    back, original, protected = (pixels_sha256(read_photo(path)) for path in (restored, photo, tmp_path / target))
    assert back == original != protected


def test_a_key_is_made_whenever_it_is_asked_for_and_stays_only_with_its_photo(tmp_path: Path) -> None:
    photo, key = save(tmp_path / "a.png", tinted()), tmp_path / "a.key"
    words = [photo, *QUICK, "--output", tmp_path / "out"]
    assert run(*words).exit_code == 0
    done = run(*words, "--keep-key", key, env=WORD)
    assert done.exit_code == 0, done.output
    made = key.read_bytes()
    check_refused(run(*words, "--keep-key", key, env=WORD), f"{key} exists already: choose another name for the key")
    for taken in (photo, tmp_path / "out" / "a.png"):
        check_refused(run(*words, "--keep-key", taken, "--force", env=WORD), f"--keep-key {taken} is the name of the photo")
    (tmp_path / "out" / "a.png").write_bytes(b"retouched")
    lost = run(*words, "--keep-key", tmp_path / "b.key", env=WORD)
    check_refused(lost, "a.png was changed since it was made: move it away, or overwrite it with --force")
    nowhere = run(photo, *QUICK, "--keep-key", tmp_path / "no" / "b.key", env=WORD)
    check_refused(nowhere, f"cannot write {tmp_path / 'no' / 'b.key'}: no such file or directory")
    assert set(photos(tmp_path)) == {"a.png", "out/a.png", "a.key"}
    assert key.read_bytes() == made


def test_away_from_a_person_of_the_gallery_the_rank_falls(tmp_path: Path) -> None:
    """However the accents of the person's name are written."""
    apart, together = (unicodedata.normalize(form, "Renée") for form in ("NFD", "NFC"))
    for person, name in (("s1", "s1"), ("s2", "s2"), ("s5", apart)):
        save(tmp_path / "people" / name / "2.png", portrait(f"{person}/2"))
    photo = save(tmp_path / "a.png", portrait("s5/1"))
    results = {}
    for name, words in {
        "weak": ["--eps", "1/255", "--steps", "1"],
        "own": ["--eps", "10/255", "--steps", "12", "--as", together],
    }.items():
        done = run(photo, *DLIB, *words, "--gallery", tmp_path / "people", "--json", "--output", tmp_path / f"{name}.png")
        results[name] = records(done)[0]
    judged = {name: record["faces"][0]["judges"][0] for name, record in results.items()}
    assert (judged["weak"]["rank"], judged["weak"]["match"]) == (1, True)
    assert judged["own"]["rank"] > 1
    assert not judged["own"]["match"]
    assert done.exit_code == 0
    assert distance(tmp_path / "own.png", tmp_path / "people" / apart / "2.png") > 0.6


def test_a_decoy_brings_everybody_nearer_to_one_who_does_not_exist(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{name}.png", portrait(f"{name}/1", step=2)) for name in ("s5", "s9")]
    log = {"FACEENC_LOG": str(tmp_path / "log")}
    words = [*paths, *DLIB, "--eps", "16/255", "--steps", "10", "--json"]
    done = run(*words, "--decoy", "7", "--output", tmp_path / "out", env=log)
    assert (done.exit_code, [record["matched"] for record in records(done)]) == (0, [0, 0]), done.output
    before, together = (distance(*(folder / path.name for path in paths)) for folder in (tmp_path, tmp_path / "out"))
    assert together < before - 0.1
    lines = (tmp_path / "log" / "audit.jsonl").read_text().splitlines()
    assert [json.loads(line)["goal"] for line in lines] == ["to decoy 7"] * 2


def test_photos_of_one_person_go_their_own_ways(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{number}.png", portrait(f"s5/{number}", step=2)) for number in (1, 2)]
    words = [*paths, *DLIB, "--eps", "16/255", "--steps", "10"]
    assert distance(*paths) < 0.6
    assert run(*words, "--output", tmp_path / "away").exit_code == 0
    assert run(*words, "--apart", "--output", tmp_path / "apart").exit_code == 0
    away, apart = (distance(*(tmp_path / folder / path.name for path in paths)) for folder in ("away", "apart"))
    assert apart > away + 0.03
    check_refused(run(paths[0], "--apart", "--decoy", "1"), "--apart sends every photo another way", "choose one of them")


def test_towards_another_person_only_with_that_person_s_consent(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png", portrait("s5/1"))
    theirs = [save(tmp_path / "theirs" / f"{number}.png", portrait(f"s9/{number}")) for number in (1, 2)]
    before = contents(tmp_path)
    words = [photo, *DLIB, "--eps", "16/255", "--steps", "30", "--to", "Ada"]
    check_refused(run(*words), "--to Ada makes faces look like another person's", "which Ada makes with `faceenc consent`")
    check_refused(run(*words, "--consent", tmp_path / "no"), f"cannot read the consent {tmp_path / 'no'}: no such file")
    assert contents(tmp_path) == before
    consent = tmp_path / "ada.consent"
    signed = run("Ada", *theirs, "--output", consent, "--yes-i-am", "Ada", command="consent")
    assert signed.exit_code == 0, signed.output
    check_refused(run(photo, "--to", "Bob", "--consent", consent), "is that of Ada, not of Bob")
    done = run(*words, "--consent", consent, env={"FACEENC_LOG": str(tmp_path / "log")})
    assert done.exit_code == 0, done.output
    assert "dlib takes the face for Ada as saved, also after JPEG at quality 75" in done.stdout
    assert distance(tmp_path / "a-protected.png", theirs[0]) < 0.5 < 0.6 < distance(photo, theirs[0])
    weak = run(photo, *DLIB, "--eps", "1/255", "--steps", "1", *words[-2:], "--consent", consent, "--json", "--force")
    [record] = records(weak)
    assert (weak.exit_code, record["unlike"]) == (4, 1), "it still looks like whom it shows, and not like Ada"
    assert {(said["judge"], said["match"]) for said in record["faces"][0]["aimed"]} == {("dlib", False)}
    line = json.loads((tmp_path / "log" / "audit.jsonl").read_text())
    assert (line["goal"], line["consent"]) == ("to Ada", load_consent(consent).fingerprint)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--decoy 1 --as s5 --gallery .", "--decoy, --as and --to exclude each other"),
        ("--decoy 1 --to Ada --consent x", "--decoy, --as and --to exclude each other"),
        ("--as s5", "--as names a sub-folder of the gallery: add --gallery FOLDER"),
        ("--as s6 --gallery .", "no photos in s6: put photos of the person there"),
        ("--gallery none", "cannot read the gallery none: no such file or directory"),
        ("--consent x", "--consent is for looking like the person who signed it: add --to NAME"),
        ("--surrogate none", "checkpoint none does not exist"),
        ("--judge none", "checkpoint none does not exist"),
        ("--quality 80", "--quality is for JPEG, HEIF and WebP, not for PNG"),
        ("--output b.tif --quality 80", "--quality is for JPEG, HEIF and WebP, not for TIFF"),
        ("--output b.jpg --format webp", "--format webp does not fit b.jpg"),
        ("--output b.jpg --format same", "--format same does not fit b.jpg"),
        ("--output b.bmp", "--output b.bmp: photos are written as .png, .jpg, .webp, .tif or .heic"),
        ("b.png --output c.jpg", "--output c.jpg names one file, and there may be several photos: name a folder"),
        ("b.png --keep-key k", "--keep-key takes one photo at a time"),
        ("sub", "a folder among other photos: add --output FOLDER"),
        ("--passphrase-file x", "--passphrase-file is for a key: add --keep-key FILE"),
        ("--keep-key k --passphrase-file x", "cannot read x: no such file or directory; check --passphrase-file"),
        ("--keep-key k", "no passphrase: set FACEENC_PASSPHRASE"),
        ("--eps 0", "--eps 0 is less than one of 255 grey levels: use at least 1/255"),
        ("--eps 8", 'did you mean "8/255"?'),
        ("--eps much", "eps 'much' is not a number"),
        ("--faces none", "--faces none: give all, largest, or how many of the largest"),
        ("--faces 0", "--faces 0: give all, largest, or how many of the largest"),
        ("--output glass.jpg glass.png", "--output glass.jpg names one file"),
        ("--output a.png/b.png", "cannot write a.png/b.png: "),
        ("--output file", "cannot write into file: "),
    ],
)
def test_what_does_not_go_together_is_told_in_a_line(
    words: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(Path("a.png"), tinted())
    save(Path("sub/b.png"), tinted())
    Path("file").touch()
    before = contents(tmp_path)
    check_refused(run("a.png", *DLIB, *words.split()), said)
    assert contents(tmp_path) == before


def test_what_does_not_fit_the_format_is_told_before_the_work(tmp_path: Path) -> None:
    glass = np.dstack([tinted(), np.full(tinted().shape[:2], 90, np.uint8)])
    photo = save(tmp_path / "glass.png", glass)
    long = save(tmp_path / "long.png", np.zeros((2, 20000), np.uint8))
    said = "the photo is transparent in places, which JPEG cannot be: save it as PNG, WebP or TIFF"
    check_refused(run(photo, *DLIB, "--format", "jpeg"), f"cannot protect {photo}: {said}")
    check_refused(run(long, *DLIB, "--format", "webp"), f"cannot protect {long}: WEBP ends at 16383 pixels a side")
    assert set(contents(tmp_path)) == {"glass.png", "long.png"}
