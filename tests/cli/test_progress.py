"""What long work says where standard error is no terminal."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

import pytest

from faceenc.cli import progress_bars, set_up_logging

TINY = 0.02


def wait_for(said: Callable[[], bool]) -> None:
    """Until the other thread has spoken."""
    end = time.monotonic() + 20
    while not said():
        assert time.monotonic() < end
        time.sleep(TINY / 4)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    set_up_logging()
    return lambda: [record.getMessage() for record in caplog.records]


def test_how_far_is_said_while_nothing_comes_on(lines: Callable[[], list[str]]) -> None:
    with progress_bars(interval=TINY) as progress:
        progress("cells", 1, 4)
        progress("cells", 2, 4)
        progress("images", 0, 120)
        wait_for(lambda: len(lines()) > 4)
        assert lines()[:2] == ["cells: 3 of 4 to do", "images: 120 to do"]
        assert re.fullmatch(r"cells: 2 of 4, about \d+ seconds? left; images: 0 of 120", lines()[2])
        progress("images", 120, 120)
        progress("images", 0, 120)  # of the next cell: not announced once more
        progress("images", 120, 120)
        progress("cells", 4, 4)
        wait_for(lambda: lines()[-1].startswith("still at work, for about "))
    assert sum(line.endswith("to do") for line in lines()) == 2
    assert not [thread for thread in threading.enumerate() if thread.name == "faceenc-progress"]
    count = len(lines())
    time.sleep(3 * TINY)
    assert len(lines()) == count, "nothing after the end"


def test_short_work_says_what_there_is_to_do_at_most(lines: Callable[[], list[str]]) -> None:
    for silent, said in ((True, []), (False, ["photos: 3 to do"])):
        with progress_bars(silent=silent) as progress:
            for done in range(4):
                progress("photos", done, 3)
        assert lines() == said


def test_quiet(lines: Callable[[], list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("ERROR")
    with progress_bars(interval=TINY) as progress:
        progress("photos", 0, 3)
        time.sleep(3 * TINY)
    assert lines() == []
    assert capsys.readouterr().err == ""
