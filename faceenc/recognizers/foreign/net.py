"""Nets of others as faceenc's are: RGB pixels in [0, 1] in, embeddings of length 1 or logits out; frozen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from faceenc.core import CheckpointError, ConfigError
from faceenc.recognizers.foreign.description import Description


class Opened(NamedTuple):
    """A model of others as it was found.

    Attributes:
        net: as its maker has it: (N, 3, size, size) of the described range -> (N, K); frozen, in evaluation mode.
        fingerprint: of the weights and of what computes with them.
        judge: answers where it judges, its own runtime; None is `net` itself.
        description: with what the model itself says.
        doubt: why it gives no gradients; "" if it does.
        classes: of a classifier that brings its people's names along.
        licence: of the weights, where the model says it.
        costly: each question may cost money: none is asked that nobody asked for.
    """

    net: nn.Module
    fingerprint: str
    judge: nn.Module | None
    description: Description
    doubt: str = ""
    classes: tuple[str, ...] = ()
    licence: str = ""
    costly: bool = False


class ForeignNet(nn.Module):
    """A net of others, fed as its description says.

    Shape
        (N, 3, size, size) float32 RGB in [0, 1] -> (N, K).

    Args:
        net: see `Opened`.
        description: how to feed it.
        unit: bring answers to length 1.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, net: nn.Module, description: Description, *, unit: bool) -> None:
        super().__init__()
        self.net = net
        self.bgr, self.range, self.unit = description.colours == "bgr", description.range, unit
        self.input_size = description.size
        self.register_buffer("mean", torch.tensor(description.mean or (0.0,)).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(description.std or (1.0,)).view(1, -1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.bgr:
            x = x.flip(1)
        answer = first_tensor(self.net((x * self.range - self.mean) / self.std)).flatten(1).float()
        return F.normalize(answer) if self.unit else answer


class ForeignClassifier(nn.Module):
    """A classifier of others.

    Shape
        (N, 3, input_size, input_size) float32 RGB in [0, 1] -> (N, K) logits.

    Attributes:
        classes: the K people, in the order of the logits.
        input_size: side of its crops in pixels.
        framing: how they are cut out, as of `Description`.
        threshold: 0: it calls nobody unknown.
    """

    def __init__(self, net: nn.Module, description: Description, classes: Sequence[str]) -> None:
        super().__init__()
        self.net = net
        self.classes = tuple(classes)
        self.input_size, self.framing = description.size, description.framing
        self.threshold = 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.net(x)
        return logits


class WithoutGradients(nn.Module):
    """What answers but cannot be differentiated.

    Args:
        ask: (N, 3, H, W) float32 without gradients -> (N, K).
        reason: said where somebody wants gradients.
    """

    def __init__(self, ask: nn.Module, reason: str) -> None:
        super().__init__()
        self.ask, self.reason = ask, reason

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.requires_grad and torch.is_grad_enabled():
            raise ConfigError(f"{self.reason}: attack another recogniser, or ask this one with an attack that only asks")
        answer: torch.Tensor = self.ask(x.detach())
        return answer


def first_tensor(answer: object) -> torch.Tensor:
    """The answer itself, or the first of several; a CheckpointError where it is no batch of vectors."""
    while isinstance(answer, list | tuple) and answer:
        answer = answer[0]
    if isinstance(answer, dict) and answer:
        answer = next(iter(answer.values()))
    if not isinstance(answer, torch.Tensor) or answer.ndim < 2:
        shape = tuple(answer.shape) if isinstance(answer, torch.Tensor) else type(answer).__name__
        raise CheckpointError(f"it answers {shape}: expected (N, D) embeddings or (N, K) logits as its first output")
    return answer


@torch.no_grad()
def check_answers(net: nn.Module, size: int, *, about: str) -> int:
    """The length K of its answers, tried on two pictures.

    Raises:
        CheckpointError: it fails, answers to something else than pictures, or with numbers that are not finite.
    """
    x = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    try:
        answer = net(x)
    except CheckpointError as error:
        raise CheckpointError(f"{about}: {error}") from error
    except ConfigError:
        raise
    except Exception as error:  # code of others fails in its own ways
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(
            f"{about} fails on pictures (2, 3, {size}, {size}): {reason}; give its `size`, or a net that takes them"
        ) from error
    if answer.ndim != 2 or len(answer) != 2 or answer.shape[1] < 2:
        raise CheckpointError(
            f"{about} answers {tuple(answer.shape)} to two pictures: expected (2, D) embeddings or (2, K) logits"
        )
    if not answer.isfinite().all():
        raise CheckpointError(f"{about} answers with numbers that are not finite: check mean, std and range, or the weights")
    return int(answer.shape[1])
