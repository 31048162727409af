"""Shared by the tests of evidence."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from faceenc.faces import FaceSearch
from faceenc.recognizers import Recognizer, load_judges


@pytest.fixture(scope="module")
def search() -> Iterator[FaceSearch]:
    with FaceSearch() as found:
        yield found


@pytest.fixture(scope="module")
def judges() -> list[Recognizer]:
    return load_judges()
