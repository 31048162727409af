"""Crops of faces as pixels: the upright square around a box, and the face turned upright by eyes and mouth.

Convention
    Images are (H, W, 3) uint8 RGB. Boxes are half-open pixels: pixel (0, 0) covers [0, 1) x [0, 1).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from faceenc.core import Box, Face, moved, turned, window_around
from faceenc.faces.alignment import Similarity, quarter_turns
from faceenc.faces.templates import ALIGNED_POINTS, ALIGNED_POINTS_YUNET, ALIGNED_SIZE

if TYPE_CHECKING:
    from numpy.typing import NDArray


Framing = Literal["square", "aligned"]  # how a recogniser's crops were cut out: see `frame_face`

SQUARE_MARGIN = 0.2  # of the box, on each side: from hair to below the chin

_BICUBIC_SUPPORT = 2.0  # pixels of the smaller image that Pillow's bicubic filter reaches to either side


def crop_square(image: NDArray[np.uint8], box: Box, *, size: int, margin: float) -> NDArray[np.uint8]:
    """The square around a box, resized.

    The square has the box' centre and the side max(width, height) * (1 + 2 * margin). What lies over the image's border
    repeats the border's pixels. Resizing is Pillow's bicubic, antialiased when it shrinks.

    Args:
        image: (H, W, 3) uint8 RGB.
        box: in pixels; positive width or height.
        size: side of the result in pixels.
        margin: share of the box' longer side that is added on each side.

    Returns:
        (size, size, 3) uint8 RGB.

    Raises:
        ValueError: the square is empty.
    """
    side = max(box.width, box.height) * (1 + 2 * margin)
    if not side > 0:
        raise ValueError(f"{box} with margin {margin} makes an empty square")
    left, top = (box.x0 + box.x1 - side) / 2, (box.y0 + box.y1 - side) / 2
    # The filter looks beyond the square: let it see the true neighbours.
    reach = math.ceil(_BICUBIC_SUPPORT * max(1.0, side / size))
    x0, y0 = math.floor(left) - reach, math.floor(top) - reach
    x1, y1 = math.ceil(left + side) + reach, math.ceil(top + side) + reach
    columns = np.arange(x0, x1).clip(0, image.shape[1] - 1)
    rows = np.arange(y0, y1).clip(0, image.shape[0] - 1)
    visible = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    window = visible.take(rows - rows[0], axis=0).take(columns - columns[0], axis=1)
    source = (left - x0, top - y0, left - x0 + side, top - y0 + side)
    return np.array(Image.fromarray(window).resize((size, size), Image.Resampling.BICUBIC, box=source))


def align_face(image: NDArray[np.uint8], face: Face, *, size: int) -> NDArray[np.uint8]:
    """The face turned upright, with eyes and mouth in the same places on every crop.

    Both eyes and the mouth's centre are brought by rotation, scale and shift (least squares) to where they lie in the middle
    of dlib's face chip; the middle 150/224 of the crop is that chip. What lies over the image's border repeats the border's
    pixels. Bicubic, antialiased when it shrinks.

    Args:
        image: (H, W, 3) uint8 RGB.
        face: as detected in this very image.
        size: side of the result in pixels.

    Returns:
        (size, size, 3) uint8 RGB.

    Raises:
        ValueError: the key points lie on one another.
    """
    found = np.array(face.eyes_and_mouth)
    points = ALIGNED_POINTS if "mediapipe" in face.landmarks else ALIGNED_POINTS_YUNET
    wanted = np.array(points) * (size / ALIGNED_SIZE)
    spread = found - found.mean()
    if not np.abs(spread).max() > 0:
        raise ValueError(f"the key points {face.landmarks} lie on one another")
    # As complex numbers a similarity is wanted = turn * found + shift.
    turn = complex((spread.conj() * (wanted - wanted.mean())).sum() / (np.abs(spread) ** 2).sum())
    corners = (np.array([0, size, size * 1j, size + size * 1j]) - wanted.mean()) / turn + found.mean()
    scale = min(1.0, abs(turn))
    # First an upright window around the turned square, reduced with antialiasing; then the turn, at no reduction.
    reach = 2 * math.ceil(_BICUBIC_SUPPORT / scale)
    side = math.ceil(max(np.ptp(corners.real), np.ptp(corners.imag))) + 2 * reach
    centre = complex(corners.mean())
    box = Box(centre.real - side / 2, centre.imag - side / 2, centre.real + side / 2, centre.imag + side / 2)
    window = crop_square(image, box, size=max(1, round(side * scale)), margin=0)
    zoom = len(window) / side  # window pixels an image pixel
    back = zoom / turn  # output pixels to window pixels
    origin = ((0 - wanted.mean()) / turn + found.mean() - complex(box.x0, box.y0)) * zoom
    # Pillow asks for (x, y) of the source as a * x + b * y + c, pixel centres at one half included.
    coefficients = (back.real, -back.imag, origin.real, back.imag, back.real, origin.imag)
    turned = Image.fromarray(window).transform((size, size), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC)
    return np.array(turned)


def set_upright(image: NDArray[np.uint8], face: Face, *, margin: float) -> tuple[NDArray[np.uint8], Face, Similarity]:
    """The surroundings of a face, turned by the quarters that bring it within 45 degrees of upright.

    Args:
        image: (H, W, 3) uint8 RGB.
        face: as detected in this very image.
        margin: share of the box' longer side that is shown on each side, where the image is so large.

    Returns:
        The surroundings, the face in them, and where their points lie in the image; the image itself for an upright face.
    """
    if not face.quarters:
        return image, face, Similarity(1 + 0j, 0j)
    x0, y0, x1, y1 = window_around(face.box, image.shape[1], image.shape[0], margin=margin)
    window = np.ascontiguousarray(np.rot90(image[y0:y1, x0:x1], face.quarters))
    there = turned(moved(face, -x0, -y0), face.quarters, x1 - x0, y1 - y0)
    return window, there, Similarity(1 + 0j, complex(x0, y0)).after(quarter_turns(face.quarters, x1 - x0, y1 - y0))


def frame_face(image: NDArray[np.uint8], face: Face, *, size: int, framing: Framing) -> NDArray[np.uint8]:
    """The crop of a face as a recogniser wants it: "aligned" by `align_face`, or the "square" around its box.

    The square is the picture's own, turned by the quarters that bring the face within 45 degrees of upright.

    Returns:
        (size, size, 3) uint8 RGB.
    """
    if framing == "aligned":
        return align_face(image, face, size=size)
    square = crop_square(image, face.box, size=size, margin=SQUARE_MARGIN)
    return np.ascontiguousarray(np.rot90(square, face.quarters))
