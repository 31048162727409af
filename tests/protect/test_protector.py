"""`Protector`: transparent and grey images, closed for good; which faces get another pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from faceenc.core import NoFaceError
from faceenc.data import enlarge, read_orl
from faceenc.protect import Evidence, Options, Protector, Strength, gather_evidence, protect_faces
from tests.encrypting import portrait, save

QUICK = Options(strength=Strength.bounded(10 / 255, 5), surrogates=("dlib",))


@pytest.fixture(scope="module")
def protector() -> Iterator[Protector]:
    with Protector(QUICK) as opened:
        yield opened


@pytest.fixture(scope="module")
def face() -> Image.Image:
    return Image.fromarray(enlarge(read_orl()["s1/1"]))


def test_grey_and_transparent_images_come_back_as_they_went_in(protector: Protector, face: Image.Image) -> None:
    clear = face.convert("LA")
    clear.putalpha(100)
    before = clear.copy()
    protected = protector(clear)
    assert clear == before
    assert protected.image.mode == "LA"
    assert protected.image.getpixel((0, 0))[1] == 100  # type: ignore[index]
    (outcome,) = protected.outcomes
    assert outcome.steps == 5


def test_no_face_and_a_closed_protector_are_errors(face: Image.Image) -> None:
    with Protector(QUICK) as protector:
        with pytest.raises(NoFaceError, match="on_no_face=whole"):
            protector(np.full((200, 200, 3), 90, np.uint8))
        protector(face)  # an error leaves it usable
    with pytest.raises(ValueError, match="closed"):
        protector(face)


def test_the_work_on_all_faces_is_told_in_hundredths(protector: Protector, tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png", np.hstack([portrait("s1/1"), portrait("s5/1")]))
    told: list[tuple[str, int, int]] = []
    protector(photo, output=tmp_path / "b.png", progress=lambda *words: told.append(words))
    assert {(what, total) for what, _, total in told} == {("protecting", 100)}
    done = [number for _, number, _ in told]
    assert done == sorted(done)
    assert done[0] == 10
    assert done[-1] == 100


@pytest.mark.parametrize("eps", [10, 1])
def test_only_a_face_that_is_led_away_and_found_elsewhere_gets_another_pass(
    eps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first evidence is made to say that a stranger's detector cuts out the left face where dlib still matches it.

    At 1/255 neither face is led away at all: no other place helps.
    """
    photo = save(tmp_path / "a.png", np.hstack([portrait("s1/1", 2), portrait("s5/1", 2)]))
    passes: list[dict[str, Any]] = []
    outcomes = []

    def protect(*words: Any, **options: Any) -> Any:
        passes.append(options)
        changed = protect_faces(*words, **options)
        outcomes.append(changed[1])
        return changed

    def judge(*words: Any, **options: Any) -> Evidence:
        evidence = gather_evidence(*words, **options)
        if len(passes) > 1:
            return evidence
        (left,) = (number for number, face in enumerate(evidence.faces) if face.box.x0 < 284)
        still = tuple(replace(seen, distances={"dlib": (0.1, 0.6)}) for seen in evidence.faces[left].seen)
        faces = [replace(face, seen=still) if number == left else face for number, face in enumerate(evidence.faces)]
        return replace(evidence, faces=tuple(faces), networks={"dlib": "dlib"})

    monkeypatch.setattr("faceenc.protect.passes.protect_faces", protect)
    monkeypatch.setattr("faceenc.protect.passes.gather_evidence", judge)
    with Protector(replace(QUICK, strength=Strength.bounded(eps / 255, 8))) as protector:
        encrypted = protector(photo, output=tmp_path / "b.png")
    assert {outcome.reached for outcome in outcomes[0]} == {eps == 10}
    assert len(passes) == (2 if eps == 10 else 1)
    if eps == 10:
        left = [face.box.x0 < 284 for face in encrypted.evidence.faces].index(True)
        assert passes[1]["known"][left] is None
        assert passes[1]["known"][1 - left] is outcomes[0][1 - left]
        assert [bool(places) for places in passes[1]["more"]] == [number == left for number in range(2)]
        assert encrypted.outcomes == outcomes[1]
