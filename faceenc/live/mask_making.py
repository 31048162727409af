"""A mask from many photos of a person: one noise that works on all of them, wherever and however large the face is.

Universal perturbations (Moosavi-Dezfooli et al., https://arxiv.org/abs/1610.08401), made by sign steps with momentum over
random photos, at random sizes of the face in the frame and random small errors of the crop.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from faceenc.attacks import gradient_engine
from faceenc.core import DataError, Detector, Goal, Progress, scaled
from faceenc.faces import ALIGNED_SIZE, Similarity, face_ellipse, key_points_similarity, main_face
from faceenc.live.face_view import FaceView
from faceenc.live.identifier import Identifier
from faceenc.live.masks import CHIP, Mask
from faceenc.live.noise import FaceNoise, live_window
from faceenc.media import read_photo

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceenc.core import Face
    from faceenc.faces import FaceWindow


log = logging.getLogger(__name__)

FEWEST = 3  # photos
_BATCH = 4  # photos a step
_SIZES = (0.5, 0.8, 1.2)  # frame pixels a chip pixel: a face of some 55, 90 and 130 pixels
_HELD = 5  # one photo in so many is kept back to see how the mask does on what it was not made of
_ENOUGH = 0.9  # of the views: in a clip a mask hides less often than in photos like those it was made of
_STEP, _LAST_STEP = 0.12, 0.02  # of eps
_MOMENTUM = 0.9


@dataclass(frozen=True, eq=False)
class _PhotoView:
    """A photo at one size of the face: its window, where the chip lies in it, and the goal there."""

    window: FaceWindow
    chip: Similarity
    cut: Similarity
    goal: Goal
    photo: NDArray[np.uint8]
    face: Face


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A mask, and how it does.

    Attributes:
        mask: to be saved.
        photos: that it was made of.
        held: views of photos that were kept back; 0 where there were too few photos.
        hidden: of these, where the recogniser took the face for somebody else or nobody.
    """

    mask: Mask
    photos: int
    held: int
    hidden: int

    @property
    def enough(self) -> bool:
        """Whether the mask may be relied on alone."""
        return self.hidden >= _ENOUGH * self.held > 0


def enroll(
    name: str,
    paths: Sequence[Path],
    identifier: Identifier,
    detector: Detector,
    *,
    eps: float,
    steps: int = 120,
    seed: int = 0,
    progress: Progress | None = None,
) -> Enrolled:
    """Makes a person's mask.

    Args:
        name: of the person.
        paths: of different photos of them, at least `FEWEST`, better 10 or more from all sides.
        identifier: the recogniser to hide from.
        detector: finds the faces.
        eps: the size of the noise that it is made for.
        steps: over four photos each.
        seed: of all randomness.
        progress: called for photos and steps.

    Raises:
        DataError: too few photos; those that cannot be read or show no face are left out, which is logged.
    """
    photos, answers = [], []
    for number, path in enumerate(paths, start=1):
        try:
            views, answer = _photo_views(path, identifier, detector)
        except DataError as error:
            log.warning("%s; left out", error)
        else:
            photos.append(views)
            answers.append(answer)
        if progress is not None:
            progress("photos", number, len(paths))
    if len(photos) < FEWEST:
        raise DataError(
            f"{len(photos)} usable photos of {name}: at least {FEWEST} are needed, better 10 or more from all sides"
        )
    held = photos[_HELD - 1 :: _HELD]
    made = [views for number, views in enumerate(photos, start=1) if number % _HELD]
    rng = torch.Generator().manual_seed(seed)
    views = [view for photo_views in made for view in photo_views]
    noise = _ascend(views, identifier, eps, steps, rng, progress)
    mask = Mask(name, identifier.recognizer.network, noise, torch.stack(answers))
    tested = [_hides(mask, view, identifier, eps) for photo_views in held for view in photo_views]
    return Enrolled(mask, len(made), len(tested), sum(tested))


