"""A person's consent that faceenc moves other faces toward theirs: made by them, signed, and checked before every use.

What a consent proves
    The signature proves that nothing in the file was changed after it was signed, and which key signed it. It does not prove
    who typed the name: anybody can make a key and sign as anybody, and anybody can edit a file and sign it anew with another
    key. What tells such files apart is the key's fingerprint, the same in all consents of one person's computer: compare it
    with the person, by phone or face to face.

Format (version 2)
    A JSON object with exactly the fields of `_FIELDS`, and "signature": base64 of the Ed25519 signature of the words
    "faceenc consent", a line feed, and all other fields as UTF-8 JSON with sorted keys and no spaces. "embeddings" has for
    each net, by its `Recognizer.network`, a list with one embedding a photo: base64 of little-endian float32 numbers. Dates
    are in UTC, and the last day counts. In version 1 "embeddings" is the list for dlib's face net, 128 numbers each.
"""

from __future__ import annotations

import base64
import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from faceenc.core import ConsentError, open_file
from faceenc.protect.safeguards.signing import fingerprint, own_public_key, sign, signature_holds
from faceenc.recognizers import DLIB

if TYPE_CHECKING:
    from numpy.typing import NDArray


MAX_PHOTOS = 200
_VERSION = 2
_FIELDS = ("faceenc_consent", "name", "statement", "signed", "valid_until", "photos", "embeddings", "public_key")
_MAX_FILE = 1 << 23  # bytes; 200 photos and four nets take 2 MB
_MAX_NAME = 100  # characters
_DIMENSIONS = 128  # of dlib's
_MOST_NETS, _MOST_DIMENSIONS = 16, 4096
_STATEMENT = (
    "I am {name}. I agree that, up to {valid_until}, anyone who has this file may use faceenc to change photos of themselves"
    " or of others so that face recognisers take the faces in them for mine. The measurements of a face in this file are of"
    " my own face, taken from photos of me."
)


@dataclass(frozen=True, slots=True, eq=False)
class Consent:
    """What a consent file says; the signature holds.

    Attributes:
        name: of the person.
        statement: what they agreed to.
        signed: the day it was signed, and the first on which it is valid.
        valid_until: the last day on which it is valid.
        photos: SHA-256 of the photos' files, hexadecimal.
        embeddings: a net's `Recognizer.network` -> (N, D) float32, one a photo.
        fingerprint: of the key that signed; see `faceenc.protect.fingerprint`.
    """

    name: str
    statement: str
    signed: date
    valid_until: date
    photos: tuple[str, ...]
    embeddings: Mapping[str, NDArray[np.float32]]
    fingerprint: str


def today_utc() -> date:
    """The date that consents go by, the same everywhere on earth."""
    return datetime.now(UTC).date()


def clean_name(name: str) -> str:
    """A name with accents composed and single spaces.

    Raises:
        ConsentError: it is empty, too long, or holds characters that cannot be seen.
    """
    cleaned = " ".join(unicodedata.normalize("NFC", name).split())
    if not cleaned or len(cleaned) > _MAX_NAME or not cleaned.isprintable():
        raise ConsentError(f"{name[:_MAX_NAME]!r} is no name: use 1 to {_MAX_NAME} letters that can be seen")
    return cleaned


def same_name(first: str, second: str) -> bool:
    """Whether two names are one; capitals make no difference."""
    return clean_name(first).casefold() == clean_name(second).casefold()


def statement(name: str, valid_until: date) -> str:
    """What the person of that name agrees to."""
    return _STATEMENT.format(name=name, valid_until=valid_until.isoformat())


def make_consent(
    name: str, embeddings: Mapping[str, NDArray[np.float32]], photos: Sequence[str], *, signed: date, valid_until: date
) -> str:
    """The text of a consent file, signed with the user's own key.

    Args:
        name: as of `clean_name`.
        embeddings: as of `Consent`.
        photos: SHA-256 of the N photos' files, hexadecimal.
        signed: today.
        valid_until: the last day on which it holds.

    Raises:
        ConsentError: there is no key to sign with; see `faceenc.protect.sign`.
    """
    fields: dict[str, Any] = {
        "faceenc_consent": _VERSION,
        "name": name,
        "statement": statement(name, valid_until),
        "signed": signed.isoformat(),
        "valid_until": valid_until.isoformat(),
        "photos": list(photos),
        "embeddings": {
            network: [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in rows]
            for network, rows in embeddings.items()
        },
    }
    fields["public_key"] = base64.b64encode(own_public_key()).decode()
    signature = base64.b64encode(sign(_signed_bytes(fields))).decode()
    return json.dumps(fields | {"signature": signature}, ensure_ascii=False, indent=1) + "\n"


