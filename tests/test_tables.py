"""Tables in terminals of several widths."""

from __future__ import annotations

import re

import pytest

from faceenc.cli import print_table

ROWS: list[dict[str, object]] = [
    {
        "face": "1",
        "judge": "mobilefacenet",
        "photo": "holidays/a-name-without-any-blanks.jpg",
        "distance": 0.58917,
        "match": "no match",
    },
    {"face": "2", "judge": "dlib", "photo": "b.jpg", "distance": 1.2, "match": "match"},
]


@pytest.mark.parametrize("width", [30, 50, 60, 100])
def test_no_heading_no_name_and_no_figure_is_broken(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    print_table(ROWS, title="what judges say")
    printed = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert max(map(len, printed.splitlines())) <= max(width, 40), "a path is never folded in a paragraph"
    words = printed.split()
    assert {"face", "judge", "photo", "distance", "match", "dlib", "b.jpg"} <= {word.strip(",") for word in words}
    assert {"mobilefacenet", "0.5892", "1.2"} <= {word.strip(",") for word in words}
    assert ("- face 1," in printed) == (width < 50)


def test_a_pipe_is_wide(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    print_table(ROWS, title="what judges say")
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["face", "judge"], ["1", "mobilefacenet"], ["2", "dlib"],
    ]  # fmt: skip


def test_names_in_tables_command_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([{"name": "\x1b]0;x\x07 [red]y", "n": 1}], title="people")
    assert "\\x1b]0;x\\x07 [red]y" in capsys.readouterr().out
