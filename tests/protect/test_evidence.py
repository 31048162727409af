"""Evidence about protected photos, and `faceenc verify`: real detector, real judges, real noise."""

from __future__ import annotations

import io
import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image

from faceenc.cli import Group, main
from faceenc.core import DataError, cache_dir, overlap
from faceenc.data import enlarge, read_orl
from faceenc.faces import FaceSearch, Found, cut_out, key_points_similarity, pyramid_levels
from faceenc.media import VARIANTS, Jpeg, Visibility, to_tensor, to_uint8, write_png
from faceenc.protect import Evidence, align_original, gather_evidence, summary_line
from faceenc.recognizers import DLIB, FaceResNet, Recognizer, load_dlibnet, load_judges, load_recognizer, save_checkpoint
from tests.conftest import FRBENCH_NET
from tests.face_photos import write_blank, write_people
from tests.pictures import halved

EPS = 10 / 255


@pytest.fixture(scope="module")
def orl() -> dict[str, NDArray[np.uint8]]:
    wanted = {"s1/1", "s2/1", "s3/1"}
    return {name: enlarge(picture) for name, picture in read_orl().items() if name in wanted}


@pytest.fixture(scope="module")
def protected(orl: dict[str, NDArray[np.uint8]], search: FaceSearch) -> NDArray[np.uint8]:
    """s1/1 with white-box noise against dlib's net: a few signed gradient steps through its alignment."""
    net = load_dlibnet()
    x = to_tensor(orl["s1/1"][None])
    similarity = key_points_similarity(search(orl["s1/1"])[0])
    levels = pyramid_levels(similarity.scale)

    def embed(photo: torch.Tensor) -> torch.Tensor:
        for _ in range(levels):
            photo = halved(photo)
        return net(cut_out(photo, [similarity.moved(0, levels)], size=150))

    with torch.no_grad():
        clean = embed(x)
    delta = (torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1) * EPS
    for _ in range(10):
        delta.requires_grad_(True)
        (gradient,) = torch.autograd.grad((embed((x + delta).clamp(0, 1)) - clean).norm(), delta)
        delta = (delta.detach() + EPS / 3 * gradient.sign()).clamp(-EPS, EPS)
    return to_uint8(x + delta)[0]


@pytest.fixture(scope="module")
def evidence(
    orl: dict[str, NDArray[np.uint8]], protected: NDArray[np.uint8], judges: list[Recognizer], search: FaceSearch
) -> Evidence:
    return gather_evidence(orl["s1/1"], protected, judges=[*judges, load_recognizer("dlib-torch")], search=search)


def by_variant(evidence: Evidence, judge: str, face: int = 0) -> dict[str, Any]:
    return {verdict.variant: verdict for verdict in evidence.faces[face].verdicts if verdict.judge == judge}


def test_noise_against_a_judges_network_ends_the_match(evidence: Evidence) -> None:
    assert evidence.matches() == 0
    for judge in evidence.networks:
        verdicts = by_variant(evidence, judge)
        assert tuple(verdicts) == VARIANTS
        assert all(verdict.distance > verdict.threshold == 0.6 for verdict in verdicts.values())
        assert len({verdict.distance for verdict in verdicts.values()}) == 4, "each variant was looked at"
        assert all(verdict.found and verdict.rank is None for verdict in verdicts.values())
    assert 0.5 < evidence.faces[0].ssim < 0.95
    assert 28 < evidence.faces[0].psnr < 40
    seen = evidence.faces[0].visible
    assert seen is not None
    assert 20 < seen.noise < 80
    assert seen.butteraugli > 2
    assert seen.shape < 0.5
    assert evidence.max_change == 10


def test_random_noise_of_the_same_size_does_not(
    orl: dict[str, NDArray[np.uint8]], judges: list[Recognizer], search: FaceSearch
) -> None:
    photo = orl["s1/1"]
    noise = np.random.default_rng(0).choice([-10, 10], photo.shape)
    found = gather_evidence(photo, (photo + noise).clip(0, 255).astype(np.uint8), judges=judges, search=search)
    assert all(verdict.match for verdict in found.faces[0].verdicts)
    assert "still matches the face" in summary_line(found)


