"""The types that every other module speaks: boundaries (protocols), plain records and errors.

Convention
    Images at rest are ``(H, W, 3) uint8 RGB`` numpy arrays. Inside an attack they are ``(N, 3, H, W) float32 RGB`` tensors
    in [0, 1]; every eps and every distance lives in that range. Boxes are half-open pixels ``[x0, x1) x [y0, y1)``.

This module imports nothing heavier than the standard library: torch and numpy are named for the type checker only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


# Called with progress: (what is being done, how much of it is done, how much there is).
Progress = Callable[[str, int, int], None]

# float32 cannot hold k/255 exactly: a distance of exactly eps may measure up to 3e-8 more.
SLACK = 1e-6

OnNoFace = Literal["skip", "whole", "fail"]  # what becomes of a photo without a face


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels, half-open: it covers columns x0 .. x1-1 and rows y0 .. y1-1."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0

    @property
    def area(self) -> float:
        return self.width * self.height


Scheme = Literal["mediapipe", "arcface"]
Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Face:
    """One detected face.

    Attributes:
        box: in pixels of the image it was found in, from brows to chin as MediaPipe draws it; may reach over the border.
        landmarks: (x, y) in pixels by scheme, at least one; "right" is the person's own right, on the left of an upright
            picture. "mediapipe": right eye, left eye, nose tip, mouth centre, right ear tragion, left ear tragion;
            "arcface": right eye, left eye, nose tip, right and left corner of the mouth.
        score: the confidence in [0, 1]; 0 for a place that was taken for a face without being found.
        detector: who found it: "mediapipe", "yunet", "mediapipe+yunet", "dlib", or "whole" for a picture taken whole.
        head: the centre of the box that YuNet draws from hairline to chin, and a point one of its longer sides from there;
            none where it did not look.
    """

    box: Box
    landmarks: Mapping[Scheme, Points]
    score: float
    detector: str = "mediapipe"
    head: Points = ()

    @property
    def eyes_and_mouth(self) -> tuple[complex, complex, complex]:
        """Right eye, left eye and the mouth's centre, each x + iy: what both schemes know."""
        if "mediapipe" in self.landmarks:
            right_eye, left_eye, _, mouth = (complex(*point) for point in self.landmarks["mediapipe"][:4])
            return right_eye, left_eye, mouth
        right_eye, left_eye, _, right, left = (complex(*point) for point in self.landmarks["arcface"])
        return right_eye, left_eye, (right + left) / 2

    @property
    def up(self) -> complex:
        """From the mouth to the middle of the eyes, of length 1; -1j for an upright face (y points down)."""
        right_eye, left_eye, mouth = self.eyes_and_mouth
        # Across the eyes counts as well: a face that looks up or down shows its mouth and eyes close together.
        up = (right_eye + left_eye) / 2 - mouth + (right_eye - left_eye) * 1j
        return up / abs(up) if up else -1j

    @property
    def quarters(self) -> int:
        """How many quarter turns to the left (as `numpy.rot90` turns) bring the face within 45 degrees of upright."""
        return round(math.atan2(self.up.real, -self.up.imag) / (math.pi / 2)) % 4


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What the harness found out about one batch of adversarial images; all tensors lie on the CPU.

    Attributes:
        adversarial: (N, 3, H, W) float32 on the 8-bit grid k/255, inside the eps ball.
        outputs: (N, K) the recogniser's answer to `adversarial`, asked anew.
        reached: (N,) bool, the goal is reached on `adversarial`.
        size: (N,) distance of `adversarial` from the original in the attack's norm.
        overshoot: (N,) how far the attack's own proposal lay outside the ball (0 if inside).
        queries: (N,) float64, how often the attack asked the recogniser about each image.
        seconds: wall time of the attack alone, for the whole batch.
    """

    adversarial: torch.Tensor
    outputs: torch.Tensor
    reached: torch.Tensor
    size: torch.Tensor
    overshoot: torch.Tensor
    queries: torch.Tensor
    seconds: float


class Gradient(NamedTuple):
    """An engine's answer: outputs (N, K), loss (N,) to maximise, and its gradient (M, 3, H, W) with respect to x.

    M is N, or the number of images whose goal is not yet reached if the engine was given a margin.
    """

    outputs: torch.Tensor
    loss: torch.Tensor
    gradient: torch.Tensor


class Detector(Protocol):
    def __call__(self, image: NDArray[np.uint8]) -> list[Face]:
        """Faces in an (H, W, 3) uint8 RGB image, best first."""
        ...


class Model(Protocol):
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) float32 RGB in [0, 1] -> (N, K) logits or (N, D) unit embeddings."""
        ...


class Goal(Protocol):
    """What an attack wants, for each image of a batch."""

    def loss(self, outputs: torch.Tensor) -> torch.Tensor:
        """(N, K) outputs -> (N,) loss to maximise, differentiable."""
        ...

    def reached(self, outputs: torch.Tensor, margin: float = 0.0) -> torch.Tensor:
        """(N, K) outputs -> (N,) bool: reached, and by more than `margin` in the outputs' own unit."""
        ...

    def select(self, rows: torch.Tensor) -> Goal:
        """The same goal for the images `rows` ((M,) int64 indices or (N,) bool mask) only."""
        ...


class Norm(Protocol):
    """How perturbations are measured and bounded; every delta and gradient is (N, 3, H, W), sizes are (N,)."""

    @property
    def name(self) -> str: ...

    def size(self, delta: torch.Tensor) -> torch.Tensor:
        """(N,) the norm of each image's perturbation."""
        ...

    def project(self, delta: torch.Tensor, eps: float) -> torch.Tensor:
        """The nearest perturbation of size at most eps."""
        ...

    def steepest(self, gradient: torch.Tensor) -> torch.Tensor:
        """The direction of size 1 along which the loss rises fastest; zero where the gradient is zero."""
        ...

    def sample(self, like: torch.Tensor, eps: float, rng: Sequence[torch.Generator]) -> torch.Tensor:
        """A random perturbation of size at most eps for each image, drawn from that image's own generator."""
        ...

    def quantize(self, x: torch.Tensor, delta: torch.Tensor, eps: float) -> torch.Tensor:
        """X + delta on the 8-bit grid k/255 in [0, 1], still within eps of x (itself on the grid)."""
        ...


class GradientEngine(Protocol):
    def __call__(self, x: torch.Tensor, goal: Goal, *, last: bool = False, margin: float | None = None) -> Gradient:
        """Loss and gradient at x.

        Args:
            x: (N, 3, H, W) in [0, 1].
            goal: of these N images.
            last: one of the closing steps of an attack, which a low-precision engine does in float32.
            margin: no gradient is wanted for images whose goal is reached by more than this; None wants all.
        """
        ...


class Attack(Protocol):
    """A frozen dataclass of parameters; it holds no model and no eps, and only proposes: the harness judges."""

    @property
    def norm(self) -> Norm: ...

    def __call__(
        self, model: Model, x: torch.Tensor, goal: Goal, *, eps: float, rng: Sequence[torch.Generator]
    ) -> torch.Tensor:
        """(N, 3, H, W) in [0, 1] -> a proposal of the same shape; `rng` holds one generator for each image."""
        ...
