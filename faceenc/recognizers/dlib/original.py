"""dlib's own pipeline, where the extra `judge` (dlib-bin) is installed. The only user of dlib.

Its steps: a detector of frontal faces by histograms of oriented gradients (HOG), 5-point landmarks, an upright chip, and the
face net in C++. `DlibNet` computes what that net computes, within 1e-6, and many times faster.
"""

from __future__ import annotations

import cmath
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from faceenc.core import SURROUNDINGS, AssetError, Box, Face, Window, at_place, atomic_file, cache_dir, fetch, window_around
from faceenc.faces import CHIP_FIVE, CHIP_SIZE, Similarity, box_around, set_upright

if TYPE_CHECKING:
    from numpy.typing import NDArray


_PADDING = 0.25  # around the face, as the face net was trained with

# How far off a box may lie that is found anew: right and down by shares of its size, and zoomed.
_OFF = ((0, 0, 1), (0.06, 0, 1), (-0.06, 0, 1), (0, 0.06, 1), (0, -0.06, 1), (0, 0, 1.12), (0, 0, 0.9))
_DISTINCT = 5.0  # chip pixels
_DETECTOR_FACE = 160  # pixels; the detector finds faces of 80 and more


def has_dlib() -> bool:
    """Whether dlib can be loaded here."""
    try:
        _dlib()
    except AssetError:
        return False
    return True


_AROUND = 2 * SURROUNDINGS  # of a face that is turned upright: its surroundings, for boxes that lie beside it


def hog_box(image: NDArray[np.uint8], face: Face) -> Box | None:
    """The same face, within 45 degrees of upright, as dlib's HOG detector sees it, None where it sees none.

    Searched are the face's surroundings, scaled so that the face is 160 pixels wide: quick on any photo, and it also finds
    the small and the huge ones that whole photos need enlarged or reduced for.

    Args:
        image: (H, W, 3) uint8 RGB.
        face: as detected in this very image.

    Raises:
        AssetError: dlib is not installed.
    """
    detector = _hog_detector()
    height, width = image.shape[:2]
    x0, y0, x1, y1 = window_around(face.box, width, height, margin=SURROUNDINGS)
    factor = _DETECTOR_FACE / max(face.box.width, face.box.height)
    size = max(1, round((x1 - x0) * factor)), max(1, round((y1 - y0) * factor))
    window = Image.fromarray(np.ascontiguousarray(image[y0:y1, x0:x1])).resize(
        size, Image.Resampling.BICUBIC, reducing_gap=2.0
    )
    # dlib's rectangles include their last row and column.
    corners = [(r.left(), r.top(), r.right() + 1, r.bottom() + 1) for r in detector(np.array(window), 0)]
    across, down = (x1 - x0) / size[0], (y1 - y0) / size[1]
    boxes = [Box(a * across + x0, b * down + y0, c * across + x0, d * down + y0) for a, b, c, d in corners]
    return at_place(boxes, face.box)


def hog_faces(image: NDArray[np.uint8]) -> list[Face]:
    """All faces that dlib's HOG detector finds: upright, of 80 pixels and more.

    Args:
        image: (H, W, 3) uint8 RGB.

    Returns:
        Highest score first; the five points are where they lie in most faces with the landmarks that dlib finds. The score
        is dlib's own, not a probability: 0 is doubtful, 1 and more is sure.

    Raises:
        AssetError: dlib is not installed, or the landmarks' file cannot be had.
    """
    if min(image.shape[:2]) < 2:  # which numpy lays out in a way that dlib does not read
        return []
    pixels = np.ascontiguousarray(image)
    rectangles, scores, _ = _hog_detector().run(pixels, 0, 0.0)
    faces = []
    for found, score in zip(rectangles, scores, strict=True):
        chip = _similarity(pixels, Box(found.left(), found.top(), found.right() + 1, found.bottom() + 1))
        five = tuple((point.real + 0.5, point.imag + 0.5) for point in map(chip, CHIP_FIVE))
        faces.append(Face(box_around(five), {"arcface": five}, float(score), "dlib"))
    return sorted(faces, key=lambda face: -face.score)


