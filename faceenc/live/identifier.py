"""Whom a recogniser takes the faces of a live picture for, and what an attack on it has to reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from faceenc.attacks import Dodge, Impersonate, MoveAway, MoveTo, Relaid, gradient_engine
from faceenc.core import ConfigError, Goal, GradientEngine, Model
from faceenc.media import to_tensor
from faceenc.recognizers import DLIB, DlibNet, OnDevice, Recognizer, operating_point

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceenc.core import Face


TOP = 3
SOMEBODY = "same face"  # whom an embedder takes for a person it saw without noise, but has no name for
_LOGITS = 2.0
_THRESHOLDS = 0.25


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


class Identifier:
    """A recogniser that is watched and attacked: by its classes where it is a classifier, else by distances.

    Args:
        recognizer: who looks.
        enrolled: of an embedder, a person's name -> (N, D) embeddings of theirs.

    Attributes:
        crops: how the recogniser's crops lie in a frame.
        people: whom it has names for.
        model: (N, 3, size, size) crops in [0, 1] -> (N, K) answers: logits or embeddings; differentiable.
        margin: by how much a goal shall be reached before work on it may rest, in the goal's unit.
    """

    def __init__(self, recognizer: Recognizer, enrolled: Mapping[str, torch.Tensor] | None = None) -> None:
        self.recognizer, self.crops = recognizer, recognizer.crops
        self._enrolled = dict(enrolled or {})
        self.people: Sequence[str]
        self.model: Model
        if recognizer.classifier is not None:
            net: nn.Module = recognizer.classifier
            self.model = net if recognizer.device == "cpu" else OnDevice(net, recognizer.device)
            self.people, self.margin = recognizer.classifier.classes, _LOGITS
        else:
            net = recognizer.embedding
            self.model = _DlibNet(net) if isinstance(net, DlibNet) else net
            self.people = tuple(self._enrolled)
            self._threshold = operating_point(recognizer).euclidean
            self.margin = _THRESHOLDS * self._threshold

    def crop(self, frame: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
        """(S, S, 3) uint8: what it sees of a face of an (H, W, 3) frame, without slow detectors of its own."""
        return self.crops.quick_cut(frame, face)

    def answers(self, crops: NDArray[np.uint8]) -> torch.Tensor:
        """(N, S, S, 3) uint8 -> (N, K) logits or embeddings."""
        if self.recognizer.classifier is None:
            with torch.no_grad():
                return self.recognizer.embed(to_tensor(crops))
        return gradient_engine(self.model, "fused")(to_tensor(crops), _ForwardOnly(), margin=0.0).outputs

    def reading(self, answer: torch.Tensor, clean: Sequence[torch.Tensor]) -> Reading:
        """What an answer (K,) means, given what it answered (K,) about the same face without noise."""
        if self.recognizer.classifier is not None:
            values, people = answer.softmax(0).topk(min(TOP, len(self.people)))
            top = tuple((self.people[k], value) for k, value in zip(people.tolist(), values.tolist(), strict=True))
            return Reading(top[0][0] if top[0][1] >= self.recognizer.classifier.threshold else None, top)
        known = dict(self._enrolled)
        if clean:
            own = self._owner(clean[-1]) or SOMEBODY
            known[own] = torch.cat([known[own], *[c[None] for c in clean]]) if own in known else torch.stack(list(clean))
        scores = {name: max(0.0, 1 - _nearest(answer, rows) / (2 * self._threshold)) for name, rows in known.items()}
        top = tuple(sorted(scores.items(), key=lambda pair: -pair[1])[:TOP])
        return Reading(top[0][0] if top and top[0][1] >= 0.5 else None, top)

    def dodge(self, clean: Sequence[torch.Tensor]) -> Goal:
        """Not to be recognised as whom it took the face for without noise: one or more answers (K,)."""
        references = torch.stack(list(clean))
        if self.recognizer.classifier is not None:
            return Dodge(references.softmax(1).mean(0).argmax(keepdim=True))
        own = self._owner(references[-1])
        if own is not None:
            references = torch.cat([references, self._enrolled[own]])
        return MoveAway(references[None], self._threshold)

    def impersonate(self, name: str, embeddings: NDArray[np.float32]) -> Goal:
        """To be taken for a person who consented; `embeddings` (N, 128) are those of the consent.

        Raises:
            ConfigError: a classifier that does not know the person, or an embedder other than dlib's net.
        """
        if self.recognizer.classifier is not None:
            for number, person in enumerate(self.people):
                if person.casefold() == name.casefold():
                    return Impersonate(torch.tensor([number]))
            raise ConfigError(f"this recogniser knows no {name!r}: choose one of {', '.join(self.people[:12])} ...")
        if self.recognizer.network != DLIB:
            raise ConfigError(
                f"a consent holds embeddings of dlib's net only, so {self.recognizer.name} cannot be made to take a face for"
                f" {name}: hide from it, or choose dlib"
            )
        return MoveTo(torch.from_numpy(np.ascontiguousarray(embeddings))[None], self._threshold)

    def _owner(self, answer: torch.Tensor) -> str | None:
        """The nearest enrolled person, if near enough."""
        own = min(self._enrolled, key=lambda name: _nearest(answer, self._enrolled[name]), default=None)
        return None if own is None or _nearest(answer, self._enrolled[own]) > self._threshold else own


class _DlibNet:
    """dlib's net with its fast way to gradients named: it is so small that low precision gains nothing."""

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
