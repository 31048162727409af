"""`faceenc encrypt`: photos whose faces recognisers no longer match."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, cast

import click

from faceenc.cli.options import (
    PATH,
    RECOGNISERS,
    FilePath,
    command,
    device_option,
    evidence,
    formerly,
    how_strong,
    running,
    to_write,
    trust_option,
    who,
)
from faceenc.core import ConfigError, resolve_device

if TYPE_CHECKING:
    from pathlib import Path

    from faceenc.media import PhotoFormat
    from faceenc.protect import Options


@command(cls=formerly({"--model": "--judge"}))
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO|FOLDER...", type=PATH)
@to_write("-o", "--output", type=PATH, metavar="FILE|FOLDER",
              help="A file for one photo, a folder, or - for standard output."
                   "  [default: STEM-protected.png beside each photo]")  # fmt: skip
@how_strong("--strength", type=click.Choice(["subtle", "balanced", "strong"]), default="balanced", show_default=True,
              help="How much may be seen.")  # fmt: skip
@how_strong("--shape", type=click.Choice(["strength", "none"]), default="strength", show_default=True,
              help="How far features move: as the strength says, or not at all.")  # fmt: skip
@how_strong("--eps", metavar="N/255",
              help="Noise alone, of at most so much at every pixel, whatever is seen of it: for comparisons.")  # fmt: skip
@how_strong("--steps", type=click.IntRange(min=1), help="Gradient steps a face, instead of the strength's.")
@how_strong("--budget", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
              help="Stop working on a photo's faces after so long.")  # fmt: skip
@who("--faces", default="all", show_default=True, metavar="all|largest|N", help="Which faces.")
@who("--on-no-face", type=click.Choice(["skip", "fail", "whole"]), default="skip", show_default=True,
              help="Without a face: write nothing, count it as a failure, or protect the whole photo.")  # fmt: skip
@who("--as", "person", metavar="NAME", help="Whose photos: a sub-folder of the gallery to move away from.")
@who("--apart", is_flag=True, help="Move every photo another way, so that one person's match each other less.")
@who("--decoy", type=click.IntRange(min=0), metavar="N",
              help="Move everybody nearer to the synthetic person number N: all of them may match each other.")  # fmt: skip
@who("--to", "target", metavar="NAME", help="Make faces look like NAME, who has to have signed a consent.")
@who("--consent", type=PATH, metavar="FILE", help="The file of `faceenc consent` for --to.")
@evidence("--gallery", type=PATH, metavar="FOLDER",
              help="People, a sub-folder each: adds ranks to the evidence.")  # fmt: skip
@how_strong("--surrogate", "surrogates", multiple=True, metavar="RECOGNISER",
              help=f"What to attack: dlib, {RECOGNISERS}; may be repeated."
                   "  [default: dlib, sface, faceplugin and mobilefacenet]")  # fmt: skip
@evidence("--judge", "judges", multiple=True, metavar="RECOGNISER",
              help=f"One more recogniser to ask: {RECOGNISERS}; may be repeated.")  # fmt: skip
@evidence("--thorough", is_flag=True, help="Search the saved photo for faces at full size, however large it is.")
@to_write("--format", type=click.Choice(["png", "same", "jpeg", "webp", "tiff", "heif"]),
              help="Of the output; same is the photo's own.  [default: that of --output's name, else png]")  # fmt: skip
@to_write("--quality", type=click.IntRange(1, 100), help="Of JPEG, HEIF and WebP.  [default: 95; WebP without loss]")
@to_write("--keep-metadata", is_flag=True, help="Keep EXIF, GPS and the like, which are removed otherwise.")
@to_write("--preview", is_flag=True, help="Also draw before, the change and after: OUTPUT-preview.png.")
@to_write("--keep-key", type=PATH, metavar="FILE",
              help="Also write a key, locked with a passphrase, for faceenc decrypt to give the original back.")  # fmt: skip
@to_write("--passphrase-file", type=FilePath(allow_dash=True), metavar="FILE",
              help="Its first line is the key's passphrase; also FACEENC_PASSPHRASE.")  # fmt: skip
@running("--server", metavar="URL", help="Let a server of `faceenc serve` do the work.")
@running("--token-file", type=PATH, metavar="FILE", help="Its first token is shown to the server.")
@running("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Photos at the same time.")
@device_option
@trust_option
@running("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all randomness.")
@running("--force", is_flag=True, help="Overwrite, and do again what is done.")
@evidence("--json", "as_json", is_flag=True, help="Print one line of JSON a photo.")
@click.pass_context
def encrypt(
    context: click.Context,
    /,
    photos: tuple[Path, ...],
    output: Path | None,
    keep_key: Path | None,
    server: str | None,
    token_file: Path | None,
    passphrase_file: Path | None,
    jobs: int,
    device: str,
    force: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Protect photos: noise on the faces and features moved a little, which recognisers stumble over, and evidence that
    they do. Friends can see it.

    Photos are left as they are; nothing is overwritten without --force, and metadata (GPS) is removed. A folder is done with
    all photos in and below it; stopped and started again, it goes on where it was. The photo - is read from standard input
    and written to standard output in its own format.

    Exit code 0 if all photos are protected, 4 if in some a face is still matched, 3 if some failed, 2 if none was written,
    130 after Ctrl-C, 143 after SIGTERM. Skipped photos without a face and what is no photo do not count, unless there is
    nothing else.
    """
    from faceenc.cli.encrypt_key import new_key
    from faceenc.cli.encrypt_pipe import check_pipe, encrypt_piped, is_piped
    from faceenc.cli.encrypt_results import conclude, print_result, print_stopped
    from faceenc.cli.encrypt_run import Run
    from faceenc.protect import find_ledger, plan_photos
    from faceenc.runs import record_rest

    remote = _remote(server, token_file)
    if remote and (keep_key is not None or is_piped(photos, output)):
        raise ConfigError("--server takes files and folders, and makes no keys: leave it or the other out")
    if piped := is_piped(photos, output):
        check_pipe(photos, output, beside=keep_key is not None or settings["preview"])
    try:
        single = _single(photos, output)
        if piped:
            settings["format"] = settings["format"] or (None if single else "same")
            options = _options(settings, single, photos[0])
            resolved = resolve_device(device)
            context.exit(encrypt_piped(photos[0], output, options, device=resolved, force=force, as_json=as_json))
        options = _options(settings, single, photos[0])
        _check_key(photos, keep_key, passphrase_file)
        with ExitStack() as stack:
            ledger, locks = find_ledger(photos, None if single else output, stack)
            tasks, results = plan_photos(photos, output, single=single, options=options, ledger=ledger)
            key = new_key(keep_key, tasks[0], passphrase_file, force=force) if keep_key is not None and tasks else None
            run = Run(
                tasks, options, jobs=jobs, device=resolve_device(device), force=force, ledger=ledger, locks=locks,
                as_json=as_json, key=key, remote=remote,
            )  # fmt: skip
            results += run() if tasks else []
            record_rest(results, ledger, locks)
        for result in results:
            if result.target is None:
                print_result(result, options, as_json=as_json)
    except KeyboardInterrupt as stop:
        context.exit(print_stopped(stop))
    context.exit(conclude(results, options, as_json=as_json))


