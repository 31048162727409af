"""Every command and the training read every format that `encrypt` reads: a table of formats, on ORL faces."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from faceenc.cli import main
from faceenc.data import load_folder
from faceenc.faces import FaceDetector
from faceenc.media import read_image
from faceenc.recognizers import save_checkpoint
from tests.encrypting import QUICK, portrait
from tests.live_clips import small_recognizer
from tests.photo_files import STORED, Pixels, encoded, oriented, png_file, tiff_file

pytest.importorskip("pillow_heif").register_heif_opener()
pytestmark = pytest.mark.usefixtures("cache")

SIZE = 64
PEOPLE = ("s1", "s2")


def png16(pixels: Pixels) -> bytes:
    rows = (pixels.astype(">u2") * 257).reshape(len(pixels), -1)
    return png_file(pixels.shape[1], len(pixels), 16, 2, b"".join(b"\0" + row.tobytes() for row in rows))


def tiff16(pixels: Pixels) -> bytes:
    return tiff_file(pixels.astype("<u2") * 257, (pixels.shape[1], len(pixels)), bits=(16, 16, 16))


def palette(pixels: Pixels) -> bytes:
    """With a white bar that is black, and transparent, in the file."""
    image = Image.fromarray(pixels).quantize(200)
    image.putpalette([*(image.getpalette() or ())[:600], 0, 0, 0])
    image.paste(200, (0, 0, image.width, 4))
    return encoded(image, "PNG", transparency=200)


# By the name of the file.
FORMATS: dict[str, Callable[[Pixels], bytes]] = {
    "phone.heic": lambda x: encoded(STORED[6](x), "HEIF", quality=95, exif=oriented(6)),
    "scan.tif": tiff16,
    "turned.jpg": lambda x: encoded(STORED[6](x), "JPEG", quality=95, exif=oriented(6)),
    "print.jpe": lambda x: encoded(Image.fromarray(x).convert("CMYK"), "JPEG", quality=95),
    "deep.png": png16,
    "palette.png": palette,
    "web.webp": lambda x: encoded(x, "WEBP", quality=95),
}
HARD = ("phone.heic", "scan.tif", "turned.jpg")


def shown(person: str, number: int) -> Pixels:
    """What a photo shows: a face in colour, with a white bar above."""
    pixels = (portrait(f"{person}/{number}", 2) * np.array([1, 0.9, 0.8])).astype(np.uint8)
    pixels[:4] = 255
    return pixels


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of people, each with a photo of every format."""
    root = tmp_path_factory.mktemp("album") / "photos"
    for person in PEOPLE:
        (root / person).mkdir(parents=True)
        for number, (name, encode) in enumerate(FORMATS.items(), start=1):
            (root / person / name).write_bytes(encode(shown(person, number)))
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small recogniser of both."""
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    with FaceDetector() as detector:
        save_checkpoint(small_recognizer(detector, {person: person for person in PEOPLE}, size=SIZE), path, {})
    return path


def run(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


@pytest.mark.parametrize("name", FORMATS)
def test_the_pixels(name: str, album: Path) -> None:
    pixels, wanted = read_image(album / "s1" / name), shown("s1", 1 + list(FORMATS).index(name))
    assert np.abs(pixels.astype(int) - wanted).mean() < (0.01 if name in ("scan.tif", "deep.png") else 4)
    assert pixels[:2].min() > 245


def test_detect(album: Path, tmp_path: Path) -> None:
    for number in range(1, len(FORMATS) + 1):
        Image.fromarray(shown("s1", number)).save(tmp_path / f"{number}.png")
    found = run("detect", *(album / "s1" / name for name in FORMATS)).stdout.splitlines()
    wanted = run("detect", *(tmp_path / f"{number}.png" for number in range(1, len(FORMATS) + 1))).stdout.splitlines()
    for line, reference in zip(found, wanted, strict=True):
        (face,), (same,) = json.loads(line)["faces"], json.loads(reference)["faces"]
        assert face["box"] == pytest.approx(same["box"], abs=4), line


def test_recognize(album: Path, model: Path, tmp_path: Path) -> None:
    result = run("recognize", album, "--model", model, "--output", tmp_path / "marked", "--json")
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(records) == len(PEOPLE) * len(FORMATS)
    for record in records:
        assert [face["best"] for face in record["faces"]] == [Path(record["photo"]).parent.name]


def test_training(album: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "faceenc"):
        people = load_folder(album, SIZE)
    assert sorted(people.files) == sorted(f"{person}/{name}" for person in PEOPLE for name in FORMATS)
    assert not caplog.records
    (tmp_path / "quick.toml").write_text(
        f'[data]\nsource = "{album.as_posix()}"\nsize = {SIZE}\n[training]\ninit = "random"\nvalidation = 0.2\n'
        "batch_size = 8\nstages = [{ size = 32, epochs = 1, learning_rate = 1e-3 }]\n",
        encoding="utf-8",
    )
    run("train", tmp_path / "quick.toml", "--output", tmp_path / "out")
    assert (tmp_path / "out" / "best.safetensors").is_file()


def test_evaluate(album: Path, model: Path) -> None:
    record = json.loads(run("evaluate", "--judge", model, "--data", album, "--part", "all", "--json").stdout)
    assert record["top1"]["images"] == record["top1"]["right"] == len(PEOPLE) * len(FORMATS)


def test_enroll(album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEENC_MASKS", str(tmp_path / "masks"))
    run("enroll", "Ada", *(album / "s1" / name for name in HARD), "--steps", 1)
    assert len(list((tmp_path / "masks").iterdir())) == 1


@pytest.mark.parametrize("name", HARD)
def test_verify(name: str, album: Path) -> None:
    record = json.loads(run("verify", album / "s1" / name, album / "s1" / name, "--json", code=1).stdout)
    assert all(judged["match"] for face in record["faces"] for judged in face["judges"])


def test_encrypt(tmp_path: Path) -> None:
    for name in HARD:
        (tmp_path / name).write_bytes(FORMATS[name](portrait()))
    photos = [tmp_path / name for name in HARD]
    result = CliRunner().invoke(main, [*map(str, ["encrypt", *photos, "--output", tmp_path / "out", "--json", *QUICK])])
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [len(record["faces"]) for record in records] == [1] * len(HARD)
    for record in records:
        assert read_image(record["output"]).shape == portrait().shape
