"""`faceenc video`: a protected copy of a video."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from faceenc.cli.options import (
    INCOMPLETE,
    LIVE_WORDS,
    PATH,
    RECOGNISERS,
    Eps,
    command,
    device_option,
    evidence,
    formerly,
    how_strong,
    running,
    trust_option,
    who,
)
from faceenc.cli.progress import progress_bars
from faceenc.core import resolve_device

if TYPE_CHECKING:
    from pathlib import Path

    from faceenc.live import Recognition


@command(cls=formerly(LIVE_WORDS))
@click.argument("source", metavar="IN", type=PATH)
@click.argument("output", metavar="OUT", type=PATH)
@how_strong("--method", type=click.Choice(["pgd", "mask"]), default="pgd", show_default=True,
              help="Gradient steps, or a mask of faceenc enroll.")  # fmt: skip
@how_strong("--surrogate", default="dlib", show_default=True, metavar="RECOGNISER",
              help=f"What to hide from: dlib, {RECOGNISERS}.")  # fmt: skip
@how_strong("--engine", type=click.Choice(["exact", "fused", "bf16", "auto"]), default="auto", show_default=True,
              help="Of the gradients: bf16 where the processor has it, else fused.")  # fmt: skip
@device_option
@trust_option
@how_strong("--eps", type=Eps(), default="10/255", show_default=True, help="Strength of the noise.")
@how_strong("--steps", type=click.IntRange(1, 100), default=16, show_default=True, help="Gradient steps a frame.")
@who("--to", "target", metavar="NAME", help="Whom to be taken for; needs that person's --consent.")
@who("--consent", "consents", multiple=True, type=PATH, metavar="FILE",
              help="That person's consent.")  # fmt: skip
@who("--faces", "max_faces", type=click.IntRange(1, 32), default=8, show_default=True, help="How many, the largest ones.")
@running("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all randomness.")
@evidence("--evidence/--no-evidence", default=True, help="Recognise faces in the file that was written.")
@evidence("--json", "as_json", is_flag=True, help="Print one line of JSON instead of the text.")
@running("--force", "overwrite", is_flag=True, help="Overwrite OUT.")
@click.pass_context
def video(context: click.Context, /, source: Path, output: Path, as_json: bool, **options: Any) -> None:
    """Write OUT, a copy of the video IN in which recognisers do not know the faces.

    Every frame is protected; frame times, sound and colours are kept (needs the extra `video`). OUT (.mp4, .mov, .m4v, .mkv,
    .avi, .webm) appears when it is complete. Of a video that is cut short or damaged it has what could be read, and the exit
    code is 3. At the end the faces of both files are recognised anew, also after H.264 at its usual quality. What is claimed
    holds for the recogniser that was attacked.
    """
    from faceenc.live import LiveOptions, LiveProtector

    names = ("surrogate", "method", "engine", "eps", "steps", "target", "consents", "max_faces", "trust_code", "seed")
    protector = LiveProtector(
        LiveOptions(**{name: options[name] for name in names}, device=resolve_device(options["device"]))
    )
    with progress_bars(as_json=as_json) as progress, protector:
        done, proof = protector.video(
            source, output, overwrite=options["overwrite"], evidence=options["evidence"], progress=progress
        )
    if as_json:
        click.echo(json.dumps({"output": str(output), **asdict(done), "evidence": asdict(proof) if proof else None}))
    else:
        click.echo(f"{click.format_filename(output)}: {done.frames} frames, {done.faces} faces protected")
        click.echo(f"noise {done.noise:.1f} levels on average, changing by {done.flicker:.1f} from frame to frame")
        if proof is not None:
            _print_proof(proof)
    if not done.complete:
        context.exit(INCOMPLETE)


def _print_proof(proof: Recognition) -> None:
    if not proof.faces:
        click.echo("no face was found in the frames that were looked at")
        return
    parts = {"in the original": proof.original, "in the copy": proof.saved, "after H.264": proof.h264}
    shares = ", ".join(f"{count / proof.faces:.0%} {where}" for where, count in parts.items())
    click.echo(f"faces recognised: {shares}, of {proof.faces} looked at")
