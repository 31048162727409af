"""The search for faces of any angle and size, and what it stands on: closer looks, YuNet, quarter turns."""

from __future__ import annotations

import cmath
import io
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks.faceless import faceless_pictures
from faceenc.core import Box, Face, Points, at_place, overlap, turned
from faceenc.data import enlarge, read_orl
from faceenc.faces import (
    CloserLook,
    FaceDetector,
    FaceSearch,
    YuNet,
    box_around,
    frame_face,
    quarter_turns,
    reduced,
    set_upright,
)
from tests.pictures import WRONG_IMAGES

Pixels = NDArray[np.uint8]

CENTRE = 0.5 + 0.5j  # of the first pixel, where points are counted from its corner


@pytest.fixture(scope="module")
def search() -> Iterator[FaceSearch]:
    with FaceSearch() as made:
        yield made


@pytest.fixture(scope="module")
def orl() -> dict[str, Pixels]:
    return {name: enlarge(picture) for name, picture in read_orl().items() if name.endswith("/1")}


@pytest.fixture(scope="module")
def faceless() -> dict[str, Pixels]:
    return faceless_pictures()


@pytest.fixture(scope="module")
def boxes(orl: dict[str, Pixels]) -> dict[str, Box]:
    """MediaPipe's, of each picture's face."""
    with FaceDetector() as detector:
        return {name: detector(picture)[0].box for name, picture in orl.items()}


def set_in(scene: Pixels, picture: Pixels, box: Box, *, width: float, middle: tuple[int, int]) -> Box:
    """Sets a portrait into a scene, so large that its face's box is `width` wide, and tells where that box lies now."""
    small = reduced(picture, width / box.width)
    zoom = small.shape[1] / picture.shape[1]
    left = round(middle[0] - (box.x0 + box.x1) / 2 * zoom)
    top = round(middle[1] - (box.y0 + box.y1) / 2 * zoom)
    scene[top : top + small.shape[0], left : left + small.shape[1]] = small
    return Box(left + box.x0 * zoom, top + box.y0 * zoom, left + box.x1 * zoom, top + box.y1 * zoom)


