"""Bytes locked with a passphrase: scrypt and AES-256-GCM of the package `cryptography`, which only the extra `key` installs.

Format (version 1, big-endian)
    =====  ========================================================================================
    bytes  what
    =====  ========================================================================================
    12     "faceenc key" and a line feed
    1      version
    3      scrypt's cost: log2 of N, r, p
    16     scrypt's salt
    12     AES-GCM's nonce
    8      length of the sealed part
    ...    the sealed part, its tag included; all of the above is authenticated with it
    32     SHA-256 of all of the above: tells damage from a wrong passphrase, and proves nothing else
    =====  ========================================================================================
"""

from __future__ import annotations

import hashlib
import os
import struct
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from faceenc.core import FaceencError, KeyFileError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM


_VERSION = 1
_MAGIC = b"faceenc key\n"
_START = struct.Struct(f">{len(_MAGIC)}sB")
_HEADER = struct.Struct(f">{len(_MAGIC)}sBBBB16s12sQ")
_DIGEST = hashlib.sha256().digest_size
# What a key from elsewhere may ask of this computer.
_MAX_MEMORY = 256 << 20  # bytes that scrypt takes: 128 N r
_MAX_WORK = 1 << 22  # N r p: four times our own


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one guess at the passphrase: 128 N r bytes of memory, and time in proportion to N r p.

    The default takes 128 MiB and about half a second (https://cheatsheetseries.owasp.org, "Password Storage").
    """

    log2_n: int = 17
    r: int = 8
    p: int = 1

    def check(self) -> None:
        """Raises KeyFileError where it is beyond what any key of ours costs."""
        # The exponent first: 2 to the power of 255 is no number to compute with. Below 16 r is scrypt's own rule (RFC 7914).
        fits = 1 <= self.log2_n < min(31, 16 * self.r) and self.p >= 1
        if not fits or 128 * self.r << self.log2_n > _MAX_MEMORY or self.r * self.p << self.log2_n > _MAX_WORK:
            raise KeyFileError("opening it would take too much memory or time: it was not made by faceenc")


@dataclass(frozen=True, slots=True)
class _Header:
    cost: Cost
    salt: bytes
    nonce: bytes
    length: int  # of the sealed part, in bytes

    def pack(self) -> bytes:
        cost = self.cost
        return _HEADER.pack(_MAGIC, _VERSION, cost.log2_n, cost.r, cost.p, self.salt, self.nonce, self.length)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        _, _, log2_n, r, p, salt, nonce, length = _HEADER.unpack_from(data)
        return cls(Cost(log2_n, r, p), salt, nonce, length)


def seal(data: bytes, passphrase: str, *, cost: Cost | None = None) -> bytes:
    """`data`, readable again only by `unseal` with the same passphrase.

    Raises:
        KeyFileError: an empty passphrase, or the extra `key` is not installed.
    """
    header = _Header(cost or Cost(), os.urandom(16), os.urandom(12), len(data) + 16)
    start = header.pack()
    sealed = _cipher(passphrase, header).encrypt(header.nonce, data, start)
    return b"".join([start, sealed, hashlib.sha256(start + sealed).digest()])


def check_sealed(data: bytes) -> None:
    """Whether `unseal` could open it, as far as can be seen without the passphrase.

    Raises:
        KeyFileError: not of this format, of a newer version, damaged or truncated, or dear beyond reason to open.
    """
    if len(data) < _START.size or not data.startswith(_MAGIC):
        raise KeyFileError("it is not a key that faceenc made" if data else "the file is empty; copy it anew")
    _, version = _START.unpack_from(data)
    if version > _VERSION:
        raise KeyFileError(f"it has version {version}, and this faceenc reads version {_VERSION}: update faceenc")
    if len(data) < _HEADER.size:
        raise KeyFileError("it is truncated; copy it anew")
    header = _Header.unpack(data)
    expected = _HEADER.size + header.length + _DIGEST
    if len(data) < expected:
        raise KeyFileError(f"it is truncated ({len(data)} of {expected} bytes); copy it anew")
    if version < _VERSION or hashlib.sha256(data[:-_DIGEST]).digest() != data[-_DIGEST:] or len(data) > expected:
        raise KeyFileError("it is damaged; copy it anew")
    header.cost.check()


def unseal(data: bytes, passphrase: str) -> bytes:
    """What `seal` was given.

    Raises:
        KeyFileError: all that `check_sealed` finds, a wrong or empty passphrase, or the extra `key` is not installed.
    """
    check_sealed(data)
    header = _Header.unpack(data)
    cipher = _cipher(passphrase, header)
    from cryptography.exceptions import InvalidTag

    try:
        return cipher.decrypt(header.nonce, data[_HEADER.size : -_DIGEST], data[: _HEADER.size])
    except InvalidTag as error:
        raise KeyFileError("the passphrase is wrong: try again") from error


def need_cryptography(what: str = "keys", error: type[FaceencError] = KeyFileError) -> None:
    """Raises `error` where the extra `key` is not installed, before anybody is asked for anything.

    Args:
        what: needs it, in the plural.
        error: the user's error to raise.
    """
    try:
        import cryptography  # noqa: F401
    except ImportError as missing:
        raise error(f"{what} need the package cryptography ({missing}): pip install 'faceenc[key]'") from missing


def _cipher(passphrase: str, header: _Header) -> AESGCM:
    need_cryptography()
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    cost = header.cost
    try:
        return AESGCM(Scrypt(salt=header.salt, length=32, n=1 << cost.log2_n, r=cost.r, p=cost.p).derive(_bytes(passphrase)))
    except MemoryError as error:
        needed = 128 * cost.r << cost.log2_n >> 20
        raise KeyFileError(f"too little memory for the passphrase ({needed} MiB): close other programs") from error


def _bytes(passphrase: str) -> bytes:
    """UTF-8, with accents composed: keyboards of two systems may send them in two ways."""
    if not passphrase.strip():
        raise KeyFileError("the passphrase is empty: choose one")
    try:
        return unicodedata.normalize("NFC", passphrase).encode()
    except UnicodeEncodeError as error:
        raise KeyFileError("the passphrase is not valid UTF-8: choose another") from error
