"""The key of a protected photo: what turns it back into the original, locked with a passphrase.

A key holds the difference of the two photos, which is zero outside the faces where the protected one was saved without loss,
and the SHA-256 of both, so that the original comes back bit for bit or not at all.

Format
    Sealed as `sealing` says: a 4-byte big-endian length, so many bytes of JSON (`_Facts`), and a zlib stream of the
    original minus the protected pixels modulo 256 (rows of RGB, or of one channel where both photos are grey), then the
    original's alpha minus the protected one's (255 where it has none), then the original's colour profile.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from PIL import __version__ as pillow_version

from faceenc.core import KeyFileError, open_file
from faceenc.protect.safeguards.sealing import Cost, check_sealed, seal, unseal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from faceenc.media import Photo


_MAX_FILE = 256 << 20  # bytes: 50 megapixels of noise with alpha, and some
_MAX_PROFILE = 16 << 20  # bytes: more than a JPEG's colour profile can have
_SKETCH = 16  # pixels a side
# Grey levels a sketch moves by on average: up to 5 when a photo is recompressed or resized, 27 and more to another photo.
_SAME_SKETCH = 12.0


@dataclass(frozen=True, slots=True)
class _Facts:
    """What a key says about its two photos; hashes are hexadecimal."""

    width: int
    height: int
    original_sha256: str  # of the pixels, as by `pixels_sha256`
    protected_sha256: str
    original_file_sha256: str
    protected_file_sha256: str
    grey: bool  # the original
    channels: int  # of the difference
    alpha: bool  # the original has it
    profile: int  # bytes
    notes: list[str]  # what reading the original changed
    sketch: str  # of the protected photo, base64
    pillow: str


def pixels_sha256(photo: Photo) -> str:
    """SHA-256 (hexadecimal) of what a photo shows: mode, width, height, pixels, alpha; not of file format or metadata.

    Hashed are "L", "LA", "RGB" or "RGBA", a space, width, "x", height and a line feed in ASCII, then the rows of the pixels
    (three bytes each, or one where the photo is grey), then the rows of the alpha channel if there is one.
    """
    height, width = photo.pixels.shape[:2]
    mode = ("L" if photo.grey else "RGB") + ("" if photo.alpha is None else "A")
    digest = hashlib.sha256(f"{mode} {width}x{height}\n".encode())
    digest.update(np.ascontiguousarray(photo.pixels[..., :1] if photo.grey else photo.pixels).data)
    if photo.alpha is not None:
        digest.update(np.ascontiguousarray(photo.alpha).data)
    return digest.hexdigest()


def make_key(
    original: Photo,
    protected: Photo,
    *,
    passphrase: str,
    original_file_sha256: str,
    protected_file_sha256: str,
    cost: Cost | None = None,
) -> bytes:
    """The key that turns `protected` back into `original`.

    Args:
        original: as read from the file.
        protected: as decoded anew from the file that was saved, so that what its format loses is undone as well.
        passphrase: not empty; composed and decomposed accents are the same.
        original_file_sha256: hexadecimal.
        protected_file_sha256: hexadecimal.
        cost: of one guess at the passphrase., by default `Cost()`

    Raises:
        KeyFileError: an empty passphrase, the extra `key` is not installed, or a colour profile too large to keep.
        ValueError: photos of two sizes.
    """
    height, width = original.pixels.shape[:2]
    if protected.pixels.shape != original.pixels.shape:
        raise ValueError(f"photos of two sizes: {original.pixels.shape} and {protected.pixels.shape}")
    profile = original.icc or b""
    if len(profile) > _MAX_PROFILE:
        raise KeyFileError(f"no key can be made: the photo's colour profile has {len(profile)} bytes; save it without one")
    facts = _Facts(
        width=width,
        height=height,
        original_sha256=pixels_sha256(original),
        protected_sha256=pixels_sha256(protected),
        original_file_sha256=original_file_sha256,
        protected_file_sha256=protected_file_sha256,
        grey=original.grey,
        channels=1 if original.grey and protected.grey else 3,
        alpha=original.alpha is not None,
        profile=len(profile),
        notes=list(original.notes),
        sketch=base64.b64encode(_sketch(protected)).decode(),
        pillow=pillow_version,
    )
    # Runs of equal bytes only: of 8 megapixels saved as JPEG 0.4 s and 7.6 MB; zlib's usual search takes 3.2 s for 8.1 MB.
    packer = zlib.compressobj(level=1, strategy=zlib.Z_RLE)
    stated = json.dumps(asdict(facts)).encode()
    parts = [struct.pack(">I", len(stated)), stated]
    parts += [packer.compress(part) for part in _differences(original, protected, facts.channels)]
    parts += [packer.compress(profile), packer.flush()]
    return seal(b"".join(parts), passphrase, cost=cost)


def read_key(path: str | Path) -> bytes:
    """A key file's bytes, checked as far as that goes without the passphrase.

    Raises:
        KeyFileError: no such file, not a key, damaged or truncated, of a newer version, or too dear to open.
    """
    try:
        with open_file(Path(path)) as file:
            data = file.read(_MAX_FILE + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise KeyFileError(f"cannot read the key {path}: {reason}; check the path") from error
    try:
        check_sealed(data)
    except KeyFileError as error:
        raise KeyFileError(f"cannot use the key {path}: {error}") from None
    return data


def restore(protected: Photo, key: bytes, *, passphrase: str, file_sha256: str = "") -> Photo:
    """The original photo, bit for bit: pixels, alpha and colour profile; its other metadata is not in the key.

    Args:
        protected: as decoded from its file.
        key: as of `make_key`.
        passphrase: the one the key was made with.
        file_sha256: of the protected file, hexadecimal; if given, an error can say more.

    Raises:
        KeyFileError: all that `read_key` finds, a wrong passphrase, or a photo that is not the one the key was made for.
    """
    opened = unseal(key, passphrase)
    try:
        (length,) = struct.unpack_from(">I", opened)
        facts = _Facts(**json.loads(opened[4 : 4 + length]))
        if pixels_sha256(protected) != facts.protected_sha256:
            raise KeyFileError(_why_not(protected, facts, file_sha256))
        photo = _apply(protected, facts, memoryview(opened)[4 + length :])
    except (struct.error, zlib.error, ValueError, TypeError, RecursionError) as error:
        raise KeyFileError(f"the key does not hold what it should ({error}); make a new one with faceenc encrypt") from error
    if pixels_sha256(photo) != facts.original_sha256:
        raise KeyFileError("the key does not lead back to the original: it was not made by faceenc")
    return photo


def _differences(original: Photo, protected: Photo, channels: int) -> Iterator[bytes]:
    yield (original.pixels[..., :channels] - protected.pixels[..., :channels]).tobytes()
    if original.alpha is not None:
        yield (original.alpha - _alpha(protected)).tobytes()


def _alpha(photo: Photo) -> NDArray[np.uint8]:
    return np.full(photo.pixels.shape[:2], 255, np.uint8) if photo.alpha is None else photo.alpha


def _apply(protected: Photo, facts: _Facts, packed: memoryview) -> Photo:
    """The protected photo plus the difference; unpacks no more than the photo's size calls for."""
    height, width = protected.pixels.shape[:2]
    if facts.channels not in (1, 3) or not 0 <= facts.profile <= _MAX_PROFILE:
        raise ValueError("impossible channels or colour profile")
    sizes = [height * width * facts.channels, height * width if facts.alpha else 0, facts.profile]
    unpacker = zlib.decompressobj()
    data = unpacker.decompress(packed, sum(sizes) + 1)
    if len(data) != sum(sizes) or not unpacker.eof or unpacker.unused_data:
        raise ValueError("more or fewer pixels than the photo has")
    values = np.frombuffer(data, np.uint8)
    pixels = protected.pixels + values[: sizes[0]].reshape(height, width, facts.channels)  # (H, W, 3): one channel spreads
    alpha = _alpha(protected) + values[sizes[0] : sizes[0] + sizes[1]].reshape(height, width) if facts.alpha else None
    profile = data[sizes[0] + sizes[1] :]
    return replace(protected, pixels=pixels, alpha=alpha, grey=facts.grey, icc=profile or None, notes=tuple(facts.notes))


def _sketch(photo: Photo) -> bytes:
    """A picture small enough to survive recompression and resizing: (16, 16, 3) uint8 RGB."""
    return Image.fromarray(photo.pixels).resize((_SKETCH, _SKETCH), Image.Resampling.BOX).tobytes()


def _why_not(photo: Photo, facts: _Facts, file_sha256: str) -> str:
    height, width = photo.pixels.shape[:2]
    if file_sha256 and file_sha256 == facts.protected_file_sha256:
        return (
            f"Pillow {pillow_version} here decodes this photo otherwise than Pillow {facts.pillow}, which wrote it:"
            " install that one"
        )
    then, now = (np.frombuffer(data, np.uint8).astype(float) for data in (base64.b64decode(facts.sketch), _sketch(photo)))
    if np.abs(then - now).mean() > _SAME_SKETCH:
        size = f"{facts.width}x{facts.height} pixels"
        return f"the key belongs to another photo ({size}), or this one was cropped or rotated since it was protected"
    if (width, height) != (facts.width, facts.height):
        changed = f"it was resized from {facts.width}x{facts.height} to {width}x{height} pixels"
    else:
        changed = "it was recompressed or edited"
    return f"the photo was changed since it was protected ({changed}): use the very file that faceenc encrypt wrote"