def jpeg(image: Image.Image) -> Pixels:
    """As a file of quality 90 gives it back."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return np.array(Image.open(file).convert("RGB"))


def centred(picture: Pixels) -> Image.Image:
    """An ORL picture in the middle of a square of its background's shade."""
    face = Image.fromarray(picture).convert("L").resize((276, 336), Image.Resampling.BICUBIC)
    square = Image.new("L", (640, 640), face.getpixel((3, 3)))
    square.paste(face, ((640 - 276) // 2, (640 - 336) // 2))
    return square


def check_order(face: Face) -> None:
    """Both schemes' points lie as on a face that is turned upright."""
    turn = -1j / face.up
    right_eye, left_eye, nose, right, left = (complex(*point) * turn for point in face.landmarks["arcface"])
    assert right_eye.real < nose.real < left_eye.real
    assert right.real < left.real
    assert max(right_eye.imag, left_eye.imag) < nose.imag < min(right.imag, left.imag)
    right_eye, left_eye, nose, mouth, right_ear, left_ear = (complex(*p) * turn for p in face.landmarks["mediapipe"])
    assert right_ear.real < right_eye.real < nose.real < left_eye.real < left_ear.real
    assert max(right_eye.imag, left_eye.imag) < nose.imag < mouth.imag


@pytest.mark.parametrize("width", [28, 45, 90])
def test_small_upright_faces_in_a_larger_picture(
    width: int, search: FaceSearch, orl: dict[str, Pixels], boxes: dict[str, Box]
) -> None:
    scene = np.full((1000, 1500, 3), 120, np.uint8)
    middles = [(x, y) for y in (250, 750) for x in (250, 750, 1250)]
    names = ("s1/1", "s2/1", "s5/1", "s7/1", "s13/1", "s20/1")
    places = [set_in(scene, orl[n], boxes[n], width=width, middle=m) for n, m in zip(names, middles, strict=True)]
    found = search.search(scene)
    assert len(found.faces) == len(places)
    assert found.doubtful == []
    for place in places:
        assert at_place([face.box for face in found.faces], place)
    for face in found.faces:
        assert face.quarters == 0
        assert abs(face.up + 1j) < 0.3
        check_order(face)
    assert [face.score for face in found.faces] == sorted((face.score for face in found.faces), reverse=True)


@pytest.mark.parametrize("width", [28, 85, 110])
def test_faces_between_two_tiles(width: int, search: FaceSearch, orl: dict[str, Pixels], boxes: dict[str, Box]) -> None:
    """The picture is looked at in two parts that meet in its middle."""
    scene = np.full((900, 2400, 3), 120, np.uint8)
    names = ("s1/1", "s5/1", "s13/1")
    for k, name in enumerate(names):
        set_in(scene, orl[name], boxes[name], width=width, middle=(1200 + (k - 1) * width // 3, 150 + 300 * k))
    assert len(search(scene)) == len(names)


@pytest.mark.parametrize("degrees", [90, 180, 270, 45, 135])
def test_turned_faces(degrees: int, search: FaceSearch, orl: dict[str, Pixels]) -> None:
    """As files of turned pictures that no EXIF tells of."""
    for name in ("s5/1", "s7/1"):
        image = jpeg(centred(orl[name]).rotate(degrees))
        (face,) = search(image)
        wanted = -1j * cmath.rect(1, -math.radians(degrees))
        assert abs(face.up - wanted) < 0.3
        if degrees % 90 == 0:
            assert face.quarters == -degrees // 90 % 4
            assert set_upright(image, face, margin=0.75)[1].quarters == 0
        assert abs(complex(face.box.x0 + face.box.x1, face.box.y0 + face.box.y1) / 2 - (320 + 320j)) < 100
        check_order(face)


def test_others_do_not_find_turned_faces(search: FaceSearch, orl: dict[str, Pixels]) -> None:
    image = np.asarray(centred(orl["s5/1"]).convert("RGB"))
    assert len(search.as_others_use_it(image)) == 1
    assert search.as_others_use_it(np.ascontiguousarray(np.rot90(image))) == []


def test_small_faces_of_a_group_in_48_megapixels(search: FaceSearch, orl: dict[str, Pixels]) -> None:
    """One large head and three of 148 pixels."""
    large = np.full((6000, 8000, 3), 120, np.uint8)
    for k in range(4):
        size, left, top = ((148, 180), 2100 + k * 1100, 2000) if k else ((460, 560), 400, 1500)
        head = Image.fromarray(read_orl()[f"s{k + 1}/1"]).resize(size, Image.Resampling.BICUBIC)
        large[top : top + size[1], left : left + size[0]] = np.asarray(head)
    found = search.search(large)
    assert len(found.faces) == 4
    small = search.search(np.full((300, 400, 3), 120, np.uint8))
    assert small.faces == []
    assert small.smallest == found.smallest
    assert small.smallest < small.smallest_turned < found.smallest_turned


@pytest.mark.parametrize("name", ["blurred-noise-3", "texture-0", "texture-3", "foliage-4", "cat-2", "clouds-6"])
def test_no_face_where_there_is_none(name: str, search: FaceSearch, faceless: dict[str, Pixels]) -> None:
    assert search(faceless[name]) == []


def stub(score: float, detector: str) -> list[Face]:
    """What a detector finds in the middle of a closer look."""
    box = Box(106, 106, 214, 214)
    five: Points = ((140, 140), (180, 140), (160, 160), (145, 180), (175, 180))
    six: Points = (*five[:3], (160, 180), (110, 150), (210, 150))
    return [Face(box, {"arcface": five} if detector == "yunet" else {"mediapipe": six}, score, detector)]


@pytest.mark.parametrize(
    ("yunet", "mediapipe", "faces", "doubtful"),
    [
        (0.7, None, 0, 1),
        (None, 0.7, 0, 1),
        (0.7, 0.7, 1, 0),
        (0.85, None, 1, 0),
        (None, 0.95, 1, 0),
        (0.5, None, 0, 0),
        (None, None, 0, 0),
    ],
)
def test_one_detector_must_be_sure_or_both_agree(
    yunet: float | None, mediapipe: float | None, faces: int, doubtful: int
) -> None:
    closer = CloserLook(
        yunet=lambda view: [] if yunet is None else stub(yunet, "yunet"),
        near=lambda view: [],
        wide=lambda view: [] if mediapipe is None else stub(mediapipe, "mediapipe"),
    )
    place = replace(stub(0.4, "mediapipe" if yunet is None else "yunet")[0], box=Box(200, 200, 300, 300))
    found = closer.settle(np.zeros((500, 500, 3), np.uint8), [place, place])
    assert [len(part) for part in found] == [faces, doubtful]


def test_a_false_face_inside_a_real_one_is_none(search: FaceSearch, orl: dict[str, Pixels]) -> None:
    """A nose that somebody takes for a face, however surely, is the face that it is in."""
    (face,) = search(orl["s1/1"])
    x, y = (face.box.x0 + face.box.x1) / 2, (face.box.y0 + face.box.y1) / 2
    reach = face.box.width / 4
    nose = replace(face, box=Box(x - reach, y - reach, x + reach, y + reach), score=0.99)
    faces, doubtful = search.closer.settle(orl["s1/1"], [nose, face])
    assert len(faces) == 1
    assert faces[0].box.width == pytest.approx(face.box.width, rel=0.2)
    assert doubtful == []


def test_what_yunet_does_not_see_from_near_is_no_face() -> None:
    closer = CloserLook(lambda view: [], lambda view: stub(0.95, "mediapipe"), lambda view: [])
    assert closer.settle(np.zeros((500, 500, 3), np.uint8), stub(0.4, "yunet")) == ([], [])


def test_both_detectors_together_give_both_schemes() -> None:
    closer = CloserLook(lambda view: stub(0.7, "yunet"), lambda view: stub(0.75, "mediapipe"), lambda view: [])
    ((face,), _) = closer.settle(np.zeros((500, 500, 3), np.uint8), stub(0.4, "yunet"))
    assert face.detector == "mediapipe+yunet"
    assert face.score == 0.75
    assert set(face.landmarks) == {"mediapipe", "arcface"}


def test_a_closed_search_says_so() -> None:
    search = FaceSearch()
    search.close()
    search.close()
    with pytest.raises(ValueError, match="closed"):
        search(np.zeros((80, 80, 3), np.uint8))


@pytest.mark.parametrize("image", WRONG_IMAGES.values(), ids=WRONG_IMAGES)
def test_yunet_refuses_wrong_images(image: Pixels) -> None:
    with pytest.raises(ValueError, match="expected"):
        YuNet()(image)


def test_yunets_box_is_drawn_as_mediapipes(orl: dict[str, Pixels], boxes: dict[str, Box]) -> None:
    yunet = YuNet()
    shared = []
    for name, picture in orl.items():
        half = reduced(picture, 0.5)
        face = yunet(half)[0]
        assert face.box == box_around(face.landmarks["arcface"])
        wanted = boxes[name]
        there = Box(*(v * 2 for v in (face.box.x0, face.box.y0, face.box.x1, face.box.y1)))
        shared.append(overlap(there, wanted))
    assert min(shared) > 0.6
    assert np.median(shared) > 0.8


@pytest.mark.parametrize("quarters", range(4))
def test_quarter_turns_are_numpys(quarters: int) -> None:
    width, height = 7, 5
    image = np.arange(width * height).reshape(height, width)
    back = quarter_turns(quarters, width, height)
    for (y, x), value in np.ndenumerate(np.rot90(image, quarters)):
        there = back(complex(x, y))
        assert there == complex(round(there.real), round(there.imag))
        assert image[round(there.imag), round(there.real)] == value


def upright_face() -> Face:
    """Of a picture 60 pixels wide and 40 high; its landmarks are the centres of pixels."""
    five: Points = ((20.5, 12.5), (30.5, 12.5), (25.5, 17.5), (21.5, 22.5), (29.5, 22.5))
    return Face(Box(17, 8, 35, 26), {"arcface": five}, 0.9, "yunet")


@pytest.mark.parametrize("quarters", range(4))
def test_faces_turn_with_their_pictures(quarters: int) -> None:
    face = upright_face()
    there = turned(face, quarters, 60, 40)
    assert there.quarters == -quarters % 4
    back = quarter_turns(quarters, 60, 40)
    for before, after in zip(face.landmarks["arcface"], there.landmarks["arcface"], strict=True):
        assert back(complex(*after) - CENTRE) + CENTRE == complex(*before)
    size = (60, 40) if quarters % 2 == 0 else (40, 60)
    assert turned(there, -quarters % 4, *size) == face


@pytest.mark.parametrize("quarters", range(4))
def test_a_face_set_upright_keeps_its_pixels(quarters: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    image = np.ascontiguousarray(np.rot90(picture, quarters))
    face = turned(upright_face(), quarters, 60, 40)
    window, there, where = set_upright(image, face, margin=0.3)
    assert there.quarters == 0
    for y in range(window.shape[0]):
        for x in range(window.shape[1]):
            point = where(complex(x, y))
            assert (window[y, x] == image[round(point.imag), round(point.real)]).all()
    for before, after in zip(face.landmarks["arcface"], there.landmarks["arcface"], strict=True):
        assert where(complex(*after) - CENTRE) + CENTRE == complex(*before)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_square_crops_of_a_turned_face_are_the_upright_ones(
    quarters: int, orl: dict[str, Pixels], boxes: dict[str, Box]
) -> None:
    picture = orl["s5/1"]
    with FaceDetector() as detector:
        face = detector(picture)[0]
    assert face.box == boxes["s5/1"]
    wanted = frame_face(picture, face, size=112, framing="square").astype(int)
    there = turned(face, quarters, picture.shape[1], picture.shape[0])
    crop = frame_face(np.ascontiguousarray(np.rot90(picture, quarters)), there, size=112, framing="square")
    assert np.abs(crop - wanted).max() <= 2  # Pillow rounds between the two directions
