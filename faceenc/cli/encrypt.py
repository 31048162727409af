"""`faceenc encrypt`: photos whose faces recognisers no longer match."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from faceenc.cli.common import progress_bars
from faceenc.types import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from faceenc.encrypt_options import Options
    from faceenc.folderplan import FileResult, Task
    from faceenc.photos import Photo, PhotoFormat

_LEDGER = "faceenc-run.jsonl"
_LOCKS = "encrypt.lock"


@click.command()
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO|FOLDER...", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE|FOLDER",
              help="A file for one photo, or a folder.  [default: STEM-protected.png beside each photo]")  # fmt: skip
@click.option("--strength", type=click.Choice(["subtle", "balanced", "strong"]), default="balanced", show_default=True,
              help="How much noise.")  # fmt: skip
@click.option("--eps", metavar="N/255", help="The largest change of a pixel, instead of the strength's.")
@click.option("--steps", type=click.IntRange(min=1), help="Gradient steps a face at most, instead of the strength's.")
@click.option("--budget", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
              help="Stop making noise for a photo after so long.")  # fmt: skip
@click.option("--faces", default="all", show_default=True, metavar="all|largest|N", help="Which faces.")
@click.option("--on-no-face", type=click.Choice(["skip", "fail", "whole"]), default="skip", show_default=True,
              help="Without a face: write nothing, count it as a failure, or protect the whole photo.")  # fmt: skip
@click.option("--as", "person", metavar="NAME", help="Whose photos: a sub-folder of the gallery to move away from.")
@click.option("--decoy", type=click.IntRange(min=0), metavar="N",
              help="Make everybody look like the synthetic person number N.")  # fmt: skip
@click.option("--to", "target", metavar="NAME", help="Make faces look like NAME, who has to have signed a consent.")
@click.option("--consent", type=click.Path(path_type=Path), metavar="FILE", help="The file of `faceenc consent` for --to.")
@click.option("--gallery", type=click.Path(path_type=Path), metavar="FOLDER",
              help="People, a sub-folder each: adds ranks to the evidence.")  # fmt: skip
@click.option("--surrogate", "surrogates", multiple=True, metavar="NAME",
              help="What to attack: dlib, a trained recogniser (.safetensors), frbench:NAME; may be repeated."
                   "  [default: dlib]")  # fmt: skip
@click.option("--model", "models", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
              help="A trained recogniser as one more judge; may be repeated.")  # fmt: skip
@click.option("--format", "file_format", type=click.Choice(["png", "same", "jpeg", "webp", "tiff", "heif"]),
              help="Of the output; same is the photo's own.  [default: that of --output's name, else png]")  # fmt: skip
@click.option("--quality", type=click.IntRange(1, 100), help="Of JPEG, HEIF and lossy WebP.  [default: 95]")
@click.option("--keep-metadata", is_flag=True, help="Keep EXIF, GPS and the like, which are removed otherwise.")
@click.option("--preview", is_flag=True, help="Also write STEM-preview.png: before, noise, after.")
@click.option("--keep-key", type=click.Path(path_type=Path), metavar="FILE",
              help="Also write a key, locked with a passphrase, for faceenc decrypt to give the original back.")  # fmt: skip
@click.option("--passphrase-file", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE",
              help="Its first line is the key's passphrase; also FACEENC_PASSPHRASE.")  # fmt: skip
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Photos at the same time.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all randomness.")
@click.option("--force", is_flag=True, help="Overwrite, and do again what is done.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON a photo.")
@click.pass_context
def encrypt(
    context: click.Context,
    /,
    photos: tuple[Path, ...],
    output: Path | None,
    keep_key: Path | None,
    passphrase_file: Path | None,
    jobs: int,
    force: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Protect photos: noise on the faces that friends hardly see and recognisers stumble over, and evidence that they do.

    Photos are left as they are; nothing is overwritten without --force, and metadata (GPS) is removed. A folder is done with
    all photos in and below it; stopped and started again, it goes on where it was.

    Exit code 0 if all photos are protected, 3 if some are not, 2 if none is; 130 after Ctrl-C. Photos without a face that are
    skipped do not count, unless there are no others.
    """
    from faceenc.cli.encrypt_told import conclude, tell, tell_stopped

    try:
        single = _single(photos, output)
        options = _options(settings, single, photos[0])
        if keep_key is not None and (len(photos) > 1 or photos[0].is_dir()):
            raise ConfigError("--keep-key takes one photo at a time: each key belongs to one photo")
        if keep_key is None and passphrase_file is not None:
            raise ConfigError("--passphrase-file is for a key: add --keep-key FILE, or leave it out")
        run = _Run(options, jobs=jobs, force=force, as_json=as_json)
        with ExitStack() as stack:
            results = run(photos, output, single, stack, key=keep_key, passphrase_file=passphrase_file)
        for result in results:
            if result.target is None:
                tell(result, options, as_json=as_json)
    except KeyboardInterrupt as stop:
        context.exit(tell_stopped(stop))
    context.exit(conclude(results, options, as_json=as_json))


