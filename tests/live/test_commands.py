"""`faceenc webcam`, `enroll` and `video` as people call them; dlib's face net is the recogniser and the judge."""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import stat
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from faceenc.cli import main
from faceenc.faces import ALIGNED_SIZE
from faceenc.live import load_masks
from faceenc.media import Video, count_frames, read_image, write_png
from tests.conftest import FRBENCH_NET
from tests.face_photos import write_people
from tests.live_clips import moving, read_frames, write_clip
from tests.photo_files import too_deep

FRAMES = 4


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No display, and masks of its own, for each test."""
    monkeypatch.setenv("FACEENC_MASKS", str(tmp_path / "masks"))
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", moving(["s1/9"], FRAMES), rate=12.5)


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def one_line(*words: object) -> str:
    """The error of a command that must fail."""
    result = run(*words)
    assert result.exit_code == 2, result.output
    # Where nothing is cached yet, a threshold is fitted first, and that is said.
    (line,) = [line for line in result.stderr.splitlines() if not line.startswith("INFO: ")]
    assert line.startswith("error: ")
    return line


def test_from_a_clip_to_what_the_screen_shows(clip: Path, tmp_path: Path) -> None:
    shown, record, stats = tmp_path / "shown", tmp_path / "record.mp4", tmp_path / "stats.json"
    result = run("webcam", "--source", clip, "--output", shown, "--record", record, "--stats", stats, "--method", "pgd")
    assert result.exit_code == 0, result.output
    assert f"{FRAMES} frames, 0 dropped" in result.output
    assert len(list(shown.iterdir())) == FRAMES
    assert len(json.loads(stats.read_text())) == FRAMES
    with Video(record) as video:
        assert video.rate == pytest.approx(12.5, abs=0.01)
    originals, recorded = read_frames(clip), read_frames(record)
    assert len(recorded) == FRAMES
    for original, frame, number in zip(originals, recorded, range(FRAMES), strict=True):
        screen = read_image(shown / f"{number:06d}.png")
        assert frame.shape == original.shape
        assert screen.shape[1:] == original.shape[1:]
        colourful = np.ptp(screen.astype(int), axis=2) > 60  # the clip is grey: this is what was drawn
        assert 500 < colourful.sum() < 40_000
        assert np.abs(frame.astype(int) - original).max() < 60  # nothing is drawn into the recording


def test_mirror(clip: Path, tmp_path: Path) -> None:
    result = run("webcam", "--source", clip, "--output", "none", "--record", tmp_path / "m.mp4", "--mirror", "--frames", 2)
    assert result.exit_code == 0, result.output
    recorded = read_frames(tmp_path / "m.mp4")
    assert len(recorded) == 2
    for original, frame in zip(read_frames(clip), recorded, strict=False):
        assert np.abs(original[:, ::-1].astype(int) - frame).mean() < 4 < np.abs(original.astype(int) - frame).mean()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there may be a camera, and always a display")
def test_what_is_missing_is_said_in_one_line(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "there is no camera 93 (/dev/video93 does not exist)" in one_line("webcam", "--source", 93, "--output", "none")
    assert "there is no display (DISPLAY is not set)" in one_line("webcam", "--source", clip)
    monkeypatch.setenv("DISPLAY", ":937")
    assert "the display :937 does not answer" in one_line("webcam", "--source", clip)
    assert "no such file" in one_line("webcam", "--source", tmp_path / "no.mp4", "--output", "none")
    assert "ending '.xyz'" in one_line("webcam", "--source", clip, "--output", tmp_path / "a.xyz")
    assert "cannot be opened: check the address" in one_line(
        "webcam", "--source", "rtsp://127.0.0.1:9/none", "--output", "none"
    )
    assert "use .json or .csv" in one_line("webcam", "--source", clip, "--output", "none", "--stats", tmp_path / "a.txt")
    assert "nobody is enrolled" in one_line("webcam", "--source", clip, "--output", "none", "--method", "mask")
    assert "checkpoint" in one_line(
        "webcam", "--source", clip, "--output", "none", "--surrogate", tmp_path / "no.safetensors"
    )


def test_nobody_is_impersonated_without_their_consent(clip: Path, tmp_path: Path) -> None:
    words = ("webcam", "--source", clip, "-o", "none")
    assert "to be taken for Bob needs their consent" in one_line(*words, "--to", "Bob")
    (tmp_path / "forged").write_text("{}")
    assert "is not a consent" in one_line(*words, "--to", "Bob", "--consent", tmp_path / "forged")
    assert "--method mask only hides people: use pgd for --to" in one_line(*words, "--to", "Bob", "--method", "mask")
    assert "add --to NAME, or leave it out" in one_line(*words, "--consent", tmp_path / "forged")


def test_with_it_a_face_moves_toward_theirs(
    clip: Path, tmp_path: Path, frbench_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import timedelta

    from faceenc.data import enlarge, read_orl
    from faceenc.live import Identifier, live_detector
    from faceenc.protect import make_consent, today_utc
    from faceenc.recognizers import DLIB, load_recognizer

    monkeypatch.setenv("FACEENC_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("FACEENC_LOG", str(tmp_path / "log"))
    identifier = Identifier(load_recognizer("dlib"))
    with live_detector() as detector:
        photo = enlarge(read_orl()["s3/1"])
        theirs = identifier.answers(identifier.crop(photo, detector(photo)[0])[None])[0].numpy()
        today = today_utc()
        consent = make_consent(
            "Grace", {DLIB: theirs[None]}, ["00" * 32], signed=today, valid_until=today + timedelta(days=1)
        )
        (tmp_path / "grace.consent").write_text(consent)
        words = ("--to", "grace", "--consent", tmp_path / "grace.consent", "--no-evidence")
        result = run("video", clip, tmp_path / "out.mp4", *words)
        assert result.exit_code == 0, result.output
        distances = []
        for frame in (read_frames(clip)[-1], read_frames(tmp_path / "out.mp4")[-1]):
            found = identifier.answers(identifier.crop(frame, detector(frame)[0])[None])[0].numpy()
            distances.append(float(np.linalg.norm(found - theirs)))
    assert distances[1] < 0.75 * distances[0]
    (line,) = (tmp_path / "log" / "audit.jsonl").read_text().splitlines()
    assert json.loads(line)["action"] == "impersonate"
    other = ("webcam", "--source", clip, "--output", "none", *words[:-1], "--surrogate", f"frbench:{FRBENCH_NET}")
    assert "embeddings of dlib's net only" in one_line(*other)


def test_a_virtual_camera_needs_its_package_or_driver(clip: Path) -> None:
    line = one_line("webcam", "--source", clip, "--output", "virtual", "--frames", 1, "--method", "pgd")
    assert "pip install 'faceenc[virtual]'" in line or "install its driver" in line


def test_enrolling_makes_a_mask_that_hides_in_other_photos_and_frames(tmp_path: Path, clip: Path) -> None:
    write_people(tmp_path / "photos", {"s1": 7})
    result = run("enroll", "Ada", tmp_path / "photos" / "s1", "--steps", 40, "--eps", "12/255")
    assert result.exit_code == 0, result.output
    hidden, held = map(int, re.findall(r"hidden in (\d+) of (\d+) views", result.output)[0])
    assert held > 0
    assert ("good; next: faceenc webcam --method mask" in result.output) == (hidden >= 0.9 * held)
    assert ("too few to rely on" in result.output) == (hidden < 0.9 * held)
    (mask,) = load_masks("dlib")
    assert (mask.person, mask.noise.shape, len(mask.answers)) == ("Ada", (1, 3, ALIGNED_SIZE, ALIGNED_SIZE), 7)
    assert float(mask.noise.abs().max()) <= 1
    (file,) = (tmp_path / "masks").iterdir()
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    stats = tmp_path / "stats.json"
    result = run("webcam", "--source", clip, "--output", "none", "--method", "mask", "--eps", "12/255", "--stats", stats)
    assert result.exit_code == 0, result.output
    rows = json.loads(stats.read_text())
    assert sum(row["hidden"] for row in rows) >= 0.75 * sum(row["faces"] for row in rows) > 0


def test_every_kind_of_recogniser_can_be_hidden_from(clip: Path, tmp_path: Path, frbench_cache: Path) -> None:
    for spec in ("dlib-torch", f"frbench:{FRBENCH_NET}"):
        stats = tmp_path / f"{spec[:4]}.json"
        words = ("--source", clip, "--output", "none", "--frames", 2, "--stats", stats, "--method", "pgd", "--steps", 2)
        result = run("webcam", *words, "--surrogate", spec)
        assert result.exit_code == 0, result.output
        assert "2 frames, 0 dropped" in result.output


def test_the_words_of_the_release_before(clip: Path, tmp_path: Path) -> None:
    words = ("webcam", "--source", clip, "--output", "none", "--frames", 1)
    result = run(*words, "--engine", "pgd", "--model", "dlib")
    assert result.exit_code == 0, result.output
    assert [line.partition(": ")[2] for line in result.stderr.splitlines()] == [
        "--engine is --method now; the old word goes with the next release",
        "--model is --surrogate now; the old word goes with the next release",
    ]
    assert run(*words, "--engine", "exact").stderr == ""
    result = run(*words, "--method", "noise", "--goal", "dodge", "--max-faces", 2, "--eps", 4)
    assert result.exit_code == 0, result.output
    assert [line.partition(": ")[2].partition(";")[0] for line in result.stderr.splitlines()] == [
        "--goal is part of --to NAME now", "--max-faces is --faces now", "--eps 4 is --eps 4/255 now",
    ]  # fmt: skip
    assert run(*words, "--method", "noise", "--eps", 4, "-q").stderr == ""
    refused = run(*words, "--eps", "33/255")
    assert refused.exit_code == 2
    assert "'33/255' is not in the range from 1/255 to 32/255" in refused.stderr


def test_who_is_enrolled_is_known_by_name(tmp_path: Path, clip: Path) -> None:
    from faceenc.live import Controls, Frame, Processor, Tracker, live_detector, load_identifier, make_method

    write_people(tmp_path / "photos", {"s1": 4})
    write_png(tmp_path / "photos" / "s1" / "blank.png", np.full((90, 120, 3), 90, np.uint8))  # is left out
    assert run("enroll", "Ada", tmp_path / "photos" / "s1", "--steps", 1).exit_code == 0
    identifier, masks = load_identifier()
    with live_detector() as detector:
        method = make_method("mask", identifier, masks, steps=1)
        processor = Processor(Tracker(detector), identifier, method, Controls(1))
        (face,) = processor(Frame(0, read_frames(clip)[0], 0.0, 0.0)).faces
        (other,) = processor(Frame(99, moving(["s2/9"], 1)[0], 0.0, 0.0)).faces
    assert face.before is not None
    assert face.before.name == "Ada"
    assert other.before is not None
    assert other.before.name == "same face"


def test_photos_that_cannot_be_enrolled(tmp_path: Path) -> None:
    write_people(tmp_path / "photos", {"s1": 2})
    assert "at least 3 are needed" in one_line("enroll", "Ada", tmp_path / "photos")
    if sys.platform != "win32":
        deep = too_deep(tmp_path / "photos")
        said = run("enroll", "Ada", tmp_path / "photos").stderr.splitlines()
        assert said[0].startswith(f"WARNING: cannot read {deep}")
        assert "2 usable photos of Ada: at least 3 are needed" in said[-1]
        shutil.rmtree(deep)
    write_png(tmp_path / "photos" / "blank.png", np.full((90, 120, 3), 90, np.uint8))
    (tmp_path / "photos" / "torn.png").write_bytes((tmp_path / "photos" / "blank.png").read_bytes()[:60])
    said = run("enroll", "Ada", tmp_path / "photos").stderr.splitlines()
    assert [line for line in said if "blank.png" in line and "no face found" in line and line.endswith("left out")]
    assert [line for line in said if "torn.png" in line and line.endswith("left out")]
    assert "2 usable photos of Ada" in said[-1]
    assert not (tmp_path / "masks").exists()


def test_a_damaged_mask_is_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "x.safetensors").write_bytes(b"nothing")
    assert load_masks("dlib") == []
    assert "enroll the person again" in caplog.text


def test_a_video_is_protected_frame_by_frame_with_proof(clip: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    result = run("video", clip, output, "--json", "--steps", 2)
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert (record["frames"], record["faces"]) == (FRAMES, FRAMES)
    assert 1 < record["noise"] <= 8
    assert 0 < record["flicker"] < record["noise"]
    proof = record["evidence"]
    assert proof["faces"] == proof["original"] == FRAMES
    assert proof["saved"] <= 1
    assert proof["h264"] <= 2
    assert record["complete"]
    assert count_frames(output) == FRAMES
    assert "exists already" in one_line("video", clip, output)
    assert "is the video itself" in one_line("video", output, output, "--force")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.mp4"]


def test_a_video_without_faces_is_copied_and_said(tmp_path: Path) -> None:
    empty = write_clip(tmp_path / "empty.mp4", [np.full((120, 160, 3), 90, np.uint8)] * 3)
    result = run("video", empty, tmp_path / "out.mp4")
    assert result.exit_code == 0, result.output
    assert "the copy is not protected" in result.stderr
    assert "no face was found" in result.stdout
    assert len(read_frames(tmp_path / "out.mp4")) == 3


def test_videos_that_cannot_be_protected_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("hello")
    assert "no video" in one_line("video", tmp_path / "text.mp4", tmp_path / "out.mp4")
    assert "no such file" in one_line("video", tmp_path / "no.mp4", tmp_path / "out.mp4")
    assert [file.name for file in tmp_path.iterdir()] == ["text.mp4"]


def cut(clip: Path, folder: Path) -> Path:
    """A Matroska file that says how long it is, and ends before."""
    whole = folder / "whole.mkv"
    write_clip(whole, moving(["s1/9"], 60))
    (folder / "short.mkv").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    whole.unlink()
    return folder / "short.mkv"


def test_a_video_that_is_cut_short_is_protected_as_far_as_it_goes_and_said(clip: Path, tmp_path: Path) -> None:
    result = run("video", cut(clip, tmp_path), tmp_path / "out.mp4", "--steps", 1, "--no-evidence")
    assert result.exit_code == 3, result.output
    assert re.search(r"short.mkv is cut short or damaged: the copy has the \d+ frames that can be read", result.stderr)
    frames = int(re.search(r"(\d+) frames", result.stdout)[1])  # type: ignore[index]
    assert 0 < frames < 60
    assert count_frames(tmp_path / "out.mp4") == frames


class _Hanging(http.server.BaseHTTPRequestHandler):
    """Serves a file as a stream without a length, and hangs up."""

    content = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *words: object) -> None:
        pass


def test_a_stream_that_breaks_off_is_said_with_an_exit_code(clip: Path, tmp_path: Path) -> None:
    handler = type("Handler", (_Hanging,), {"content": cut(clip, tmp_path).read_bytes()})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/live"
        result = run("webcam", "--source", address, "-o", tmp_path / "out.mp4", "--method", "noise")
        server.shutdown()
    assert result.exit_code == 3, result.output
    assert f"{address} broke off: what came until then is protected" in result.stderr
    assert count_frames(tmp_path / "out.mp4") > 0
