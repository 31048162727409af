"""Noise for the faces of a photo: PGD in the photo's own pixels, stopped when what will be saved is protected."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from faceenc.attacks import PGD, MoveAway, MoveTo, ShapedLinf
from faceenc.core import ConfigError
from faceenc.faces import FaceWindow, Similarity, cut_out
from faceenc.media import PHOTO_TRANSFORMS, RandomTransform
from faceenc.protect.saved_views import saved_views
from faceenc.protect.strength import Strength
from faceenc.protect.views import FaceViews, stack_embeddings
from faceenc.protect.windows import face_window
from faceenc.recognizers import Recognizer, in_thresholds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceenc.core import Face


log = logging.getLogger(__name__)

# With less of the margin than this after all its steps, a face (seen from the side, or tiny) gets as many steps again, and
# with less than this in the end it does not count as protected. Beyond it, steps serve recognisers that are not attacked.
_SCANT = 1 / 3
Crops = Sequence[Sequence[Similarity]]
_CHUNK = 10  # steps between two checks of what would be saved


@dataclass(frozen=True, eq=False)
class Protection:
    """How to protect.

    Attributes:
        strength: how much.
        surrogates: the recognisers that are attacked.
        own: for each surrogate (R, D) embeddings of more photos of the person to move away from, in units of its threshold;
            empty tensors where there are none.
        targets: for each surrogate (T, D) embeddings to move to; None moves away instead.
        transforms: what the photo may go through, and is prepared for.
        mask: keep the noise on the face.
        encode: pixels -> pixels as the saved file will show them; None saves without loss.
        budget: seconds for all faces together; None sets no limit.
        seed: of all randomness, together with the photo.
    """

    strength: Strength
    surrogates: Sequence[Recognizer]
    own: Sequence[torch.Tensor] | None = None
    targets: Sequence[torch.Tensor] | None = None
    transforms: Sequence[RandomTransform] = PHOTO_TRANSFORMS
    mask: bool = True
    encode: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None
    budget: float | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class FaceOutcome:
    """What became of one face.

    Attributes:
        face: as detected.
        steps: that were needed.
        reached: the goal is reached with at least a third of the margin, in every view of what will be saved.
        distance: the worst of these views, in thresholds: the nearest to the photo itself (or the farthest from the target).
        seconds: wall time.
        attack_seconds: of that, the gradient steps; the rest cuts out the face and checks what would be saved.
    """

    face: Face
    steps: int
    reached: bool
    distance: float
    seconds: float
    attack_seconds: float


def protect_faces(
    image: NDArray[np.uint8],
    faces: Sequence[Face],
    protection: Protection,
    *,
    grey: bool = False,
    more: Sequence[Crops] = (),
) -> tuple[NDArray[np.uint8], list[FaceOutcome]]:
    """Add noise to the faces of a photo.

    Args:
        image: (H, W, 3) uint8 RGB; left as it is.
        faces: as detected in this very image; one after the other, where they overlap within one eps together.
        protection: how.
        grey: change all channels alike.
        more: for each face, and of it for each surrogate, crops to attack besides those that it is expected to cut out.

    Returns:
        (H, W, 3) uint8 RGB, nowhere farther than eps from `image`, and one outcome a face.

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
        left = None if deadline is None else (deadline - time.perf_counter()) / (len(faces) - number)
        crops = more[number] if number < len(more) else ()
        outcomes.append(_protect_face(image, result, used, face, replace(protection, budget=left), grey=grey, more=crops))
    return result, outcomes


def _protect_face(
    image: NDArray[np.uint8],
    result: NDArray[np.uint8],
    used: NDArray[np.float32],
    face: Face,
    protection: Protection,
    *,
    grey: bool,
    more: Crops,
) -> FaceOutcome:
    start = time.perf_counter()
    strength, surrogates = protection.strength, protection.surrogates
    # Crops and references are the untouched photo's; the noise is added to what earlier faces left.
    clean = face_window(image, face, surrogates, flat=strength.flat, mask=protection.mask, more=more)
    x0, y0, x1, y1 = clean.place
    window = clean.on(result[y0:y1, x0:x1], used[y0:y1, x0:x1])
    goal = _goal(clean, protection)
    norm = ShapedLinf(window.share, grey=grey)
    rng = torch.Generator().manual_seed(protection.seed)
    views = FaceViews(surrogates, window, rng, transforms=protection.transforms, diversity=strength.diversity)
    origin, current, done, attacking, limit = window.picture, None, 0, 0.0, strength.steps
    while True:
        steps = min(_CHUNK, limit - done)
        rel_step = _rel_step(done % strength.steps, strength.steps)
        attack = PGD(norm=norm, steps=steps, rel_step=rel_step, engine="exact")
        began = time.perf_counter()
        current = attack(views, origin, goal, eps=strength.eps, rng=[rng], start=current)
        attacking += time.perf_counter() - began
        done += steps
        late = protection.budget is not None and time.perf_counter() - start > protection.budget
        last = done >= limit or late
        # A check of what would be saved costs as much as many steps: first the picture itself has to be good enough.
        if last or goal.reached(views.plain(current), strength.margin):
            changed = window.add(current - origin, strength.eps)
            outputs = saved_views(changed, window, surrogates, protection.encode)
            reached = bool(goal.reached(outputs, strength.margin * _SCANT))
            if last and not late and limit == strength.steps and not reached:
                limit, last = 2 * limit, False
            if last or goal.reached(outputs, strength.margin):
                break
    result[y0:y1, x0:x1] = changed
    used[y0:y1, x0:x1] = np.maximum(used[y0:y1, x0:x1], clean.spread_share())
    return FaceOutcome(face, done, reached, _worst(goal, outputs), time.perf_counter() - start, attacking)


def _rel_step(done: int, steps: int) -> float:
    """Large steps first, small ones in the last third."""
    return 0.2 if done < steps * 2 / 3 else 0.06


def _goal(window: FaceWindow, protection: Protection) -> MoveAway | MoveTo:
    if protection.targets is not None:
        return MoveTo(_references(protection.targets))
    picture = window.picture
    with torch.no_grad():
        own = [
            in_thresholds(surrogate, cut_out(picture, [crop.moved(0, window.levels) for crop in crops], size=surrogate.size))
            for surrogate, crops in zip(protection.surrogates, window.crops, strict=True)
        ]
    if protection.own is not None:
        own = [torch.cat(pair) for pair in zip(own, protection.own, strict=True)]
    return MoveAway(_references(own))


def _references(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """S times (R, D) -> (1, S, 1, R, D), as the goals compare with `FaceViews`."""
    return stack_embeddings(parts)[None, :, None]


def _worst(goal: MoveAway | MoveTo, outputs: torch.Tensor) -> float:
    """The view that is nearest to failing, in thresholds."""
    distances = goal.distances(outputs)
    return float(distances.max() if isinstance(goal, MoveTo) else distances.min())
