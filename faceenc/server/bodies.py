"""What requests say, read into memory and checked: photos, options, consents."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, cast

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from faceenc.core import DataError, FaceencError
from faceenc.media import PhotoFormat, photo_size
from faceenc.protect import STRENGTHS, Options, read_consent
from faceenc.server.problems import ProblemError, problem_of
from faceenc.server.settings import ServerSettings

FORMATS = ("png", "jpeg", "webp", "tiff", "heif", "same")
MAX_PHOTOS = 20
_FIELDS = ("strength", "faces", "format", "quality", "decoy", "seed", "steps")
_MOST_TEXT = 1 << 20  # bytes of a field that is no file


class _InMemory(MultiPartParser):
    """Starlette's parser, which else writes files above one megabyte to the disk."""

    spool_max_size = 1 << 62


@dataclass(frozen=True)
class Upload:
    """A file of a form.

    Attributes:
        name: its last part, of letters that no file system minds.
        data: its bytes.
    """

    name: str
    data: bytes


async def raw_photo(request: Request) -> bytes:
    """The whole body."""
    try:
        return await request.body()
    except ClientDisconnect:
        raise ProblemError(400, "the connection broke off") from None


async def read_form(request: Request, files: Sequence[str]) -> tuple[dict[str, list[Upload]], dict[str, str]]:
    """A form's files by field, and its other fields.

    Args:
        request: multipart/form-data.
        files: the fields that are files.

    Raises:
        ProblemError: no form, a damaged one, or fields that nobody asked for.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise ProblemError(415, "expected multipart/form-data, with the photo in a field `photo`", field="photo")
    parser = _InMemory(
        request.headers, request.stream(), max_files=MAX_PHOTOS + 2, max_fields=40, max_part_size=_MOST_TEXT
    )  # fmt: skip
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        reason = error.message if isinstance(error, MultiPartException) else "it is damaged"
        raise ProblemError(400, f"the form cannot be read: {reason}") from error
    except ClientDisconnect:
        raise ProblemError(400, "the connection broke off") from None
    uploads: dict[str, list[Upload]] = {}
    fields: dict[str, str] = {}
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile) and name in files:
                uploads.setdefault(name, []).append(Upload(clean_name(value.filename or ""), await value.read()))
            elif not isinstance(value, UploadFile) and name in (*_FIELDS, "to"):
                fields[name] = value
            else:
                known = ", ".join((*files, *_FIELDS, "to"))
                raise ProblemError(422, f"a field that is none here: expected {known}", field=name[:40])
    finally:
        await form.close()
    return uploads, fields


def clean_name(name: str) -> str:
    """Of a file, for the ZIP and for people: its last part, without what leads elsewhere or breaks a header."""
    last = PurePosixPath(name.replace("\\", "/")).name
    cleaned = re.sub(r"[^\w .()-]+", "_", last).strip(" .")[:100]
    return cleaned or "photo"


def check_photo(data: bytes, settings: ServerSettings, field: str = "photo") -> None:
    """Raises ProblemError for what the header tells against."""
    if not data:
        raise ProblemError(422, "the photo is empty: send its bytes", kind="photo", field=field)
    try:
        width, height = photo_size(data)
    except DataError as error:
        problem = problem_of(error)
        raise ProblemError(422, problem.detail, kind="photo", field=field) from error
    if width * height > settings.max_pixels:
        text = (
            f"the photo has {width * height / 1e6:.1f} megapixels, more than {settings.max_pixels / 1e6:.0f}: scale it down"
        )
        raise ProblemError(422, text, kind="pixels", field=field)


def read_options(words: Mapping[str, str], *, to: str | None = None, consent: bytes | None = None) -> Options:
    """How photos are protected.

    Args:
        words: of the query or the form, as they came.
        to: whom faces shall look like.
        consent: that person's file.

    Raises:
        ProblemError: a value that is none, each with its field; 403 where the consent is missing or does not hold.
    """
    name = words.get("strength", "balanced")
    if name not in STRENGTHS:
        raise _wrong("strength", name, ", ".join(STRENGTHS))
    strength = STRENGTHS[name]
    steps = _number(words, "steps", 1, strength.steps)
    faces = words.get("faces", "all")
    if faces not in ("all", "largest") and not re.fullmatch(r"[1-9]\d{0,2}", faces):
        raise _wrong("faces", faces, "all, largest, or how many of the largest")
    format_ = words.get("format", "png").lower()
    if format_ not in FORMATS:
        raise _wrong("format", format_, ", ".join(FORMATS))
    values: dict[str, Any] = {
        "strength": strength if steps is None else replace(strength, steps=steps),
        "faces": faces,
        "format": None if format_ == "same" else cast("PhotoFormat", format_.upper()),
        "quality": _number(words, "quality", 1, 100),
        "decoy": _number(words, "decoy", 0, 2**31 - 1),
        "seed": _number(words, "seed", 0, 2**63 - 1) or 0,
    }
    if to is not None:
        if consent is None:
            text = f"looking like {clean_name(to)} needs that person's signed consent, made with `faceenc consent`"
            raise ProblemError(403, text, kind="consent", field="consent")
        values |= {"target": to, "consent": consent}
    elif consent is not None:
        raise ProblemError(422, "a consent is for looking like the person who signed it: add `to`", field="to")
    try:
        options = Options(**values)
        if to is not None and consent is not None:
            read_consent(consent, name=to)
    except FaceencError as error:
        raise problem_of(error) from error
    return options


def _number(words: Mapping[str, str], name: str, least: int, most: int) -> int | None:
    text = words.get(name)
    if text is None or text == "":
        return None
    if not re.fullmatch(r"\d{1,19}", text) or not least <= int(text) <= most:
        raise _wrong(name, text, f"a whole number from {least} to {most}")
    return int(text)


def _wrong(field: str, value: str, expected: str) -> ProblemError:
    shown = value if value.isprintable() and len(value) <= 40 else f"{value[:40]!a}"
    return ProblemError(422, f"{field} is {shown}: expected {expected}", kind="option", field=field)
