"""`faceenc consent`: a person agrees that others' photos are moved toward their face."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from faceenc.cli.options import PATH, command, device_option, to_write
from faceenc.core import ConfigError, ConsentError, resolve_device, shown

if TYPE_CHECKING:
    from datetime import date

    from faceenc.recognizers import Portrait


_MAX_DAYS = 3650


@command()
@click.argument("name", required=False, metavar="NAME")
@click.argument("photos", nargs=-1, metavar="PHOTOS...", type=PATH)
@to_write("-o", "--output", type=PATH, metavar="FILE", help="The consent.  [default: NAME.consent]")
@click.option("--valid-days", type=click.IntRange(1, _MAX_DAYS), default=365, show_default=True, help="How long it holds.")
@click.option("--yes-i-am", "agreed_as", metavar="NAME", help="Agree without being asked; for scripts.")
@device_option
@to_write("--force", is_flag=True, help="Overwrite the output.")
@to_write("--show", type=PATH, metavar="FILE", help="Print what a consent says instead.")
def consent(
    name: str | None,
    photos: tuple[Path, ...],
    output: Path | None,
    valid_days: int,
    agreed_as: str | None,
    device: str,
    force: bool,
    show: Path | None,
) -> None:
    """Let others take on your face: you, NAME, agree that faceenc changes photos so that recognisers see you in them.

    To be run by that person themselves, with a few photos of them. Writes a file with measurements of the face (no photos),
    signed with a key that is made at the first time and stays on this computer. Whoever is given the file can use it with
    `faceenc encrypt --to NAME` until it expires; it cannot be called back before.
    """
    if show is not None:
        if name is not None:
            raise ConfigError("--show FILE prints an existing consent: leave NAME and PHOTOS out")
        _show(show)
        return
    if name is None or not photos:
        raise ConfigError("who agrees? Give your name and a few photos of you: faceenc consent 'Ada Lovelace' 1.jpg 2.jpg")
    import numpy as np

    from faceenc.protect import audit, clean_name, fingerprint, make_consent, need_cryptography, own_public_key, today_utc

    name = clean_name(name)
    output = output or Path(_file_name(name))
    need_cryptography("consents", ConsentError)
    if output.exists() and not force:
        raise _taken(output)
    device = resolve_device(device)
    today = today_utc()
    valid_until = today + timedelta(days=valid_days)
    _agree(name, valid_until, agreed_as)
    portraits = _read_portraits(photos, device)
    embeddings = {net: np.stack([one.embeddings[net] for one in portraits]) for net in portraits[0].embeddings}
    hashes = [portrait.sha256 for portrait in portraits]
    _write(output, make_consent(name, embeddings, hashes, signed=today, valid_until=valid_until), force)
    signer = fingerprint(own_public_key())
    audit("consent", fingerprint=signer, valid_until=valid_until, photos_sha256=hashes)
    count = "1 photo" if len(portraits) == 1 else f"{len(portraits)} photos"
    click.echo(f"consent:     {shown(output)} ({count}, valid until {valid_until})")
    click.echo(f"fingerprint: {signer} (tell it to whom you give the file)")


def _agree(name: str, valid_until: date, agreed_as: str | None) -> None:
    from faceenc.protect import same_name, statement

    click.echo(f"{statement(name, valid_until)}\n")
    typed = click.prompt("To agree, type your name") if agreed_as is None else agreed_as
    if not same_name(typed, name):
        raise ConsentError(f"that is not {name}: nothing was written; each person agrees for themselves")


def _read_portraits(photos: tuple[Path, ...], device: str) -> list[Portrait]:
    from faceenc.protect import MAX_PHOTOS
    from faceenc.recognizers import read_portraits, strangers

    if len(photos) > MAX_PHOTOS:
        raise ConsentError(f"{len(photos)} photos are more than a consent holds: choose up to {MAX_PHOTOS}")
    portraits = read_portraits(photos, device=device)
    odd = strangers(portraits)
    if odd:
        names = ", ".join(shown(portrait.path) for portrait in odd)
        raise ConsentError(f"not all photos show one person: {names} differ from the rest; take photos of you alone")
    return portraits


def _write(output: Path, text: str, force: bool) -> None:
    from faceenc.core import atomic_file

    try:
        with atomic_file(output, overwrite=force) as file:
            file.write(text.encode())
    except FileExistsError as error:
        raise _taken(output) from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConsentError(f"cannot write {output}: {reason}; choose another --output") from error


def _taken(output: Path) -> ConsentError:
    return ConsentError(f"{output} exists already: choose another --output, or --force to overwrite it")


def _show(path: Path) -> None:
    from faceenc.protect import load_consent, today_utc
    from faceenc.recognizers import ensemble_networks

    found, today = load_consent(path), today_utc()
    names = [ensemble_networks().get(network, f"unknown ({network[:12]})") for network in found.embeddings]
    state = "expired" if today > found.valid_until else "not valid yet" if today < found.signed else "valid"
    click.echo(f"name:        {found.name}\nstatement:   {found.statement}")
    click.echo(f"signed:      {found.signed}\nvalid until: {found.valid_until} ({state} today, {today})")
    click.echo(f"fingerprint: {found.fingerprint}\nsignature:   holds; compare the fingerprint with the person")
    click.echo(f"recognisers: {', '.join(map(shown, names))}")
    click.echo(f"photos:      {len(found.photos)}, SHA-256")
    for digest in found.photos:
        click.echo(f"             {digest}")


def _file_name(name: str) -> str:
    """A name as a file's name on every system."""
    return "".join(letter if letter.isalnum() or letter in " -'" else "_" for letter in name).strip() + ".consent"