def test_equal_photos_are_no_distance_apart(
    orl: dict[str, NDArray[np.uint8]], judges: list[Recognizer], search: FaceSearch
) -> None:
    found = gather_evidence(orl["s1/1"], orl["s1/1"].copy(), judges=judges, search=search)
    verdicts = by_variant(found, judges[0].name)
    assert verdicts["saved"].distance == 0
    assert all(0 < verdicts[variant].distance < 0.25 for variant in ("jpeg75", "half", "blur"))
    assert found.matches() == 1
    assert (found.psnr, found.max_change, found.faces[0].ssim) == (math.inf, 0, 1)
    assert found.faces[0].visible == Visibility(noise=100, butteraugli=0, shape=0)
    record = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert record["photo"] == {"psnr": None, "max_change": 0}
    assert "equal" in summary_line(found)


def test_each_face_of_a_group_is_judged_against_itself(
    orl: dict[str, NDArray[np.uint8]], judges: list[Recognizer], search: FaceSearch
) -> None:
    """The left one stays, the right one becomes somebody else."""
    before = np.concatenate([orl["s1/1"], orl["s2/1"]], axis=1)
    after = np.concatenate([orl["s1/1"], orl["s3/1"]], axis=1)
    found = gather_evidence(before, after, judges=judges, search=search)
    left, right = sorted(found.faces, key=lambda face: face.box.x0)
    assert [verdict.match for verdict in left.verdicts] == [True] * 4
    assert [verdict.match for verdict in right.verdicts] == [False] * 4
    assert left.psnr == math.inf
    assert right.psnr < 25
    assert [found.matches(variant) for variant in VARIANTS] == [1, 1, 1, 1]
    assert "no longer matches 1 of 2 faces as saved, 1 after JPEG" in summary_line(found, {DLIB})


def test_a_face_that_is_not_found_is_looked_at_in_its_place(
    orl: dict[str, NDArray[np.uint8]], judges: list[Recognizer], search: FaceSearch
) -> None:
    photo = orl["s1/1"]
    grey = np.full_like(photo, 120)
    found = gather_evidence(photo, grey, judges=judges, search=search)
    assert [verdict.found for verdict in found.faces[0].verdicts] == [False] * 4
    assert all(math.isfinite(verdict.distance) for verdict in found.faces[0].verdicts)
    assert "missed a face 4 times" in summary_line(found)
    known = search(photo)
    again = gather_evidence(
        photo, grey, judges=judges, search=search, found=Found(known, [], 0, 0), variants=["saved", "half"]
    )
    assert [face.box for face in again.faces] == [face.box for face in known]
    assert [verdict.variant for verdict in again.faces[0].verdicts] == ["saved", "half"]
    assert gather_evidence(grey, grey, judges=judges, search=search).faces == ()


def test_the_record_is_what_it_was_agreed_to_be(evidence: Evidence) -> None:
    record = json.loads(json.dumps(evidence.to_json(), allow_nan=False))
    assert record.keys() == {"faces", "photo", "doubtful", "left", "strays", "searched"}
    assert record["searched"]["upright"] == 19
    assert record["searched"]["turned"] == 46
    assert record["searched"]["saved"].keys() >= {"MediaPipe", "YuNet"}
    assert record["photo"].keys() == {"psnr", "max_change"}
    (face,) = record["faces"]
    assert face.keys() == {"box", "ssim", "psnr", "noise", "butteraugli", "shape", "judges", "seen"}
    assert len(face["box"]) == 4
    assert len(face["judges"]) == 4 * len(evidence.networks)
    for entry in face["judges"]:
        assert entry.keys() == {"judge", "variant", "distance", "threshold", "match", "rank", "able"}
        assert entry["match"] is False
        assert entry["rank"] is None


def test_the_last_line_says_what_was_not_shown(evidence: Evidence) -> None:
    both = " and ".join(evidence.networks) if len(evidence.networks) > 1 else "dlib-torch"
    match = "match" if len(evidence.networks) > 1 else "matches"
    attacked, left_out = summary_line(evidence, {DLIB}), summary_line(evidence, {"another"})
    assert attacked.startswith(f"attacked: {both} no longer {match} the face")
    assert left_out.startswith(f"not attacked: {both} no longer {match} the face")
    assert "no recogniser that was not attacked was asked" in attacked
    assert "was asked" not in left_out
    unknown = summary_line(evidence)
    assert unknown.startswith(f"attacked if encrypt's defaults were used: {both}")
    assert "no recogniser that encrypt's defaults do not attack was asked" in unknown
    for line in (attacked, left_out, unknown):
        assert f"no longer {match} the face as saved, after JPEG at quality 75, at half size or blurred" in line
        assert line.endswith("newer recognisers may still match")
        assert "\n" not in line


