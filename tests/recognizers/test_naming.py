"""The recogniser's names on photos of several people: real detector, real (small) recogniser."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from faceenc.cli import Group, main
from faceenc.data import enlarge, read_orl
from faceenc.faces import FaceSearch, Framing, frame_face
from faceenc.media import list_photos, read_image, to_tensor
from faceenc.recognizers import FaceResNet, annotate, name_outputs, recognize, save_checkpoint
from tests.live_clips import small_recognizer

SIZE = 64
PEOPLE = {"s1": "Ada [b]", "s2": "Наталья", "s3": "Grace"}


@pytest.fixture(scope="module")
def orl() -> dict[str, NDArray[np.uint8]]:
    wanted = {f"{person}/{n}" for person in PEOPLE for n in range(1, 10)} | {f"s{person}/1" for person in range(1, 41)}
    return {name: enlarge(picture) for name, picture in read_orl().items() if name in wanted}


@pytest.fixture(scope="module")
def detector() -> Iterator[FaceSearch]:
    with FaceSearch() as search:
        yield search


@pytest.fixture(scope="module")
def model(detector: FaceSearch) -> FaceResNet:
    return small_recognizer(detector, PEOPLE, size=SIZE)


@pytest.fixture(scope="module")
def group(orl: dict[str, NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """s3, s1 and s2 from left to right, in pictures that were not trained on."""
    return np.concatenate([orl["s3/9"], orl["s1/9"], orl["s2/9"]], axis=1)


def test_everybody_in_a_group_gets_the_right_name(model: FaceResNet, detector: FaceSearch, group: NDArray[np.uint8]) -> None:
    found = recognize(group, model, detector)
    assert len(found) == 3
    names = [person.name for person in sorted(found, key=lambda person: person.face.box.x0)]
    assert names == [PEOPLE["s3"], PEOPLE["s1"], PEOPLE["s2"]]
    assert not any(person.blurred for person in found)


def test_a_blurred_bystander_gets_no_name_without_a_question_mark(
    studio: Path, model: FaceResNet, group: NDArray[np.uint8]
) -> None:
    third = group.shape[1] // 3
    picture = Image.fromarray(group)
    picture.paste(picture.crop((third, 0, 2 * third, group.shape[0])).filter(ImageFilter.GaussianBlur(8)), (third, 0))
    picture.save(studio / "party.png")
    words = ("party.png", "--model", "model.safetensors", "--threshold", "0")
    faces = sorted(json.loads(call(*words, "--json").stdout)["faces"], key=lambda face: face["box"])
    assert [face["blurred"] for face in faces] == [False, True, False]
    table = call(*words).stdout
    assert table.count(" ? ") == 1
    assert "too blurred or too small" in table


@pytest.mark.parametrize("framing", ["square", "aligned"])
def test_probabilities_are_the_softmax_of_each_face_alone(
    framing: Framing, detector: FaceSearch, group: NDArray[np.uint8]
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        random = FaceResNet(tuple("abcde"), SIZE, framing).eval()
    for person in recognize(group, random, detector):
        crop = frame_face(group, person.face, size=SIZE, framing=framing)
        with torch.no_grad():
            logits = random(to_tensor(crop[None]))[0].double().numpy()
        likely = np.exp(logits) / np.exp(logits).sum()
        order = np.argsort(-likely)[:3]
        assert [name for name, _ in person.top] == ["abcde"[k] for k in order]
        assert [value for _, value in person.top] == pytest.approx(likely[order], abs=1e-4)
        assert (person.best, person.probability) == person.top[0]


def test_the_threshold_divides_known_from_unknown(model: FaceResNet, detector: FaceSearch, group: NDArray[np.uint8]) -> None:
    everybody = recognize(group, model, detector)
    middle = sorted(person.probability for person in everybody)[1]
    by_option = recognize(group, model, detector, threshold=middle)
    assert [person.name for person in by_option] == [p.best if p.probability >= middle else None for p in everybody]
    assert sum(person.name is None for person in by_option) == 1
    assert [person.top for person in by_option] == [person.top for person in everybody]
    model.threshold = middle
    try:
        assert recognize(group, model, detector) == by_option
        assert recognize(group, model, detector, threshold=0) == everybody
    finally:
        model.threshold = 0.0
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        recognize(group, model, detector, threshold=1.5)


def test_two_people_have_no_third(detector: FaceSearch, group: NDArray[np.uint8]) -> None:
    found = recognize(group, FaceResNet(("a", "b"), SIZE).eval(), detector)
    assert [len(person.top) for person in found] == [2, 2, 2]


def test_a_picture_without_a_face(model: FaceResNet, detector: FaceSearch) -> None:
    empty = np.full((480, 640, 3), 120, np.uint8)
    assert recognize(empty, model, detector) == []
    np.testing.assert_array_equal(annotate(empty, []), empty)


def test_the_photo_shows_known_and_unknown_faces_in_different_colours(
    model: FaceResNet, detector: FaceSearch, group: NDArray[np.uint8]
) -> None:
    found = recognize(group, model, detector)
    known, unknown = annotate(group, found), annotate(group, recognize(group, model, detector, threshold=1))
    doubtful = annotate(group, found, sure=False)
    for picture in (known, unknown, doubtful):
        colourful = np.ptp(picture.astype(int), axis=2) > 20  # the photo itself is grey
        for person in found:
            box = person.face.box
            assert colourful[round(box.y0) : round(box.y1), round(box.x0)].all()
            assert not colourful[round(box.y0 + 60) : round(box.y1 - 20), round(box.x0 + 20) : round(box.x1 - 20)].any()
    for other in (unknown, doubtful):
        assert (known != other).any(axis=2).sum() > 1000


def test_the_search_finds_the_small_faces_of_a_large_photo(orl: dict[str, NDArray[np.uint8]], detector: FaceSearch) -> None:
    photo = np.full((900, 2000, 3), 110, np.uint8)
    places = [(90 + 310 * (k % 6), 80 + 270 * (k // 6)) for k in range(18)]
    for k, (x, y) in enumerate(places):
        small = Image.fromarray(orl[f"s{k + 1}/1"]).resize((96, 109), Image.Resampling.BOX)
        photo[y : y + 109, x : x + 96] = np.array(small)
    assert len(detector.whole(photo)) < 9
    faces = detector(photo)
    assert len(faces) >= 16
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)
    for face in faces:
        box = face.box
        [_] = [(x, y) for x, y in places if x <= box.x0 and box.x1 <= x + 96 and y <= box.y0 and box.y1 <= y + 109]
        assert all(box.x0 - 10 < px < box.x1 + 10 for points in face.landmarks.values() for px, _ in points)
        assert face.quarters == 0


@pytest.mark.parametrize("shape", [(480, 640), (1000, 300), (300, 1000), (192, 193), (1, 1), (5, 4000)])
def test_noise_and_nothing_hold_no_face(shape: tuple[int, int], detector: FaceSearch) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (*shape, 3), np.uint8)
    assert detector(noise) == []
    assert detector(np.full((*shape, 3), 90, np.uint8)) == []


def test_portraits_gain_no_faces(orl: dict[str, NDArray[np.uint8]], detector: FaceSearch) -> None:
    for person in range(1, 41, 5):
        big = np.array(Image.fromarray(orl[f"s{person}/1"]).resize((1100, 1400)))
        assert len(detector(big)) == 1


def test_folders_are_searched_in_order_and_without_the_output(tmp_path: Path) -> None:
    for name in [
        "b/2.JPG",
        "b/1.png",
        "a/x.jpeg",
        "a/.hidden.png",
        ".git/y.png",
        "z.webp",
        "notes.txt",
        "out/z-recognized.png",
    ]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    listed = list_photos([tmp_path / "b" / "2.JPG", tmp_path, tmp_path / "none.png"], output=tmp_path / "out")
    assert [photo.relative_to(tmp_path).as_posix() for photo in listed.photos] == [
        "b/2.JPG", "z.webp", "a/x.jpeg", "b/1.png", "none.png",
    ]  # fmt: skip
    why = {"notes.txt": "no photo", ".git": "hidden", "a/.hidden.png": "hidden"}
    assert (listed.errors, listed.left_out) == ({}, {tmp_path / name: reason for name, reason in why.items()})
    (tmp_path / "empty").mkdir()
    listed = list_photos([tmp_path / "empty"], output=tmp_path / "out")
    assert listed.photos == []
    assert "no photos in" in str(listed.errors[tmp_path / "empty"])


def test_outputs_never_meet(tmp_path: Path) -> None:
    photos = [tmp_path / name for name in ["a/1.jpg", "b/1.jpg", "b/1.png", "b/2.jpg", "a/X.jpg", "a/x.png", "a-1.jpg"]]
    out = tmp_path / "out"
    out.mkdir()
    names = [file.name for file in name_outputs(photos, out)]
    assert names[3] == "2-recognized.png"
    assert names[:3] == ["a-1-recognized.png", "b-1-recognized.png", "b-1-recognized-2.png"]
    assert len({name.casefold() for name in names}) == len(photos)
    (out / "2-recognized.png").write_bytes(b"somebody's photo")
    assert name_outputs([photos[3]], out) == [out / "2-recognized-2.png"]


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: FaceResNet, group: NDArray[np.uint8]) -> Path:
    """The current folder, with a recogniser, a group, an empty picture and a broken one."""
    monkeypatch.chdir(tmp_path)
    save_checkpoint(model, tmp_path / "model.safetensors", {})
    Image.fromarray(group).save("group.jpg", quality=95)
    Image.new("RGB", (300, 200), "gray").save("[empty].png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 not much of a photo")
    return tmp_path


def call(*words: str) -> Result:
    return CliRunner().invoke(Group(commands={"recognize": main.commands["recognize"]}), ["recognize", *words])


def test_json_is_all_that_stdout_holds(studio: Path, group: NDArray[np.uint8]) -> None:
    before = (studio / "group.jpg").read_bytes()
    done = call("group.jpg", "broken.jpg", "missing.jpg", "[empty].png", "--model", "model.safetensors", "--json", "-q")
    assert done.exit_code == 2
    first, second = map(json.loads, done.stdout.splitlines())
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["error", "error"]
    assert "broken.jpg" in done.stderr
    assert "missing.jpg" in done.stderr
    faces = sorted(first["faces"], key=lambda face: face["box"])
    assert [face["name"] for face in faces] == [PEOPLE["s3"], PEOPLE["s1"], PEOPLE["s2"]]
    assert all(face["top"][0] == {"name": face["best"], "probability": face["probability"]} for face in faces)
    assert all(1 >= face["probability"] > 0.34 for face in faces)
    assert second == {"photo": "[empty].png", "output": str(Path("recognized/[empty]-recognized.png")), "faces": []}
    marked = read_image(first["output"])
    assert marked.shape == group.shape
    assert (np.ptp(marked.astype(int), axis=2) > 20).sum() > 1000
    assert (studio / "group.jpg").read_bytes() == before
    assert sorted(path.name for path in (studio / "recognized").iterdir()) == [
        "[empty]-recognized.png", "group-recognized.png",
    ]  # fmt: skip


def test_the_table_names_everybody(studio: Path) -> None:
    done = call("group.jpg", "[empty].png", "--model", "model.safetensors", "--output", "a/b", "--threshold", "0")
    assert (done.exit_code, done.stderr) == (0, "INFO: recognising: 2 to do\n")
    assert all(name in done.stdout for name in ["group.jpg", "[empty].png", "no face found", *PEOPLE.values(), "%"])
    assert "unknown" not in done.stdout
    assert "?" not in done.stdout
    assert (studio / "a" / "b" / "group-recognized.png").is_file()
    again = call("group.jpg", "--model", "model.safetensors", "--output", "a/b", "--threshold", "1")
    assert again.exit_code == 0
    assert again.stdout.count("unknown") == 3
    assert (studio / "a" / "b" / "group-recognized-2.png").is_file()


def test_a_folder_means_its_photos_but_not_our_own(studio: Path) -> None:
    (studio / "broken.jpg").unlink()
    for _ in range(2):
        done = call(".", "--model", "model.safetensors", "--json")
        assert done.exit_code == 0
        assert [json.loads(line)["photo"] for line in done.stdout.splitlines()] == ["[empty].png", "group.jpg"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["group.jpg"], "--model is missing"),
        (["group.jpg", "--model", "nowhere.safetensors"], "does not exist"),
        (["group.jpg", "--model", "group.jpg"], "is a picture"),
        (["group.jpg", "--model", "model.safetensors", "--output", "group.jpg"], "cannot make the folder"),
        (["group.jpg", "--model", "model.safetensors", "--threshold", "1.5"], "0<=x<=1"),
        ([], "Missing argument"),
    ],
)
def test_mistakes_are_told_in_a_line(words: list[str], said: str, studio: Path) -> None:
    done = call("-q", *words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stdout == ""
    assert said.startswith(("0<", "Missing")) or len(done.stderr.splitlines()) == 1
    assert not (studio / "recognized").exists()


def test_a_recogniser_without_threshold_is_said_to_know_everybody(studio: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="faceenc"):
        call("[empty].png", "--model", "model.safetensors")
        assert "no threshold" in caplog.text
        caplog.clear()
        call("[empty].png", "--model", "model.safetensors", "--threshold", "0.5")
        assert "no threshold" not in caplog.text


def test_a_threshold_fitted_on_few_photos_is_doubted(
    studio: Path, model: FaceResNet, group: NDArray[np.uint8], caplog: pytest.LogCaptureFixture
) -> None:
    fitted = copy.copy(model)
    fitted.threshold = 0.5
    save_checkpoint(fitted, studio / "model.safetensors", {"images": {"validation": 6}})
    call("group.jpg", "--model", "model.safetensors")
    assert "was set on 6 photos, too few" in caplog.text
    caplog.clear()
    call("group.jpg", "--model", "model.safetensors", "--threshold", "0.5", "--output", "sure")
    assert "too few" not in caplog.text
    pictures = [read_image(studio / folder / "group-recognized.png") for folder in ("recognized", "sure")]
    assert (pictures[0] != pictures[1]).any(axis=2).sum() > 1000
