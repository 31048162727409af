"""One photo from its faces to its file's bytes: changed, judged as saved, and changed once more where it is found anew."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from faceenc.core import DataError, Face
from faceenc.faces import FaceSearch, Found
from faceenc.media import Photo
from faceenc.protect.decoys import Crowd
from faceenc.protect.engine import Crops, FaceOutcome, Protection, Step, Way, protect_faces
from faceenc.protect.evidence.gathering import Aim, gather_evidence
from faceenc.protect.evidence.records import Evidence, FaceEvidence
from faceenc.protect.options import Options
from faceenc.protect.photo import as_saved, encode_and_decode, is_lossless
from faceenc.recognizers import Gallery, Recognizer, operating_point

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A face that is found at another place than it was attacked at, or by strangers only, is protected there so often.
_MORE_PASSES = 2

# Called with what is being done and how far it is.
Watch = Callable[[str, Step], None]


@dataclass(frozen=True, eq=False)
class Made:
    """What a pass made of a photo.

    Attributes:
        outcomes: one a face.
        evidence: of what the file shows.
        data: the file.
        shown: the file, decoded.
    """

    outcomes: Sequence[FaceOutcome]
    evidence: Evidence
    data: bytes
    shown: Photo


@dataclass(frozen=True, eq=False)
class Passes:
    """Changes photos with nets and detectors that are loaded.

    Attributes:
        options: how.
        surrogates: are attacked.
        judges: are asked.
        search: finds faces.
        own: as of `Protection`.
        aim: whom faces are to look like instead; its embeddings of the surrogates are the `targets`.
        crowd: whom those are mixed of whom faces are to come nearer to; needed with `decoy` and `apart`.
        gallery: for ranks.
    """

    options: Options
    surrogates: Sequence[Recognizer]
    judges: Sequence[Recognizer]
    search: FaceSearch
    own: Sequence[torch.Tensor] | None
    aim: Aim | None
    crowd: Crowd | None
    gallery: Gallery | None

    def __call__(
        self, photo: Photo, found: Found, source: str, seconds: dict[str, float], watch: Watch | None
    ) -> tuple[Made, Found]:
        """What becomes of the photo, and its faces with those that only strangers' detectors found.

        Args:
            photo: as read.
            found: the faces to change.
            source: what errors call the photo.
            seconds: to which each stage adds its time.
            watch: is told how far the work on the faces is.
        """
        protect = partial(self._once, photo, seconds=seconds, source=source)
        more: list[Crops] = [()] * len(found.faces)
        made = protect(found, more, tell=_told(watch, "protecting"))
        for _ in range(_MORE_PASSES):
            strays = [stray.face for stray in made.evidence.strays if stray.sure] if self._takes_strays(found) else []
            elsewhere = self._found_elsewhere(made)
            if not strays and not elsewhere:
                break
            places = {
                number: self._places(made.shown.pixels, made.evidence.faces[number], more[number]) for number in elsewhere
            }
            more = [places.get(number, crops) for number, crops in enumerate(more)] + [()] * len(strays)
            known = [None if number in elsewhere else outcome for number, outcome in enumerate(made.outcomes)]
            wider = replace(found, faces=[*found.faces, *strays])
            once_more = protect(wider, more, known=known, tell=_told(watch, "once more"))
            if once_more.evidence.matches(networks=self.attacked) > made.evidence.matches(networks=self.attacked):
                break
            found, made = wider, once_more
        return made, found

    @property
    def attacked(self) -> frozenset[str]:
        """The networks of the surrogates."""
        return frozenset(surrogate.network for surrogate in self.surrogates)

    def _takes_strays(self, found: Found) -> bool:
        """Whether faces that only strangers find are to be protected too."""
        return self.options.faces == "all" and found.faces[0].detector != "whole"

    def _found_elsewhere(self, made: Made) -> set[int]:
        """Faces, counted from 0, that are led away where they were attacked, and still matched where they are found anew.

        Of others all is made that may be seen. Nor is a budget of time spent again.
        """
        if self.options.budget is not None:
            return set()
        matched = made.evidence.matched_faces(networks=self.attacked)
        return {number - 1 for number in matched if made.outcomes[number - 1].reached}

    def _places(self, pixels: NDArray[np.uint8], face: FaceEvidence, before: Crops) -> Crops:
        """For each surrogate its crops of a face where it was found anew in the protected photo, after those of before."""
        found = [[surrogate.align(pixels, place)[0] for place in face.places] for surrogate in self.surrogates]
        return [[*old, *new] for old, new in zip(before, found, strict=True)] if before else found

    def _once(
        self,
        photo: Photo,
        found: Found,
        more: Sequence[Crops],
        *,
        known: Sequence[FaceOutcome | None] = (),
        seconds: dict[str, float],
        source: str,
        tell: Callable[[Step], None] | None,
    ) -> Made:
        """A change of these faces, and what judges say of it."""
        options = self.options
        with timed(seconds, "noise"):
            protection = self.protection(found.faces, photo)
            pixels, outcomes = protect_faces(
                photo.pixels, found.faces, protection, grey=photo.grey, more=more, known=known, progress=tell
            )
        judge = partial(
            gather_evidence,
            photo.pixels,
            judges=self.judges,
            search=self.search,
            gallery=self.gallery,
            person=options.person,
            found=found,
            thorough=options.thorough,
            as_saved=protection.encode,
            aim=self.aim,
        )
        with timed(seconds, "encode and judge"), about(source):
            with ThreadPoolExecutor(1) as beside:
                saving = beside.submit(encode_and_decode, replace(photo, pixels=pixels), options)
                # A lossless file will show these pixels: judged while it is encoded, which counts only if it does.
                evidence = judge(pixels) if is_lossless(photo, options) else None
                data, again = saving.result()
            if evidence is None or not np.array_equal(again.pixels, pixels):
                evidence = judge(again.pixels)
        return Made(outcomes, evidence, data, again)

    def protection(self, faces: Sequence[Face], photo: Photo) -> Protection:
        """How these faces of the photo are changed."""
        return Protection(
            self.options.strength,
            self.surrogates,
            own=self.own,
            targets=self._targets(),
            way=self._way(photo),
            mask=faces[0].detector != "whole",
            encode=None if is_lossless(photo, self.options) else partial(as_saved, photo, options=self.options),
            budget=self.options.budget,
            seed=self.options.seed,
        )

    def _targets(self) -> list[torch.Tensor] | None:
        if self.aim is None:
            return None
        known = [torch.from_numpy(self.aim.embeddings[surrogate.network]) for surrogate in self.surrogates]
        return [own / operating_point(surrogate).euclidean for own, surrogate in zip(known, self.surrogates, strict=True)]

    def _way(self, photo: Photo) -> Way | None:
        """Nearer to the decoy, or each face of each photo to somebody else."""
        if self.crowd is None:
            return None
        if self.options.decoy is not None:
            decoy = self.crowd.decoy(self.options.decoy)
            return lambda number, own: decoy
        words = hashlib.sha256(np.ascontiguousarray(photo.pixels).data)
        words.update(str(self.options.seed).encode())
        return partial(self.crowd.way_of, words.digest())


def _told(watch: Watch | None, what: str) -> Callable[[Step], None] | None:
    return None if watch is None else partial(watch, what)


@contextmanager
def about(source: str) -> Iterator[None]:
    """An error in the block says which photo it is about."""
    try:
        yield
    except DataError as error:
        raise DataError(f"cannot protect {source}: {error}") from error


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start
