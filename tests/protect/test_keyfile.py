"""Keys: the original comes back bit for bit or not at all, and nobody's key costs more than it may."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import sys
import tracemalloc
import unicodedata
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from faceenc.core import KeyFileError
from faceenc.media import Photo
from faceenc.protect import Cost, check_sealed, make_key, pixels_sha256, read_key, restore, seal, unseal

CHEAP = Cost(log2_n=4)  # the tests' passphrases need no protection
WORD = "correct horse"
PROFILE = bytes(range(256)) * 3


def photo(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8] | None = None, icc: bytes | None = None) -> Photo:
    grey = bool((pixels == pixels[..., :1]).all())
    return Photo(pixels=pixels, alpha=alpha, grey=grey, format="PNG", icc=icc, metadata=None, notes=())


def scene(height: int, width: int, seed: int = 0, channels: int = 3) -> NDArray[np.uint8]:
    """A smooth picture with a little noise, as photos have."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(30, 225, (4, 4, channels), np.uint8).repeat(3 // channels, axis=2))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    noise = rng.integers(-3, 4, (height, width, channels)).repeat(3 // channels, axis=2)
    return (smooth + noise).clip(0, 255).astype(np.uint8)


def noisy(pixels: NDArray[np.uint8], seed: int = 1, channels: int = 3) -> NDArray[np.uint8]:
    """Moved by up to 8 levels, in the middle."""
    height, width = pixels.shape[:2]
    rows, columns = slice(height // 4, height // 2 + 1), slice(width // 4, width // 2 + 1)
    moved = pixels.astype(int)
    part = moved[rows, columns]
    part += np.random.default_rng(seed).integers(-8, 9, (*part.shape[:2], channels)).repeat(3 // channels, axis=2)
    return moved.clip(0, 255).astype(np.uint8)


def jpeg(pixels: NDArray[np.uint8], quality: int = 85) -> NDArray[np.uint8]:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.array(Image.open(buffer))


def key_for(original: Photo, protected: Photo, **options: object) -> bytes:
    hashes = {"original_file_sha256": "aa" * 32, "protected_file_sha256": "bb" * 32}
    return make_key(original, protected, **({"passphrase": WORD, "cost": CHEAP} | hashes | options))  # type: ignore[arg-type]


SCENE, GREY, ALPHA = scene(120, 160), scene(120, 160, channels=1), scene(120, 160, seed=5)[..., 0]
PAIRS = {
    "colour": (photo(SCENE, icc=PROFILE), photo(noisy(SCENE))),
    "grey": (photo(GREY), photo(noisy(GREY, channels=1))),
    "grey made coloured": (photo(GREY), photo(noisy(GREY))),
    "colour made grey": (photo(SCENE), photo(GREY)),
    "alpha": (photo(SCENE, ALPHA), photo(noisy(SCENE), ALPHA)),
    "alpha lost": (photo(SCENE, ALPHA), photo(jpeg(noisy(SCENE)), icc=PROFILE)),
    "alpha gained": (photo(SCENE), photo(noisy(SCENE), ALPHA)),
    "jpeg": (photo(SCENE), photo(jpeg(noisy(SCENE)))),
    "extremes": (photo(np.full((9, 9, 3), 255, np.uint8)), photo(np.zeros((9, 9, 3), np.uint8))),
    "one pixel": (photo(np.full((1, 1, 3), 7, np.uint8)), photo(np.full((1, 1, 3), 9, np.uint8))),
    "one row": (photo(scene(1, 5000)), photo(noisy(scene(1, 5000)))),
    "untouched": (photo(SCENE), photo(SCENE)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_the_original_comes_back_bit_for_bit(name: str) -> None:
    original, protected = PAIRS[name]
    original = replace(original, notes=("16-bit samples taken to 8 bits",))
    before = protected.pixels.copy()
    back = restore(protected, key_for(original, protected), passphrase=WORD)
    assert np.array_equal(back.pixels, original.pixels)
    assert (back.alpha is None) == (original.alpha is None)
    assert original.alpha is None or np.array_equal(back.alpha, original.alpha)
    assert (back.grey, back.icc, back.notes) == (original.grey, original.icc, original.notes)
    assert back.pixels.dtype == np.uint8
    assert np.array_equal(protected.pixels, before)


def test_what_did_not_change_takes_no_room() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (600, 800, 3), np.uint8)
    moved = pixels.copy()
    moved[100:180, 200:280] ^= 5
    assert len(key_for(photo(pixels), photo(moved))) < 20_000
    assert len(key_for(photo(pixels), photo(moved))) > 1_000


def test_photos_of_two_sizes_have_no_key() -> None:
    with pytest.raises(ValueError, match="two sizes"):
        key_for(photo(SCENE), photo(SCENE[:-1]))


def test_a_colour_profile_beyond_reason_is_refused() -> None:
    with pytest.raises(KeyFileError, match="colour profile"):
        key_for(photo(SCENE, icc=bytes((16 << 20) + 1)), photo(SCENE))


def test_pixels_are_hashed_as_documented() -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    shown = photo(grey[..., None].repeat(3, axis=2), alpha=grey + 100)
    assert pixels_sha256(shown) == hashlib.sha256(b"LA 3x2\n" + bytes(range(6)) + bytes(range(100, 106))).hexdigest()
    coloured = replace(shown, grey=False, alpha=None)
    expected = hashlib.sha256(b"RGB 3x2\n" + bytes(v for v in range(6) for _ in range(3))).hexdigest()
    assert pixels_sha256(coloured) == expected
    assert pixels_sha256(replace(coloured, icc=PROFILE, format="JPEG")) == expected
    mirrored = replace(coloured, pixels=coloured.pixels.reshape(3, 2, 3))
    assert pixels_sha256(mirrored) != expected


def test_without_the_passphrase_a_key_tells_nothing_but_its_length() -> None:
    pair = PAIRS["colour"]
    first, second = key_for(*pair), key_for(*pair)
    # All but the magic, the version, the cost and the length is drawn anew.
    same = [a == b for a, b in zip(first, second, strict=True)]
    assert sum(same[16:44]) < 10
    assert sum(same[52:]) < 0.02 * len(first)
    for secret in (PROFILE[:16], pixels_sha256(pair[0]).encode(), b"sha256", b"aaaaaaaa"):
        assert secret not in first


@pytest.mark.parametrize("guess", ["correct horsE", "correct horse ", "x", WORD * 100])
def test_a_wrong_passphrase_is_told(guess: str) -> None:
    pair = PAIRS["colour"]
    with pytest.raises(KeyFileError, match="passphrase is wrong"):
        restore(pair[1], key_for(*pair), passphrase=guess)


def test_accents_are_the_same_however_they_are_typed() -> None:
    original, protected = PAIRS["one pixel"]
    composed, decomposed = (unicodedata.normalize(form, "Müßiggang é") for form in ("NFC", "NFD"))
    assert composed != decomposed
    key = key_for(original, protected, passphrase=composed)
    assert np.array_equal(restore(protected, key, passphrase=decomposed).pixels, original.pixels)


@pytest.mark.parametrize(("word", "reason"), [("", "empty"), (" \t\n", "empty"), ("\udcff", "UTF-8")])
def test_no_passphrase_no_key(word: str, reason: str) -> None:
    pair = PAIRS["one pixel"]
    with pytest.raises(KeyFileError, match=reason):
        key_for(*pair, passphrase=word)
    with pytest.raises(KeyFileError, match=reason):
        restore(pair[1], key_for(*pair), passphrase=word)


def resized(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    return np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda pixels: jpeg(pixels, 30), "recompressed or edited"),
        (lambda pixels: np.where(np.arange(pixels.size).reshape(pixels.shape) == 0, 255 - pixels, pixels), "edited"),
        (lambda pixels: resized(pixels, 80, 60), "resized from 160x120 to 80x60"),
        (lambda pixels: resized(jpeg(pixels, 50), 240, 180), "resized from 160x120 to 240x180"),
        (lambda pixels: pixels[:90, 50:], "another photo .160x120 pixels., or .* cropped or rotated"),
        (lambda pixels: np.rot90(pixels), "another photo"),
        (lambda pixels: scene(120, 160, seed=9), "another photo"),
        (lambda pixels: scene(33, 44, seed=9), "another photo"),
    ],
    ids=["jpeg", "one pixel", "smaller", "larger", "cropped", "rotated", "another", "another size"],
)
def test_the_wrong_photo_is_told_from_a_changed_one(
    change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], reason: str
) -> None:
    original, protected = PAIRS["colour"]
    key = key_for(original, protected)
    with pytest.raises(KeyFileError, match=reason) as caught:
        restore(photo(change(protected.pixels)), key, passphrase=WORD)
    assert "\n" not in str(caught.value)


