"""Recognisers as the live loop uses them: whom they take a face for, and what an attack on them has to reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from faceenc.attacks import Dodge, Impersonate, MoveAway, MoveTo, Relaid, gradient_engine
from faceenc.core import ConfigError, Goal, GradientEngine, Model
from faceenc.faces import (
    ALIGNED_BORDER,
    CHIP_SIZE,
    SQUARE_MARGIN,
    Similarity,
    frame_face,
    key_points_similarity,
    square_similarity,
)
from faceenc.live.face_view import BY_BOX, BY_KEY_POINTS
from faceenc.media import Diversity, to_tensor
from faceenc.recognizers import MATCH_DISTANCE, DlibNet, FaceResNet, ask, chip, load_checkpoint, load_dlibnet, weights_sha256

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceenc.core import Face


TOP = 3
SOMEBODY = "face"  # whom an embedder takes for a person it saw without noise, but has no name for


@dataclass(frozen=True, slots=True)
class Reading:
    """Whom a recogniser takes a face for.

    Attributes:
        name: of the person; None if nobody is likely enough.
        top: the (up to three) likeliest people with scores in [0, 1], likeliest first: softmax probabilities of a
            classifier; of an embedder 1 - distance / (2 thresholds), so that faces match from one half on.
    """

    name: str | None
    top: tuple[tuple[str, float], ...]

    @property
    def score(self) -> float:
        """Of the likeliest person."""
        return self.top[0][1] if self.top else 0.0


class Watcher(Protocol):
    """A recogniser that is watched and attacked.

    Attributes:
        network: what it computes with: masks fit one network.
        size: side of its crops in pixels.
        diversity: of its crops, where it finds a face anew.
        margin: by how much a goal shall be reached before work on it may rest, in the goal's unit.
        people: whom it has names for.
    """

    network: str
    size: int
    margin: float

    @property
    def model(self) -> Model: ...

    @property
    def diversity(self) -> Diversity: ...

    @property
    def people(self) -> Sequence[str]: ...

    def cut(self, face: Face) -> Similarity:
        """Where its crop lies in the frame."""
        ...

    def crop(self, frame: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
        """(S, S, 3) uint8: what it really sees, cut out by its own means."""
        ...

    def answers(self, crops: NDArray[np.uint8]) -> torch.Tensor:
        """(N, S, S, 3) uint8 -> (N, K) logits or embeddings."""
        ...

    def reading(self, answer: torch.Tensor, clean: Sequence[torch.Tensor]) -> Reading:
        """What an answer (K,) means, given what it answered (K,) about the same face without noise."""
        ...

    def dodge(self, clean: Sequence[torch.Tensor]) -> Goal:
        """Not to be recognised as whom it took the face for without noise: one or more answers (K,)."""
        ...

    def impersonate(self, name: str, embeddings: NDArray[np.float32]) -> Goal:
        """To be taken for a person who consented; `embeddings` (N, 128) are those of the consent."""
        ...


class ResNetWatcher:
    """A recogniser that `faceenc train` wrote.

    Raises:
        CheckpointError: the file is missing, damaged, or not one of ours.
    """

    margin = 2.0  # logits

    def __init__(self, checkpoint: Path) -> None:
        self.model: FaceResNet
        self.model, _ = load_checkpoint(checkpoint)
        self.model.requires_grad_(False)
        self.network = weights_sha256(self.model)
        self.size = self.model.input_size
        self.diversity = BY_KEY_POINTS if self.model.framing == "aligned" else BY_BOX

    @property
    def people(self) -> Sequence[str]:
        return self.model.classes

    def cut(self, face: Face) -> Similarity:
        if self.model.framing == "aligned":
            return key_points_similarity(face, size=self.size, border=ALIGNED_BORDER)
        return square_similarity(face.box, size=self.size, margin=SQUARE_MARGIN)

    def crop(self, frame: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
        return frame_face(frame, face, size=self.size, framing=self.model.framing)

    def answers(self, crops: NDArray[np.uint8]) -> torch.Tensor:
        return gradient_engine(self.model, "fused")(to_tensor(crops), _ForwardOnly(), margin=0.0).outputs

    def reading(self, answer: torch.Tensor, clean: Sequence[torch.Tensor]) -> Reading:
        values, people = answer.softmax(0).topk(min(TOP, len(self.people)))
        top = tuple((self.people[k], value) for k, value in zip(people.tolist(), values.tolist(), strict=True))
        return Reading(top[0][0] if top[0][1] >= self.model.threshold else None, top)

    def dodge(self, clean: Sequence[torch.Tensor]) -> Goal:
        return Dodge(torch.stack(list(clean)).softmax(1).mean(0).argmax(keepdim=True))

    def impersonate(self, name: str, embeddings: NDArray[np.float32]) -> Goal:
        for number, person in enumerate(self.people):
            if person.casefold() == name.casefold():
                return Impersonate(torch.tensor([number]))
        raise ConfigError(f"this recogniser knows no {name!r}: choose one of {', '.join(self.people[:12])} ...")


class DlibWatcher:
    """dlib's face net, its chips cut out by MediaPipe's eyes and mouth.

    Args:
        enrolled: a person's name -> (N, 128) embeddings of theirs.

    Raises:
        AssetError: the net's file cannot be had.
    """

    network = "dlib"
    size = CHIP_SIZE
    diversity = BY_KEY_POINTS
    margin = 0.15  # of the distance

    def __init__(self, enrolled: Mapping[str, torch.Tensor] | None = None) -> None:
        self.model = _DlibNet(load_dlibnet().to(memory_format=torch.channels_last))
        self._enrolled = dict(enrolled or {})

    @property
    def people(self) -> Sequence[str]:
        return tuple(self._enrolled)

    def cut(self, face: Face) -> Similarity:
        return key_points_similarity(face)

    def crop(self, frame: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
        return chip(frame, face)

    def answers(self, crops: NDArray[np.uint8]) -> torch.Tensor:
        return ask(self.model, to_tensor(crops))

    def reading(self, answer: torch.Tensor, clean: Sequence[torch.Tensor]) -> Reading:
        known = dict(self._enrolled)
        if clean:
            # Without noise the face is that of the nearest enrolled person, if one is near enough.
            own = min(known, key=lambda name: _nearest(clean[-1], known[name]), default=None)
            if own is None or _nearest(clean[-1], known[own]) > MATCH_DISTANCE:
                own = SOMEBODY
            known[own] = torch.cat([known[own], *[c[None] for c in clean]]) if own in known else torch.stack(list(clean))
        scores = {name: max(0.0, 1 - _nearest(answer, rows) / (2 * MATCH_DISTANCE)) for name, rows in known.items()}
        top = tuple(sorted(scores.items(), key=lambda pair: -pair[1])[:TOP])
        return Reading(top[0][0] if top and top[0][1] >= 0.5 else None, top)

    def dodge(self, clean: Sequence[torch.Tensor]) -> Goal:
        references = torch.stack(list(clean))
        own = min(self._enrolled.values(), key=lambda rows: _nearest(references[-1], rows), default=None)
        if own is not None and _nearest(references[-1], own) <= MATCH_DISTANCE:
            references = torch.cat([references, own])
        return MoveAway(references[None], MATCH_DISTANCE)

    def impersonate(self, name: str, embeddings: NDArray[np.float32]) -> Goal:
        return MoveTo(torch.from_numpy(np.ascontiguousarray(embeddings))[None], MATCH_DISTANCE)


class _DlibNet:
    """The net with its fast way to gradients named: it is so small that low precision gains nothing."""

    def __init__(self, net: DlibNet) -> None:
        self._net = net
        self._gradients = Relaid(net, torch.float32)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        embeddings: torch.Tensor = self._net(x)
        return embeddings

    def engine(self, name: str) -> GradientEngine:
        return self._gradients


class _ForwardOnly:
    """A goal that is always reached: it leaves an engine nothing but its forward pass."""

    def loss(self, outputs: torch.Tensor) -> torch.Tensor:
        return outputs.sum(1)

    def reached(self, outputs: torch.Tensor, margin: float = 0.0) -> torch.Tensor:
        return torch.ones(len(outputs), dtype=torch.bool)

    def select(self, rows: torch.Tensor) -> Goal:
        return self


def _nearest(answer: torch.Tensor, rows: torch.Tensor) -> float:
    """Distance of an embedding (D,) to the nearest of (N, D)."""
    return float(torch.linalg.vector_norm(rows - answer, dim=1).min())
