"""`Protector`: nets and detectors loaded once, and pictures protected with them, in memory or from file to file."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np
from PIL import Image

from faceenc.core import ConfigError, DataError, Progress
from faceenc.faces import FaceSearch, Found
from faceenc.media import (
    Photo,
    PhotoFormat,
    Picture,
    check_format,
    encode_photo,
    format_named,
    in_form_of,
    preload,
    save_photo,
    take_photo,
)
from faceenc.protect.decoys import Crowd, embed_person
from faceenc.protect.engine import Step
from faceenc.protect.evidence.gathering import Aim
from faceenc.protect.options import Options
from faceenc.protect.passes import Made, Passes, Watch, about, timed
from faceenc.protect.photo import Protected, choose_faces, notes_about, preset_alone
from faceenc.protect.preview import draw_preview
from faceenc.protect.safeguards.audit_log import audit
from faceenc.protect.safeguards.consent import Consent, read_consent
from faceenc.recognizers import (
    Recognizer,
    choose_judges,
    load_ensemble,
    load_gallery,
    load_surrogates,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    MakeKeyfile = Callable[[Photo, Photo, bytes, bytes], None]


log = logging.getLogger(__name__)


class Protector:
    """Protects photos, with everything loaded once. A context manager; one thread at a time uses it, others wait.

    Args:
        options: how; format, quality and metadata are for files, preview is for an output. As the attribute of that name
            they say what is attacked, where a part of the ensemble cannot be had.
        device: where nets compute.

    Raises:
        FaceencError: the options cannot be met (weights, consent, gallery).
    """

    def __init__(self, options: Options | None = None, *, device: str = "cpu") -> None:
        options = options or Options()
        consent = _consent(options)
        self._lock = Lock()
        self._search = FaceSearch()
        self._surrogates: list[Recognizer] = []
        self._judges: list[Recognizer] = []
        try:
            self._surrogates = (
                load_surrogates(options.attacked, device=device, trust_code=options.trust_code)
                if options.surrogates
                else load_ensemble(device=device)
            )
            self._judges = choose_judges(self._surrogates, options.judges, device=device, trust_code=options.trust_code)
            self._own, self._gallery = None, None
            if options.person is not None and options.gallery is not None:
                self._own = embed_person(options.gallery / options.person, self._surrogates, self._search)
            self._set(options, consent)
            if options.gallery is not None:  # last, for it may take minutes
                self._gallery = load_gallery(options.gallery, self._judges, self._search)
        except BaseException:
            self.close()
            raise
        Thread(target=preload, daemon=True).start()  # while the first photo is read and its faces are found

    def with_options(self, options: Options) -> Protector:
        """Another one with these options and the same nets and detectors; they are let go of when this one is closed.

        Raises:
            ConfigError: the options take other recognisers, or a gallery.
            FaceencError: they cannot be met (consent).
        """
        if (options.surrogates, options.judges, options.gallery) != ((), (), None):
            raise ConfigError("`surrogates`, `judges` and `gallery` need nets and photos of their own: make a Protector")
        other = copy(self)
        other._set(options)
        return other

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of detectors and nets; no call is possible after it."""
        with self._lock:
            self._search.close()
            self._surrogates, self._judges = [], []

    def _set(self, options: Options, consent: Consent | None = None) -> None:
        """Take the options, and find out where faces are to move to."""
        consent = consent or _consent(options)
        self.options, self._aim, self._crowd = options, None, None
        self._fingerprint = consent.fingerprint if consent else None
        if consent is not None:
            self._aim = Aim(consent.name, consent.embeddings)
            self._surrogates = _able(self._surrogates, consent)
        if len(self._surrogates) < len(options.attacked):  # what is said of the whole ensemble does not hold
            self.options = replace(options, surrogates=tuple(one.name for one in self._surrogates))
        if options.decoy is not None or options.apart:
            self._crowd = Crowd.seen_by(self._surrogates)

    @overload
    def __call__(
        self, image: Picture, *, output: str | Path, make_keyfile: MakeKeyfile | None = ..., progress: Progress | None = ...
    ) -> Protected[Path]: ...

    @overload
    def __call__(
        self, image: str | Path | bytes, *, progress: Progress | None = ..., watch: Watch | None = ...
    ) -> Protected[bytes]: ...

    @overload
    def __call__(self, image: NDArray[np.uint8], *, progress: Progress | None = ...) -> Protected[NDArray[np.uint8]]: ...

    @overload
    def __call__(self, image: Image.Image, *, progress: Progress | None = ...) -> Protected[Image.Image]: ...

    def __call__(
        self,
        image: Picture,
        *,
        output: str | Path | None = None,
        make_keyfile: MakeKeyfile | None = None,
        progress: Progress | None = None,
        watch: Watch | None = None,
    ) -> Protected[Any]:
        """Protect the faces of one picture, and judge what comes out as a stranger would.

        Args:
            image: path of a photo; a photo file's bytes; (H, W, 3) uint8 RGB; or a Pillow image, upright. Left as it is.
            output: a file to write, in the format of its name; appears in one piece or not at all.
            make_keyfile: called with the original, the protected photo decoded anew, and both files' bytes, before the
                output is written. Of a picture that is no file the bytes are its pixels'.
            progress: is told how far the work on the faces is, in hundredths.
            watch: is told the same at every step, with faces and distances; what it raises ends the work.

        Returns:
            Its `image` is the path that was written; else of the form that was given, and for a path the file's bytes.

        Raises:
            NoFaceError: there is none, and the whole photo was not asked for.
            DataError: the picture cannot be read, or the output not be written.
            ValueError: the protector is closed.
        """
        seconds: dict[str, float] = {}
        name = str(image) if isinstance(image, str | Path) else "the image"
        target = None if output is None else Path(output)
        with timed(seconds, "read"):
            photo = take_photo(image)  # first: it refuses by a glance at the header what would not fit into memory
            options = replace(self.options, format=_format(self.options, image, target))
            with about(name):
                check_format(photo, options.format or photo.format)
            content = _content(image, photo)
        with self._lock:
            with timed(seconds, "detect"):
                found = choose_faces(self._search.search(photo.pixels), options, photo.pixels, about=name)
            ways = (self._own, self._aim, self._crowd)
            passes = Passes(options, self._surrogates, self._judges, self._search, *ways, self._gallery)
            made, found = passes(photo, found, name, seconds, _both(progress, watch))
        with timed(seconds, "write"):
            if target is not None:
                if options.preview:
                    _save_preview(target, photo, made, found)
                if make_keyfile is not None:
                    make_keyfile(photo, made.shown, content, made.data)
                save_photo(target, made.data, force=False)
        hashes = {
            "source_sha256": hashlib.sha256(content).hexdigest(),
            "output_sha256": hashlib.sha256(made.data).hexdigest(),
        }
        audit("encrypt", **hashes, goal=options.goal, faces=len(found.faces), consent=self._fingerprint)
        result = target or in_form_of(image, made.shown, made.data)
        preset, notes = preset_alone(options, found), notes_about(photo, options, found)
        return Protected(result, made.outcomes, made.evidence, passes.attacked, preset, notes, seconds)


