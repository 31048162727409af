"""The options of `faceenc encrypt`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from faceenc.core import ConfigError, OnNoFace
from faceenc.media import PhotoFormat
from faceenc.protect.strength import STRENGTHS, Strength
from faceenc.recognizers import ENSEMBLE


@dataclass(frozen=True)
class Options:
    """How photos are to be protected; hashable and picklable.

    Attributes:
        strength: how much may be seen.
        surrogates: what is attacked, as `load_recognizer` takes them; none means `ENSEMBLE`. With `target` only those count
            that the consent holds embeddings for.
        apart: move every photo another way, so that the protected photos of one person match each other less.
        decoy: move everybody nearer to the synthetic person of this number, besides away from themselves.
        person: sub-folder of `gallery` with more photos of the person to move away from.
        target: name of a person to look like, who has signed `consent`.
        consent: that person's file, or its bytes; only together with `target`.
        gallery: folder of people: the ranks in the evidence.
        faces: "all", "largest", or how many of the largest.
        on_no_face: nothing is written ("skip" and "fail" alike, the caller tells them apart), or the whole photo is taken
            for a face.
        format: of the output; None keeps the photo's own.
        quality: of JPEG, HEIF and lossy WebP; None is 95, and WebP without loss.
        keep_metadata: EXIF, GPS and the like stay in the file.
        preview: also write STEM-preview.png: before, the change, after.
        judges: recognisers that are asked besides dlib and what is attacked.
        thorough: search the saved file for faces at full size.
        budget: seconds a photo for making the noise; None sets no limit.
        seed: of all randomness.
        trust_code: whether surrogates and judges may be code of others, see `load_recognizer`.
    """

    strength: Strength = STRENGTHS["balanced"]
    surrogates: tuple[str, ...] = ()
    apart: bool = False
    decoy: int | None = None
    person: str | None = None
    target: str | None = None
    consent: Path | bytes | None = None
    gallery: Path | None = None
    faces: str = "all"
    on_no_face: OnNoFace = "skip"
    format: PhotoFormat | None = "PNG"
    quality: int | None = None
    keep_metadata: bool = False
    preview: bool = False
    judges: tuple[str, ...] = ()
    thorough: bool = False
    budget: float | None = None
    seed: int = 0
    trust_code: bool = False

    def __post_init__(self) -> None:
        if self.strength.rounds_away:
            raise ConfigError(f"`eps` {self.strength.eps:.4g} is less than one of 255 grey levels: use at least 1/255")
        if self.quality is not None and self.format in ("PNG", "TIFF"):
            raise ConfigError(f"`quality` is for JPEG, HEIF and WebP, not for {self.format}: leave it out, or add `format`")
        if sum(option is not None for option in (self.decoy, self.person, self.target)) > 1:
            raise ConfigError("`decoy`, `person` and `target` exclude each other: a face can go one way only")
        if self.apart and (self.decoy is not None or self.target is not None):
            raise ConfigError("`apart` sends every photo another way, `decoy` and `target` all to one: choose one of them")
        if self.person is not None and self.gallery is None:
            raise ConfigError("`person` names a sub-folder of the gallery: add `gallery=FOLDER`")
        if self.target is not None and self.consent is None:
            needed = f"that needs the file which {self.target} makes with `faceenc consent`"
            raise ConfigError(
                f"`target={self.target}` makes faces look like another person's: {needed};"
                " give it with `consent=FILE`, or use `decoy` for a person who does not exist"
            )
        if self.consent is not None and self.target is None:
            raise ConfigError("`consent` is for looking like the person who signed it: add `target=NAME`, or leave it out")

    @property
    def attacked(self) -> tuple[str, ...]:
        """The surrogates that are meant. Of the ensemble those count that can be had, see `load_ensemble`."""
        return self.surrogates or ENSEMBLE

    @property
    def goal(self) -> str:
        """In the words of the audit log."""
        if self.target is not None:
            return f"to {self.target}"
        if self.decoy is not None:
            return f"to decoy {self.decoy}"
        return "away" if self.person is None else f"away from {self.person}"
