"""`faceenc decrypt`: the original of a protected photo, by its key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from faceenc.cli.options import PATH, FilePath, command
from faceenc.cli.passphrase import get_passphrase
from faceenc.core import ConfigError, DataError, file_sha256, shown

if TYPE_CHECKING:
    from faceenc.media import Photo


@command()
@click.argument("protected", type=PATH)
@click.option("--key", "key_file", type=PATH, metavar="FILE",
              help="The key that faceenc encrypt --keep-key wrote.  [required]")  # fmt: skip
@click.option("-o", "--output", type=PATH, metavar="FILE",
              help="The restored PNG.  [default: STEM-restored.png beside PROTECTED]")  # fmt: skip
@click.option("--passphrase-file", type=FilePath(allow_dash=True), metavar="FILE",
              help="Take its first line; - is standard input.  [default: FACEENC_PASSPHRASE, else ask]")  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite the output.")
def decrypt(protected: Path, key_file: Path | None, output: Path | None, passphrase_file: Path | None, force: bool) -> None:
    """Turn PROTECTED back into its original with the key kept by `faceenc encrypt --keep-key`.

    The pixels come back bit for bit, as a PNG; if they cannot, one line says why and nothing is written. PROTECTED must have
    the very pixels that faceenc encrypt saved: a copy that was recompressed or resized, as messengers do, will not be
    restored. The original's metadata (date, place, camera) is not in the key.
    """
    if key_file is None:
        raise ConfigError("--key is missing: name the file that faceenc encrypt --keep-key wrote")
    output = protected.with_name(f"{protected.stem}-restored.png") if output is None else output
    if output.suffix.lower() != ".png":
        raise ConfigError(f"--output {output}: only PNG keeps the pixels as they are; choose a name that ends in .png")
    import hashlib

    from faceenc.media import read_photo, save_photo
    from faceenc.protect import audit, need_cryptography, read_key, restore

    # All that can be checked without the passphrase, before asking for it.
    need_cryptography()
    key, photo = read_key(key_file), read_photo(protected)
    if output.exists() and not force:
        raise DataError(f"{output} exists already: choose another --output, or --force to overwrite it")
    source_sha256 = file_sha256(protected)
    original = restore(photo, key, passphrase=get_passphrase(passphrase_file), file_sha256=source_sha256)
    png = _encode(original)
    save_photo(output, png, force=force)
    audit("decrypt", source_sha256=source_sha256, output_sha256=hashlib.sha256(png).hexdigest())
    height, width = original.pixels.shape[:2]
    click.echo(f"restored: {shown(output)} ({width}x{height}, every pixel as in the original)")
    for note in original.notes:
        click.echo(f"about the original: {shown(note)}")


def _encode(original: Photo) -> bytes:
    """As PNG, and read again: what is promised is what the file holds."""
    from faceenc.media import decode_photo, encode_photo
    from faceenc.protect import pixels_sha256

    png = encode_photo(original, format="PNG")
    if pixels_sha256(decode_photo(png)) != pixels_sha256(original):
        raise DataError("the restored photo does not survive being saved as PNG: update Pillow")
    return png
