"""One photo from file to file: read, find the faces, protect them, save, and judge the saved file as a stranger would."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from faceenc.core import Box, DataError, Face, NoFaceError, Progress
from faceenc.faces import WHOLE_POINTS, detect_closely
from faceenc.media import Photo, check_format, decode_photo, encode_photo, read_photo, save_photo
from faceenc.protect.engine import FaceOutcome, Protection, protect_faces
from faceenc.protect.evidence.gathering import Evidence, gather_evidence
from faceenc.protect.evidence.summary import summary_line
from faceenc.protect.options import Options
from faceenc.protect.preview import draw_preview
from faceenc.protect.protector import _Tools, _tools
from faceenc.protect.safeguards.audit_log import audit

if TYPE_CHECKING:
    from numpy.typing import NDArray


log = logging.getLogger(__name__)

_SMALLEST = 8  # pixels a side of what can be taken for a face


@dataclass(frozen=True, eq=False)
class Encrypted:
    """What became of one photo.

    Attributes:
        target: the file, written.
        outcomes: one a face.
        evidence: from the saved file.
        attacked: the networks that the noise was made against.
        notes: what reading and saving changed besides, in plain words.
        seconds: a stage's name -> wall time.
    """

    target: Path
    outcomes: Sequence[FaceOutcome]
    evidence: Evidence
    attacked: frozenset[str]
    notes: Sequence[str]
    seconds: dict[str, float]

    @property
    def matched(self) -> int:
        """How many faces are still matched, as saved, by a judge whose network was attacked."""
        return self.evidence.matches(networks=self.attacked)

    def to_json(self) -> dict[str, Any]:
        return {
            "output": str(self.target),
            "matched": self.matched,
            **self.evidence.to_json(),
            "undetected": self.evidence.undetected(),
            "noise": [
                {"steps": o.steps, "reached": o.reached, "distance": round(o.distance, 3), "seconds": round(o.seconds, 2)}
                for o in self.outcomes
            ],
            "summary": summary_line(self.evidence, self.attacked),
            "notes": list(self.notes),
            "seconds": {name: round(value, 2) for name, value in self.seconds.items()},
        }


@dataclass(frozen=True, slots=True)
class Encrypt:
    """The work of a folder run: photo -> protected photo and what is known about it; picklable."""

    options: Options

    def __call__(self, source: Path, target: Path) -> dict[str, Any]:
        return encrypt_photo(source, target, self.options).to_json()

    def prepare(self) -> None:
        """Load what is needed, so that a mistake in the options shows before the first photo."""
        _tools(self.options)


def encrypt_photo(
    source: Path,
    target: Path,
    options: Options,
    *,
    force: bool = False,
    make_keyfile: Callable[[Photo, Photo, bytes, bytes], None] | None = None,
    progress: Progress | None = None,
) -> Encrypted:
    """Protect one photo.

    Args:
        source: the photo; left as it is.
        target: the file to write; appears in one piece or not at all.
        options: how.
        force: overwrite the target.
        make_keyfile: called with the original, the protected photo decoded anew, and both files' bytes, before saving.
        progress: called for each face done.

    Raises:
        NoFaceError: there is none, and the whole photo was not asked for.
        DataError: the photo cannot be read, or the target not be written.
        FaceencError: the options cannot be met (weights, consent, gallery).
    """
    seconds: dict[str, float] = {}
    with _timed(seconds, "prepare"):
        tools = _tools(options)
    with _timed(seconds, "read"):
        photo = read_photo(source)  # first: it refuses by a glance at the header what would not fit into memory
        with _about(source):
            check_format(photo, options.format or photo.format)
        content = source.read_bytes()
    with _timed(seconds, "detect"):
        faces = _choose(detect_closely(photo.pixels, tools.detector), options, source, photo)
    with _timed(seconds, "noise"):
        protection = _protection(photo, faces, options, tools)
        pixels, outcomes = protect_faces(photo.pixels, faces, protection, grey=photo.grey, progress=progress)
    judge = partial(
        gather_evidence,
        photo.pixels,
        judges=tools.judges,
        detector=tools.detector,
        gallery=tools.gallery,
        person=options.person,
        faces=faces,
    )
    with _timed(seconds, "encode and judge"), _about(source):
        with ThreadPoolExecutor(1) as beside:
            saving = beside.submit(_encode_and_decode, replace(photo, pixels=pixels), options)
            # A lossless file will show these pixels: judged while it is encoded, which counts only if it does.
            evidence = judge(pixels) if _lossless(photo, options) else None
            data, again = saving.result()
        if evidence is None or not np.array_equal(again.pixels, pixels):
            evidence = judge(again.pixels)
    with _timed(seconds, "write"):
        if options.preview:
            picture = Photo(draw_preview(photo.pixels, again.pixels, faces), None, False, "PNG", None, None, ())
            preview = encode_photo(picture, format="PNG")
            save_photo(target.with_name(f"{target.stem}-preview.png"), preview, force=force)
        if make_keyfile is not None:
            make_keyfile(photo, again, content, data)
        save_photo(target, data, force=force)
    attacked = frozenset(surrogate.network for surrogate in tools.surrogates)
    fingerprint = tools.consent.fingerprint if tools.consent else None
    hashes = {"source_sha256": hashlib.sha256(content).hexdigest(), "output_sha256": hashlib.sha256(data).hexdigest()}
    audit("encrypt", **hashes, goal=options.goal, faces=len(faces), consent=fingerprint)
    return Encrypted(target, outcomes, evidence, attacked, photo.notes, seconds)


@contextmanager
def _about(source: Path) -> Iterator[None]:
    """An error in the block says which photo it is about."""
    try:
        yield
    except DataError as error:
        raise DataError(f"cannot protect {source}: {error}") from error


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start


def _choose(found: Sequence[Face], options: Options, source: Path, photo: Photo) -> list[Face]:
    """The faces to protect, largest first."""
    faces = sorted(found, key=lambda face: -face.box.area)
    height, width = photo.pixels.shape[:2]
    if not faces and options.on_no_face == "whole":
        if min(height, width) < _SMALLEST:
            raise DataError(f"{source} has {width} x {height} pixels, too few for a face: use a larger photo")
        return [_whole_face(photo.pixels)]
    if not faces:
        raise NoFaceError(f"no face found in {source}: nothing is written; --on-no-face whole protects the whole photo")
    if options.faces == "all":
        return faces
    return faces[: 1 if options.faces == "largest" else int(options.faces)]


def _whole_face(pixels: NDArray[np.uint8]) -> Face:
    """The middle square of a photo, taken for a face."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    x, y = (width - side) / 2, (height - side) / 2
    points = tuple((x + side * across, y + side * down) for across, down in WHOLE_POINTS)
    return Face(Box(x, y, x + side, y + side), points, 0.0)


def _protection(photo: Photo, faces: Sequence[Face], options: Options, tools: _Tools) -> Protection:
    def saved(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        part = replace(photo, pixels=pixels, alpha=None, icc=None, metadata=None)
        return decode_photo(_encode(part, options)).pixels

    return Protection(
        options.strength,
        tools.surrogates,
        own=tools.own,
        targets=tools.targets,
        mask=faces[0].score > 0,
        encode=None if _lossless(photo, options) else saved,
        budget=options.budget,
        seed=options.seed,
    )


def _lossless(photo: Photo, options: Options) -> bool:
    file_format = options.format or photo.format
    return file_format in ("PNG", "TIFF") or (file_format == "WEBP" and options.quality is None)


def _encode_and_decode(photo: Photo, options: Options) -> tuple[bytes, Photo]:
    """The file to be saved, and what it shows."""
    data = _encode(photo, options, keep_metadata=options.keep_metadata)
    return data, decode_photo(data)


def _encode(photo: Photo, options: Options, *, keep_metadata: bool = False) -> bytes:
    return encode_photo(photo, format=options.format or photo.format, quality=options.quality, keep_metadata=keep_metadata)
