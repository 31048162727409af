"""`faceenc verify`: does a protected photo still match its original?"""

from __future__ import annotations

import json
from pathlib import Path

import click

from faceenc.cli.evidence_tables import print_evidence, what_is_seen
from faceenc.cli.options import JUDGE_WORDS, PATH, RECOGNISERS, command, device_option, evidence, formerly, trust_option, who
from faceenc.cli.progress import progress_bars
from faceenc.core import resolve_device

_STILL_MATCHES = 1


@command(cls=formerly(JUDGE_WORDS))
@click.argument("original", type=PATH)
@click.argument("protected", type=PATH)
@who("--gallery", type=PATH, metavar="FOLDER",
              help="Photos of other people, a sub-folder a person: adds the rank among them.")  # fmt: skip
@who("--as", "person", metavar="NAME",
              help="The sub-folder of the gallery with the person's own other photos.")  # fmt: skip
@evidence("--judge", "judges", multiple=True, metavar="RECOGNISER",
              help=f"One more recogniser to ask: {RECOGNISERS}; may be repeated.")  # fmt: skip
@evidence("--thorough", is_flag=True, help="Search PROTECTED for faces at full size, however large it is.")
@device_option
@trust_option
@evidence("--json", "as_json", is_flag=True, help="Print one line of JSON instead of the tables.")
@click.pass_context
def verify(
    context: click.Context,
    original: Path,
    protected: Path,
    gallery: Path | None,
    person: str | None,
    judges: tuple[str, ...],
    thorough: bool,
    device: str,
    trust_code: bool,
    as_json: bool,
) -> None:
    """Ask recognisers whether PROTECTED still shows the people of ORIGINAL.

    Both files are decoded anew, and every face of ORIGINAL is looked for anew in PROTECTED: as saved, after JPEG at quality
    75, at half size, and slightly blurred. Then every detector there is (MediaPipe, YuNet, dlib's where it is installed)
    searches PROTECTED as it is and turned by 90, 180 and 270 degrees, as a stranger's program would. Judges are dlib (its
    torch twin where dlib-bin is not installed) and those named. How much people see of the change is measured against
    ORIGINAL as it is: what JPEG lost in PROTECTED counts as well.

    PROTECTED may be what a messenger made of the protected photo: scaled as a whole, recompressed or cropped a little. Its
    faces say where it lies in ORIGINAL; what people see of the change is measured in equal sizes only.

    Exit code 0 if no judge matches any face of PROTECTED as saved, 1 if one still does, 2 if the photos cannot be compared.
    """
    from faceenc.protect import summary_line, verify_photo

    with progress_bars(silent=as_json, as_json=as_json) as progress:
        evidence = verify_photo(
            original,
            protected,
            judges=judges,
            gallery=gallery,
            person=person,
            thorough=thorough,
            device=resolve_device(device),
            trust_code=trust_code,
            progress=progress,
        )
    line = summary_line(evidence)
    if as_json:
        about = {"original": str(original), "protected": str(protected), "match": evidence.matches() > 0}
        click.echo(json.dumps({**about, **evidence.to_json(), "summary": line}, allow_nan=False))
    else:
        print_evidence(evidence.to_json(), evidence.undetected())
        click.echo(what_is_seen(evidence.to_json()))
        click.echo(line)
    if evidence.matches():
        context.exit(_STILL_MATCHES)
