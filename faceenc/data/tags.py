"""What a folder of people says of them beside their names: tags.csv, a line a person, a column a tag."""

from __future__ import annotations

import csv
from pathlib import Path

from faceenc.core import DataError

TAGS_FILE = "tags.csv"


def read_tags(folder: Path) -> dict[str, dict[str, str]]:
    """Each tag's value for each person whom the file names; {} where the folder holds no tags.csv.

    The first line names the columns: "person", the sub-folder's name, and any others, each a tag. An empty value is none.

    Raises:
        DataError: it cannot be read, or has no such columns, or names a person twice.
    """
    path = folder / TAGS_FILE
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.DictReader(file, strict=True))
            columns = list(lines[0]) if lines else []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {path}: {error}; expected a line a person: person,TAG,...") from error
    if "person" not in columns or len(columns) < 2 or any(None in line or None in line.values() for line in lines):
        raise DataError(f"{path}: expected the columns person and at least one tag, and a value for each in every line")
    people = [line["person"] for line in lines]
    if twice := {name for name in people if people.count(name) > 1}:
        raise DataError(f"{path} names {min(twice)!r} twice: keep one line a person")
    return {tag: {line["person"]: line[tag].strip() for line in lines} for tag in columns if tag != "person"}