def _remote(server: str | None, token_file: Path | None) -> tuple[str, str | None] | None:
    """The server's address and a token, where one is to do the work."""
    if server is None:
        if token_file is not None:
            raise ConfigError("--token-file is for a server: add --server URL, or leave it out")
        return None
    if token_file is None:
        return server, None
    from faceenc.server import read_tokens

    return server, read_tokens(token_file)[0]


def _single(photos: tuple[Path, ...], output: Path | None) -> Path | None:
    """--output if it names the one photo's file; None if it names a folder."""
    from faceenc.media import PHOTO_SUFFIXES, format_named

    if output is None or output.is_dir():
        return None
    if format_named(output) is None:
        if output.suffix.lower() in PHOTO_SUFFIXES:
            raise ConfigError(f"--output {output}: photos are written as .png, .jpg, .webp, .tif or .heic, so name it so")
        return None
    if len(photos) > 1 or photos[0].is_dir():
        raise ConfigError(f"--output {output} names one file, and there may be several photos: name a folder")
    return output


def _options(settings: dict[str, Any], single: Path | None, photo: Path) -> Options:
    from dataclasses import replace

    from faceenc.attacks import LINF, parse_eps
    from faceenc.protect import STRENGTHS, Options, Strength

    strength = STRENGTHS[settings.pop("strength")]
    eps, shape = settings.pop("eps"), settings.pop("shape")
    strength = replace(strength, steps=settings.pop("steps") or strength.steps)
    if eps is not None:
        strength = Strength.bounded(parse_eps(eps, LINF), strength.steps)
    if shape == "none":
        strength = replace(strength, shape=0)
    faces = settings["faces"]
    if faces not in ("all", "largest") and not (faces.isdecimal() and int(faces)):
        raise ConfigError(f"--faces {faces}: give all, largest, or how many of the largest")
    file_format = _format(settings.pop("format"), single, photo)
    return Options(strength=strength, format=file_format, **settings)


def _format(chosen: str | None, single: Path | None, photo: Path) -> PhotoFormat | None:
    """Of the output; None is each photo's own."""
    from faceenc.media import format_named, photo_format

    file_format = None if chosen == "same" else cast("PhotoFormat", (chosen or "png").upper())
    if single is None:
        return file_format
    named = format_named(single)
    meant = file_format or (photo_format(photo) if photo.is_file() else named)
    if chosen is not None and meant != named:
        raise ConfigError(f"--format {chosen} does not fit {single.name}: leave one of them out")
    return named


def _check_key(photos: tuple[Path, ...], keep_key: Path | None, passphrase_file: Path | None) -> None:
    if keep_key is not None and (len(photos) > 1 or photos[0].is_dir()):
        raise ConfigError("--keep-key takes one photo at a time: each key belongs to one photo")
    if keep_key is None and passphrase_file is not None:
        raise ConfigError("--passphrase-file is for a key: add --keep-key FILE, or leave it out")