def _consent(options: Options) -> Consent | None:
    if options.target is None or options.consent is None:
        return None
    return read_consent(options.consent, name=options.target)


def _able(surrogates: Sequence[Recognizer], consent: Consent) -> list[Recognizer]:
    """Those that the consent holds embeddings for."""
    able = [one for one in surrogates if one.network in consent.embeddings]
    others = ", ".join(one.name for one in surrogates if one not in able)
    if not able:
        raise ConfigError(f"the consent holds no measurements for {others}: attack others with `surrogates`")
    if others:
        log.warning(
            "the consent holds measurements for %s alone, so %s are not attacked: a new one holds more",
            " and ".join(one.name for one in able), others,
        )  # fmt: skip
    return able


def _both(progress: Progress | None, watch: Watch | None) -> Watch | None:
    if progress is None:
        return watch

    def tell(what: str, step: Step) -> None:
        progress(what, round(100 * step.share), 100)
        if watch is not None:
            watch(what, step)

    return tell


def _format(options: Options, image: Picture, output: Path | None) -> PhotoFormat | None:
    """Of what is handed out: that of the output's name; as the options say for files; lossless for pixels."""
    if output is None:
        return options.format if isinstance(image, str | Path | bytes) else "PNG"
    named = format_named(output)
    if named is None:
        raise ConfigError(f"`output={output}`: photos are written as .png, .jpg, .webp, .tif or .heic, so name it so")
    if os.path.lexists(output):  # now, not after the work
        raise DataError(f"{output} exists already: choose another name, or remove it")
    return named


def _content(image: Picture, photo: Photo) -> bytes:
    if isinstance(image, bytes):
        return image
    return Path(image).read_bytes() if isinstance(image, str | Path) else photo.pixels.tobytes()


def _save_preview(target: Path, photo: Photo, made: Made, found: Found) -> None:
    drawn = Photo(draw_preview(photo.pixels, made.shown.pixels, found.faces), None, False, "PNG", None, None, ())
    save_photo(target.with_name(f"{target.stem}-preview.png"), encode_photo(drawn, format="PNG"), force=False)