def _single(photos: tuple[Path, ...], output: Path | None) -> Path | None:
    """--output if it names the one photo's file; None if it names a folder."""
    from faceenc.images import PHOTO_SUFFIXES

    if output is None or output.is_dir():
        return None
    if _format_of(output) is None:
        if output.suffix.lower() in PHOTO_SUFFIXES:
            raise ConfigError(f"--output {output}: photos are written as .png, .jpg, .webp, .tif or .heic; choose one of them")
        return None
    if len(photos) > 1 or photos[0].is_dir():
        raise ConfigError(f"--output {output} names one photo, and there may be several: name a folder")
    return output


def _options(settings: dict[str, Any], single: Path | None) -> Options:
    from faceenc.encrypt_options import Options
    from faceenc.norms import LINF, parse_eps
    from faceenc.protect import STRENGTHS

    strength = STRENGTHS[settings.pop("strength")]
    eps, steps = settings.pop("eps"), settings.pop("steps")
    if eps is not None:
        strength = replace(strength, eps=parse_eps(eps, LINF))
    if steps is not None:
        strength = replace(strength, steps=steps)
    faces = settings["faces"]
    if faces not in ("all", "largest") and not (faces.isdecimal() and int(faces)):
        raise ConfigError(f"--faces {faces}: give all, largest, or how many of the largest")
    chosen: str | None = settings.pop("file_format")
    file_format = None if chosen == "same" else cast("PhotoFormat", (chosen or "png").upper())
    if single is not None:
        named = _format_of(single)
        if chosen not in (None, "same") and named != file_format:
            raise ConfigError(f"--format {chosen} does not fit {single.name}: leave one of them out")
        file_format = named
    surrogates = settings.pop("surrogates") or ("dlib",)
    return Options(strength=strength, surrogates=surrogates, format=file_format, **settings)


def _is_file(output: Path) -> bool:
    """Whether --output names a photo, not a folder."""
    return not output.is_dir() and _format_of(output) is not None


def _format_of(path: Path) -> PhotoFormat | None:
    from faceenc.photos import SUFFIXES

    suffix = {".jpeg": ".jpg", ".tiff": ".tif", ".heif": ".heic"}.get(path.suffix.lower(), path.suffix.lower())
    return next((name for name, known in SUFFIXES.items() if known == suffix), None)


def _namer(options: Options, folder: Path | None) -> Callable[[Path], str]:
    from faceenc.photos import output_path, photo_format

    def name(photo: Path) -> str:
        protected = output_path(photo, options.format or photo_format(photo))
        return protected.name if folder is None else f"{photo.stem}{protected.suffix}"

    return name


def _ledger(photos: tuple[Path, ...], folder: Path | None, stack: ExitStack) -> Path:
    """Where the run is recorded: in the folder it is for; nowhere that lasts if only files are named."""
    if folder is not None:
        return folder / _LEDGER
    if len(photos) == 1 and photos[0].is_dir():
        return photos[0] / _LEDGER
    if any(photo.is_dir() for photo in photos):
        raise ConfigError("several folders need one place to write to: add --output FOLDER, or name one folder")
    return Path(stack.enter_context(tempfile.TemporaryDirectory())) / _LEDGER


