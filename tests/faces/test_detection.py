"""The real detector on real faces."""

from __future__ import annotations

import concurrent.futures.thread
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from faceenc.core import AssetError, Box, Face
from faceenc.data import enlarge, read_orl
from faceenc.faces import FaceDetector, main_face
from tests.pictures import WRONG_IMAGES


@pytest.fixture(scope="module")
def orl() -> dict[str, NDArray[np.uint8]]:
    return {name: enlarge(picture) for name, picture in read_orl().items()}


@pytest.fixture(scope="module")
def detector() -> Iterator[FaceDetector]:
    with FaceDetector() as made:
        yield made


@pytest.mark.parametrize("model", ["short", "full"])
def test_key_points_lie_where_a_face_has_them(model: str, orl: dict[str, NDArray[np.uint8]]) -> None:
    with FaceDetector(model=model) as detector:  # type: ignore[arg-type]
        for name in [f"s{person}/1" for person in range(1, 41, 6)]:
            (face,) = detector(orl[name])
            right_eye, left_eye, nose, mouth, right_ear, left_ear = face.landmarks["mediapipe"]
            assert face.box.x0 < right_eye[0] < nose[0] < left_eye[0] < face.box.x1
            assert face.box.y0 < max(right_eye[1], left_eye[1]) < nose[1] < mouth[1] < face.box.y1
            assert right_ear[0] < right_eye[0] < left_eye[0] < left_ear[0]
            assert 0 < face.box.x0 < face.box.x1 < orl[name].shape[1]
            assert 0 < face.box.y0 < face.box.y1 < orl[name].shape[0]
            assert 0.5 <= face.score <= 1


def test_every_orl_picture_shows_one_face(detector: FaceDetector, orl: dict[str, NDArray[np.uint8]]) -> None:
    assert [name for name, picture in orl.items() if len(detector(picture)) != 1] == []
    assert len(orl) == 400


def test_best_first_and_the_box_moves_with_the_face(detector: FaceDetector, orl: dict[str, NDArray[np.uint8]]) -> None:
    both = np.concatenate([orl["s1/1"], orl["s2/1"]], axis=1)
    faces = detector(both)
    assert len(faces) == 2
    assert faces[0].score >= faces[1].score
    left, right = sorted(faces, key=lambda face: face.box.x0)
    width = orl["s1/1"].shape[1]
    alone = detector(orl["s2/1"])[0]
    assert left.box.x1 < width < right.box.x0
    assert abs(right.box.x0 - width - alone.box.x0) < 0.1 * alone.box.width
    with FaceDetector(min_score=(faces[0].score + faces[1].score) / 2) as strict:
        assert [face.score for face in strict(both)] == [faces[0].score]


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((480, 640, 3), np.uint8),
        np.full((480, 640, 3), 200, np.uint8),
        np.linspace(0, 255, 480).astype(np.uint8)[:, None, None].repeat(640, 1).repeat(3, 2),
        np.zeros((1, 1, 3), np.uint8),
    ],
    ids=["black", "grey", "ramp", "pixel"],
)
def test_no_face_where_there_is_none(image: NDArray[np.uint8], detector: FaceDetector) -> None:
    assert detector(image) == []


def test_noise_and_stripes_are_at_most_a_doubtful_face(detector: FaceDetector) -> None:
    pictures = [np.random.default_rng(seed).integers(0, 256, (480, 640, 3), np.uint8) for seed in range(10)]
    pictures.append(np.tile(np.repeat(np.array([0, 255], np.uint8), 16), (480, 20))[..., None].repeat(3, axis=2))
    assert all(face.score < 0.7 for picture in pictures for face in detector(picture))


@pytest.mark.parametrize("image", WRONG_IMAGES.values(), ids=WRONG_IMAGES)
def test_wrong_images_are_refused_and_do_no_harm(
    image: NDArray[np.uint8], detector: FaceDetector, orl: dict[str, NDArray[np.uint8]]
) -> None:
    with pytest.raises(ValueError, match="expected"):
        detector(image)
    assert len(detector(orl["s1/1"])) == 1


