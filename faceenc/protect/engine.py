"""The faces of a photo, changed in its own pixels as much as may be seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from faceenc.attacks import MoveApart, MoveAway, MoveTo
from faceenc.core import ConfigError
from faceenc.faces import FaceWindow, Similarity, cut_out, head_frame
from faceenc.media import Visibility
from faceenc.protect.levelling import levelled
from faceenc.protect.optimiser import HeadChange, find_change
from faceenc.protect.saved_views import saved_views
from faceenc.protect.strength import Strength
from faceenc.protect.views import FaceViews
from faceenc.protect.windows import face_window
from faceenc.recognizers import DLIB, Recognizer, in_thresholds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceenc.core import Face


Crops = Sequence[Sequence[Similarity]]
Goals = Sequence[MoveAway | MoveApart | MoveTo]
# The number of a face, and of each surrogate what it moves away from -> of each (1, D) what it moves nearer to.
Way = Callable[[int, Sequence[torch.Tensor]], Sequence[torch.Tensor]]

# dlib's net gives in first, and others see little of what it stumbles over.
_DLIB_WEIGHT = 0.4


@dataclass(frozen=True, eq=False)
class Protection:
    """How to protect.

    Attributes:
        strength: how much.
        surrogates: the recognisers that are attacked.
        own: for each surrogate (R, D) embeddings of more photos of the person to move away from, in units of its threshold;
            empty tensors where there are none.
        targets: for each surrogate (T, D) embeddings to move to; None moves away instead ...
        way: ... and nearer to what this says, where it is given.
        mask: keep the change on the head.
        encode: pixels -> pixels as the saved file will show them; None saves without loss.
        budget: seconds for all faces together; None sets no limit.
        seed: of all randomness, together with the photo.
    """

    strength: Strength
    surrogates: Sequence[Recognizer]
    own: Sequence[torch.Tensor] | None = None
    targets: Sequence[torch.Tensor] | None = None
    way: Way | None = None
    mask: bool = True
    encode: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None
    budget: float | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """How far the work on a photo's faces is.

    Attributes:
        share: that is done, in [0, 1].
        face: which is worked on, from 1; of so many:
        faces: in all.
        step: gradient steps on it so far, of at most:
        steps: of the strength.
        distances: a surrogate's name -> how far the face is from what it is led away from (or to) in the view that this step
            happened to see, in thresholds; none before the first step.
    """

    share: float
    face: int
    faces: int
    step: int
    steps: int
    distances: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class FaceOutcome:
    """What became of one face.

    Attributes:
        face: as detected.
        steps: that were made.
        reached: every surrogate is led away (or to the target), in every view of what will be saved.
        distance: the worst of these views, in thresholds: the nearest to the photo itself (or the farthest from the target).
        seen: how much people see of it; None where the strength does not ask.
        seconds: wall time.
        attack_seconds: of that, the gradient steps; the rest cuts out the face and fits the change to what may be seen.
        change: that was found.
    """

    face: Face
    steps: int
    reached: bool
    distance: float
    seen: Visibility | None
    seconds: float
    attack_seconds: float
    change: HeadChange = field(repr=False)


def protect_faces(
    image: NDArray[np.uint8],
    faces: Sequence[Face],
    protection: Protection,
    *,
    grey: bool = False,
    more: Sequence[Crops] = (),
    known: Sequence[FaceOutcome | None] = (),
    progress: Callable[[Step], None] | None = None,
) -> tuple[NDArray[np.uint8], list[FaceOutcome]]:
    """Change the faces of a photo so that recognisers take them for others.

    Args:
        image: (H, W, 3) uint8 RGB; left as it is.
        faces: as detected in this very image; one after the other, where they overlap within one budget together.
        protection: how.
        grey: change all channels alike.
        more: for each face, and of it for each surrogate, crops to attack besides those that it is expected to cut out.
        known: for each face what became of it before, with the same `more`: its change is made again and not looked for.
        progress: is told how far the work is, at every step.

    Returns:
        (H, W, 3) uint8 RGB, and one outcome a face.

    Raises:
        ConfigError: eps is below one grey level.
    """
    if protection.strength.rounds_away:
        raise ConfigError(f"eps {protection.strength.eps:.5f} is less than one grey level: use at least 1/255")
    result = image.copy()
    used = np.zeros(image.shape[:2], np.float32)
    deadline = None if protection.budget is None else time.perf_counter() + protection.budget
    outcomes = []
    for number, face in enumerate(faces):
        left = None if deadline is None else max(0.0, deadline - time.perf_counter()) / (len(faces) - number)
        crops = more[number] if number < len(more) else ()

        def tell(step: int, distances: Mapping[str, float], *, share: float, done: int = number) -> None:
            if progress is not None:
                total = (done + share) / len(faces)
                progress(Step(total, done + 1, len(faces), step, protection.strength.steps, distances))

        before = known[number] if number < len(known) else None
        how = replace(protection, budget=left)
        outcomes.append(_protect_face(image, result, used, face, number, how, crops, grey, before, tell))
        tell(outcomes[-1].steps, {}, share=1)
    return result, outcomes


def _protect_face(
    image: NDArray[np.uint8],
    result: NDArray[np.uint8],
    used: NDArray[np.float32],
    face: Face,
    number: int,
    protection: Protection,
    more: Crops,
    grey: bool,
    before: FaceOutcome | None,
    tell: Callable[..., None],
) -> FaceOutcome:
    start = time.perf_counter()
    strength, surrogates = protection.strength, protection.surrogates
    # Crops and references are the untouched photo's; the change is made to what earlier faces left.
    clean = face_window(image, face, surrogates, mask=protection.mask, more=more)
    x0, y0, x1, y1 = clean.place
    window = clean.on(result[y0:y1, x0:x1], used[y0:y1, x0:x1])
    frame = head_frame(face).moved(complex(x0, y0), 0)
    goals = _goals(clean, protection, number)
    rng = torch.Generator().manual_seed(protection.seed)
    views = FaceViews(surrogates, window, rng)
    began, made = time.perf_counter(), 0

    def gradient(picture: torch.Tensor) -> torch.Tensor:
        nonlocal made
        found, distances = _gradient(views, goals, picture)
        made += 1
        tell(made, distances, share=min(1, made / strength.steps))
        return found

    def spent() -> float:
        return 0.0 if protection.budget is None else (time.perf_counter() - start) / max(protection.budget, 1e-9)

    head = frame.moved(0, window.levels)
    change = before.change if before else find_change(window, head, strength, gradient, grey=grey, spent=spent, rng=rng)
    attacking = before.attack_seconds if before else time.perf_counter() - began
    changed, seen = levelled(window, frame, change, strength, protection.encode)
    result[y0:y1, x0:x1] = changed
    used[y0:y1, x0:x1] = np.maximum(used[y0:y1, x0:x1], clean.spread_share())
    outputs = saved_views(changed, window, surrogates, protection.encode)
    reached = all(bool(goal.reached(output)) for goal, output in zip(goals, outputs, strict=True))
    seconds = time.perf_counter() - start + (before.seconds if before else 0)
    return FaceOutcome(face, change.steps, reached, _worst(goals, outputs), seen, seconds, attacking, change)


def _gradient(views: FaceViews, goals: Goals, picture: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
    """Of all goals together, and how far each is; one after the other, which keeps one net's activations at a time."""
    total, distances = torch.zeros_like(picture), {}
    for number, goal in enumerate(goals):
        weight = _DLIB_WEIGHT if views.surrogates[number].network == DLIB else 1.0
        x = picture.detach().requires_grad_(True)
        outputs = views.draw(x, number)
        (found,) = torch.autograd.grad(goal.loss(outputs).sum(), x)
        distances[views.surrogates[number].name] = _worst([goal], [outputs.detach()])
        total += weight * found / found.abs().mean().clamp_min(1e-12)
    return total, distances


def _goals(window: FaceWindow, protection: Protection, number: int) -> Goals:
    """For each surrogate; (1, 1, R, D) references are compared with its (1, V, D) outputs."""
    if protection.targets is not None:
        return [MoveTo(target[None, None]) for target in protection.targets]
    with torch.no_grad():
        own = [
            in_thresholds(s, cut_out(window.picture, [crop.moved(0, window.levels) for crop in crops], size=s.size))
            for s, crops in zip(protection.surrogates, window.crops, strict=True)
        ]
    if protection.own is not None:
        own = [torch.cat(pair) for pair in zip(own, protection.own, strict=True)]
    if protection.way is not None:
        pairs = zip(own, protection.way(number, own), strict=True)
        return [MoveApart(references[None, None], beacon[None, None]) for references, beacon in pairs]
    return [MoveAway(references[None, None]) for references in own]


def _worst(goals: Goals, outputs: Sequence[torch.Tensor]) -> float:
    """The view that is nearest to failing, in thresholds."""
    distances = torch.cat([goal.distances(output).flatten() for goal, output in zip(goals, outputs, strict=True)])
    return float(distances.max() if isinstance(goals[0], MoveTo) else distances.min())
