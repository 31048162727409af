"""`faceenc detect` on photos and folders, with the real detectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from faceenc.cli import main
from faceenc.data import enlarge, read_orl
from tests.photo_files import Pixels, encoded


@pytest.fixture
def portrait() -> Pixels:
    return enlarge(read_orl()["s1/1"])


def detect(*words: object) -> Result:
    return CliRunner().invoke(main, ["detect", *map(str, words)])


def record(result: Result) -> dict[str, Any]:
    """Of the only photo."""
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_damaged_photo_does_not_keep_the_others_from_being_searched(portrait: Pixels, tmp_path: Path) -> None:
    good = encoded(portrait, "JPEG")
    files = [tmp_path / name for name in ("1.jpg", "2.jpg", "3.jpg")]
    for file, content in zip(files, (good, good[: len(good) // 3], good), strict=True):
        file.write_bytes(content)
    result = detect(*files)
    assert result.exit_code == 2
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [Path(photo["photo"]).name for photo in found] == ["1.jpg", "3.jpg"]
    assert all(len(photo["faces"]) == 1 for photo in found)
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert "2.jpg" in line


def test_a_folder_means_the_photos_in_and_below_it(portrait: Pixels, tmp_path: Path) -> None:
    (tmp_path / "album" / "old").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "album" / "a.png").write_bytes(encoded(portrait, "PNG"))
    (tmp_path / "album" / "old" / "b.webp").write_bytes(encoded(portrait, "WEBP"))
    result = detect(tmp_path / "empty", tmp_path / "album")
    assert result.exit_code == 2
    assert "no photos in" in result.stderr
    assert [Path(json.loads(line)["photo"]).name for line in result.stdout.splitlines()] == ["a.png", "b.webp"]


@pytest.mark.parametrize(("quarters", "tilt"), [(0, 0), (1, -90), (2, 180), (3, 90)])
def test_a_turned_face_is_found_and_its_tilt_told(portrait: Pixels, quarters: int, tilt: float, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(encoded(np.rot90(portrait, quarters), "PNG"))
    found = record(detect(tmp_path / "photo.png"))
    (face,) = found["faces"]
    assert abs((face["tilt"] - tilt + 180) % 360 - 180) < 15
    assert {len(points) for points in face["landmarks"].values()} <= {5, 6}
    x0, y0, x1, y1 = face["box"]
    eyes = np.array([points[:2] for points in face["landmarks"].values()])
    assert (eyes > (x0, y0)).all()
    assert (eyes < (x1, y1)).all()
    assert face["detector"] in ("mediapipe", "yunet", "mediapipe+yunet")
    assert 0.5 < face["score"] <= 1


def test_a_small_face_in_a_large_picture(portrait: Pixels, tmp_path: Path) -> None:
    picture = np.full((2400, 3200, 3), 110, np.uint8)
    picture[1500:1555, 2600:2648] = np.asarray(Image.fromarray(portrait).resize((48, 55), Image.Resampling.BOX))
    (tmp_path / "square.png").write_bytes(encoded(picture, "PNG"))
    found = record(detect(tmp_path / "square.png"))
    (face,) = found["faces"]
    x0, y0, x1, y1 = face["box"]
    assert 2590 < x0 < x1 < 2660
    assert 1490 < y0 < y1 < 1565
    assert 19 <= x1 - x0 < 48
    assert found["searched"]["upright"] == 19
    assert 19 < found["searched"]["turned"] <= 60
    assert isinstance(found["doubtful"], list)
