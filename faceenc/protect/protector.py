"""`Protector`: nets and detectors loaded once, and photos protected with them, in memory or from file to file."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING, Generic, Self, TypeVar

import numpy as np
import torch
from PIL import Image

from faceenc.core import DataError, Face, Progress
from faceenc.faces import FaceSearch, Found
from faceenc.media import Photo, check_format, encode_photo, preload, read_photo, save_photo
from faceenc.protect.decoys import embed_person, make_decoy
from faceenc.protect.engine import Crops, FaceOutcome, Protection, protect_faces
from faceenc.protect.evidence.gathering import gather_evidence
from faceenc.protect.evidence.records import Evidence, FaceEvidence
from faceenc.protect.options import Options
from faceenc.protect.photo import Encrypted, as_saved, choose_faces, encode_and_decode, is_lossless, preset_alone
from faceenc.protect.preview import draw_preview
from faceenc.protect.safeguards.audit_log import audit
from faceenc.protect.safeguards.consent import read_consent
from faceenc.recognizers import (
    Recognizer,
    choose_judges,
    load_ensemble,
    load_gallery,
    load_recognizers,
    operating_point,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A face that is found at another place than it was attacked at, or by strangers only, is protected there so often.
_MORE_PASSES = 2

_Picture = TypeVar("_Picture", "NDArray[np.uint8]", Image.Image)


@dataclass(frozen=True, eq=False)
class Protected(Generic[_Picture]):
    """A protected picture.

    Attributes:
        image: of the kind that was given.
        faces: what became of each.
    """

    image: _Picture
    faces: Sequence[FaceOutcome]


class Protector:
    """Protects photos, with everything loaded once. A context manager; one thread at a time uses it, others wait.

    Args:
        options: how; format, quality, metadata and preview are for files. As the attribute of that name they say what is
            attacked, where a part of the ensemble cannot be had.
        device: where nets compute.

    Raises:
        FaceencError: the options cannot be met (weights, consent, gallery).
    """

    def __init__(self, options: Options | None = None, *, device: str = "cpu") -> None:
        self.options = options = options or Options()
        consent = None
        if options.target is not None and options.consent is not None:
            consent = read_consent(options.consent, name=options.target)
        self._lock = Lock()
        self._fingerprint = consent.fingerprint if consent else None
        self._search = FaceSearch()
        self._surrogates: list[Recognizer] = []
        self._judges: list[Recognizer] = []
        try:
            chosen = options.surrogates or options.target is not None
            self._surrogates = load_recognizers(options.attacked, device=device) if chosen else load_ensemble(device=device)
            if len(self._surrogates) < len(options.attacked):  # what is said of the whole ensemble does not hold
                self.options = replace(options, surrogates=tuple(one.name for one in self._surrogates))
            self._judges = choose_judges(self._surrogates, options.judges, device=device)
            self._own, self._gallery, self._targets = None, None, None
            if options.person is not None and options.gallery is not None:
                self._own = embed_person(options.gallery / options.person, self._surrogates, self._search)
            if options.decoy is not None:
                self._targets = make_decoy(self._surrogates, seed=options.decoy)
            if consent is not None:
                known = torch.from_numpy(np.asarray(consent.embeddings, np.float32))
                self._targets = [known / operating_point(self._surrogates[0]).euclidean]
            if options.gallery is not None:  # last, for it may take minutes
                self._gallery = load_gallery(options.gallery, self._judges, self._search)
        except BaseException:
            self.close()
            raise
        Thread(target=preload, daemon=True).start()  # while the first photo is read and its faces are found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of detectors and nets; no call is possible after it."""
        with self._lock:
            self._search.close()
            self._surrogates, self._judges = [], []

    def __call__(self, image: _Picture) -> Protected[_Picture]:
        """Protect the faces of a picture in memory.

        Args:
            image: (H, W, 3) uint8 RGB, or a Pillow image, upright, of any mode; left as it is.

        Returns:
            An array, or a Pillow image of mode RGB (RGBA if it was transparent).

        Raises:
            NoFaceError: there is none, and the whole photo was not asked for.
            ValueError: no such array, or the protector is closed.
        """
        alpha = None
        if isinstance(image, Image.Image):
            alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
            pixels = np.asarray(image.convert("RGB"))
        else:
            pixels = image
        with self._lock:
            found = choose_faces(self._search.search(pixels), self.options, pixels, about="the image")
            changed, outcomes = protect_faces(pixels, found.faces, self._protection(found.faces, None))
        if not isinstance(image, Image.Image):
            return Protected(changed, outcomes)
        picture = Image.fromarray(changed)
        if alpha is not None:
            picture.putalpha(alpha)
        return Protected(picture, outcomes)

    def encrypt(
        self,
        source: Path,
        target: Path,
        *,
        make_keyfile: Callable[[Photo, Photo, bytes, bytes], None] | None = None,
        progress: Progress | None = None,
    ) -> Encrypted:
        """Protect one photo from file to file, and judge the saved file as a stranger would.

        Args:
            source: the photo; left as it is.
            target: the file to write; appears in one piece or not at all.
            make_keyfile: called with the original, the protected photo decoded anew, and both files' bytes, before saving.
            progress: is told how far the work on the faces is, in hundredths.

        Raises:
            NoFaceError: there is none, and the whole photo was not asked for.
            DataError: the photo cannot be read, or the target not be written.
        """
        with self._lock:
            return self._encrypt(source, target, make_keyfile, progress)

    def _encrypt(
        self,
        source: Path,
        target: Path,
        make_keyfile: Callable[[Photo, Photo, bytes, bytes], None] | None,
        progress: Progress | None,
    ) -> Encrypted:
        options = self.options
        seconds: dict[str, float] = {}
        with _timed(seconds, "read"):
            photo = read_photo(source)  # first: it refuses by a glance at the header what would not fit into memory
            with _about(source):
                check_format(photo, options.format or photo.format)
            content = source.read_bytes()
        with _timed(seconds, "detect"):
            found = choose_faces(self._search.search(photo.pixels), options, photo.pixels, about=str(source))
        protect = partial(self._protect, photo, seconds=seconds, source=source)
        more: list[Crops] = [()] * len(found.faces)
        outcomes, evidence, data, again = protect(found, more, tell=_hundredths(progress, "protecting"))
        for _ in range(_MORE_PASSES):
            strays = [stray.face for stray in evidence.strays if stray.sure] if self._takes_strays(found) else []
            elsewhere = self._found_elsewhere(outcomes, evidence)
            if not strays and not elsewhere:
                break
            places = {number: self._places(again.pixels, evidence.faces[number], more[number]) for number in elsewhere}
            more = [places.get(number, crops) for number, crops in enumerate(more)] + [()] * len(strays)
            known = [None if number in elsewhere else outcome for number, outcome in enumerate(outcomes)]
            wider = replace(found, faces=[*found.faces, *strays])
            once_more = protect(wider, more, known=known, tell=_hundredths(progress, "once more"))
            if once_more[1].matches(networks=self._attacked) > evidence.matches(networks=self._attacked):
                break
            found, (outcomes, evidence, data, again) = wider, once_more
        with _timed(seconds, "write"):
            if options.preview:
                picture = Photo(draw_preview(photo.pixels, again.pixels, found.faces), None, False, "PNG", None, None, ())
                preview = encode_photo(picture, format="PNG")
                save_photo(target.with_name(f"{target.stem}-preview.png"), preview, force=False)
            if make_keyfile is not None:
                make_keyfile(photo, again, content, data)
            save_photo(target, data, force=False)
        hashes = {"source_sha256": hashlib.sha256(content).hexdigest(), "output_sha256": hashlib.sha256(data).hexdigest()}
        audit("encrypt", **hashes, goal=options.goal, faces=len(found.faces), consent=self._fingerprint)
        return Encrypted(target, outcomes, evidence, self._attacked, preset_alone(options, found), photo.notes, seconds)

    @property
    def _attacked(self) -> frozenset[str]:
        return frozenset(surrogate.network for surrogate in self._surrogates)

    def _takes_strays(self, found: Found) -> bool:
        """Whether faces that only strangers find are to be protected too."""
        return self.options.faces == "all" and found.faces[0].detector != "whole"

    def _found_elsewhere(self, outcomes: Sequence[FaceOutcome], evidence: Evidence) -> set[int]:
        """Faces, counted from 0, that are led away where they were attacked, and still matched where they are found anew.

        Of others all is made that may be seen. Nor is a budget of time spent again.
        """
        if self.options.budget is not None:
            return set()
        matched = evidence.matched_faces(networks=self._attacked)
        return {number - 1 for number in matched if outcomes[number - 1].reached}

    def _places(self, pixels: NDArray[np.uint8], face: FaceEvidence, before: Crops) -> Crops:
        """For each surrogate its crops of a face where it was found anew in the protected photo, after those of before."""
        found = [[surrogate.align(pixels, place)[0] for place in face.places] for surrogate in self._surrogates]
        return [[*old, *new] for old, new in zip(before, found, strict=True)] if before else found

    def _protect(
        self,
        photo: Photo,
        found: Found,
        more: Sequence[Crops],
        *,
        known: Sequence[FaceOutcome | None] = (),
        seconds: dict[str, float],
        source: Path,
        tell: Callable[[float], None] | None,
    ) -> tuple[list[FaceOutcome], Evidence, bytes, Photo]:
        """Noise for these faces, and what judges say of it: outcomes, evidence, the file, and what it shows."""
        options = self.options
        with _timed(seconds, "noise"):
            protection = self._protection(found.faces, photo)
            pixels, outcomes = protect_faces(
                photo.pixels, found.faces, protection, grey=photo.grey, more=more, known=known, progress=tell
            )
        judge = partial(
            gather_evidence,
            photo.pixels,
            judges=self._judges,
            search=self._search,
            gallery=self._gallery,
            person=options.person,
            found=found,
            thorough=options.thorough,
            as_saved=protection.encode,
        )
        with _timed(seconds, "encode and judge"), _about(source):
            with ThreadPoolExecutor(1) as beside:
                saving = beside.submit(encode_and_decode, replace(photo, pixels=pixels), options)
                # A lossless file will show these pixels: judged while it is encoded, which counts only if it does.
                evidence = judge(pixels) if is_lossless(photo, options) else None
                data, again = saving.result()
            if evidence is None or not np.array_equal(again.pixels, pixels):
                evidence = judge(again.pixels)
        return outcomes, evidence, data, again

    def _protection(self, faces: Sequence[Face], photo: Photo | None) -> Protection:
        return Protection(
            self.options.strength,
            self._surrogates,
            own=self._own,
            targets=self._targets,
            mask=faces[0].detector != "whole",
            encode=None
            if photo is None or is_lossless(photo, self.options)
            else partial(as_saved, photo, options=self.options),
            budget=self.options.budget,
            seed=self.options.seed,
        )


def _hundredths(progress: Progress | None, what: str) -> Callable[[float], None] | None:
    return None if progress is None else lambda share: progress(what, round(100 * share), 100)


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
    seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start
