"""docs/library.md does what it shows, a door for programs; any form of picture, and many threads at one protector."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import faceenc
from tests.encrypting import save, tinted

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All names that the page's examples leave behind, run in their order."""
    folder = tmp_path_factory.mktemp("library")
    save(folder / "photo.jpg", tinted())
    shutil.copy(ROOT / "tests" / "benchmark" / "tiny.toml", folder)
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        torch.manual_seed(0)
        for example in re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE):
            exec(example, names)
    return names | {"folder": folder}


def test_the_page_s_photos_are_protected_in_every_form(shown: dict[str, Any]) -> None:
    before = np.asarray(Image.open(shown["folder"] / "photo.jpg").convert("RGB")).astype(int)
    forms = [shown["image"], shown["array"], Image.open(BytesIO(shown["data"])), Image.open(BytesIO(shown["same"]))]
    assert isinstance(shown["image"], Image.Image)
    for form in forms:
        pixels = np.asarray(form).astype(int)
        assert 0 < np.abs(pixels - before).max() <= 10
        np.testing.assert_array_equal(pixels, np.asarray(shown["array"]))
    assert shown["found"].image == Path("photo-protected.png")
    assert (shown["folder"] / "photo-protected.png").is_file()
    assert shown["found"].matched == 0
    assert "sface" in shown["found"].summary
    assert shown["evidence"].matches() == 0


def test_the_page_s_attacks_stay_in_their_balls(shown: dict[str, Any]) -> None:
    outcome, x = shown["outcome"], (shown["x"] * 255).round() / 255
    assert float((outcome.adversarial - x).abs().max()) <= 8 / 255 + 1e-6
    assert outcome.reached.all()
    assert (shown["model"](outcome.adversarial).argmax(1) != shown["labels"]).all()
    table = shown["table"]
    assert table[table["norm"] == "linf"]["agreement"].eq(1).all()
    assert (
        shown["report"].page.is_file()
        if shown["report"].page.is_absolute()
        else (shown["folder"] / shown["report"].page).is_file()
    )


def test_threads_may_ask_one_protector(shown: dict[str, Any]) -> None:
    pictures = [np.ascontiguousarray(np.roll(shown["array"], shift, 0)) for shift in range(4)]
    options = faceenc.Options(strength=faceenc.Strength.bounded(4 / 255, steps=1), surrogates=("dlib",))
    with faceenc.Protector(options) as protector, ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda picture: protector(picture).image, pictures))
        alone = protector(pictures[3]).image
    np.testing.assert_array_equal(together[3], alone)
    assert all(0 < np.abs(one.astype(int) - other).max() <= 4 for one, other in zip(together, pictures, strict=True))


def test_a_module_in_training_is_attacked_as_it_will_be_used() -> None:
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 8, 8), torch.nn.BatchNorm2d(4), torch.nn.Flatten(), torch.nn.Dropout(0.9)
    )
    x = torch.rand(3, 3, 16, 16)
    outcome = faceenc.run_attack(faceenc.fgsm(), model, x, torch.tensor([0, 1, 2]), eps=1 / 255)
    torch.testing.assert_close(outcome.outputs, model.eval()(outcome.adversarial).detach())
    model.train()
    faceenc.run_attack(faceenc.fgsm(), model, x, torch.tensor([0, 1, 2]), eps=1 / 255)
    assert all(part.training for part in model.modules())


@pytest.mark.parametrize(
    ("x", "goal", "words"),
    [
        (torch.rand(2, 1, 8, 8), torch.tensor([0, 1]), r"x is \(2, 1, 8, 8\) of torch.float32: give \(N, 3, H, W\) float32"),
        (torch.rand(2, 3, 8, 8) * 255, torch.tensor([0, 1]), r"give pixels in \[0, 1\], and normalise inside the model"),
        (torch.full((2, 3, 8, 8), torch.nan), torch.tensor([0, 1]), r"x lies in \[nan, nan\]"),
        (torch.rand(2, 3, 8, 8), torch.tensor([0]), r"labels \(1,\) of torch.int64 do not fit 2 images"),
        (torch.rand(2, 3, 8, 8), torch.tensor([0.0, 1.0]), "torch.float32 do not fit 2 images: give"),
    ],
)
def test_what_is_no_batch_of_images_is_said(x: torch.Tensor, goal: torch.Tensor, words: str) -> None:
    with pytest.raises(faceenc.ConfigError, match=words):
        faceenc.run_attack(faceenc.PGD(), torch.nn.Flatten(), x, goal, eps=1 / 255)


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (np.zeros((8, 8), np.uint8), r"ndarray \(\(8, 8\), uint8\) is no picture: give a path"),
        (np.zeros((8, 8, 3)), r"\(\(8, 8, 3\), float64\) is no picture"),
        (None, r"NoneType .* is no picture"),
        (Image.new("I", (8, 8)), "a Pillow image of mode I is not of 8 bits"),
        (b"no photo", "cannot read the photo's bytes: not an image of a known format"),
    ],
)
def test_what_is_no_picture_is_said(picture: Any, words: str) -> None:
    with pytest.raises(faceenc.DataError, match=words):
        faceenc.verify(picture, picture)


def test_an_output_is_looked_at_before_the_work(shown: dict[str, Any]) -> None:
    photo = shown["folder"] / "photo.jpg"
    with pytest.raises(faceenc.DataError, match="exists already"):
        faceenc.protect(photo, output=photo)
    with pytest.raises(faceenc.ConfigError, match=r"photos are written as \.png"):
        faceenc.protect(photo, output=shown["folder"] / "b.bmp")


def test_nothing_heavy_is_loaded_and_rooms_can_be_called() -> None:
    code = (
        "import sys, faceenc; assert not {'numpy', 'torch', 'cv2', 'PIL', 'pandas'} & set(sys.modules)\n"
        "[getattr(faceenc, name) for name in faceenc.__all__]\n"
        "import faceenc.protect, faceenc.benchmark; assert faceenc.protect.Protector is faceenc.Protector\n"
        "try: faceenc.benchmark('nobody')\n"
        "except faceenc.ConfigError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("configuration nobody does not exist")
