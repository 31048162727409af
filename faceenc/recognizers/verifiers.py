"""Recognisers that judge whether a protected face still matches: each with its own crop, distance and threshold."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
import torch.nn.functional as F

from faceenc.core import ASSETS, cached_arrays
from faceenc.data import enlarge, read_orl
from faceenc.faces import FaceDetector, frame_face
from faceenc.media import to_tensor
from faceenc.recognizers.dlib.network import DLIB, DlibNet, chip, load_dlibnet
from faceenc.recognizers.dlib.original import describe, dlib_chip, has_dlib
from faceenc.recognizers.dlib.weights import MATCH_DISTANCE
from faceenc.recognizers.frbench import load_frbench
from faceenc.recognizers.matching import FAR, fit_threshold, pair_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceenc.core import Face, Model

    Cut = Callable[[NDArray[np.uint8], Face], NDArray[np.uint8]]


logger = logging.getLogger(__name__)


_BATCH = 32

_ORL_PHOTOS = 3  # of each person: 7,020 pairs of two people


class Judge(Protocol):
    """A recogniser that is asked whether two faces are one person's.

    Attributes:
        name: in tables and records.
        network: what it computes with; an attack on the same network is white-box.
        threshold: faces at most so far apart match.
    """

    @property
    def name(self) -> str: ...

    @property
    def network(self) -> str: ...

    @property
    def threshold(self) -> float: ...

    def embed(self, image: NDArray[np.uint8], face: Face) -> NDArray[np.float64]:
        """(D,) embedding of a face detected in this (H, W, 3) uint8 RGB image."""
        ...

    def crop(self, image: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
        """(S, S, 3) uint8 RGB: what it sees."""
        ...

    def embed_crops(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(N, S, S, 3) uint8 -> (N, D): the same as `embed` up to rounding, quicker for many."""
        ...

    def distance(self, one: NDArray[np.float64], other: NDArray[np.float64]) -> float: ...


class TwinJudge:
    """dlib's face net as a torch module, its chips cut out by MediaPipe's eyes and mouth; Euclidean distance, dlib's 0.6."""

    name = "dlib-torch"
    network = DLIB
    threshold = MATCH_DISTANCE

    @cached_property
    def _net(self) -> DlibNet:
        return load_dlibnet()

    def embed(self, image: NDArray[np.uint8], face: Face) -> NDArray[np.float64]:
        embedding: NDArray[np.float64] = self.embed_crops(self.crop(image, face)[None])[0]
        return embedding

    def crop(self, image: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
        return chip(image, face)

    def embed_crops(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        return _in_batches(self._net, crops)

    def distance(self, one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
        return float(np.linalg.norm(one - other))


class DlibJudge(TwinJudge):
    """dlib itself: its detector (MediaPipe's box where that sees no face), its landmarks, its chip and its net in C++.

    Many crops at once are left to the torch twin of the net, which takes a tenth of the time and differs by less than 1e-5.
    """

    name = "dlib"

    def embed(self, image: NDArray[np.uint8], face: Face) -> NDArray[np.float64]:
        return describe(self.crop(image, face))

    def crop(self, image: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
        return dlib_chip(image, face)


class CosineJudge:
    """A net with embeddings of length 1; the distance is 1 - cosine, in [0, 2].

    For want of a standard threshold it is the distance that 1 % of ORL's pairs of two people do not exceed, fitted at first
    use (which takes seconds) and kept in the cache folder. dlib's own 0.6 lets 2 % of them pass: about as strict.

    Attributes:
        net: (N, 3, S, S) float32 RGB crops in [0, 1] -> (N, D); differentiable.
    """

    def __init__(self, name: str, network: str, *, net: Model, cut: Cut) -> None:
        self.name = name
        self.network = network
        self.net = net
        self._cut = cut

    @cached_property
    def threshold(self) -> float:
        key = hashlib.sha256(f"{self.network} {ASSETS['orl-faces'].sha256} {FAR} {_ORL_PHOTOS}".encode()).hexdigest()

        def fit() -> dict[str, NDArray[np.float64]]:
            logger.info("%s: fitting its threshold on the ORL faces", self.name)
            return {"threshold": np.array(_fit_threshold(self))}

        return float(cached_arrays(f"threshold-{key[:16]}.npz", key, fit)["threshold"])

    def embed(self, image: NDArray[np.uint8], face: Face) -> NDArray[np.float64]:
        embedding: NDArray[np.float64] = self.embed_crops(self.crop(image, face)[None])[0]
        return embedding

    def crop(self, image: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
        return self._cut(image, face)

    def embed_crops(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        return _in_batches(self.net, crops)

    def distance(self, one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
        return max(0.0, 1 - float(one @ other))


class ResNetJudge(CosineJudge):
    """A recogniser that `faceenc train` wrote, by the 512 pooled features under its last layer: for strangers as well.

    Raises:
        CheckpointError: the file is missing, damaged, or not one of ours.
    """

    def __init__(self, checkpoint: Path) -> None:
        # torchvision takes a second to load, which who has no checkpoint need not wait for.
        from faceenc.recognizers.checkpoint import load_checkpoint, weights_sha256
        from faceenc.recognizers.resnet import features_of

        self.model, _ = load_checkpoint(checkpoint)
        model = self.model

        def features(x: torch.Tensor) -> torch.Tensor:
            with features_of(model) as latest:
                model(x)
            return F.normalize(latest[0], dim=1)

        def cut(image: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
            return frame_face(image, face, size=model.input_size, framing=model.framing)

        super().__init__(str(checkpoint), weights_sha256(model), net=features, cut=cut)


class FRBenchJudge(CosineJudge):
    """One of frbench's recognisers, answering as that package does: the mean over the face and its mirror image.

    Raises:
        AssetError: the package is not installed, or its weights are not there.
    """

    def __init__(self, name: str, *, mirrored: bool = True) -> None:
        net = load_frbench(name, mirrored=mirrored)
        super().__init__(f"frbench {name}", net.fingerprint, net=net, cut=net.crop)


def default_judges(models: Sequence[Path] = (), frbench: Sequence[str] = ()) -> list[Judge]:
    """dlib, by its own code where it is installed; then the recognisers that are named, each once.

    Args:
        models: checkpoints.
        frbench: names of frbench's recognisers.

    Raises:
        CheckpointError: as of `ResNetJudge`.
        AssetError: as of `FRBenchJudge`.
    """
    judges: list[Judge] = [DlibJudge() if has_dlib() else TwinJudge()]
    judges += [ResNetJudge(path) for path in dict.fromkeys(models)]
    judges += [FRBenchJudge(name) for name in dict.fromkeys(frbench)]
    return judges


def _fit_threshold(judge: Judge) -> float:
    """The distance that `FAR` of the pairs of two ORL people do not exceed."""
    crops, people = [], []
    with FaceDetector() as detector:
        for name, picture in read_orl().items():
            person, number = name.split("/")
            large = enlarge(picture)
            if int(number) <= _ORL_PHOTOS and (faces := detector(large)):
                crops.append(judge.crop(large, faces[0]))
                people.append(person)
    genuine, impostor = pair_scores(judge.embed_crops(np.stack(crops)), people)
    return fit_threshold(genuine, impostor, far=FAR) ** 2 / 2  # 1 - cosine of two vectors of length 1


def _in_batches(net: Model, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
    with torch.no_grad():
        # Channels-last halves the time of convolutions on a CPU.
        parts = [net(part.contiguous(memory_format=torch.channels_last)) for part in to_tensor(crops).split(_BATCH)]
    found: NDArray[np.float64] = torch.cat(parts).double().numpy()
    return found
