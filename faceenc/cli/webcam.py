"""`faceenc webcam`: protection while the camera runs."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from faceenc.cli.common import SURROGATE_WORDS, formerly
from faceenc.core import ConfigError

if TYPE_CHECKING:
    from faceenc.live import Outputs, Source, Summary


_TITLE = "faceenc"
_NO_HURRY = 1e-3  # frames a second, where nobody watches


@click.command(cls=formerly({**SURROGATE_WORDS, "--engine=pgd": "--method", "--engine=mask": "--method"}))
@click.option("--source", default="0", show_default=True, metavar="0|FILE|URL", help="A camera's number, a video, a stream.")
@click.option("--output", default="window", show_default=True, metavar="window|FILE|none|virtual",
              help="Where the picture goes; a FILE without an ending is a folder of PNG files.")  # fmt: skip
@click.option("--method", type=click.Choice(["pgd", "mask", "auto", "noise"]), default="auto", show_default=True,
              help="Gradient steps, a mask of faceenc enroll, both as time allows, or random noise.")  # fmt: skip
@click.option("--engine", type=click.Choice(["exact", "fused", "bf16", "auto"]), default="auto", show_default=True,
              help="Of the gradients: bf16 where the processor has it, else fused.")  # fmt: skip
@click.option("--surrogate", default="dlib", show_default=True, metavar="RECOGNISER",
              help="What to hide from: dlib, a trained recogniser (.safetensors), or frbench:NAME.")  # fmt: skip
@click.option("--eps", type=click.IntRange(1, 32), default=8, show_default=True, help="Strength of the noise, in 255ths.")
@click.option("--steps", type=click.IntRange(1, 20), help="Gradient steps a frame.  [default: 1; for auto at most, and 4]")
@click.option("--goal", type=click.Choice(["dodge", "impersonate"]), default="dodge", show_default=True,
              help="Not to be recognised, or to be taken for --target.")  # fmt: skip
@click.option("--target", metavar="NAME", help="Whom to be taken for; needs that person's --consent.")
@click.option("--consent", "consents", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
              help="Of a person whom faces may be made to look like; may be repeated.")  # fmt: skip
@click.option("--record", type=click.Path(path_type=Path), metavar="FILE",
              help="Also write the protected video, without drawings.")  # fmt: skip
@click.option("--stats", type=click.Path(path_type=Path), metavar="FILE", help="Figures of each frame, .json or .csv.")
@click.option("--width", type=click.IntRange(1, 7680), help="Asked of a camera.")
@click.option("--height", type=click.IntRange(1, 4320), help="Asked of a camera.")
@click.option("--fps", type=click.FloatRange(1, 240), help="Frames a second to hold.  [default: the source's own]")
@click.option("--mirror", is_flag=True, help="Left and right as in a mirror.")
@click.option("--max-faces", type=click.IntRange(1, 32), default=4, show_default=True, help="The largest ones.")
@click.option("--detect-every", type=click.IntRange(1, 30), default=1, show_default=True, metavar="N",
              help="Look for faces in each N-th frame and follow them in between: quicker, less sure.")  # fmt: skip
@click.option("--frames", type=click.IntRange(min=1), help="Stop after so many.")
@click.option("--force", "overwrite", is_flag=True, help="Overwrite the files of --output and --record.")
def webcam(**options: Any) -> None:
    """Protect faces while the camera runs.

    The window shows each face's name and probability without and with the noise, bars of the three likeliest people, and how
    long each stage takes. Keys: space turns protection on and off, t goes on to the next target, + and - change eps, s saves
    a snapshot, q ends.

    A camera's frames that cannot be protected in time are dropped; of a video file that is written to a file none is.
    "virtual" needs the extra of that name. Only the recogniser that was attacked is known to fail on the picture.
    """
    if options["goal"] == "impersonate" and options["method"] in ("mask", "noise"):
        raise ConfigError(f"--method {options['method']} only hides people: use pgd or auto for --goal impersonate")
    with ExitStack() as stack:
        summary = _run(stack, options)
    _print_summary(summary)


def _run(stack: ExitStack, options: dict[str, Any]) -> Summary:
    if options["output"] == "window":
        from faceenc.media import check_display

        check_display()  # before seconds are spent on loading networks
    from faceenc.live import (
        READ_EVERY,
        Controls,
        Feed,
        Live,
        Mirrored,
        Processor,
        Tracker,
        live_detector,
        load_identifier,
        make_method,
        one_thread,
        open_source,
        read_targets,
    )

    targets = read_targets(options["goal"], options["target"], options["consents"])
    source, live = open_source(options["source"], width=options["width"], height=options["height"], rate=options["fps"])
    guard = stack.enter_context(ExitStack())
    guard.callback(source.close)  # until the feed looks after it
    rate = options["fps"] or source.rate
    shown = options["output"] in ("window", "virtual")  # somebody watches it as it runs
    outputs = _outputs(stack, options, source, live, rate)
    worker = stack.enter_context(one_thread())
    identifier, masks = worker.submit(load_identifier, options["surrogate"]).result()
    steps = options["steps"] or (4 if options["method"] == "auto" else 1)
    method = make_method(options["method"], identifier, masks, steps=steps, gradients=options["engine"])
    controls = Controls(options["eps"], targets, target=next(iter(targets), None))
    if controls.target is not None:
        identifier.impersonate(controls.target, targets[controls.target])  # an unknown name shows now
    detector = stack.enter_context(live_detector())
    tracker = Tracker(detector, every=options["detect_every"], most=options["max_faces"])
    read_every = READ_EVERY if live or shown else 1
    held = rate if live or shown else _NO_HURRY
    processor = Processor(tracker, identifier, method, controls, read_every=read_every, rate=held)
    pace = rate if shown and not live else None
    mirrored = Mirrored(source) if options["mirror"] else source
    feed = stack.enter_context(Feed(mirrored, drop=live or shown, pace=pace, limit=options["frames"]))
    guard.pop_all()
    shown_steps = steps if options["method"] == "pgd" else 0
    return Live(feed, processor, outputs, method=options["method"], steps=shown_steps, worker=worker).run()


def _outputs(stack: ExitStack, options: dict[str, Any], source: Source, live: bool, rate: float) -> Outputs:
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
        click.echo(f"faces not recognised as whom they are: {summary.hidden:.1%} of the views of them")
