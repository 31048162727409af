"""A run's folder -> summary.csv, flags.csv, pictures, report.md and report.html. It never attacks and needs no torch."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from faceenc.core import RunError, from_cells, read_text, shown, table_text, write_atomically
from faceenc.report import comparison, minimum, pairs, plots, sections, tables, wording
from faceenc.report.baseline import baseline_context, det_picture, read_baseline
from faceenc.report.flags.catalogue import Flag
from faceenc.report.flags.survey import checks_of, survey
from faceenc.report.minimum import read_minimum
from faceenc.report.transfer import render_transfer
from faceenc.report.words import is_verification, words_of

_SCHEMA = 1
_CROSSCHECK_COLUMNS = [
    *(
        "norm",
        "goal",
        "eps",
        "engine",
        "step",
        "images",
        "max_difference",
        "identical_pixels",
        "agreement",
        "clean_accuracy",
    ),
    *("accuracy", "art_accuracy", "loss", "art_loss", "seconds", "art_seconds"),
]
_CROSSCHECK_NUMBERS = [name for name in _CROSSCHECK_COLUMNS if name not in ("norm", "goal", "engine")]
# Of run.json, where they are there.
_PARTS: dict[str, type] = {
    **dict.fromkeys(("config", "data", "machine", "versions"), dict),
    **dict.fromkeys(("recognizers", "surrogates", "judges", "diagnostics", "failures"), list),
}
_EXAMPLE_KEYS = {
    *("image", "label", "attack", "eps", "clean_prediction", "clean_probability", "adversarial_prediction"),
    *("adversarial_probability", "original", "adversarial"),
}


@dataclass(frozen=True, slots=True)
class _Run:
    rows: pd.DataFrame
    meta: Mapping[str, Any]
    crosscheck: pd.DataFrame | None
    minimum: pd.DataFrame | None
    examples: Sequence[Mapping[str, Any]]


def render(folder: Path) -> Path:
    """Writes the report of a run into its folder and returns its path: report.html, of a measurement of transfer report.md.

    The same rows give the same files. Each file is replaced as a whole, the report last.

    Args:
        folder: holds rows.csv (or rows.csv.gz) and run.json; crosscheck.csv, minimum.csv and examples/ are used if there.

    Raises:
        RunError: the folder is missing, is not a run, or one of its files cannot be read.
    """
    try:
        return _render(folder)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:  # by what is read, of whatever shape
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
        raise RunError(f"{folder}: its files hold what faceenc-bench does not write ({said}); run it anew") from error


def _render(folder: Path) -> Path:
    run = _load(folder)
    if run.meta.get("kind") == "transfer":
        return render_transfer(folder, run.rows, run.meta)
    summary = tables.summarize(run.rows)
    surveyed = survey(run.rows, run.meta, run.crosscheck)
    flags = [flag for found in surveyed.values() for flag in found or []]
    pictures = {"accuracy": plots.accuracy(summary, run.meta)}
    if run.minimum is not None:
        pictures["minimum"] = minimum.minimum_picture(run.minimum)
    if run.examples:
        pictures["examples"] = plots.examples(folder / "examples", run.examples)
    baselines = read_baseline(folder / "baseline.json")
    if baselines:
        pictures["det"] = det_picture(baselines)
    context = _context(run, summary, surveyed, flags) | _of_pairs(folder, run, summary) | baseline_context(baselines)
    context["pictures"] = {name: (base64.b64encode(data).decode(), _least_width(data)) for name, data in pictures.items()}
    _write(folder / "summary.csv", table_text(summary).encode())
    _write(folder / "flags.csv", table_text(sections.flag_frame(flags)).encode())
    for name, data in pictures.items():
        _write(folder / f"{name}.png", data)
    for name in ("report.md", "report.html"):
        _write(folder / name, _fill(name, context).encode())
    return folder / "report.html"


def _least_width(png: bytes) -> int:
    """In pixels of the screen, for lettering to stay readable: letters of 9 points at 150 dots an inch are 9 pixels then."""
    return int.from_bytes(png[16:20], "big") // 2


def _load(folder: Path) -> _Run:
    if not folder.is_dir():
        raise RunError(f"{folder}: no such folder; name one that faceenc-bench run has written")
    rows = tables.read_rows(folder)
    meta = _read_json(folder / "run.json")
    if not isinstance(meta, dict) or meta.get("schema") != _SCHEMA:
        raise RunError(f"{folder / 'run.json'}: not a run of schema {_SCHEMA}; render it with the faceenc that made it")
    for part, kind in _PARTS.items():
        if not _fits(meta.get(part, kind()), kind):
            raise RunError(f"{folder / 'run.json'}: {part!r} is not what faceenc-bench writes; run the benchmark anew")
    listing = folder / "examples" / "examples.json"
    examples = _read_json(listing) if listing.is_file() else []
    if not _are_examples(examples):
        raise RunError(f"{listing}: not what faceenc-bench run writes; run the benchmark anew or remove it")
    crosscheck = _read_crosscheck(folder / "crosscheck.csv")
    return _Run(rows, meta, crosscheck, read_minimum(folder / "minimum.csv"), examples)


def _fits(value: Any, kind: type) -> bool:
    items = value if isinstance(value, list) else []
    return isinstance(value, kind) and all(isinstance(item, dict) for item in items)


def _are_examples(found: object) -> bool:
    return isinstance(found, list) and all(map(_is_example, found))


def _is_example(entry: object) -> bool:
    if not isinstance(entry, dict) or not entry.keys() >= _EXAMPLE_KEYS:
        return False
    numbers = {"eps", "clean_probability", "adversarial_probability"}
    right = all(isinstance(entry[key], int | float if key in numbers else str) for key in _EXAMPLE_KEYS)
    return right and all(Path(entry[key]).name == entry[key] for key in ("original", "adversarial"))


def _read_json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except FileNotFoundError as error:
        raise RunError(f"{path}: missing, so the rows say nothing about their origin; run the benchmark anew") from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path}: unreadable ({error}); run the benchmark anew") from error


def _read_crosscheck(path: Path) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    try:
        table = from_cells(pd.read_csv(path, dtype=dict.fromkeys(("norm", "goal", "engine"), "str")))
        table = table.astype({name: "float64" for name in _CROSSCHECK_NUMBERS if name in table})
        table = table.astype({name: "int64" for name in ("images", "step") if name in table})
    except (ValueError, OSError) as error:
        raise RunError(f"{path}: unreadable; run faceenc-bench crosscheck anew or remove the file") from error
    missing = [name for name in _CROSSCHECK_COLUMNS if name not in table]
    if missing or table.empty:
        raise RunError(f"{path}: no {', '.join(missing) or 'rows'}; run faceenc-bench crosscheck anew or remove the file")
    return table


def _context(
    run: _Run, summary: pd.DataFrame, surveyed: Mapping[str, list[Flag] | None], flags: Sequence[Flag]
) -> dict[str, Any]:
    """Everything that the templates show, but for the pictures."""
    meta, words = run.meta, words_of(run.meta)
    # Of pairs, whoever aims at another person attacks other pairs.
    dodging = summary[summary["goal"] == "dodge"] if is_verification(meta) else summary
    rows = run.rows[run.rows["goal"] == "dodge"] if is_verification(meta) else run.rows
    headlines = wording.headlines(summary, meta)
    spoken = " ".join(sentence for headline in headlines for sentence in headline.sentences)
    return {
        **wording.NOTES,
        **{name: getattr(words, name) for name in ("accuracy_note", "interval_note", "targeted_note", "worst_note")},
        "lost_title": words.lost_title,
        "kept_title": words.kept,
        **minimum.minimum_context(run.minimum),
        "title": f"Robustness report: {meta.get('name', 'unnamed run')}",
        "finished": bool(meta.get("finished")),
        "headlines": headlines,
        "accuracy_alt": f"Curves of accuracy against noise size, one for each attack. {spoken}",
        "accuracy": sections.accuracy_tables(dodging, words),
        "success": sections.success_tables(dodging, words),
        "comparison": comparison.comparison_tables(summary, meta),
        "targeted": sections.targeted_tables(summary, words),
        "worst": sections.worst_tables(tables.worst_case(rows), words),
        "quality": sections.quality_tables(tables.quality(run.rows)),
        "examples_alt": wording.examples_words(run.examples),
        "art": sections.art_table(summary),
        "crosscheck": None if run.crosscheck is None else sections.crosscheck_table(run.crosscheck),
        "crosscheck_words": [] if run.crosscheck is None else wording.crosscheck_words(run.crosscheck),
        "time": sections.time_table(summary, meta),
        "flags": sections.flag_table(flags),
        "checks": sections.check_table(surveyed, checks_of(meta)),
        "setup": sections.setup_tables(meta),
        "config": json.dumps(meta.get("config", {}), indent=2, ensure_ascii=False),
        "command": meta.get("command", "faceenc-bench run CONFIG.toml"),
        "notes": meta.get("config", {}).get("notes", ""),
        "credit": meta.get("data", {}).get("credit", ""),
    }


def _of_pairs(folder: Path, run: _Run, summary: pd.DataFrame) -> dict[str, Any]:
    """What the templates show of pairs alone."""
    if not is_verification(run.meta):
        return {"subjects": None, "identification": []}
    return {
        "subjects": pairs.subjects_table(run.meta, summary),
        "identification": pairs.identification_tables(folder, run.meta),
        "identification_note": pairs.IDENTIFICATION_NOTE,
    }


def _fill(name: str, context: Mapping[str, Any]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("faceenc.report"),
        autoescape=name.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["escape_md"] = _escape_markdown
    text = environment.get_template(f"{name}.jinja").render(context)
    return re.sub(r"\n{3,}", "\n\n", text)


def _escape_markdown(text: str) -> str:
    """A name taken from a file or folder must not end a table's cell, start a tag or a link."""
    return re.sub(r"([|\\`*_<>\[\]])", r"\\\1", shown(" ".join(text.split())))


def _write(path: Path, data: bytes) -> None:
    try:
        write_atomically(path, data)
    except OSError as error:
        reason = error.strerror
        raise RunError(f"{path}: cannot be written ({reason}); free some space or make the folder writable") from error