def test_views_are_taken_and_left_alone(detector: FaceDetector, orl: dict[str, NDArray[np.uint8]]) -> None:
    picture = orl["s1/1"].copy()
    picture.flags.writeable = False
    mirrored = detector(picture[:, ::-1])[0]
    assert abs(mirrored.box.x0 - (picture.shape[1] - detector(picture)[0].box.x1)) < 0.1 * mirrored.box.width


def test_closed_detector_says_so() -> None:
    detector = FaceDetector()
    detector.close()
    detector.close()
    with pytest.raises(ValueError, match="closed"):
        detector(np.zeros((8, 8, 3), np.uint8))


def test_file_that_mediapipe_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").write_bytes(b"not a model")
    monkeypatch.setattr("faceenc.faces.detection.fetch", lambda name: tmp_path / "model")
    with pytest.raises(AssetError, match="MediaPipe does not start") as caught:
        FaceDetector()
    assert "\n" not in str(caught.value)


def test_nothing_reaches_the_terminal() -> None:
    """From the import to an exit without close(), whichever way memory happens to be aligned."""
    code = (
        "import sys; from faceenc.faces import FaceDetector\n"
        "assert 'mediapipe' not in sys.modules\n"
        "import numpy as np\n"
        "short, full = FaceDetector(), FaceDetector(model='full')\n"
        "for side in range(100, 160): short(np.zeros((side, 150, 3), np.uint8)), full(np.zeros((side, 150, 3), np.uint8))\n"
        "full.close()\n"
        "print('own line', file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "own line\n")


def test_noise_of_the_libraries_is_kept_for_debugging(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(5, logger="faceenc.faces.detection"):
        FaceDetector().close()
    assert any("XNNPACK" in record.message for record in caplog.records)


def test_a_detector_that_nobody_holds_is_closed_later_and_never_by_garbage_collection() -> None:
    """Which may strike in the middle of MediaPipe's own calls, while these hold the lock that a call begins with."""
    FaceDetector().close()  # the first one's frame is kept by what MediaPipe tries to import
    detector = FaceDetector()
    raw = detector._detector
    detector.itself = detector  # type: ignore[attr-defined]  # so that only a collection ends it
    del detector
    collecting = threading.Thread(target=gc.collect, daemon=True)
    with concurrent.futures.thread._global_shutdown_lock:
        collecting.start()
        collecting.join(20)
        assert not collecting.is_alive()
        assert raw._handle
    FaceDetector().close()
    assert not raw._handle


def test_threads_give_stderr_back() -> None:
    before = os.fstat(2)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: FaceDetector().close(), range(8)))
    assert os.path.samestat(before, os.fstat(2))


@pytest.mark.parametrize(
    ("boxes", "chosen"),
    [
        ([(0, 0, 10, 10)], 0),
        ([(0, 0, 10, 10), (0, 0, 20, 20)], 1),
        ([(90, 90, 110, 110), (0, 0, 30, 30)], 0),
        ([(95, 95, 105, 105), (20, 20, 170, 170)], 1),
    ],
)
def test_main_face_is_large_and_central(boxes: list[tuple[float, float, float, float]], chosen: int) -> None:
    faces = [Face(Box(*box), {}, 0.9) for box in boxes]
    assert main_face(faces, 200, 200) is faces[chosen]


def test_matplotlib_stays_away_until_somebody_draws() -> None:
    code = (
        "import sys; from faceenc.faces import FaceDetector; FaceDetector().close();"
        "assert 'matplotlib' not in sys.modules;"
        "from mediapipe.tasks.python.vision import drawing_utils;"
        "assert drawing_utils.plt.figure.__module__ == 'matplotlib.pyplot'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