def dlib_chip(image: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
    """The chip of a face as dlib alone would cut it out: by its own detector (else in MediaPipe's box) and landmarks.

    Args:
        image: (H, W, 3) uint8 RGB.
        face: as detected in this very image.

    Returns:
        (150, 150, 3) uint8 RGB.

    Raises:
        AssetError: dlib is not installed, or the landmarks' file cannot be had.
    """
    image, face, _ = set_upright(image, face, margin=_AROUND)
    return _chip(image, hog_box(image, face) or face.box)


def dlib_similarities(image: NDArray[np.uint8], face: Face) -> list[Similarity]:
    """Where the chip of `dlib_chip` lies in the photo, and where else it may lie when the face is found anew.

    A box that is a little off moves the landmarks of a frontal face hardly at all, and there is one chip; those of a face
    seen from the side, or asleep on its ear, move by a third of the chip, and there are several.

    Arguments and errors as of `dlib_chip`; chips that differ by less than 5 of their pixels count as one.
    """
    image, face, back = set_upright(image, face, margin=_AROUND)
    own = hog_box(image, face)
    distinct: list[Similarity] = []
    for box in ([] if own is None else [own]) + [_off(face.box, *off) for off in _OFF]:
        chip = _similarity(image, box)
        if all(_apart(chip, other) >= _DISTINCT for other in distinct):
            distinct.append(chip)
    return [back.after(chip) for chip in distinct]


def _off(box: Box, right: float, down: float, zoom: float) -> Box:
    """The box moved by shares of its size, and zoomed about its middle."""
    x, y = (box.x0 + box.x1) / 2 + right * box.width, (box.y0 + box.y1) / 2 + down * box.height
    wide, high = zoom * box.width / 2, zoom * box.height / 2
    return Box(x - wide, y - high, x + wide, y + high)


def _apart(one: Similarity, other: Similarity) -> float:
    """How far a chip's farthest corner is from the other chip's, in chip pixels."""
    corners = (0, CHIP_SIZE, CHIP_SIZE * 1j, CHIP_SIZE * (1 + 1j))
    return max(abs(one(c) - other(c)) for c in corners) / min(one.scale, other.scale)


def _similarity(image: NDArray[np.uint8], box: Box) -> Similarity:
    landmarks, origin = _landmarks(image, box)
    details = _dlib().get_face_chip_details(landmarks, CHIP_SIZE, _PADDING)
    rectangle = details.rect
    left_top = complex(rectangle.left(), rectangle.top())
    centre = (left_top + complex(rectangle.right(), rectangle.bottom())) / 2
    turn = cmath.rect((rectangle.right() - rectangle.left()) / (CHIP_SIZE - 1), details.angle)
    return Similarity(turn, centre + (left_top - centre) * cmath.rect(1, details.angle) + origin)


def describe(chip: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The descriptor by dlib's own code: (150, 150, 3) uint8 RGB chip -> (128,). Takes about 0.15 s.

    Raises:
        AssetError: dlib is not installed, or the net's file cannot be had.
    """
    return np.array(_net().compute_face_descriptor(chip))


def _chip(image: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    landmarks, _ = _landmarks(image, box)
    x0, y0, x1, y1 = _surroundings(image, box)
    window = np.ascontiguousarray(image[y0:y1, x0:x1])
    chip: NDArray[np.uint8] = _dlib().get_face_chip(window, landmarks, size=CHIP_SIZE, padding=_PADDING)
    return chip


def _landmarks(image: NDArray[np.uint8], box: Box) -> tuple[Any, complex]:
    """The landmarks in the surroundings of a box, and where these begin in the image."""
    x0, y0, x1, y1 = _surroundings(image, box)
    corners = [round(v) for v in (box.x0 - x0, box.y0 - y0, box.x1 - x0 - 1, box.y1 - y0 - 1)]
    landmarks = _predictor()(np.ascontiguousarray(image[y0:y1, x0:x1]), _dlib().rectangle(*corners))
    return landmarks, complex(x0, y0)


def _surroundings(image: NDArray[np.uint8], box: Box) -> Window:
    """What landmarks and chip can reach: dlib copies all that it is given."""
    return window_around(box, image.shape[1], image.shape[0], margin=SURROUNDINGS)


@cache
def _dlib() -> Any:
    try:
        import dlib
    except ImportError as error:
        raise AssetError(f"dlib cannot be loaded ({error}): pip install 'faceenc[judge]'") from error
    return dlib


@cache
def _hog_detector() -> Any:
    """From a copy in the cache, which loads at once; dlib takes half a second to unpack its own."""
    dlib = _dlib()
    copy = cache_dir() / f"dlib-finder-{dlib.__version__}.svm"
    try:
        return dlib.fhog_object_detector(str(copy))
    except RuntimeError:  # there is none yet, or it is damaged
        detector = dlib.get_frontal_face_detector()
        with suppress(OSError), atomic_file(copy) as file:
            detector.save(file.name)
        return detector


@cache
def _predictor() -> Any:
    return _dlib().shape_predictor(str(fetch("dlib-landmarks-5")))


@cache
def _net() -> Any:
    return _dlib().face_recognition_model_v1(str(fetch("dlib-face-net")))