def _key_maker(path: Path, passphrase_file: Path | None, *, force: bool) -> Callable[[Photo, Photo, bytes, bytes], None]:
    import hashlib

    from faceenc.cli.passphrase import get_passphrase
    from faceenc.keyfile import make_key
    from faceenc.photos import save_photo
    from faceenc.sealing import need_cryptography

    need_cryptography()
    if os.path.lexists(path) and not force:
        raise ConfigError(f"{path} exists already: choose another name for the key, or --force to overwrite it")
    passphrase = get_passphrase(passphrase_file, confirm=True)

    def make(original: Photo, protected: Photo, before: bytes, after: bytes) -> None:
        hashes = [hashlib.sha256(data).hexdigest() for data in (before, after)]
        key = make_key(original, protected, passphrase=passphrase, original_file_sha256=hashes[0],
                       protected_file_sha256=hashes[1])  # fmt: skip
        save_photo(path, key, force=force)

    return make


def _run(
    tasks: list[Task],
    options: Options,
    *,
    ledger: Path,
    jobs: int,
    force: bool,
    as_json: bool,
    make_key: Callable[[Photo, Photo, bytes, bytes], None] | None,
) -> list[FileResult]:
    from faceenc.encrypt import Encrypt, encrypt_photo
    from faceenc.folderrun import StoppedError, run_files

    jobs = max(1, min(jobs, len(tasks)))
    work = Encrypt(options, threads=max(1, (os.cpu_count() or 1) // jobs) if jobs > 1 else None)

    with ExitStack() as stack:
        progress = stack.enter_context(progress_bars()) if not as_json and len(tasks) > 1 else None

        def told(result: FileResult, done: int, total: int) -> None:
            if progress is not None:
                progress("photos", done, total)
            _tell(result, options, as_json=as_json, alone=total == 1)

        def with_key(source: Path, target: Path) -> dict[str, Any]:
            return encrypt_photo(source, target, options, make_keyfile=make_key).to_json()

        try:
            return run_files(
                tasks,
                work if make_key is None else with_key,
                settings_key=repr(options),
                jobs=jobs,
                force=force,
                ledger=ledger,
                progress=told,
                initializer=work.prepare,
            )
        except StoppedError as stopped:
            done = sum(result.status == "done" for result in stopped.results)
            click.echo(f"stopped: {done} of {len(tasks)} done; run the same command again to go on", err=True)
            raise SystemExit(_INTERRUPTED) from None


def _tell(result: FileResult, options: Options, *, as_json: bool, alone: bool = False) -> None:
    """One photo's result, as soon as it is there."""
    from faceenc.cli.evidence_tables import print_evidence

    if as_json:
        record = {"photo": str(result.source), "status": result.status, "message": result.message, **result.details}
        click.echo(json.dumps(record))
        return
    if result.status == "failed":
        skipped = _without_face(result) and options.on_no_face == "skip"
        click.echo(f"{'skipped' if skipped else 'error'}: {result.message}", err=True)
    elif result.status == "skipped":
        click.echo(f"{result.source}: {result.message}")
    else:
        told = result.details
        if alone:
            print_evidence(told)
        for note in told["notes"]:
            click.echo(f"note: {note}")
        changed = f"changed by at most {told['photo']['max_change']} of 255, PSNR {told['photo']['psnr'] or 99:.1f} dB"
        click.echo(f"{result.source} -> {result.target}: {changed}; {result.seconds:.1f} s")
        click.echo(f"  {told['summary']}")


def _without_face(result: FileResult) -> bool:
    return result.details.get("error") == "NoFaceError"


def _conclude(context: click.Context, results: list[FileResult], options: Options, *, as_json: bool) -> None:
    faceless = [result for result in results if _without_face(result) and options.on_no_face == "skip"]
    counted = [result for result in results if result not in faceless]
    good = [result for result in counted if result.status != "failed" and not result.details.get("matched")]
    matched = sum(bool(result.details.get("matched")) for result in counted)
    if not as_json and len(results) > 1:
        failed = sum(result.status == "failed" for result in counted)
        parts = [f"{len(good)} of {len(results)} photos protected"]
        parts += [f"{count} {what}" for count, what in ((matched, "still matched"), (len(faceless), "without a face"),
                                                        (failed, "failed")) if count]  # fmt: skip
        click.echo(", ".join(parts))
    if not good:
        context.exit(_NONE)
    if len(good) < len(counted):
        context.exit(_SOME)
