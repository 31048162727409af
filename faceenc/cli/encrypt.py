"""`faceenc encrypt`: photos whose faces recognisers no longer match."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from faceenc.cli.common import device_option, formerly, progress_bars
from faceenc.cli.encrypt_key import Key, new_key
from faceenc.core import ConfigError, resolve_device

if TYPE_CHECKING:
    from faceenc.core import Progress
    from faceenc.media import PhotoFormat
    from faceenc.protect import Options
    from faceenc.runs import FileResult, Task


@click.command(cls=formerly({"--model": "--judge"}))
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO|FOLDER...", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE|FOLDER",
              help="A file for one photo, or a folder.  [default: STEM-protected.png beside each photo]")  # fmt: skip
@click.option("--strength", type=click.Choice(["subtle", "balanced", "strong"]), default="balanced", show_default=True,
              help="How much may be seen.")  # fmt: skip
@click.option("--shape", type=click.Choice(["strength", "none"]), default="strength", show_default=True,
              help="How far features move: as the strength says, or not at all.")  # fmt: skip
@click.option("--eps", metavar="N/255",
              help="Noise alone, of at most so much at every pixel, whatever is seen of it: for comparisons.")  # fmt: skip
@click.option("--steps", type=click.IntRange(min=1), help="Gradient steps a face, instead of the strength's.")
@click.option("--budget", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
              help="Stop working on a photo's faces after so long.")  # fmt: skip
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
@click.option("--surrogate", "surrogates", multiple=True, metavar="RECOGNISER",
              help="What to attack: dlib, sface, faceplugin, mobilefacenet, a trained recogniser (.safetensors),"
                   " frbench:NAME; may be repeated."
                   "  [default: dlib, sface, faceplugin and mobilefacenet]")  # fmt: skip
@click.option("--judge", "judges", multiple=True, metavar="RECOGNISER",
              help="One more recogniser to ask: sface, faceplugin, mobilefacenet, a trained one (.safetensors),"
                   " frbench:NAME; may be repeated.")  # fmt: skip
@click.option("--thorough", is_flag=True, help="Search the saved photo for faces at full size, however large it is.")
@click.option("--format", type=click.Choice(["png", "same", "jpeg", "webp", "tiff", "heif"]),
              help="Of the output; same is the photo's own.  [default: that of --output's name, else png]")  # fmt: skip
@click.option("--quality", type=click.IntRange(1, 100), help="Of JPEG, HEIF and WebP.  [default: 95; WebP without loss]")
@click.option("--keep-metadata", is_flag=True, help="Keep EXIF, GPS and the like, which are removed otherwise.")
@click.option("--preview", is_flag=True, help="Also draw before, the change and after: OUTPUT-preview.png.")
@click.option("--keep-key", type=click.Path(path_type=Path), metavar="FILE",
              help="Also write a key, locked with a passphrase, for faceenc decrypt to give the original back.")  # fmt: skip
@click.option("--passphrase-file", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE",
              help="Its first line is the key's passphrase; also FACEENC_PASSPHRASE.")  # fmt: skip
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Photos at the same time.")
@device_option
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
    device: str,
    force: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Protect photos: noise on the faces and features moved a little, which recognisers stumble over, and evidence that
    they do. Friends can see it.

    Photos are left as they are; nothing is overwritten without --force, and metadata (GPS) is removed. A folder is done with
    all photos in and below it; stopped and started again, it goes on where it was.

    Exit code 0 if all photos are protected, 4 if in some a face is still matched, 3 if some failed, 2 if none was written,
    130 after Ctrl-C. Skipped photos without a face do not count, unless there are no others.
    """
    from faceenc.cli.encrypt_results import conclude, print_result, print_stopped
    from faceenc.protect import find_ledger, plan_photos

    try:
        single = _single(photos, output)
        options = _options(settings, single, photos[0])
        _check_key(photos, keep_key, passphrase_file)
        with ExitStack() as stack:
            ledger, locks = find_ledger(photos, None if single else output, stack)
            tasks, results = plan_photos(photos, output, single=single, options=options, ledger=ledger)
            key = new_key(keep_key, tasks[0], passphrase_file, force=force) if keep_key is not None and tasks else None
            run = _Run(
                tasks, options, jobs=jobs, device=resolve_device(device), force=force, ledger=ledger, locks=locks,
                as_json=as_json, key=key,
            )  # fmt: skip
            results += run() if tasks else []
        for result in results:
            if result.target is None:
                print_result(result, options, as_json=as_json)
    except KeyboardInterrupt as stop:
        context.exit(print_stopped(stop))
    context.exit(conclude(results, options, as_json=as_json))


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
    if chosen is not None and photo.is_file() and (file_format or photo_format(photo)) != named:
        raise ConfigError(f"--format {chosen} does not fit {single.name}: leave one of them out")
    return named


def _check_key(photos: tuple[Path, ...], keep_key: Path | None, passphrase_file: Path | None) -> None:
    if keep_key is not None and (len(photos) > 1 or photos[0].is_dir()):
        raise ConfigError("--keep-key takes one photo at a time: each key belongs to one photo")
    if keep_key is None and passphrase_file is not None:
        raise ConfigError("--passphrase-file is for a key: add --keep-key FILE, or leave it out")


@dataclass(frozen=True)
class _Run:
    """All photos of a run, each reported as soon as it is done."""

    tasks: list[Task]
    options: Options
    jobs: int
    device: str
    force: bool
    ledger: Path
    locks: Path | None
    as_json: bool
    key: Key | None

    def __call__(self) -> list[FileResult]:
        from faceenc.cli.encrypt_results import print_result
        from faceenc.protect import Encrypt, current_settings
        from faceenc.runs import StoppedError, run_files

        jobs, alone = min(self.jobs, len(self.tasks)), len(self.tasks) == 1
        work = Encrypt(self.options, self.device)
        if jobs > 1:
            work = work.for_processes()
        # A key is made along with its photo, so that one is done anew, whatever the record says.
        settings = current_settings(self.options, key=None if self.key is None else secrets.token_hex(8))
        results: list[FileResult] = []
        with ExitStack() as stack:
            progress = None
            if not self.as_json:
                progress = stack.enter_context(progress_bars(silent=alone))
                if not alone:
                    progress("photos", 0, len(self.tasks))

            def print_done(result: FileResult, done: int, total: int) -> None:
                if alone:
                    stack.close()  # the bar ends above the tables
                elif progress is not None:
                    progress("photos", done, total)
                print_result(result, self.options, as_json=self.as_json, alone=alone)

            try:
                results = run_files(
                    self.tasks,
                    partial(self._protect_alone, progress) if alone else work,
                    settings=settings,
                    jobs=jobs,
                    force=self.force,
                    ledger=self.ledger,
                    locks=self.locks,
                    progress=print_done,
                    initializer=work.prepare,
                )
            except StoppedError as stop:
                results = stop.results
                raise
            finally:
                if self.key is not None and all(result.status != "done" for result in results):
                    self.key.withdraw()
        return results

    def _protect_alone(self, progress: Progress | None, source: Path, target: Path) -> dict[str, Any]:
        from faceenc.protect import shared_protector

        protector = shared_protector(self.options, self.device)
        return protector(source, output=target, make_keyfile=self.key, progress=progress).to_json()
