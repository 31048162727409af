"""Does a recogniser of others get the pixels that it was made for? Tried on the ORL faces.

A net that is fed another range or another order of colours still answers, only worse, and never says so. The range shows in
how well it tells people apart. The order of colours hardly does; but a net made for one order heeds a tint of skin more than
the same tint with red and blue exchanged. That was found on three face nets, on which the tint and the bounds were chosen,
and tried on no other.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from faceenc.core import ASSETS, AssetError, cached_arrays
from faceenc.data import enlarge, read_orl
from faceenc.faces import FaceDetector
from faceenc.media import to_tensor
from faceenc.recognizers.foreign.description import Description
from faceenc.recognizers.matching import pair_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceenc.recognizers.recognizer import Recognizer

    Feed = Callable[[Description], nn.Module]

log = logging.getLogger(__name__)

_PEOPLE, _PHOTOS = 12, 3
_RECIPE = 2  # raised when the probe changes
_BATCH = 32
_SKIN = (1.12, 0.92, 0.78)  # gamma of red, green and blue: from grey to a tint of skin
# How far pairs of one person lie from pairs of two, in standard deviations (d'): nets fed rightly have 5 to 6 here, fed with
# another range 2 to 4, and what knows no faces about 1.
_FURTHER = 1.25  # so many times as far where another range is the right one
_KNOWS_FACES = 3.0
_HOPELESS = 0.5
_FARTHER, _MOST = 1.2, 0.8  # so many times as far, by the other order, in such a share of the faces


def probe(recognizer: Recognizer, description: Description, feed: Feed) -> None:
    """Warns where another range or order of colours looks like the right one, or the net hardly knows faces.

    Asked once a network and description; the answer is kept in the cache folder. Without the ORL faces nothing is said.

    Args:
        recognizer: an embedder, as described.
        description: how it is fed.
        feed: the same net, fed otherwise.
    """
    ways = _other_ranges(description)
    key = f"{recognizer.network} {ASSETS['orl-faces'].sha256} {_RECIPE}"

    def ask() -> dict[str, NDArray[np.float64]]:
        log.info("%s: tried on the ORL faces", recognizer.name)
        crops, people = _crops(recognizer)
        apart = [_apart(feed(way), crops, people) for way in (description, *ways.values())]
        return {"apart": np.array(apart), "moved": _moved(feed, description, crops[::_PHOTOS])}

    try:
        found = cached_arrays(f"probe-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz", key, ask)
    except AssetError as error:
        log.info("%s is not tried on faces: %s", recognizer.name, error)
        return
    own, *others = found["apart"].tolist()
    best = max(range(len(others)), key=lambda k: others[k])
    as_is, exchanged = found["moved"]
    farther, share = float(np.median(exchanged / as_is)), float((exchanged > as_is).mean())
    if others[best] > max(_KNOWS_FACES, _FURTHER * own):
        log.warning(
            "%s: the range of pixels looks wrong: people lie %.1f standard deviations apart (d') as it is described, with %s"
            " %.1f: look at range, mean and std", recognizer.name, own, [*ways][best], others[best],
        )  # fmt: skip
    elif own < _HOPELESS:
        log.warning(
            "%s hardly tells faces apart: people lie %.1f standard deviations apart (d'; face recognisers have 5): look at"
            " framing, size, mean and std, or it is no recogniser of faces", recognizer.name, own,
        )  # fmt: skip
    elif own > _KNOWS_FACES and farther >= _FARTHER and share >= _MOST:
        log.warning(
            "%s: the order of colours looks wrong: a tint of skin moves its embeddings %.1f times as far with red and blue"
            ' exchanged (in %.0f %% of %d faces), which the right order does: try colours = "%s"',
            recognizer.name, farther, 100 * share, len(as_is), _other_colours(description),
        )  # fmt: skip


def _other_ranges(description: Description) -> dict[str, Description]:
    """Two that are usual, by how they are written."""
    ways = {
        "range = 1": replace(description, range=1.0, mean=(), std=()),
        "range = 255": replace(description, range=255.0, mean=(), std=()),
        "range = 255, mean = [127.5], std = [127.5]": replace(description, range=255.0, mean=(127.5,), std=(127.5,)),
    }
    return {name: way for name, way in ways.items() if way != description}


def _other_colours(description: Description) -> str:
    return "rgb" if description.colours == "bgr" else "bgr"


def _crops(recognizer: Recognizer) -> tuple[NDArray[np.uint8], list[str]]:
    """(N, size, size, 3) uint8 grey crops of ORL people, and who they are."""
    names = [f"s{person}/{photo}" for person in range(1, _PEOPLE + 1) for photo in range(1, _PHOTOS + 1)]
    crops, people = [], []
    with FaceDetector() as detector:
        for name in names:
            picture = enlarge(read_orl()[name])
            crops.append(recognizer.cut(picture, detector(picture)[0]))
            people.append(name.split("/")[0])
    return np.stack(crops), people


def _moved(feed: Feed, description: Description, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(2, N): how far a tint of skin moves the embeddings of grey faces, as described, and with red and blue exchanged."""
    tinted = ((crops / 255) ** (1 / np.array(_SKIN)) * 255).round().clip(0, 255).astype(np.uint8)
    exchanged = replace(description, colours=_other_colours(description))
    net, other = feed(description), feed(exchanged)
    grey = _answers(net, crops)  # red and blue are alike
    return np.stack([np.linalg.norm(_answers(one, tinted) - grey, axis=1) for one in (net, other)])


@torch.no_grad()
def _answers(net: nn.Module, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = torch.cat([net(part) for part in to_tensor(crops).split(_BATCH)]).double().numpy()
    return found


def _apart(net: nn.Module, crops: NDArray[np.uint8], people: list[str]) -> float:
    answers = _answers(net, crops)
    if not np.isfinite(answers).all():
        return 0.0
    genuine, impostor = pair_scores(answers, people)
    return float((impostor.mean() - genuine.mean()) / max(np.sqrt((genuine.var() + impostor.var()) / 2), 1e-12))