def test_alpha_and_mode_belong_to_the_photo() -> None:
    original, protected = PAIRS["grey"]
    key = key_for(original, protected)
    for other in (replace(protected, grey=False), replace(protected, alpha=ALPHA)):
        with pytest.raises(KeyFileError, match="was changed"):
            restore(other, key, passphrase=WORD)


def test_another_decoder_is_told_from_another_photo() -> None:
    original, protected = PAIRS["colour"]
    other = photo(jpeg(protected.pixels, 99))
    with pytest.raises(KeyFileError, match=r"Pillow .* here decodes this photo otherwise"):
        restore(other, key_for(original, protected), passphrase=WORD, file_sha256="bb" * 32)


@pytest.fixture(scope="module")
def key() -> bytes:
    return key_for(*PAIRS["one pixel"])


def test_a_key_with_any_byte_changed_does_not_open(key: bytes) -> None:
    for place in range(len(key)):
        broken = key[:place] + bytes([key[place] ^ 1]) + key[place + 1 :]
        with pytest.raises(KeyFileError, match=r"damaged|truncated|not a key|version"):
            restore(PAIRS["one pixel"][1], broken, passphrase=WORD)


def test_a_truncated_key_is_called_so(key: bytes) -> None:
    for length in range(1, len(key)):
        with pytest.raises(KeyFileError, match="truncated" if length > 12 else "not a key"):
            check_sealed(key[:length])
    with pytest.raises(KeyFileError, match="empty"):
        check_sealed(b"")
    with pytest.raises(KeyFileError, match="damaged"):
        check_sealed(key + b"\0")


