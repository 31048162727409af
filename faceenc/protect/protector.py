"""`Protector`: nets and detectors loaded once, and photos protected with them, in memory or from file to file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING, Generic, Self, TypeVar

import numpy as np
import torch
from PIL import Image

from faceenc.core import Progress
from faceenc.faces import FaceSearch
from faceenc.media import Photo, check_format, encode_photo, preload, read_photo, save_photo
from faceenc.protect.decoys import embed_person, make_decoy
from faceenc.protect.engine import FaceOutcome, protect_faces
from faceenc.protect.options import Options
from faceenc.protect.passes import Passes, about, timed
from faceenc.protect.photo import Encrypted, choose_faces, notes_about, preset_alone
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
            changed, outcomes = protect_faces(pixels, found.faces, self._passes().protection(found.faces, None))
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
        with timed(seconds, "read"):
            photo = read_photo(source)  # first: it refuses by a glance at the header what would not fit into memory
            with about(source):
                check_format(photo, options.format or photo.format)
            content = source.read_bytes()
        with timed(seconds, "detect"):
            found = choose_faces(self._search.search(photo.pixels), options, photo.pixels, about=str(source))
        made, found = self._passes()(photo, found, source, seconds, progress)
        with timed(seconds, "write"):
            if options.preview:
                picture = Photo(
                    draw_preview(photo.pixels, made.shown.pixels, found.faces), None, False, "PNG", None, None, ()
                )
                preview = encode_photo(picture, format="PNG")
                save_photo(target.with_name(f"{target.stem}-preview.png"), preview, force=False)
            if make_keyfile is not None:
                make_keyfile(photo, made.shown, content, made.data)
            save_photo(target, made.data, force=False)
        hashes = {
            "source_sha256": hashlib.sha256(content).hexdigest(),
            "output_sha256": hashlib.sha256(made.data).hexdigest(),
        }
        audit("encrypt", **hashes, goal=options.goal, faces=len(found.faces), consent=self._fingerprint)
        attacked, preset = self._passes().attacked, preset_alone(options, found)
        return Encrypted(target, made.outcomes, made.evidence, attacked, preset, notes_about(photo, options, found), seconds)

    def _passes(self) -> Passes:
        return Passes(self.options, self._surrogates, self._judges, self._search, self._own, self._targets, self._gallery)
