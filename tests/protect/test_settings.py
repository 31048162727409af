"""What the ledger keeps of a run's options, and which photos of earlier versions count as done."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from faceenc.core import means, named_fields
from faceenc.protect import STRENGTHS, Options, Settings, Strength, current_settings
from faceenc.runs import Task, run_files

OPTIONS = Options(strength=STRENGTHS["subtle"], surrogates=("dlib", "a 'quoted\\' net.safetensors"), judges=("m/n",))


def recorded(settings: Settings) -> Any:
    return json.loads(json.dumps(named_fields(settings), allow_nan=False))


def test_named_fields_mean_the_options_that_they_were_made_of() -> None:
    record = recorded(current_settings(OPTIONS))
    assert record["options"]["strength"]["noise"] == 75
    assert means(record, current_settings(OPTIONS))
    for other in (replace(OPTIONS, seed=1), replace(OPTIONS, judges=()), replace(OPTIONS, strength=STRENGTHS["balanced"])):
        assert not means(record, current_settings(other))
    assert not means(record, current_settings(OPTIONS, key="0")), "a key is made anew each time"
    assert not means(record, Settings(OPTIONS, algorithm=0)), "better noise of the same options"
    alone = replace(OPTIONS, strength=Strength.bounded(8 / 255, 10))
    assert means(recorded(current_settings(alone)), current_settings(alone)), "which asks for no measure of what is seen"


def test_a_field_that_a_record_lacks_counts_as_its_default() -> None:
    record = recorded(current_settings(OPTIONS))
    del record["options"]["preview"], record["options"]["decoy"], record["key"]
    assert means(record, current_settings(OPTIONS))
    for other in (replace(OPTIONS, preview=True), replace(OPTIONS, decoy=1)):
        assert not means(record, current_settings(other))
    assert not means(record | {"tomorrow": 1}, current_settings(OPTIONS)), "an option that this version does not know"
    del record["algorithm"]
    assert not means(record, current_settings(OPTIONS))


@dataclass(frozen=True)
class Copy:
    """Puts the source's bytes in the target."""

    def __call__(self, source: Path, target: Path) -> dict[str, Any]:
        target.write_bytes(source.read_bytes())
        return {}


def test_photos_of_earlier_versions_are_done_anew(tmp_path: Path) -> None:
    """0.1 overlooked faces, and recorded settings as text; what came after it attacked one net by default."""
    task = Task(tmp_path / "a.png", tmp_path / "out" / "a.png")
    task.source.write_bytes(b"a")
    ledger = tmp_path / "out" / "run.jsonl"

    def run() -> str:
        [result] = run_files([task], Copy(), settings=current_settings(OPTIONS), jobs=1, force=False, ledger=ledger)
        return result.status

    assert [run(), run()] == ["done", "skipped"]
    record = json.loads(ledger.read_text())
    for old in ("Options(...)", *(record["settings"] | {"algorithm": old} for old in (1, 2))):
        ledger.write_text(json.dumps(record | {"settings": old}) + "\n")
        assert [run(), run()] == ["done", "skipped"]