def forged(key: bytes, place: int, value: bytes) -> bytes:
    """Changed by someone who knows the format, but not the passphrase."""
    body = key[:place] + value + key[place + len(value) : -32]
    return body + hashlib.sha256(body).digest()


@pytest.mark.parametrize("place", [13, 16, 31, 32, 43, 52, 100, -33])
def test_forged_keys_do_not_open(key: bytes, place: int) -> None:
    place %= len(key)
    value = bytes([key[place] ^ (1 if place > 13 else 7)])
    check_sealed(forged(key, place, value))
    with pytest.raises(KeyFileError, match="passphrase is wrong"):
        restore(PAIRS["one pixel"][1], forged(key, place, value), passphrase=WORD)


def test_a_newer_key_asks_for_a_newer_faceenc(key: bytes) -> None:
    for newer in (forged(key, 12, b"\2"), key[:12] + b"\xff some other layout"):
        with pytest.raises(KeyFileError, match=r"version \d+, .* update faceenc"):
            check_sealed(newer)


@pytest.mark.parametrize(
    "cost",
    [
        (18, 8, 3),
        (19, 8, 1),
        (30, 8, 1),
        (255, 255, 255),
        (17, 8, 5),
        (17, 32, 1),
        (17, 1, 1),
        (0, 8, 1),
        (4, 0, 1),
        (4, 8, 0),
    ],
)
def test_no_key_may_ask_for_the_whole_computer(key: bytes, cost: tuple[int, int, int]) -> None:
    with pytest.raises(KeyFileError, match="too much memory or time"):
        unseal(forged(key, 13, bytes(cost)), WORD)


