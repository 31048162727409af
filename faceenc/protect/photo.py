"""What became of one protected photo, and the steps that need no nets: which faces, and how the file is encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from faceenc.core import Box, DataError, Face, NoFaceError
from faceenc.faces import WHOLE_POINTS, Found
from faceenc.media import Photo, decode_photo, encode_photo
from faceenc.protect.engine import FaceOutcome
from faceenc.protect.evidence.records import Evidence
from faceenc.protect.evidence.summary import summary_line
from faceenc.protect.options import Options
from faceenc.protect.strength import STRENGTHS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_Form = TypeVar("_Form", covariant=True)

_SMALLEST = 8  # pixels a side of what can be taken for a face


@dataclass(frozen=True, eq=False)
class Protected(Generic[_Form]):
    """A protected picture, and what is known of it.

    Attributes:
        image: of the form that was given; the file's bytes for a path, or the path that was written.
        outcomes: one a face.
        evidence: from the picture as it is handed out.
        attacked: the networks that were attacked.
        preset: as of `preset_alone`.
        notes: what reading and saving changed besides, in plain words.
        seconds: a stage's name -> wall time.
    """

    image: _Form
    outcomes: Sequence[FaceOutcome]
    evidence: Evidence
    attacked: frozenset[str]
    preset: str | None
    notes: Sequence[str]
    seconds: dict[str, float]

    @property
    def matched(self) -> int:
        """How many faces are still matched, as saved, by a judge whose network was attacked."""
        return self.evidence.matches(networks=self.attacked)

    @property
    def unlike(self) -> int:
        """How many faces are not taken, by some judge that was attacked, for the person whom they were to look like."""
        return self.evidence.unlike(self.attacked)

    @property
    def summary(self) -> str:
        """What the judges say, and what was not looked at, in one sentence."""
        return summary_line(self.evidence, self.attacked, self.preset)

    def to_json(self) -> dict[str, Any]:
        return {
            "matched": self.matched,
            **({} if self.evidence.aim is None else {"unlike": self.unlike}),
            **self.evidence.to_json(),
            "undetected": self.evidence.undetected(),
            "noise": [
                {"steps": o.steps, "reached": o.reached, "distance": round(o.distance, 3), "seconds": round(o.seconds, 2)}
                for o in self.outcomes
            ],
            "summary": self.summary,
            "notes": list(self.notes),
            "seconds": {name: round(value, 2) for name, value in self.seconds.items()},
        }


def choose_faces(found: Found, options: Options, pixels: NDArray[np.uint8], *, about: str) -> Found:
    """The same with the faces to protect, largest first, and the others as `left`.

    Args:
        found: in the photo.
        options: which of them.
        pixels: (H, W, 3) of the photo.
        about: what errors call it.

    Raises:
        NoFaceError: there is none, and the whole photo was not asked for.
        DataError: the whole photo was, and is too small.
    """
    faces = sorted(found.faces, key=lambda face: -face.box.area)
    height, width = pixels.shape[:2]
    if not faces and options.on_no_face == "whole":
        if min(height, width) < _SMALLEST:
            raise DataError(f"{about} has {width} x {height} pixels, too few for a face: use a larger photo")
        return replace(found, faces=[_whole_face(width, height)])
    if not faces:
        doubt = f" ({_doubt(found)})" if found.doubtful else ""
        raise NoFaceError(
            f"no face found in {about}{doubt}: nothing is written; `on_no_face=whole` protects the whole photo"
        )
    count = len(faces) if options.faces == "all" else 1 if options.faces == "largest" else int(options.faces)
    return replace(found, faces=faces[:count], left=faces[count:])


def notes_about(photo: Photo, options: Options, found: Found) -> tuple[str, ...]:
    """What is to be said of a protected photo besides its evidence, in plain words.

    Args:
        photo: as read.
        options: how it is protected.
        found: the faces that are.
    """
    notes = list(photo.notes)
    if options.keep_metadata and photo.metadata is not None and photo.metadata.tells_place:
        notes.append("the place where it was taken (GPS) stays in the file: `keep_metadata` asked for it")
    if options.preview:
        notes.append("the preview shows the face as it was: keep it to yourself")
    if options.faces.isdecimal() and len(found.faces) < int(options.faces):
        count = "1 face" if len(found.faces) == 1 else f"{len(found.faces)} faces"
        notes.append(f"`faces={options.faces}` asked for more than the {count} in it")
    return tuple(notes)


def _doubt(found: Found) -> str:
    face = found.doubtful[0]
    x, y = (face.box.x0 + face.box.x1) / 2, (face.box.y0 + face.box.y1) / 2
    return f"one detector weakly takes something at ({x:.0f}, {y:.0f}) for one"


def _whole_face(width: int, height: int) -> Face:
    """The middle square of a photo, taken for a face."""
    side = min(height, width)
    x, y = (width - side) / 2, (height - side) / 2
    points = tuple((x + side * across, y + side * down) for across, down in WHOLE_POINTS)
    return Face(Box(x, y, x + side, y + side), {"mediapipe": points}, 0.0, "whole")


def preset_alone(options: Options, found: Found) -> str | None:
    """The preset by which faces are protected, if nothing else was asked for: what was measured of presets holds then."""
    other = (options.surrogates or None, options.apart or None, options.decoy, options.target, options.budget)
    if any(choice is not None for choice in other) or found.faces[0].detector == "whole":
        return None
    return next((name for name, strength in STRENGTHS.items() if strength == options.strength), None)


def is_lossless(photo: Photo, options: Options) -> bool:
    """Whether the file will show the very pixels."""
    file_format = options.format or photo.format
    return file_format in ("PNG", "TIFF") or (file_format == "WEBP" and options.quality is None)


def encode_and_decode(photo: Photo, options: Options) -> tuple[bytes, Photo]:
    """The file to be saved, and what it shows."""
    data = _encode(photo, options, keep_metadata=options.keep_metadata)
    return data, decode_photo(data)


def as_saved(photo: Photo, pixels: NDArray[np.uint8], options: Options) -> NDArray[np.uint8]:
    """A part of the photo's pixels as the file will show them."""
    part = replace(photo, pixels=pixels, alpha=None, icc=None, metadata=None)
    return decode_photo(_encode(part, options)).pixels


def _encode(photo: Photo, options: Options, *, keep_metadata: bool = False) -> bytes:
    return encode_photo(photo, format=options.format or photo.format, quality=options.quality, keep_metadata=keep_metadata)