def read_consent(source: str | Path | bytes, *, name: str, today: date | None = None) -> Consent:
    """The consent of the person `name`, valid today.

    Args:
        source: path of the file, or its bytes.
        name: whose consent is needed.
        today: in UTC.

    Raises:
        ConsentError: all that `load_consent` finds, it is another person's, it has expired or is not valid yet.
    """
    consent, label = load_consent(source), _called(source)
    today = today or today_utc()
    if not same_name(consent.name, name):
        raise ConsentError(f"{label} is that of {consent.name}, not of {name}: ask {name} for theirs")
    if today > consent.valid_until:
        raise ConsentError(f"{label} expired on {consent.valid_until}: ask {consent.name} for a new one")
    if today < consent.signed:
        raise ConsentError(f"{label} is not valid before {consent.signed}, and today is {today}: check the clock")
    return consent


def load_consent(source: str | Path | bytes) -> Consent:
    """What a consent file says, whoever's it is and however old, if its signature holds.

    Raises:
        ConsentError: no such file, not a consent, damaged, of a newer version, or changed since it was signed.
    """
    label = _called(source)
    try:
        data = source if isinstance(source, bytes) else _read(Path(source))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConsentError(f"cannot read {label}: {reason}; the person makes it with faceenc consent") from error
    try:
        if len(data) > _MAX_FILE:
            raise ValueError("it is too large")
        fields = json.loads(data, object_pairs_hook=_without_doubles)
        version = fields["faceenc_consent"]
        if isinstance(version, int) and version > _VERSION:
            raise ConsentError(f"{label} is of version {version}, newer than this faceenc: update faceenc")
        signature = base64.b64decode(fields.pop("signature"), validate=True)
        public_key = base64.b64decode(fields["public_key"], validate=True)
        if not signature_holds(_signed_bytes(fields), public_key=public_key, signature=signature):
            raise ConsentError(f"the signature of {label} does not hold: it was changed after signing, ask for it anew")
        return _parse(fields, public_key)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ConsentError(f"{label} is not a consent of faceenc, or is damaged: ask the person for it anew") from error


def _called(source: str | Path | bytes) -> str:
    """In errors."""
    return "the consent" if isinstance(source, bytes) else f"the consent {source}"


def _read(path: Path) -> bytes:
    with open_file(path) as file:
        return file.read(_MAX_FILE + 1)


def _is_clean(name: str) -> bool:
    try:
        return clean_name(name) == name
    except ConsentError:
        return False


def _signed_bytes(fields: dict[str, Any]) -> bytes:
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return b"faceenc consent\n" + canonical.encode()


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two readers may take different ones of two fields of one name."""
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a field twice")
    return dict(pairs)


def _parse(fields: dict[str, Any], public_key: bytes) -> Consent:
    version = fields.get("faceenc_consent")
    if set(fields) != set(_FIELDS) or version not in (1, _VERSION):
        raise ValueError("other fields than a consent has")
    name, signed, valid_until = fields["name"], *(date.fromisoformat(fields[key]) for key in ("signed", "valid_until"))
    # A key's owner can sign any name and text, but only these are a consent.
    if not _is_clean(name) or fields["statement"] != statement(name, valid_until):
        raise ValueError("another name or statement")
    photos = tuple(bytes.fromhex(digest).hex() for digest in fields["photos"])
    nets: dict[str, Any] = {DLIB: fields["embeddings"]} if version == 1 else dict(fields["embeddings"])
    embeddings = {network: _embeddings(rows, len(photos)) for network, rows in nets.items()}
    if len(nets) > _MOST_NETS or embeddings[DLIB].shape[1] != _DIMENSIONS:
        raise ValueError("other nets than can be")
    return Consent(name, fields["statement"], signed, valid_until, photos, embeddings, fingerprint(public_key))


def _embeddings(rows: list[str], photos: int) -> NDArray[np.float32]:
    found = np.stack([np.frombuffer(base64.b64decode(row, validate=True), "<f4") for row in rows]).astype(np.float32)
    if len(found) != photos or not 1 <= found.shape[1] <= _MOST_DIMENSIONS or not np.isfinite(found).all():
        raise ValueError("other embeddings than one a photo")
    return found
