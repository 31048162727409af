"""Rendering: the figures against a count by hand, the page as a browser reads it, and one clear line for each bad folder."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from faceenc.benchmark import ROW_COLUMNS
from faceenc.core import RunError, from_cells, table_text
from faceenc.report import (
    COLUMNS,
    art_table,
    comparison_tables,
    crosscheck_words,
    eps_text,
    main_eps,
    read_rows,
    render,
    summarize,
    time_table,
    wilson,
    worst_case,
)
from tests.synthetic import HUGE, IMAGES, make_crosscheck, make_rows, make_run, write_run

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Checks that every tag is closed in its turn, and collects what a reader or a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_run(tmp_path_factory.mktemp("runs") / "run")
    assert render(folder) == folder / "report.html"
    return folder


def read_page(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    page.close()
    return page


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (0, 100, 0.0, 0.03699),  # Newcombe 1998 and every textbook since
        (100, 100, 0.96301, 1.0),
        (81, 263, 0.25534, 0.36621),  # Newcombe 1998, table I
        (15, 148, 0.06237, 0.16049),
        (1, 29, 0.00611, 0.17176),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson(successes: int, n: int, low: float, high: float) -> None:
    assert wilson(successes, n) == pytest.approx((low, high), abs=1e-4)


def test_wilson_with_less_confidence_is_narrower() -> None:
    assert wilson(5, 50, confidence=0.8)[1] < wilson(5, 50)[1]


def test_summary_of_rows_counted_by_hand() -> None:
    base = make_rows().iloc[:1]
    # label, clean prediction, adversarial prediction, target
    said = [
        *(("a", "a", "a", "b"), ("a", "a", "b", "b"), ("a", "a", "c", "b"), ("a", "x", "b", "b"), ("a", "x", "a", "b")),
        *(("b", "b", "b", "a"), ("b", "b", "a", "a"), ("b", "b", "a", "a")),
    ]
    rows = pd.concat([base] * len(said), ignore_index=True)
    rows[["label", "clean_prediction", "adversarial_prediction", "target"]] = said
    rows["image"] = [str(i) for i in range(len(said))]
    rows["goal"], rows["queries"], rows["seconds"] = "impersonate", range(8), 0.5
    line = summarize(rows).iloc[0]
    assert line["n"] == 8
    assert line["clean_accuracy"] == 6 / 8
    assert line["adversarial_accuracy"] == 3 / 8
    assert line["success_rate"] == 4 / 6  # of the six recognised before, two are still
    assert line["target_rate"] == 4 / 8
    assert (line["queries"], line["seconds_per_image"]) == (3.5, 0.5)
    assert (line["ci_low"], line["ci_high"]) == wilson(3, 8)


def test_seeds_are_pooled_but_images_counted_once() -> None:
    once = make_rows().query("attack == 'pgd' and goal == 'dodge' and 0.007 < eps < 0.008")
    twice = pd.concat([once, once.assign(seed=1, adversarial_prediction=once["label"])])
    one, two = summarize(once).iloc[0], summarize(twice).iloc[0]
    assert (one["n"], two["n"]) == (IMAGES, IMAGES)
    assert two["adversarial_accuracy"] == (one["adversarial_accuracy"] + 1) / 2
    assert (two["ci_low"], two["ci_high"]) == wilson(two["adversarial_accuracy"] * IMAGES, IMAGES)


def test_summary_file(folder: Path) -> None:
    summary = pd.read_csv(folder / "summary.csv")
    assert list(summary) == [
        *("recognizer", "judge", "attack", "norm", "goal", "eps", "n", "clean_accuracy", "adversarial_accuracy", "ci_low"),
        *("ci_high", "success_rate", "target_rate", "queries", "seconds_per_image"),
    ]
    assert summary.loc[summary["goal"] == "dodge", "target_rate"].isna().all()
    assert summary.loc[summary["goal"] == "impersonate", "target_rate"].notna().all()


def test_worst_case_needs_every_attack_to_fail() -> None:
    rows = make_rows().query("0.007 < eps < 0.008 and goal == 'dodge' and attack in ('pgd', 'fgsm')").copy()
    images = rows["image"].unique()[:4]
    rows = rows[rows["image"].isin(images)].copy()
    rows["clean_prediction"] = rows["adversarial_prediction"] = rows["label"]
    rows.loc[(rows["attack"] == "pgd") & (rows["image"] == images[0]), "adversarial_prediction"] = "x"
    rows.loc[(rows["attack"] == "fgsm") & (rows["image"] == images[1]), "adversarial_prediction"] = "x"
    rows.loc[rows["image"] == images[2], "clean_prediction"] = "x"  # noise that happens to help does not count
    line = worst_case(rows).iloc[0]
    assert (line["n"], line["attacks"], line["accuracy"]) == (4, 2, 1 / 4)


def test_main_eps() -> None:
    summary = summarize(make_rows())
    assert main_eps(summary, make_run(), "linf") == 8 / 255
    small = summary[(summary["eps"] < 5 / 255) | (summary["eps"] == HUGE)]
    assert main_eps(small, make_run(), "linf") == 4 / 255
    assert main_eps(summary, make_run(), "l2") is None


@pytest.mark.parametrize(
    ("eps", "norm", "text"),
    [
        (8 / 255, "linf", "8/255"),
        (0.031372549, "linf", "8/255"),
        (0, "linf", "0"),
        (0.03, "linf", "0.03"),
        (1.5, "l2", "1.5"),
    ],
)
def test_eps_text(eps: float, norm: str, text: str) -> None:
    assert eps_text(eps, norm) == text


def test_headline(folder: Path) -> None:
    text = read_page(folder / "report.html").text
    assert "resnet18 recognises 98.3 % of 60 untouched test photos." in text
    assert "Under PGD noise of at most 8/255 it recognises 0.0 % with ours (95 % interval 0.0\N{EN DASH}6.0 %)" in text
    assert "100.0 % taken for that person" in text
    assert "Under random noise of the same size it recognises 98.3 %." in text
    assert "a stronger attack may lower the accuracy" in text


def test_page_is_whole_and_stands_alone(folder: Path) -> None:
    page = read_page(folder / "report.html")
    assert page.open == []
    references = [
        value for _, attrs in page.tags for key, value in attrs.items() if key in ("src", "href", "action", "data")
    ]
    assert references
    assert all(value and value.startswith(("#", "data:image/png;base64,")) for value in references)
    source = (folder / "report.html").read_text(encoding="utf-8")
    assert not [word for word in ("http:", "https:", "url(", "@import", "<script", "<link") if word in source]
    anchors = {attrs.get("id") for _, attrs in page.tags}
    assert all(value[1:] in anchors for value in references if value and value.startswith("#"))
    images = [attrs for tag, attrs in page.tags if tag == "img"]
    assert len(images) == 2
    assert all(len(attrs["alt"] or "") > 40 for attrs in images)
    assert all("min-width: 6" in (attrs["style"] or "") or "min-width: 5" in (attrs["style"] or "") for attrs in images)
    levels = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3")]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_names_are_escaped(folder: Path) -> None:
    page = read_page(folder / "report.html")
    assert "A <Processor>" in page.text
    assert "Faces by <B & C>" in page.text
    assert "Faces by \\<B & C\\>" in (folder / "report.md").read_text(encoding="utf-8")


def test_names_command_neither_terminal_nor_spreadsheet_nor_formula(tmp_path: Path) -> None:
    names = {"s0": "=1+1", "s1": "\x1b]0;x\x07", "s2": "$\\frac$", "s3": "new\nline", "s4": "a | b"}
    rows = make_rows()
    for column in ("label", "target", "clean_prediction", "adversarial_prediction"):
        rows[column] = rows[column].replace(names)
    rows["attack"] = rows["attack"].replace({"pgd": "@pgd"})
    folder = write_run(tmp_path / "run")
    (folder / "rows.csv").write_text(table_text(rows), newline="")
    examples = json.loads((folder / "examples" / "examples.json").read_text())
    for example in examples:
        example |= {"label": "$\\frac$", "clean_prediction": "\x1b]0;x\x07"}
    (folder / "examples" / "examples.json").write_text(json.dumps(examples))
    render(folder)  # warnings, as of letters that no font has, are errors here
    assert sorted(set(read_rows(folder)["label"]) & set(names.values())) == sorted(names.values())
    lines = [line for name in ("rows.csv", "summary.csv") for line in (folder / name).read_text().splitlines()]
    assert not [cell for line in lines for cell in line.split(",") if cell.startswith(("=", "+", "@"))]
    assert {"@pgd"} < set(from_cells(pd.read_csv(folder / "summary.csv"))["attack"])
    assert "\x1b" not in (folder / "report.md").read_text()


def test_markdown_tables_are_rectangular(folder: Path) -> None:
    blocks = (folder / "report.md").read_text(encoding="utf-8").split("\n\n")
    found = [block.splitlines() for block in blocks if block.lstrip().startswith("|")]
    assert len(found) > 8
    for lines in found:
        assert {line.replace("\\|", "").count("|") for line in lines if line} == {lines[0].count("|")}


def test_pictures(folder: Path) -> None:
    for name, least in (("accuracy.png", (1000, 600)), ("examples.png", (1000, 700))):
        with Image.open(folder / name) as picture:
            assert all(size >= bound for size, bound in zip(picture.size, least, strict=True))


def test_render_again_gives_the_same_bytes(folder: Path) -> None:
    def content() -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}

    before = content()
    render(folder)
    assert content() == before


def test_rendering_needs_no_torch(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    code = (
        "import sys, pathlib; from faceenc.report import render; render(pathlib.Path(sys.argv[1]));"
        "heavy = {'torch', 'torchvision', 'art', 'cv2', 'mediapipe'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, timeout=60)


def test_flags_reach_file_and_page(tmp_path: Path) -> None:
    run = make_run()
    run["diagnostics"][0]["probabilities"] = True
    folder = write_run(tmp_path / "run", run=run)
    text = read_page(render(folder)).text
    flags = pd.read_csv(folder / "flags.csv")
    assert list(flags) == ["flag", "recognizer", "attack", "norm", "goal", "eps", "saw", "meaning", "remedy"]
    assert list(flags["flag"]) == ["outputs-are-probabilities"]
    assert "1 flag raised" in text
    assert flags.loc[0, "remedy"] in text
    assert "No flag raised" not in text


def test_unfinished_run_says_so(tmp_path: Path, folder: Path) -> None:
    unfinished = write_run(tmp_path / "run", run={**make_run(), "finished": False})
    assert "Unfinished run." in read_page(render(unfinished)).text
    assert "Unfinished run." in (unfinished / "report.md").read_text(encoding="utf-8")
    assert "Unfinished run." not in read_page(folder / "report.html").text


def test_bare_run(tmp_path: Path) -> None:
    """Compressed rows, no cross-check, no pictures, a run.json that says little, names that pandas would take for gaps."""
    rows = make_rows().query("attack == 'pgd' and goal == 'dodge'").replace({"s3": "NA", "s4": "None"})
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "rows.csv.gz").write_bytes(gzip.compress(rows.to_csv(index=False).encode()))
    (folder / "run.json").write_text(json.dumps({"schema": 1, "finished": True}))
    page = read_page(render(folder))
    assert page.open == []
    assert "In-house against ART" not in page.text
    assert pd.read_csv(folder / "summary.csv")["clean_accuracy"].eq(59 / 60).all()
    assert not (folder / "examples.png").exists()


def test_crosscheck_words_quote_the_run() -> None:
    exact, fused, why = crosscheck_words(make_crosscheck())
    assert exact == "The exact engine equals ART's PGD to the last bit, at every step."
    assert "0.001 % of the pixels differ after the first Linf step and 45 % after the last" in fused
    assert "by at most 0.0 points, the mean loss by at most 0.03" in fused
    assert "chaotic" in why


def test_crosscheck_words_claim_nothing_that_was_not_seen() -> None:
    table = make_crosscheck()
    table.loc[table["engine"] == "exact", "max_difference"] = 0.01
    table["identical_pixels"] = 1.0
    words = crosscheck_words(table)
    assert "should equal it" in words[0]
    assert not any("chaotic" in text or "equals" in text for text in words)
    assert crosscheck_words(table[table["engine"] == "exact"]) == words[:1]


def test_art_table_gives_the_difference_in_points() -> None:
    rows = make_rows()
    where = (rows["attack"] == "art-pgd") & (rows["goal"] == "dodge") & (rows["eps"] == 8 / 255)
    rows.loc[rows.index[where][:6], "adversarial_prediction"] = rows["label"]
    table = art_table(summarize(rows))
    assert table is not None
    line = next(row for row in table.rows if row[1].text == "PGD" and row[2].text == "8/255")
    assert [cell.text for cell in line[3:]] == ["0.0", "10.0", "-10.0"]


def test_costs_are_compared_at_one_eps() -> None:
    rows = make_rows(black_box=True)
    rows["seconds"] = 255 * rows["eps"]
    table = time_table(summarize(rows), make_run())
    found = {row[1].text: [cell.text for cell in row[2:]] for row in table.rows}
    assert found.pop("square-100") == found.pop("square-1000") == ["4/255", "11", "4.000"], "was not run at 8/255"
    assert {(eps, seconds) for eps, _, seconds in found.values()} == {("8/255", "8.000")}
    assert (found["PGD"][1], found["Random noise"][1]) == ("11", "1")


def test_rows_that_are_there_twice_count_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = make_rows()
    pd.concat([rows, rows.head(7)]).to_csv(tmp_path / "rows.csv", index=False)
    read = read_rows(tmp_path)
    assert len(read) == len(rows)
    assert "7 rows are there twice and count once" in caplog.text


def test_columns_are_those_the_runner_writes() -> None:
    assert sorted(COLUMNS) == sorted(ROW_COLUMNS)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("rows.csv", None, "no rows.csv"),
        ("rows.csv", b"", "unreadable"),
        ("rows.csv", ",".join(ROW_COLUMNS).encode() + b"\n", "holds no rows"),
        ("rows.csv", b"a,b\n1,2\n", "not a file of faceenc-bench run"),
        ("rows.csv", make_rows().iloc[:3].to_csv(index=False).encode()[:-90], "`resume`"),
        ("rows.csv", make_rows().iloc[:3].assign(loss="much").to_csv(index=False).encode(), "unreadable"),
        ("run.json", None, "run.json: missing"),
        ("run.json", b"{", "run.json: unreadable"),
        ("run.json", b'{"schema": 2}', "schema 1"),
        ("run.json", b"[]", "schema 1"),
        ("run.json", b"\xff\xfe", "run.json: unreadable"),
        ("run.json", b"[" * 5000, "run.json: unreadable"),
        ("run.json", b'{"schema": 1, "config": []}', "run.json: 'config' is not"),
        ("run.json", b'{"schema": 1, "recognizers": [3]}', "run.json: 'recognizers' is not"),
        ("run.json", b'{"schema": 1, "config": {"huge_eps": "x"}}', "hold what faceenc-bench does not write"),
        ("crosscheck.csv", b"", "crosscheck"),
        ("crosscheck.csv", b"norm,goal\nlinf,dodge\n", "crosscheck anew"),
        ("crosscheck.csv", make_crosscheck().assign(loss="odd").to_csv(index=False).encode(), "crosscheck anew"),
        ("examples/examples.json", b'[{"image": "s0/1"}]', "examples.json: not what faceenc-bench run writes"),
        ("examples/examples.json", b"[[]]", "examples.json: not what faceenc-bench run writes"),
        ("examples/examples.json", b"3", "examples.json: not what faceenc-bench run writes"),
        ("examples/0-original.png", None, "0-original.png"),
        ("examples/0-original.png", b"no picture", "cannot be read as a picture"),
    ],
)
def test_bad_folder_is_one_clear_line_and_leaves_no_report(
    tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    folder = write_run(tmp_path / "run")
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(RunError) as caught:
        render(folder)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not {"report.html", "report.md", "summary.csv"} & {p.name for p in folder.iterdir()}


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such folder"):
        render(tmp_path / "nowhere")


def test_many_attacks_are_listed_one_a_line(tmp_path: Path) -> None:
    """Side by side only where there are too many for a grid; the best first, success with its interval."""
    assert comparison_tables(summarize(make_rows()), make_run()) == []
    found = comparison_tables(summarize(make_rows(black_box=True)), make_run())
    assert [table.caption.partition("eps ")[2] for table in found] == ["1/255", "2/255", "4/255", "8/255"]
    lines = {row[0].text: row for row in found[2].rows}
    assert {"PGD", "square-100", "square-1000", "Random noise", "PGD, targeted"} <= set(lines)
    assert list(lines).index("PGD") < list(lines).index("square-1000") < list(lines).index("square-100")
    reached = make_rows(black_box=True).query("attack == 'square-1000' and abs(eps * 255 - 4) < 0.1")["success"].mean()
    assert lines["square-1000"][2].text == f"{100 * reached:.1f}"
    folder = write_run(tmp_path / "run", rows=make_rows(black_box=True))
    assert "All attacks side by side" in render(folder).read_text(encoding="utf-8")
    assert "All attacks side by side" in (folder / "report.md").read_text(encoding="utf-8")
