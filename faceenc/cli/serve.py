"""`faceenc serve`: protection for a house's network, and a page to drop photos on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from faceenc.cli.options import PATH, command, heading
from faceenc.core import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_reached, _limits = heading("Who reaches it"), heading("Limits")


@command()
@_reached("--host", default="127.0.0.1", show_default=True, help="To bind to; any but loopback needs --token-file.")
@_reached("--port", type=click.IntRange(0, 65535), default=8700, show_default=True, help="0 takes a free one.")
@_reached("--token-file", type=PATH, metavar="FILE", help="A token a line; whoever shows one is let in.")
@_reached("--certfile", type=PATH, metavar="FILE", help="Certificate for TLS, PEM; with --keyfile.")
@_reached("--keyfile", type=PATH, metavar="FILE", help="Its private key.")
@_reached("--allow-origin", "allow_origins", multiple=True, metavar="URL",
          help="Another page that may use the server, as https://photos.example; may be repeated.")  # fmt: skip
@_limits("--workers", type=click.IntRange(1, 64), metavar="N",
         help="Processes that protect photos, of about 1 GB each; they share the cores."
              "  [default: one for four cores]")  # fmt: skip
@_limits("--max-megabytes", type=click.FloatRange(0, 2000, min_open=True), default=25, show_default=True,
         help="Of a request.")  # fmt: skip
@_limits("--max-pixels", default="50M", show_default=True, metavar="N[M]", help="Of a photo.")
@_limits("--max-faces", type=click.IntRange(min=1), default=30, show_default=True, help="Of a photo.")
@_limits("--queue", type=click.IntRange(min=0), default=32, show_default=True, help="Photos that may wait.")
@_limits("--ttl", type=click.IntRange(min=1), default=600, show_default=True, help="Seconds that results are kept.")
@_limits("--grace", type=click.IntRange(min=0), default=30, show_default=True,
         help="Seconds that work under way has at the end.")  # fmt: skip
@click.option("--audit/--no-audit", default=True, help="Add a line of hashes to the audit log for each photo.")
def serve(
    host: str,
    port: int,
    token_file: Path | None,
    certfile: Path | None,
    keyfile: Path | None,
    allow_origins: tuple[str, ...],
    workers: int | None,
    max_megabytes: float,
    max_pixels: str,
    max_faces: int,
    queue: int,
    ttl: int,
    grace: int,
    audit: bool,
) -> None:
    """Protect photos for others: a page to drop them on, and HTTP for programs (docs/server.md).

    Photos stay in memory, and are forgotten a minute after they were fetched, when they are deleted, or after --ttl. Needs
    the extra `server`. SIGTERM and Ctrl-C let what is under way finish.
    """
    import os

    try:
        from faceenc.server import ServerSettings, read_tokens
        from faceenc.server import serve as run
    except ImportError as error:
        raise ConfigError(f"a server needs {error.name}, which is not installed: pip install 'faceenc[server]'") from error

    settings = ServerSettings(
        host=host, port=port, workers=workers or max(1, (os.cpu_count() or 1) // 4),
        tokens=read_tokens(token_file) if token_file is not None else (), max_megabytes=max_megabytes,
        max_pixels=_pixels(max_pixels), max_faces=max_faces, queue=queue, ttl=ttl, grace=grace, certfile=certfile,
        keyfile=keyfile, allow_origins=allow_origins,
    )  # fmt: skip
    if not settings.is_loopback and settings.scheme == "http":
        click.echo("without --certfile and --keyfile photos and tokens travel in clear over the network", err=True)
    if not audit:
        os.environ["FACEENC_LOG"] = "off"  # workers take it along
    run(settings, announce=lambda address: click.echo(f"serving on {address} (Ctrl-C ends it)"))


def _pixels(text: str) -> int:
    """50M, or 50000000."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mM]?)", text.strip())
    if not found or not float(found[1]):
        raise ConfigError(f"--max-pixels {text}: give a number such as 50M")
    return int(float(found[1]) * (1e6 if found[2] else 1))
