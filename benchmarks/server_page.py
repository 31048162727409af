"""Pictures of the server's page: desktop, phone, dark; before photos come, while they are worked on, with their evidence.

    python benchmarks/server_page.py [--output reports/server] [--chromium /usr/bin/chromium] [--steps N]

Two ORL faces go through a server that is started for it. Needs the extras `server` and `test-browser`, and Chromium.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from faceenc.data import enlarge, read_orl

VIEWS = {"desktop": (1100, 900, "light"), "dark": (1100, 900, "dark"), "phone": (360, 740, "light")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("reports/server"))
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    parser.add_argument("--steps", type=int, default=60, help="fewer are quicker, and show faces that still match")
    words = parser.parse_args()
    words.output.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "faceenc", "serve", "--port", "0", "--workers", "1"]
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            found = re.search(r"serving on (\S+)", server.stdout.readline())
            assert found, "the server did not start"
            take(found[1], faces(Path(folder)), words.output, words.chromium, words.steps)
        finally:
            server.terminate()


def faces(folder: Path) -> list[Path]:
    """Two photos: one face, and two faces side by side."""
    pictures = read_orl()
    one, other = (Image.fromarray(enlarge(pictures[name])) for name in ("s1/1", "s23/2"))
    pair = Image.new("RGB", (one.width + other.width, one.height), (200, 200, 200))
    pair.paste(one, (0, 0))
    pair.paste(other, (one.width, 0))
    one.save(folder / "portrait.png")
    pair.save(folder / "two people.png")
    return [folder / "portrait.png", folder / "two people.png"]


def take(url: str, photos: list[Path], output: Path, chromium: str, steps: int) -> None:
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        fingers = page.context.new_cdp_session(page)
        page.goto(f"{url}#steps={steps}")
        page.wait_for_selector("#ask:not([hidden])")
        shoot(page, fingers, output, "empty")
        page.set_input_files("#files", [str(photo) for photo in photos])
        page.wait_for_selector(".nets .bar", timeout=300_000)
        page.wait_for_timeout(300)
        shoot(page, fingers, output, "progress", ("desktop",))
        expect(page.locator("article .comparison")).to_have_count(len(photos), timeout=900_000)
        page.wait_for_timeout(500)
        shoot(page, fingers, output, "result")
        browser.close()


def shoot(page: Any, fingers: Any, output: Path, name: str, views: tuple[str, ...] = tuple(VIEWS)) -> None:
    for view in views:
        width, height, scheme = VIEWS[view]
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(300)
        path = output / f"{name}-{view}.png"
        if view == "phone":  # a picture of the full page would take the fingers away, and the camera's button with them
            height = page.evaluate("document.documentElement.scrollHeight") + 80
            page.set_viewport_size({"width": width, "height": height})
            fingers.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
            page.wait_for_timeout(300)
        page.screenshot(path=path, full_page=view != "phone")
        with Image.open(path) as shot:
            shot.convert("RGB").quantize(128).save(path, optimize=True)
        print(f"{path} {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
