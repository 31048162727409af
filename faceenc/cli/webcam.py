"""`faceenc webcam`: protection while the camera runs."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from faceenc.cli.options import (
    INCOMPLETE,
    LIVE_WORDS,
    PATH,
    RECOGNISERS,
    Eps,
    camera,
    command,
    device_option,
    formerly,
    how_strong,
    to_write,
    trust_option,
    who,
)
from faceenc.cli.progress import progress_bars
from faceenc.core import resolve_device

if TYPE_CHECKING:
    from faceenc.live import Outputs, Source, Summary


_TITLE = "faceenc"


@command(cls=formerly(LIVE_WORDS))
@camera("--source", default="0", show_default=True, metavar="0|FILE|URL", help="A camera's number, a video, a stream.")
@to_write("-o", "--output", default="window", show_default=True, metavar="window|FILE|none|virtual",
              help="Where the picture goes; a FILE without an ending is a folder of PNG files.")  # fmt: skip
@to_write("--force", "overwrite", is_flag=True, help="Overwrite the files of --output and --record.")
@how_strong("--method", type=click.Choice(["pgd", "mask", "auto", "noise"]), default="auto", show_default=True,
              help="Gradient steps, a mask of faceenc enroll, both as time allows, or random noise.")  # fmt: skip
@how_strong("--engine", type=click.Choice(["exact", "fused", "bf16", "auto"]), default="auto", show_default=True,
              help="Of the gradients: bf16 where the processor has it, else fused.")  # fmt: skip
@how_strong("--surrogate", default="dlib", show_default=True, metavar="RECOGNISER",
              help=f"What to hide from: dlib, {RECOGNISERS}.")  # fmt: skip
@device_option
@trust_option
@how_strong("--eps", type=Eps(), default="8/255", show_default=True, help="Strength of the noise.")
@how_strong("--steps", type=click.IntRange(1, 20), help="Gradient steps a frame.  [default: 1; for auto at most, and 4]")
@who("--to", "target", metavar="NAME", help="Whom to be taken for; needs that person's --consent.")
@who("--consent", "consents", multiple=True, type=PATH, metavar="FILE",
              help="Of a person whom faces may be made to look like; may be repeated.")  # fmt: skip
@to_write("--record", type=PATH, metavar="FILE",
              help="Also write the protected video, without drawings.")  # fmt: skip
@to_write("--stats", type=PATH, metavar="FILE", help="Figures of each frame, .json or .csv.")
@camera("--width", type=click.IntRange(1, 7680), help="Asked of a camera.")
@camera("--height", type=click.IntRange(1, 4320), help="Asked of a camera.")
@camera("--fps", type=click.FloatRange(1, 240), help="Frames a second to hold.  [default: the source's own]")
@camera("--mirror", is_flag=True, help="Left and right as in a mirror.")
@who("--faces", "max_faces", type=click.IntRange(1, 32), default=4, show_default=True, help="How many, the largest ones.")
@who("--detect-every", type=click.IntRange(1, 30), default=1, show_default=True, metavar="N",
              help="Look for faces in each N-th frame and follow them in between: quicker, less sure.")  # fmt: skip
@camera("--frames", type=click.IntRange(min=1), help="Stop after so many.")
@click.pass_context
def webcam(context: click.Context, /, **options: Any) -> None:
    """Protect faces while the camera runs.

    The window shows each face's name and probability without and with the noise, bars of the three likeliest people, and how
    long each stage takes. Keys: space turns protection on and off, t goes on to the next target, + and - change eps, s saves
    a snapshot, q ends.

    A camera's frames that cannot be protected in time are dropped; of a video file that is written to a file none is.
    "virtual" needs the extra of that name. Where the source breaks off the exit code is 3. Only the recogniser that was
    attacked is known to fail on the picture.
    """
    if options["output"] == "window":
        from faceenc.media import check_display

        check_display()  # before seconds are spent on loading networks
    from faceenc.live import LiveOptions, LiveProtector, open_source

    names = ("surrogate", "method", "engine", "eps", "steps", "target", "consents", "max_faces", "trust_code")
    protector = LiveProtector(
        LiveOptions(**{name: options[name] for name in names}, device=resolve_device(options["device"]))
    )
    with ExitStack() as stack:
        if options["output"] not in ("window", "virtual"):  # where nobody watches
            stack.enter_context(progress_bars(silent=True))
        source, live = open_source(options["source"], width=options["width"], height=options["height"], rate=options["fps"])
        guard = stack.enter_context(ExitStack())
        guard.callback(source.close)  # until the protector looks after it
        rate = options["fps"] or source.rate
        outputs = _outputs(stack, options, source, live, rate)
        stack.enter_context(protector)
        guard.pop_all()
        summary = protector.run(
            source, outputs, live=live, watched=options["output"] in ("window", "virtual"), rate=rate,
            mirror=options["mirror"], detect_every=options["detect_every"], limit=options["frames"],
        )  # fmt: skip
    _print_summary(summary)
    if not summary.complete:
        click.echo(f"{options['source']} broke off: what came until then is protected", err=True)
        context.exit(INCOMPLETE)


def _outputs(stack: ExitStack, options: dict[str, Any], source: Source, live: bool, rate: float) -> Outputs:
    from pathlib import Path

    from faceenc.live import Outputs, Sink, StatsFile, no_keys
    from faceenc.media import PngFolder, ScreenWindow, VideoFile, VirtualCamera, frames_to

    sound = None if live else Path(options["source"])
    drawn: list[Sink] = []
    plain: list[Sink] = []
    key = no_keys
    where = options["output"]
    if where == "window":
        window = stack.enter_context(ScreenWindow(_TITLE))
        drawn.append(window)
        key = window.key
    elif where == "virtual":
        plain.append(stack.enter_context(VirtualCamera(rate=rate)))
    elif where != "none":
        path = Path(where)
        file: VideoFile | PngFolder = frames_to(path, rate=source.rate, sound=sound, overwrite=options["overwrite"])
        stack.enter_context(file)
        drawn.append(file)
    if options["record"] is not None:
        record = VideoFile(options["record"], rate=source.rate, sound=sound, overwrite=options["overwrite"])
        plain.append(stack.enter_context(record))
    steady = [sink for sink in (*drawn, *plain) if isinstance(sink, VideoFile)]
    stats = stack.enter_context(StatsFile(options["stats"])) if options["stats"] is not None else None
    return Outputs(drawn, plain, steady, key, stats)


def _print_summary(summary: Summary) -> None:
    stages = ", ".join(f"{stage} {value:.1f}" for stage, value in summary.stages_ms.items())
    click.echo(f"{summary.frames} frames, {summary.dropped} dropped, {summary.fps:.1f} frames a second")
    click.echo(f"latency {summary.latency_ms:.0f} ms; {stages} ms")
    if summary.hidden is not None:
        click.echo(f"faces not recognised as whom they are: {summary.hidden:.1%} of the views of them with noise")
