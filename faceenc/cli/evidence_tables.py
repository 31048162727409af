"""Evidence as tables and lines for people."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from faceenc.cli.tables import print_table

# SSIMULACRA2 from which, and butteraugli up to which, noise is seen so; by what both measures' authors say of them.
_SEEN = ((85, 2, "hardly seen side by side"), (70, 3, "seen on a close look"), (55, 5, "seen"))
_PLAINLY = "plainly seen"


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
    psnr, largest = evidence["photo"]["psnr"], f"{evidence['photo']['max_change']} of 255"
    changed = [
        _row(
            f"face {number}", _number(face["noise"], ".1f"), _number(face["butteraugli"]), _number(face["shape"], unit=" %")
        )
        for number, face in enumerate(evidence["faces"], start=1)
    ]
    if "copy" in evidence:
        return
    changed.append(_row("whole photo", "", "", "", "equal" if psnr is None else f"{psnr:.1f} dB", largest))
    print_table(changed, title="how much the photo changed")


def what_is_seen(evidence: Mapping[str, Any]) -> str:
    """What people see of the change, by what `Evidence.to_json` says: of several faces the worst of each measure."""
    if "copy" in evidence:
        return _copy_words(evidence["copy"])
    if evidence["photo"]["psnr"] is None:
        return "unchanged"
    largest = f"largest change {evidence['photo']['max_change']} of 255"
    faces = [face for face in evidence["faces"] if face["noise"] is not None]
    if not faces:
        return largest
    noise, butteraugli = min(face["noise"] for face in faces), max(face["butteraugli"] for face in faces)
    shape = max(face["shape"] for face in faces)
    words = next((words for least, most, words in _SEEN if noise >= least and butteraugli <= most), _PLAINLY)
    return (
        f"{'' if len(faces) == 1 else f'the worst of {len(faces)} faces: '}noise {words} (SSIMULACRA2 {noise:.1f},"
        f" butteraugli {butteraugli:.1f}), shape changed by {shape:.1f} % of the face; {largest}"
    )


def _copy_words(copy: Mapping[str, Any]) -> str:
    wide, high = copy["original"]
    x0, y0, x1, y1 = copy["part"]
    share = 100 * (x1 - x0) * (y1 - y0) / (wide * high)
    part = "all" if share > 99.9 else f"{share:.0f} %"
    beside = (
        f"; faces of the original beside that part, not judged: {copy['faces_outside']}" if copy["faces_outside"] else ""
    )
    size = f"{copy['size'][0]} x {copy['size'][1]}"
    return (
        f"a copy of another size: {size} pixels, which show {part} of the original's {wide} x {high}; what people see of the"
        f" change was not measured{beside}"
    )


def _row(part: str, noise: str, butteraugli: str, shape: str, psnr: str = "", largest: str = "") -> dict[str, str]:
    return {
        "part": part,
        "noise (SSIMULACRA2)": noise,
        "butteraugli": butteraugli,
        "shape": shape,
        "PSNR": psnr,
        "largest change": largest,
    }


def _number(value: float | None, digits: str = ".2f", unit: str = "") -> str:
    return "-" if value is None else f"{value:{digits}}{unit}"
