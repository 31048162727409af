"""The recipes that `frontier.py` compares: what is done to the face of a photo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from frontier_judging import ENSEMBLE, Pixels, seen

from faceenc.core import Face
from faceenc.faces import head_frame, head_mask
from faceenc.media import Photo
from faceenc.protect import STRENGTHS, Protection, Strength, protect_faces
from faceenc.recognizers import Recognizer

Change = Callable[[Photo, Face, Sequence[Recognizer]], Pixels]

NOBODY = ""  # left out: all nets of a recipe are attacked
_STEPS = 50  # in a ball
_HALVINGS = 12


@dataclass(frozen=True)
class Recipe:
    """What is done to a face.

    Attributes:
        family: whose points are joined in the figure.
        change: a photo, its face, and the nets to attack -> the photo's pixels, changed.
        nets: that are attacked.
        left_out: the folds that are run if nothing else is asked for: the net that is not attacked in each.
        strength: how much may be seen; None where nobody promised anything.
    """

    family: str
    change: Change
    nets: tuple[str, ...] = ()
    left_out: tuple[str, ...] = (NOBODY,)
    strength: Strength | None = None


def _untouched(photo: Photo, face: Face, surrogates: Sequence[Recognizer]) -> Pixels:
    return photo.pixels


def _random(photo: Photo, face: Face, surrogates: Sequence[Recognizer], *, noise: float) -> Pixels:
    """Gaussian noise on the head, as strong as SSIMULACRA2 allows."""
    original = photo.pixels
    draw = np.random.default_rng(0).standard_normal((*original.shape[:2], 1 if photo.grey else 3))
    draw = draw * head_mask(head_frame(face), original.shape[:2])[0, 0].numpy()[..., None]

    def changed(levels: float) -> Pixels:
        pixels: Pixels = (original + levels * draw).round().clip(0, 255).astype(np.uint8)
        return pixels

    low, high = 0.0, 128.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if seen(original, changed(middle), face).noise >= noise else (low, middle)
    return changed(low)


def _attacked(photo: Photo, face: Face, surrogates: Sequence[Recognizer], *, strength: Strength) -> Pixels:
    return protect_faces(photo.pixels, [face], Protection(strength, surrogates), grey=photo.grey)[0]


def _recipes() -> dict[str, Recipe]:
    found = {"clean": Recipe("clean", _untouched)}
    for strength in STRENGTHS.values():
        found[f"random {strength.noise:g}"] = Recipe("random noise", partial(_random, noise=strength.noise))
    for levels in (10, 16):
        ball = Strength.bounded(levels / 255, _STEPS)
        found[f"dlib {levels}/255"] = Recipe("dlib alone in a ball", partial(_attacked, strength=ball), ENSEMBLE[:1])
    some, every = (NOBODY, "sface"), (NOBODY, *ENSEMBLE[1:])
    for levels in (6, 10, 16):
        ball = Strength.bounded(levels / 255, _STEPS)
        found[f"ensemble {levels}/255"] = Recipe("four nets in a ball", partial(_attacked, strength=ball), ENSEMBLE, some)
    for name, strength in STRENGTHS.items():
        flat = replace(strength, shape=0)
        change = partial(_attacked, strength=flat)
        found[f"{name} no shape"] = Recipe("presets without shape", change, ENSEMBLE, some, flat)
    for name, strength in STRENGTHS.items():
        found[name] = Recipe("presets", partial(_attacked, strength=strength), ENSEMBLE, every, strength)
    return found


RECIPES = _recipes()
