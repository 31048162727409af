"""The page in a real browser, with real photos and a real server."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

import faceenc
from tests.server.running import Running, write_faces

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TOKEN = "a-token-of-twenty-letters"

if not CHROMIUM and not os.environ.get("CI"):
    pytest.skip("no Chromium here: apt install chromium", allow_module_level=True)
sync_api: Any = pytest.importorskip("playwright.sync_api")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_faces(tmp_path_factory.mktemp("faces"), "s1/1", "s2/1")


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with Running() as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    assert CHROMIUM, "CI needs Chromium: apt install chromium"
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def drop(page: Any, *files: Path) -> None:
    """As a hand does it: the files in a DataTransfer, dropped on the field."""
    import base64

    contents = [[file.name, base64.b64encode(file.read_bytes()).decode()] for file in files]
    data = page.evaluate_handle(
        """contents => {
            const transfer = new DataTransfer();
            for (const [name, text] of contents) {
                const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
                transfer.items.add(new File([bytes], name, { type: "image/png" }));
            }
            return transfer;
        }""",
        contents,
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": data})


def violations(page: Any) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {[node['html'][:90] for node in one['nodes']]}" for one in found]


@pytest.fixture(scope="module")
def finished(browser: Any, server: Running, faces: list[Path]) -> Iterator[Any]:
    """A page on which two photos were dropped and came back; `page.seen` is what its status lines said meanwhile."""
    context = browser.new_context(accept_downloads=True, viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.faults = []
    page.on("console", lambda message: page.faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.goto(f"{server.url}/#steps=24")
    page.wait_for_selector("#ask:not([hidden])")
    page.evaluate(
        """() => {
            window.seen = [];
            new MutationObserver(() => document.querySelectorAll(".status, .nets .bar")
                .forEach((one) => window.seen.push(one.getAttribute("aria-label") || one.textContent)))
                .observe(document.getElementById("photos"), { childList: true, subtree: true, characterData: true });
        }"""
    )
    drop(page, *faces)
    sync_api.expect(page.locator("article .comparison")).to_have_count(2, timeout=90_000)
    yield page
    context.close()


def test_progress_is_shown_with_the_falling_match(finished: Any) -> None:
    seen = finished.evaluate("window.seen")
    assert any("Changing the face" in text for text in seen)
    assert any("Asking recognisers" in text for text in seen)
    distances = [float(text.split(": ")[1]) for text in seen if text.startswith("dlib: ")]
    assert min(distances) < 0.8 < max(distances)
    assert finished.faults == []


def test_the_slider_parts_before_and_after(finished: Any) -> None:
    over = finished.locator("article .over").first
    slider = finished.locator("article .slider").first
    assert "50%" in over.evaluate("one => one.style.clipPath")
    slider.focus()
    for _ in range(10):
        finished.keyboard.press("ArrowRight")
    assert "60%" in over.evaluate("one => one.style.clipPath")
    finished.locator("article select").first.select_option("1")
    natural, shown = over.evaluate("one => [one.naturalWidth, one.getBoundingClientRect().width * devicePixelRatio]")
    assert shown == pytest.approx(natural, abs=1)
    finished.locator("article select").first.select_option("fit")
    stage = finished.locator("article .stage").first
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    finished.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 20)
    finished.mouse.down()
    finished.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 40)
    finished.mouse.up()
    assert int(slider.input_value()) == pytest.approx(25, abs=1)


def test_evidence_names_each_judge_and_whether_it_was_attacked(finished: Any) -> None:
    first, *rows = [row.inner_text().split("\t") for row in finished.locator("article").first.locator("tbody tr").all()]
    assert first[0] == "Face 1"
    assert [row[0].split() for row in rows][:2] == [["dlib", "attacked"], ["sface", "attacked"]]
    assert all(re.search(r"\d\.\d\d / \d\.\d\d\s+(no )?match", text) for row in rows for text in row[1:4])
    matched = any("no match" not in row[1] for row in rows)
    said = finished.locator("article").first.locator(".verdict").inner_text()
    assert ("still matched" in said) == matched
    assert ("still matched" in finished.locator("article").first.locator(".marks text").first.text_content()) == matched


def test_the_zip_holds_photos_that_are_protected(finished: Any, faces: list[Path], tmp_path: Path) -> None:
    with finished.expect_download() as caught:
        finished.click("#download-all")
    caught.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == ["evidence.json", "s1-1-protected.png", "s2-1-protected.png"]
        archive.extractall(tmp_path)
    records = {record["file"]: record for record in json.loads((tmp_path / "evidence.json").read_text())}
    for face in faces:
        name = f"{face.stem}-protected.png"
        evidence = faceenc.verify(face, tmp_path / name)
        [dlib] = [v for v in evidence.faces[0].verdicts if v.variant == "saved"]
        assert dlib.distance > dlib.threshold
        [said] = [v for v in records[name]["faces"][0]["judges"] if (v["judge"], v["variant"]) == ("dlib", "saved")]
        assert said["distance"] == pytest.approx(dlib.distance, abs=1e-3)


def test_it_is_usable_by_everybody(finished: Any, browser: Any, server: Running) -> None:
    assert violations(finished) == []
    for scheme, width in (("dark", 1200), ("light", 360), ("dark", 360)):
        finished.emulate_media(color_scheme=scheme)
        finished.set_viewport_size({"width": width, "height": 740})
        assert violations(finished) == [], (scheme, width)
        assert finished.evaluate("document.documentElement.scrollWidth <= innerWidth"), (scheme, width)
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(server.url)
    assert "needs JavaScript" in page.inner_text("main")
    context.close()


def test_deleting_takes_the_photo_from_page_and_server(finished: Any) -> None:
    with finished.expect_response(lambda answer: answer.request.method == "DELETE") as caught:
        finished.locator("article").first.get_by_role("button", name="Delete now").click()
    assert caught.value.status == 204
    assert finished.locator("article").count() == 1


def test_what_cannot_be_protected_is_said(browser: Any, server: Running, tmp_path: Path) -> None:
    Image.new("RGB", (320, 240), (90, 120, 90)).save(tmp_path / "meadow.png")
    (tmp_path / "words.png").write_text("no photo")
    (tmp_path / "large.png").write_bytes(bytes(26_000_000))
    context = browser.new_context(viewport={"width": 360, "height": 740})
    page = context.new_page()
    page.goto(server.url)
    page.wait_for_selector("#ask:not([hidden])")
    page.set_input_files("#files", [str(tmp_path / name) for name in ("meadow.png", "words.png", "large.png")])
    sync_api.expect(page.locator("article .verdict.bad")).to_have_count(3, timeout=60_000)
    said = {one.locator("h2").inner_text(): one.locator(".verdict").inner_text() for one in page.locator("article").all()}
    assert "no face found" in said["meadow.png"]
    assert "26.0 MB" in said["large.png"]
    assert all(text.startswith("Not protected: ") for text in said.values())
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not page.is_visible("#download-all")
    context.close()


def test_a_photo_that_browsers_do_not_show(browser: Any, server: Running, faces: list[Path], tmp_path: Path) -> None:
    with Image.open(faces[0]) as photo:
        photo.save(tmp_path / "phone.tif")
    context = browser.new_context(has_touch=True)
    page = context.new_page()
    page.goto(f"{server.url}/#steps=1")
    page.wait_for_selector("#ask:not([hidden])")
    assert page.is_visible("#take")
    assert ".heic" in page.get_attribute("#files", "accept")
    page.set_input_files("#files", str(tmp_path / "phone.tif"))
    page.wait_for_selector("article .comparison", timeout=60_000)
    sync_api.expect(page.get_by_text("This browser cannot show the original")).to_be_visible()
    assert page.locator("article .marks rect").count() == 1
    with page.expect_download() as caught:
        page.get_by_role("link", name="Download").click()
    assert caught.value.suggested_filename == "phone-protected.png"
    context.close()


def test_deleting_all_at_once_leaves_nothing_waiting(browser: Any, server: Running, faces: list[Path]) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.url)
    page.wait_for_selector("#ask:not([hidden])")
    drop(page, *(faces[:1] * 9))  # more than connections that a browser opens
    page.wait_for_selector(".nets .bar", timeout=60_000)
    assert page.locator("article").count() == 9
    page.click("#delete-all")
    assert page.locator("article").count() == 0
    drop(page, faces[0])
    page.wait_for_selector(".nets .bar", timeout=60_000)  # the next one's turn comes
    page.goto("about:blank")  # which deletes what was left
    deadline = time.monotonic() + 30
    while "photos_running 0.0" not in (text := httpx.get(f"{server.url}/metrics", trust_env=False).text):
        assert time.monotonic() < deadline, text
        time.sleep(0.1)
    assert "photos_waiting 0.0" in text
    context.close()


def test_by_keyboard_and_with_a_token(browser: Any, faces: list[Path], tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"{TOKEN}\n")
    with Running("--token-file", str(tmp_path / "tokens")) as server:
        context = browser.new_context()
        page = context.new_page()
        choosers: list[Any] = []
        # Listened for from the start: Chromium begins to tell of choosers some time after it was asked to.
        page.on("filechooser", lambda chooser: choosers.append(chooser))
        page.goto(f"{server.url}/#steps=2")
        page.wait_for_selector("#token:not([hidden])")
        assert violations(page) == []
        page.keyboard.type("not-the-token-at-all")
        page.keyboard.press("Enter")
        sync_api.expect(page.locator("#token-note")).to_contain_text("does not know")
        page.fill("#token-field", "")
        page.focus("#token-field")
        page.keyboard.type(TOKEN)
        page.keyboard.press("Enter")
        page.wait_for_selector("#ask:not([hidden])")
        assert page.evaluate("document.activeElement.id") == "choose"
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("ArrowUp")
        assert page.evaluate("document.querySelector('input[name=strength]:checked').value") == "subtle"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "choose"
        page.keyboard.press("Enter")
        for _ in range(600):
            if not choosers:
                page.wait_for_timeout(50)
        server.wait_until_ready()
        choosers[0].set_files([str(faces[0])])
        sync_api.expect(page.locator("article .comparison")).to_have_count(1, timeout=90_000)
        assert TOKEN not in page.url
        assert page.evaluate("localStorage.length + sessionStorage.length") == 0
        context.close()