def _photo_views(path: Path, identifier: Identifier, detector: Detector) -> tuple[list[_PhotoView], torch.Tensor]:
    """A photo at several sizes of its face, and the recogniser's answer about it."""
    photo = read_photo(path).pixels
    faces = detector(photo)
    if not faces:
        raise DataError(f"no face found in {path}: choose one that shows the person from near")
    face = main_face(faces, photo.shape[1], photo.shape[0])
    own = key_points_similarity(face).scale
    answer = identifier.answers(identifier.crop(photo, face)[None])[0]
    views = []
    for wanted in _SIZES:
        factor = min(1.0, wanted / own)  # a small face is not enlarged: that would show recognisers nothing new
        size = max(1, round(photo.shape[1] * factor)), max(1, round(photo.shape[0] * factor))
        small = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0))
        there = scaled(face, size[0] / photo.shape[1], size[1] / photo.shape[0])
        window, chip = live_window(small, there, [(identifier.crops.similarity(there), identifier.crops.size)])
        goal = identifier.dodge([identifier.answers(identifier.crop(small, there)[None])[0]])
        views.append(_PhotoView(window, chip, window.crops[0][0].moved(0, window.levels), goal, small, there))
        if factor == 1:
            break
    return views, answer


def _ascend(
    views: Sequence[_PhotoView],
    identifier: Identifier,
    eps: float,
    steps: int,
    rng: torch.Generator,
    progress: Progress | None,
) -> torch.Tensor:
    """(1, 3, ALIGNED_SIZE, ALIGNED_SIZE) in [-1, 1]."""
    share = face_ellipse(CHIP, (ALIGNED_SIZE, ALIGNED_SIZE))
    noise, memory = torch.zeros(1, 3, ALIGNED_SIZE, ALIGNED_SIZE), torch.zeros(1, 3, ALIGNED_SIZE, ALIGNED_SIZE)
    for step in range(steps):
        total = torch.zeros_like(noise)
        for index in torch.randint(len(views), (_BATCH,), generator=rng).tolist():
            gradient = _gradient(noise, views[index], identifier, eps, rng)
            total += gradient / gradient.abs().sum().clamp(min=1e-12)  # each photo counts alike
        memory = _MOMENTUM * memory + total
        size = _STEP + (_LAST_STEP - _STEP) * step / steps
        noise = torch.maximum(torch.minimum(noise + size * memory.sign() * share, share), -share)
        if progress is not None:
            progress("steps", step + 1, steps)
    return noise


def _gradient(
    noise: torch.Tensor, view: _PhotoView, identifier: Identifier, eps: float, rng: torch.Generator
) -> torch.Tensor:
    """Of the goal's loss, at the mask's pixels."""
    face_view = FaceView(identifier.model, view.cut, identifier.crops.size, rng, identifier.crops.jitter)
    with torch.enable_grad():
        leaf = noise.clone().requires_grad_(True)
        laid = FaceNoise(leaf, CHIP).moved_to(view.chip, view.window.picture.shape[-2:])
        x = (view.window.picture + eps * laid).clamp(0, 1)
    answer = gradient_engine(face_view, "fused")(x.detach(), view.goal)
    (gradient,) = torch.autograd.grad(x, leaf, answer.gradient)
    return gradient


def _hides(mask: Mask, view: _PhotoView, identifier: Identifier, eps: float) -> bool:
    """Whether the mask, laid over the photo's own pixels and rounded, has the recogniser name somebody else or nobody."""
    laid = FaceNoise(mask.noise * eps, CHIP).moved_to(view.chip, view.window.picture.shape[-2:])
    changed = view.photo.copy()
    x0, y0, x1, y1 = view.window.place
    changed[y0:y1, x0:x1] = view.window.add(laid, eps)
    clean, noisy = identifier.answers(np.stack([identifier.crop(image, view.face) for image in (view.photo, changed)]))
    before, after = identifier.reading(clean, [clean]), identifier.reading(noisy, [clean])
    return before.name is not None and after.name != before.name