def test_what_saving_does_by_itself_is_not_seen_where_that_is_asked_for(
    orl: dict[str, NDArray[np.uint8]], search: FaceSearch
) -> None:
    photo = orl["s1/1"]
    found, saved = search.search(photo), Jpeg(30).pixels(photo)
    ask = partial(gather_evidence, photo, saved, judges=[], search=search, found=found, variants=["saved"])
    (plain,), (fair,) = ask().faces, ask(as_saved=Jpeg(30).pixels).faces
    assert plain.visible is not None
    assert plain.visible.noise < 85
    # Within a few pixels of the window's edge, where the whole photo's colours are smoothed over it, they differ.
    assert fair.visible is not None
    assert fair.visible.noise > 98
    assert fair.ssim == plain.ssim < 1


def test_photos_of_different_size_are_refused(
    orl: dict[str, NDArray[np.uint8]], judges: list[Recognizer], search: FaceSearch
) -> None:
    with pytest.raises(DataError, match="568 x 648 and 567 x 648"):
        gather_evidence(orl["s1/1"], orl["s1/1"][:, 1:], judges=judges, search=search)


@pytest.mark.parametrize(
    ("part", "size"),
    [((0, 0, 568, 648), (284, 324)), ((17, 19, 551, 629), (534, 610)), ((0, 26, 545, 648), (327, 373))],
    ids=["half", "cropped", "both"],
)
def test_the_place_of_a_copy(
    part: tuple[int, int, int, int], size: tuple[int, int], protected: NDArray[np.uint8],
    orl: dict[str, NDArray[np.uint8]], search: FaceSearch,
) -> None:  # fmt: skip
    cut = Image.fromarray(protected).crop(part).resize(size, Image.Resampling.BICUBIC)
    copy = Jpeg(60).pixels(np.array(cut))
    aligned = align_original(orl["s1/1"], copy, search)
    assert aligned is not None
    assert aligned.picture.shape == copy.shape
    box = aligned.copy.part
    assert np.abs(np.subtract((box.x0, box.y0, box.x1, box.y1), part)).max() < 3
    [face], [there] = aligned.found.faces, search(aligned.picture)
    assert overlap(face.box, there.box) > 0.8
    assert align_original(orl["s2/1"], copy, search) is None


