"""What the ledger keeps of a run's options, and which photos of earlier versions count as done."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from faceenc.core import means, named_fields
from faceenc.protect import STRENGTHS, Options, Settings, current_settings, settings_of_0_1
from faceenc.runs import Task, run_files

OPTIONS = Options(strength=STRENGTHS["subtle"], surrogates=("dlib", "a 'quoted\\' net.safetensors"), judges=("m/n",))
# As version 0.1 wrote it, to the letter.
OLD = (
    "Options(strength=Strength(eps=0.0392156862745098, steps=50, flat=0.6, margin=0.8, diversity=Diversity(degrees=8, "
    "zoom=0.1, shift=0.03, flip=0.5, coarsest=1.0, colour=0.0, dimmest=0.5, blocks=0)), surrogates=('dlib',), decoy=None, "
    "person=None, target=None, consent=None, gallery=PosixPath('g'), faces='all', on_no_face='skip', format='PNG', "
    "quality=None, keep_metadata=False, preview=False, models=(), budget=None, seed=0)"
)


def recorded(settings: Settings) -> Any:
    return json.loads(json.dumps(named_fields(settings)))


def test_named_fields_mean_the_options_that_they_were_made_of() -> None:
    record = recorded(current_settings(OPTIONS))
    assert record["options"]["strength"]["eps"] == 6 / 255
    assert means(record, current_settings(OPTIONS))
    for other in (replace(OPTIONS, seed=1), replace(OPTIONS, judges=()), replace(OPTIONS, strength=STRENGTHS["balanced"])):
        assert not means(record, current_settings(other))
    assert not means(record, current_settings(OPTIONS, key="0")), "a key is made anew each time"
    assert not means(record, Settings(OPTIONS, algorithm=2)), "better noise of the same options"


def test_a_field_that_a_record_lacks_counts_as_its_default() -> None:
    record = recorded(current_settings(OPTIONS))
    del record["options"]["preview"], record["options"]["strength"]["diversity"]["blocks"], record["key"]
    assert means(record, current_settings(OPTIONS))
    assert not means(record, current_settings(replace(OPTIONS, preview=True)))
    assert not means(record | {"tomorrow": 1}, current_settings(OPTIONS)), "an option that this version does not know"
    del record["algorithm"]
    assert not means(record, current_settings(OPTIONS))


def test_the_text_of_0_1_is_read_and_not_run() -> None:
    assert means(settings_of_0_1(OLD), current_settings(Options(gallery=Path("g"))))
    judged = OLD.replace("models=()", "models=(PosixPath('m/n'),)")
    assert means(settings_of_0_1(judged), current_settings(Options(gallery=Path("g"), judges=("m/n",))))
    assert means(settings_of_0_1(repr(OPTIONS)), current_settings(OPTIONS))
    fields = settings_of_0_1(f"{OLD} 0123456789abcdef")
    assert fields is not None
    assert fields["key"] == "0123456789abcdef"
    for text in ("", "Options(", "Options(seed=open('x'))", "Options(seed=1)(2)", "Other(seed=1)", f"Options({'(' * 5000})"):
        found = settings_of_0_1(text)
        assert found is None or not means(found, current_settings(Options())), text


@dataclass(frozen=True)
class Copy:
    """Puts the source's bytes in the target, and a line into a file for each call."""

    calls: Path

    def __call__(self, source: Path, target: Path) -> dict[str, Any]:
        target.write_bytes(source.read_bytes())
        with self.calls.open("a") as file:
            file.write(f"{source.name}\n")
        return {"size": source.stat().st_size}


def test_a_ledger_of_0_1_is_rewritten_at_the_first_run(tmp_path: Path) -> None:
    tasks = [Task(tmp_path / f"{k}.png", tmp_path / "out" / f"{k}.png") for k in range(4)]
    for task in tasks:
        task.source.write_bytes(task.source.name.encode())
    ledger = tmp_path / "out" / "run.jsonl"

    def run(options: Options) -> list[str]:
        results = run_files(
            tasks, Copy(tmp_path / "calls"), settings=current_settings(options), jobs=1, force=False, ledger=ledger,
            read_old=settings_of_0_1,
        )  # fmt: skip
        assert [result.details for result in results] == [{"size": 5}] * 4
        return [result.status for result in results]

    options = Options(gallery=Path("g"))
    assert run(options) == ["done"] * 4
    records = {record["target"]: record for record in map(json.loads, ledger.read_text().splitlines())}
    old = [
        json.dumps(records[f"{k}.png"] | {"settings": text}) for k, text in enumerate([OLD, f"{OLD} {'0' * 16}", "?", OLD])
    ]
    foreign = ["not JSON", json.dumps({"settings": 7})]
    ledger.write_text("\n".join([*foreign, *old, '{"torn": ']))
    assert run(options) == ["skipped", "done", "done", "skipped"], "a key, and a text that nobody can read"
    lines = ledger.read_text().splitlines()
    assert [*lines[:2], lines[4], lines[6]] == [*foreign, old[2], '{"torn": ']
    assert json.loads(lines[2]) == records["0.png"], "as if it had been written by this version"
    assert run(options) == ["skipped"] * 4
    assert run(replace(options, seed=1)) == ["done"] * 4
