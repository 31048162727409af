"""Evidence as tables for people."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from faceenc.cli.common import print_table


def print_evidence(evidence: Mapping[str, Any], undetected: Collection[Sequence[object]]) -> None:
    """Print what `Evidence.to_json` and `undetected` say: each judge's verdicts, and how much the photo changed."""
    missed = {tuple(place) for place in undetected}
    judged = [
        {
            "face": str(number),
            "judge": said["judge"],
            "variant": said["variant"],
            "distance": said["distance"],
            "threshold": said["threshold"],
            "match": "match" if said["match"] else "no match",
            "rank": "-" if said["rank"] is None else str(said["rank"]),
            "detected": "no" if (number, said["variant"]) in missed else "yes",
        }
        for number, face in enumerate(evidence["faces"], start=1)
        for said in face["judges"]
    ]
    print_table(judged, title="protected against original")
    strangers = [
        {
            "face": str(number),
            "detector": seen["detector"],
            "photo turned": f"{seen['turned']} degrees" if seen["turned"] else "no",
            "judge": said["judge"],
            "distance": said["distance"],
            "match": "match" if said["match"] else "no match",
        }
        for number, face in enumerate(evidence["faces"], start=1)
        for seen in face["seen"]
        for said in seen["judges"]
    ]
    if strangers:
        print_table(strangers, title="as each detector finds it in the saved photo")
    largest = f"{evidence['photo']['max_change']} of 255"
    seen = [
        _row(f"face {number}", _number(face["ssim"], ".4f"), face["psnr"])
        for number, face in enumerate(evidence["faces"], start=1)
    ]
    seen.append(_row("whole photo", "", evidence["photo"]["psnr"], largest))
    print_table(seen, title="how much the photo changed")


def _row(part: str, ssim: str, psnr: float | None, largest: str = "") -> dict[str, str]:
    return {"part": part, "SSIM": ssim, "PSNR": _decibels(psnr), "largest change": largest}


def _decibels(value: float | None) -> str:
    return "equal" if value is None else f"{value:.1f} dB"


def _number(value: float | None, digits: str) -> str:
    return "-" if value is None else format(value, digits)