@pytest.fixture
def studio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orl: dict[str, NDArray[np.uint8]], protected: NDArray[np.uint8]
) -> Path:
    """The current folder, with a photo, its protected copy and a picture of nothing; and a cache of its own."""
    (tmp_path / "cache").mkdir()
    for file in cache_dir().iterdir():
        (tmp_path / "cache" / file.name).symlink_to(file)
    monkeypatch.setenv("FACEENC_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_png("photo.png", orl["s1/1"])
    write_png("protected.png", protected)
    write_blank(tmp_path / "wall.png")
    return tmp_path


def call(*words: str) -> Result:
    return CliRunner().invoke(Group(commands={"verify": main.commands["verify"]}), ["verify", *words])


def test_the_command_prints_tables_and_the_last_line(studio: Path) -> None:
    done = call("photo.png", "protected.png")
    assert (done.exit_code, done.stderr) == (0, "")
    assert all(word in done.stdout for word in [*VARIANTS, "no match", "SSIMULACRA2", "10 of 255"])
    assert done.stdout.splitlines()[-2].startswith("noise plainly seen (SSIMULACRA2 ")
    assert done.stdout.splitlines()[-1].endswith("newer recognisers may still match")
    Image.open("photo.png").save("photo.jpg", quality=90)
    done = call("photo.png", "photo.jpg")
    assert done.exit_code == 1, "dlib still matches"
    assert "still matches the face" in done.stdout.splitlines()[-1]


def test_copies_as_messengers_make_them_are_judged(studio: Path) -> None:
    for name in ("photo", "protected"):
        with Image.open(f"{name}.png") as picture:
            picture.resize((284, 324)).save(f"{name}-half.jpg", quality=60)
            picture.crop((17, 19, 551, 629)).save(f"{name}-cropped.png")
    for copy in ("half.jpg", "cropped.png"):
        done = call("photo.png", f"photo-{copy}", "--json")
        assert done.exit_code == 1, f"dlib still matches {copy}"
    record = json.loads(done.stdout)
    assert record["copy"] == {"original": [568, 648], "size": [534, 610], "part": [17, 19, 551, 629], "faces_outside": 0}
    assert record["photo"] == {"psnr": None, "max_change": None}
    assert [face["noise"] for face in record["faces"]] == [None]
    done = call("photo.png", "protected-cropped.png")
    assert (done.exit_code, done.stderr) == (0, "")
    seen, line = done.stdout.splitlines()[-2:]
    assert seen.startswith("a copy of another size: 534 x 610 pixels, which show 89 % of the original's 568 x 648;")
    assert "no longer match" in line


def test_ranks_in_a_gallery_and_another_judge(studio: Path) -> None:
    write_people(studio / "people", {"s1": 2, **{f"s{person}": 1 for person in range(2, 6)}})
    (studio / "people" / "s1" / "1.png").unlink()  # the photo itself
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_checkpoint(FaceResNet(("a", "b"), 64, "aligned").eval(), studio / "r.safetensors", {})
    done = call("photo.png", "protected.png", "--gallery", "people", "--as", "s1", "--judge", "r.safetensors", "--json")
    record = json.loads(done.stdout)
    assert record.keys() >= {"faces", "photo", "summary"}
    entries = record["faces"][0]["judges"]
    assert [entry["judge"] for entry in entries] == [entries[0]["judge"]] * 4 + ["r.safetensors"] * 4
    assert all(2 <= entry["rank"] <= 5 for entry in entries[:4])
    random = [entry for entry in entries[4:] if entry["variant"] == "saved"]
    assert done.exit_code == int(random[0]["match"])
    assert "not attacked by encrypt's defaults: r.safetensors" in record["summary"]
    done = call("photo.png", "photo.png", "--gallery", "people", "--as", "s1", "--json")
    assert done.exit_code == 1
    assert [entry["rank"] for entry in json.loads(done.stdout)["faces"][0]["judges"]] == [1, 1, 1, 1]
    done = call("photo.png", "photo.png", "--gallery", "people", "--as", "s11")
    assert done.exit_code == 2
    assert "nobody of that name" in done.stderr


def test_every_kind_of_recogniser_judges(studio: Path, frbench_cache: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_checkpoint(FaceResNet(("a", "b"), 64, "square").eval(), studio / "r.safetensors", {})
    specs = ["dlib-torch", "r.safetensors", f"frbench:{FRBENCH_NET}"]
    done = call("photo.png", "photo.png", "--json", *(word for spec in specs for word in ("--judge", spec)))
    assert done.exit_code == 1, "the photo matches itself"
    entries = json.loads(done.stdout)["faces"][0]["judges"]
    assert {entry["judge"] for entry in entries} == {*specs, load_judges()[0].name}
    assert all(entry["match"] for entry in entries if entry["variant"] == "saved")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["photo.png", "wall.png"], "568 x 648 and 120 x 90 pixels, and the second is no scaled or slightly cropped copy"),
        (["wall.png", "wall.png"], "no face found in wall.png"),
        (["photo.png", "nowhere.png"], "nowhere.png"),
        (["photo.png", "protected.png", "--judge", "photo.png"], "photo.png is a picture"),
        (["photo.png", "protected.png", "--gallery", "nowhere"], "cannot read the gallery"),
        (["photo.png", "protected.png", "--as", "s1"], "--gallery"),
        (["photo.png", "protected.png", "--frbench", "none_of_these"], "frbench"),
    ],
)
def test_mistakes_are_told_in_a_line(words: list[str], said: str, studio: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRBENCH_CACHE", str(studio / "empty"))
    done = call(*words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stdout == ""
    assert [line.partition(":")[0] for line in done.stderr.splitlines() if not line.startswith("WARNING: ")] == ["error"]


def test_photos_are_compared_upright(studio: Path, orl: dict[str, NDArray[np.uint8]], protected: NDArray[np.uint8]) -> None:
    """A phone's file lies on its side and says so; the protected one stands."""
    lying = Image.fromarray(np.rot90(orl["s1/1"]))
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    lying.save(file, "PNG", exif=exif)
    (studio / "phone.png").write_bytes(file.getvalue())
    done = call("phone.png", "protected.png", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["photo"]["max_change"] == 10
