"""Does a protected photo still hold when the recogniser is shown a purified copy of it?

    python benchmarks/adaptive.py PEOPLE COPIES --csv FILE

COPIES are protected photos as `each_other.py` leaves them, PERSON-STEM.png of PEOPLE/PERSON/STEM.jpg. Each is changed as
somebody might who wants to remove the noise, and every net of the ensemble says whether it then matches the photo's own
original. `attack prepared` marks what the attack's random views hold something of; `any` counts a photo as matched where any
one purification brings it back, as who tries them all would. `clean` is the share of people's untouched other photos that
still match the original after the same change: what it costs the recogniser.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from each_other import apart, embedded
from numpy.typing import NDArray

from faceenc.faces import FaceSearch
from faceenc.media import read_photo
from faceenc.recognizers import ENSEMBLE, Recognizer, list_people, load_recognizers, operating_point

Pixels = NDArray[np.uint8]


def jpeg(quality: int) -> Callable[[Pixels], Pixels]:
    def through(picture: Pixels) -> Pixels:
        data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)

    return through


def resized(factor: float) -> Callable[[Pixels], Pixels]:
    """To so many times the size, and back."""

    def through(picture: Pixels) -> Pixels:
        high, wide = picture.shape[:2]
        size = (max(1, round(wide * factor)), max(1, round(high * factor)))
        away, back = (cv2.INTER_AREA, cv2.INTER_CUBIC) if factor < 1 else (cv2.INTER_CUBIC, cv2.INTER_AREA)
        return np.asarray(cv2.resize(cv2.resize(picture, size, interpolation=away), (wide, high), interpolation=back))

    return through


def total_variation(picture: Pixels) -> Pixels:
    """Each channel by TV-L1 (https://doi.org/10.1007/s10851-010-0251-1)."""
    channels = []
    for channel in cv2.split(picture):
        result = np.zeros_like(channel)
        cv2.denoise_TVL1([channel], result, 1.0, 30)
        channels.append(result)
    return np.dstack(channels)


# Name -> whether the attack's views hold something of it, and the change.
PURIFICATIONS: dict[str, tuple[bool, Callable[[Pixels], Pixels]]] = {
    "as saved": (True, lambda picture: picture),
    "JPEG 95": (True, jpeg(95)),
    "JPEG 75": (True, jpeg(75)),
    "JPEG 50": (True, jpeg(50)),
    "JPEG 30": (True, jpeg(30)),
    "half size": (True, resized(0.5)),
    "double size": (False, resized(2)),
    "median 3": (False, lambda picture: np.asarray(cv2.medianBlur(picture, 3))),
    "median 5": (False, lambda picture: np.asarray(cv2.medianBlur(picture, 5))),
    "bilateral": (False, lambda picture: np.asarray(cv2.bilateralFilter(picture, 9, 40, 5))),
    "total variation": (False, total_variation),
    "non-local means": (False, lambda picture: np.asarray(cv2.fastNlMeansDenoisingColored(picture, None, 6, 6, 7, 21))),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path)
    parser.add_argument("copies", type=Path)
    parser.add_argument("--csv", type=Path)
    args = parser.parse_args()
    photos = {f"{name}-{file.stem}.png": (file, files) for name, files in list_people(args.people).items() for file in files}
    copies = [copy for copy in sorted(args.copies.glob("*.png")) if copy.name in photos]
    if not copies:
        parser.error(f"no copies of {args.people} in {args.copies}")
    judges = load_recognizers(ENSEMBLE)
    rows = []
    with FaceSearch() as search:
        for number, copy in enumerate(copies, 1):
            file, files = photos[copy.name]
            other = next((one for one in files if one != file), None)
            rows += look(copy, file, other, judges, search)
            print(f"{number} of {len(copies)}", flush=True)
    table = pd.DataFrame(rows)
    if args.csv:
        table.to_csv(args.csv, index=False)
    print(summarised(table).to_string(index=False, float_format="%.0f"))


def look(
    copy: Path, file: Path, other: Path | None, judges: Sequence[Recognizer], search: FaceSearch
) -> list[dict[str, object]]:
    """One row a purification and judge."""
    own = embedded(read_photo(file).pixels, judges, search)
    rows: list[dict[str, object]] = []
    for name, (prepared, change) in PURIFICATIONS.items():
        after = embedded(change(read_photo(copy).pixels), judges, search)
        clean = None if other is None else embedded(change(read_photo(other).pixels), judges, search)
        for number, judge in enumerate(judges):
            threshold = operating_point(judge).threshold
            row = {"photo": copy.stem, "purification": name, "prepared": prepared, "judge": judge.name}
            row["matched"] = apart(judge, own[number], after[number]) <= threshold
            row["clean"] = None if clean is None else apart(judge, own[number], clean[number]) <= threshold
            rows.append(row)
    return rows


def summarised(table: pd.DataFrame) -> pd.DataFrame:
    """Per cent of photos, a row a purification: of each judge what it matches, and what of untouched photos."""
    table = table.assign(matched=100.0 * table["matched"], clean=100.0 * table["clean"].astype(float))
    found = table.pivot_table(index=["purification", "prepared"], columns="judge", values=["matched", "clean"], sort=False)
    best = table.groupby(["photo", "judge"])["matched"].max().groupby("judge").mean()
    wide = pd.DataFrame({f"{judge} {what}": found[what, judge] for judge in best.index for what in ("matched", "clean")})
    wide.loc[("any", False), [f"{judge} matched" for judge in best.index]] = best.to_numpy()
    return wide.reset_index().rename(columns={"prepared": "attack prepared"})


if __name__ == "__main__":
    main()
