"""The signing key of this user, and signatures by it: Ed25519 of the package `cryptography` (the extra `key`).

The private key is made when it is first needed and kept as consent-key.pem in the user's configuration folder of this
platform (`FACEENC_CONFIG` names another), readable by its owner alone. A signature proves which key signed and that nothing
was changed since, not who sat at the keyboard: that takes comparing the key's fingerprint with the person.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from faceenc.core import ConsentError, atomic_file, open_file
from faceenc.protect.safeguards.sealing import need_cryptography

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


logger = logging.getLogger(__name__)

_NAME = "consent-key.pem"
_MAX_FILE = 10_000  # bytes; a key has about 120


def config_dir() -> Path:
    """The configuration folder, absolute: `FACEENC_CONFIG`, else the user's one. It need not exist yet."""
    chosen = os.environ.get("FACEENC_CONFIG") or platformdirs.user_config_dir("faceenc", appauthor=False)
    return Path(chosen).expanduser().absolute()


def own_public_key() -> bytes:
    """The user's public key, 32 bytes; a pair is made if there is none yet.

    Raises:
        ConsentError: the key cannot be kept or read, or the extra `key` is not installed.
    """
    return _own_key().public_key().public_bytes_raw()


def sign(data: bytes) -> bytes:
    """The signature of `data` by the user's own key, 64 bytes.

    Raises:
        ConsentError: as of `own_public_key`.
    """
    return _own_key().sign(data)


def signature_holds(data: bytes, *, public_key: bytes, signature: bytes) -> bool:
    """Whether the owner of `public_key` signed exactly `data`.

    Raises:
        ConsentError: the extra `key` is not installed.
    """
    need_cryptography("consents", ConsentError)
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, data)
    except (InvalidSignature, ValueError):  # ValueError: no key at all
        return False
    return True


def fingerprint(public_key: bytes) -> str:
    """What two people compare: the first 16 bytes of the key's SHA-256, as eight groups of four hexadecimal digits."""
    digits = hashlib.sha256(public_key).hexdigest()[:32]
    return " ".join(digits[start : start + 4] for start in range(0, 32, 4))


def _own_key() -> Ed25519PrivateKey:
    need_cryptography("consents", ConsentError)
    path = config_dir() / _NAME
    try:
        if not path.exists():
            _make_key(path)
        return _read_key(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConsentError(f"no signing key in {path}: {reason}; set FACEENC_CONFIG to a writable folder") from error


def _make_key(path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Of two commands at once the first one's key stays, and both sign with it.
    with contextlib.suppress(FileExistsError), atomic_file(path, overwrite=False, private=True) as file:
        file.write(pem)
    logger.info("made a signing key: %s", path)


def _read_key(path: Path) -> Ed25519PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if os.name == "posix" and path.stat().st_mode & 0o077:
        logger.warning("others can read the signing key: chmod 600 %s", path)
    with open_file(path) as file:
        data = file.read(_MAX_FILE)
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConsentError(f"the signing key {path} is damaged: restore it, or delete it for a new fingerprint")
    return key