def test_new_keys_cost_what_is_documented() -> None:
    sealed = seal(b"secret", WORD)
    assert tuple(sealed[13:16]) == (17, 8, 1)
    assert unseal(sealed, WORD) == b"secret"


def crafted(packed: bytes, **changes: object) -> bytes:
    """A key of a hostile maker whose passphrase is known."""
    original, protected = PAIRS["one pixel"]
    opened = unseal(key_for(original, protected), WORD)
    (length,) = struct.unpack_from(">I", opened)
    facts = json.dumps(json.loads(opened[4 : 4 + length]) | changes).encode()
    return seal(struct.pack(">I", len(facts)) + facts + packed, WORD, cost=CHEAP)


def test_no_more_is_unpacked_than_the_photo_has_pixels() -> None:
    bomb = crafted(zlib.compress(bytes(60 << 20)))
    assert len(bomb) < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(KeyFileError, match="more or fewer pixels"):
            restore(PAIRS["one pixel"][1], bomb, passphrase=WORD)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("packed", "changes"),
    [
        (b"", {}),
        (b"no zlib", {}),
        (zlib.compress(b"ab"), {}),
        (zlib.compress(b"abc") + b"d", {}),
        (zlib.compress(b"abc")[:-4], {}),
        (zlib.compress(b"abc"), {"channels": 2}),
        (zlib.compress(b"abc"), {"channels": "3"}),
        (zlib.compress(b"abc"), {"profile": -1}),
        (zlib.compress(b"abc"), {"profile": 1 << 40}),
        (zlib.compress(b"abc"), {"unknown": 1}),
        (zlib.compress(b"abc"), {"protected_sha256": None, "sketch": "?"}),
        (zlib.compress(b"abc"), {"protected_sha256": None, "sketch": "QUJD"}),
        (zlib.compress(b"abc"), {"notes": 5}),
        (zlib.compress(b"abc"), {}),  # another difference than to the original
    ],
)
def test_sealed_nonsense_is_one_line(packed: bytes, changes: dict[str, object]) -> None:
    with pytest.raises(KeyFileError, match=r"does not hold what it should|does not lead back"):
        restore(PAIRS["one pixel"][1], crafted(packed, **changes), passphrase=WORD)


@pytest.mark.parametrize("opened", [b"", b"\0\0", b"\0\0\0\1[", b"\0\0\0\2[]", b"\0\0\0\2{}", b"\0\3\0\0" + b"[" * 200_000])
def test_sealed_rubbish_is_one_line(opened: bytes) -> None:
    with pytest.raises(KeyFileError, match="does not hold what it should"):
        restore(PAIRS["one pixel"][1], seal(opened, WORD, cost=CHEAP), passphrase=WORD)


def test_files_that_are_no_keys(tmp_path: Path, key: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "photo.key"
    with pytest.raises(KeyFileError, match="no such file"):
        read_key(path)
    with pytest.raises(KeyFileError, match=r"is a directory|permission denied"):
        read_key(tmp_path)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(KeyFileError, match=r"photo\.key: it is not a key that faceenc made"):
        read_key(path)
    path.write_bytes(key)
    assert read_key(path) == key


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs a file without an end")
def test_a_file_without_an_end_is_not_begun() -> None:
    with pytest.raises(KeyFileError, match="a pipe or a device"):
        read_key("/dev/zero")


def test_without_the_extra_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, key: bytes) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(KeyFileError, match=r"pip install 'faceenc\[key\]'"):
        key_for(*PAIRS["one pixel"])
    with pytest.raises(KeyFileError, match=r"pip install 'faceenc\[key\]'"):
        unseal(key, WORD)
