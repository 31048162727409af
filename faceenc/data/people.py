"""Photos of known people -> `FaceSet`: who stays, the split into training and test, and the table of what became of each."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from faceenc.core import DataError, OnNoFace, as_cell, cache_dir, read_text, write_atomically
from faceenc.data.crops import Complaints, CropResult, LabelledPhoto, crops_key, cut_faces, keep_rows
from faceenc.data.faceset import TEST_SHARE, FaceSet, cached
from faceenc.faces import Framing

if TYPE_CHECKING:
    from numpy.typing import NDArray


logger = logging.getLogger(__name__)

_RECIPE = "people 1"  # count up when the split or the choice of photos changes
_COLUMNS = ("person", "file", "split", "crop", "left_out", "x0", "y0", "x1", "y1", "sha256")


@dataclass(frozen=True, slots=True)
class Split:
    """How photos are parted into training and test.

    Attributes:
        share: of each person's photos that are for testing, in (0, 1); at least one photo, and never all.
        written: (file, SHA-256) -> "train" or "test"; if there is one it counts, not the share, and photos that it does not
            name are for training.
    """

    share: float = TEST_SHARE
    written: Mapping[tuple[str, str], str] | None = None

    def tested(self, own: Sequence[tuple[str, str]]) -> set[str]:
        """The files that are for testing, of one person's (file, SHA-256)."""
        if self.written is not None:
            return {photo[0] for photo in own if self.written.get(photo) == "test"}
        # By content, which scikit-learn's splits are not: a photo stays in its part when others join or leave.
        count = min(len(own) - 1, max(1, round(self.share * len(own))))
        return {file for file, _ in sorted(own, key=lambda photo: photo[1])[:count]}


def check_numbers(test_share: float, min_images: int) -> None:
    """Raises ValueError unless the share lies in (0, 1) and people must have at least 2 images."""
    if not 0 < test_share < 1 or min_images < 2:
        raise ValueError(f"test_share must lie in (0, 1) and min_images be at least 2, got {test_share} and {min_images}")


def read_split(path: Path) -> dict[tuple[str, str], str] | None:
    """The split that a manifest with the columns file, split and sha256 writes down; None if there is no such file.

    Raises:
        DataError: it cannot be read, lacks a column, or names other parts than train and test.
    """
    try:
        text = read_text(path, "utf-8-sig", "surrogateescape")
        split = {(row["file"], row["sha256"]): row["split"] for row in csv.DictReader(io.StringIO(text, newline=""))}
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; check its permissions") from error
    except (KeyError, csv.Error) as error:
        raise DataError(
            f"{path} is no split, which has the columns file, split and sha256 ({error}): complete it, or take it away"
        ) from error
    for (file, _), part in split.items():
        if part not in ("train", "test"):
            raise DataError(f"{path}: split of {file} is {part!r}, not train or test; correct it, or take the file away")
    return split


def cut_people(
    root: Path,
    photos: Sequence[LabelledPhoto],
    size: int,
    *,
    stem: str,
    framing: Framing,
    split: Split,
    min_images: int,
    on_no_face: OnNoFace,
    progress: Callable[[int, int], None] | None,
) -> FaceSet:
    """The face crops of labelled photos, from the cache if they are there.

    Unreadable photos, exact copies within a person and people with too few photos, or with none for training or for testing,
    are left out, with a warning in the log and a line in the table beside the crops.

    Args:
        root: the set's folder; its name is the set's.
        photos: all of one person in a row, people in the order of their labels.
        size: side of the crops in pixels.
        stem: name, without ending, of the crops (npz) and the table (csv) in the cache folder.
        framing: see `frame_face`.
        split: into training and test.
        min_images: people with fewer usable photos are left out.
        on_no_face: see `cut_faces`.
        progress: is called with (done, total) photos while the crops are made.

    Raises:
        DataError: no face at all or fewer than 2 people left; with "fail", a photo without a face.
        AssetError: the detector cannot be fetched.
        ValueError: an unknown `framing` or `on_no_face`.
    """
    written = split.written and sorted((*photo, part) for photo, part in split.written.items())
    # The empty word keeps the keys of caches that are there.
    key = [_RECIPE, split.share, written, min_images, "", *crops_key(photos, size, framing, on_no_face)]

    def build() -> FaceSet:
        images, cuts = cut_faces(photos, size, framing=framing, on_no_face=on_no_face, progress=progress)
        cuts, parts = _sort_out(cuts, split, min_images)
        write_manifest(cache_dir() / f"{stem}.csv", cuts, parts)
        return replace(_face_set(root, images, cuts, parts, min_images), framing=framing)

    return cached(f"{stem}.npz", hashlib.sha256(json.dumps(key).encode()).hexdigest(), build)


