"""`faceenc train`: a recogniser for the people of a data set."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from faceenc.cli.common import resumable
from faceenc.cli.options import PATH, command, device_option, running, to_write, training
from faceenc.cli.progress import progress_bars
from faceenc.core import ConfigError, check_writable, resolve_device

if TYPE_CHECKING:
    from faceenc.train import TrainConfig


@command()
@click.argument("what", metavar="CONFIG|FOLDER")
@to_write("-o", "--output", type=PATH, help="The training's folder.  [default: runs/NAME]")
@running("--resume", is_flag=True, help="Go on with the killed training in --output.")
@training("--init", help='Start from "imagenet", "random", "dlib" or a file of weights.')
@training("--epochs", type=click.IntRange(min=1), help="Of each stage, at most.")
@running("--seed", type=click.IntRange(min=0), help="Of weights, order and augmentation.")
@training(
    "--on-no-face",
    type=click.Choice(["skip", "whole", "fail"]),
    help="Where no face is found: skip the photo, take its middle, or stop.  [default: skip]",
)
@training("--adversarial", metavar="EPS", help='Train on attacked images, with noise up to EPS: "4/255".')
@device_option
def train(
    what: str,
    output: Path | None,
    resume: bool,
    init: str | None,
    epochs: int | None,
    seed: int | None,
    on_no_face: str | None,
    adversarial: str | None,
    device: str,
) -> None:
    """Train a recogniser of the people in a data set.

    FOLDER holds one sub-folder of photos a person: the recogniser starts from dlib's face net (as the built-in configuration
    "people" says). CONFIG is a TOML file or the name of a built-in configuration, such as "celeba".

    The output folder gets best.safetensors for `faceenc recognize`, `faceenc evaluate` and faceenc-bench, last.safetensors,
    train.json, epochs.csv and curve.png. Options go before what the configuration says.
    """
    import hashlib

    from faceenc.data import load_data, load_unlabelled
    from faceenc.recognizers import threshold_doubt
    from faceenc.train import TrainFolder
    from faceenc.train import train as run

    config = _settings(what, init, epochs, seed, adversarial)
    if on_no_face is not None:
        config = replace(config, data=replace(config.data, on_no_face=on_no_face))
    device = resolve_device(device)
    if resume and output is None:
        raise ConfigError("--resume needs --output FOLDER: the folder of the training to go on with")
    path = output or Path("runs") / config.name
    check_writable(path)
    with progress_bars() as progress, ExitStack() as stack:
        data = load_data(config.data, progress=progress)
        unlabelled = load_unlabelled(config.data, progress=progress)
        plan = {
            "data_sha256": data.sha256,
            "unlabelled_sha256": hashlib.sha256(unlabelled.data).hexdigest(),
            "settings": config.training.record(),
        }
        folder = stack.enter_context(closing(TrainFolder(path, plan, resume=resume)))
        stack.enter_context(resumable(folder.path, "state.pt"))
        model, record = run(data, config.training, unlabelled=unlabelled, keeper=folder, device=device, progress=progress)
        checkpoint = folder.finish(model, record)
    _print_record(record)
    if doubt := threshold_doubt(model.threshold, record):
        click.echo(doubt)
    click.echo(f"recogniser: {checkpoint}\ncurve:      {folder.path / 'curve.png'}")


def _settings(what: str, init: str | None, epochs: int | None, seed: int | None, adversarial: str | None) -> TrainConfig:
    from faceenc.attacks import LINF, parse_eps
    from faceenc.core import find_config
    from faceenc.media import PHOTO_SUFFIXES
    from faceenc.train import read_train_config

    folder = Path(what).expanduser()
    if folder.is_dir():
        config = read_train_config(find_config("people"))
        config = replace(config, name=folder.resolve().name, data=replace(config.data, source=str(folder)))
    elif folder.is_file() and folder.suffix.lower() in PHOTO_SUFFIXES:
        raise ConfigError(f"{what} is a photo: give the folder that holds a sub-folder of photos for each person")
    else:
        config = read_train_config(find_config(what))
    training = config.training
    if init is not None:
        training = replace(training, init=init)
    if seed is not None:
        training = replace(training, seed=seed)
    if adversarial is not None:
        training = replace(training, adversarial=parse_eps(adversarial, LINF))
    if epochs is not None:
        training = replace(training, stages=tuple(replace(s, epochs=min(s.epochs, epochs)) for s in training.stages))
    return replace(config, training=training)


def _print_record(record: dict[str, Any]) -> None:
    images = record["images"]
    click.echo(
        f"{record['people']} people, {images['train']} training images, started from {record['init']}: "
        f"{record['epochs']} epochs in {record['seconds'] / 60:.0f} minutes, the best was epoch {record['best_epoch']}"
    )
    parts = [("training", "train"), ("validation", "validation"), ("test", "test")]
    shown = [f"{title} {record[f'{part}_accuracy']:.1%}" for title, part in parts if f"{part}_accuracy" in record]
    click.echo(f"accuracy: {', '.join(shown)} ({images['test']} test images)")