def write_manifest(path: Path, cuts: Sequence[CropResult], parts: Mapping[str, str]) -> None:
    """A table of what became of every photo; that the folder takes no file is only logged.

    Args:
        path: the CSV file.
        cuts: of all photos.
        parts: "train" or "test" of each file that has one.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for cut in cuts:
        box = [f"{edge:g}" for edge in (cut.box.x0, cut.box.y0, cut.box.x1, cut.box.y1)] if cut.box else [""] * 4
        part = parts.get(cut.photo.file, "")
        names = as_cell(cut.photo.person), as_cell(cut.photo.file)
        writer.writerow([*names, part, cut.crop, cut.left_out, *box, cut.sha256])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.getvalue().encode(errors="surrogateescape"))
        logger.info("%d photos, %d left out: see %s", len(cuts), sum(bool(cut.left_out) for cut in cuts), path)
    except OSError as error:
        logger.warning("no list of the photos in %s: %s", path, error.strerror or error)


def _sort_out(cuts: Sequence[CropResult], split: Split, min_images: int) -> tuple[list[CropResult], dict[str, str]]:
    """Marks copies and people with too few photos as left out; the part of every photo that is not."""
    sorted_out, copies, few = list(cuts), Complaints("exact copy skipped"), Complaints("person left out")
    people: dict[str, dict[str, int]] = {}  # each person's photos: SHA-256 -> row
    for row, cut in enumerate(cuts):
        own = people.setdefault(cut.photo.person, {})
        if cut.left_out:
            continue
        if own.setdefault(cut.sha256, row) != row:
            copies.lines.append(cut.photo.file)
            sorted_out[row] = replace(cut, left_out="copy")
    parts: dict[str, str] = {}
    for person, own in people.items():
        files = [cuts[row].photo.file for row in own.values()]
        tested = split.tested(list(zip(files, own, strict=True)))
        if len(own) < min_images:
            few.lines.append(f"{person} has {len(own)} usable photo(s), needs {min_images}")
        elif not 0 < len(tested) < len(own):
            few.lines.append(f"{person} has {len(tested)} of {len(own)} photos for testing, needs some and not all")
        else:
            parts |= {file: "test" if file in tested else "train" for file in files}
            continue
        for row in own.values():
            sorted_out[row] = replace(cuts[row], left_out="person")
    copies.log()
    few.log()
    return sorted_out, parts


def _face_set(
    root: Path,
    images: NDArray[np.uint8],
    cuts: Sequence[CropResult],
    parts: Mapping[str, str],
    min_images: int,
) -> FaceSet:
    rows = [row for row, cut in enumerate(cuts) if not cut.left_out]
    classes = tuple(dict.fromkeys(cuts[row].photo.person for row in rows))
    if len(classes) < 2:
        raise DataError(
            f"{len(classes)} person(s) with at least {min_images} usable photos in {root}, 2 are needed: add photos"
        )
    number = {person: label for label, person in enumerate(classes)}
    files = tuple(cuts[row].photo.file for row in rows)
    in_test = np.array([parts[file] == "test" for file in files])
    return FaceSet(
        name=root.name,
        classes=classes,
        images=keep_rows(images, rows),
        labels=np.array([number[cuts[row].photo.person] for row in rows], np.int64),
        files=files,
        train=np.flatnonzero(~in_test).astype(np.int64),
        test=np.flatnonzero(in_test).astype(np.int64),
        credit="",
    )
