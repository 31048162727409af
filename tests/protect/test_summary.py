"""What is said of a protected photo, in a line or two: from evidence made by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from faceenc.cli import print_evidence, what_is_seen
from faceenc.core import ASSETS, Box, Face
from faceenc.faces import Found
from faceenc.media import VARIANTS, Visibility
from faceenc.protect import STRENGTHS, Evidence, FaceEvidence, Options, Verdict, preset_alone, summary_line
from faceenc.recognizers import DLIB

NETWORKS = {"dlib": DLIB, **{name: ASSETS[name].sha256 for name in ("sface", "faceplugin", "mobilefacenet")}}
EVERYWHERE = "as saved, after JPEG at quality 75, at half size or blurred"
SEEN = Visibility(noise=62.44, butteraugli=3.812, shape=1.126)


def evidence(
    matched: Mapping[str, bool], networks: Mapping[str, str] = NETWORKS, *, visible: tuple[Visibility | None, ...] = (SEEN,)
) -> Evidence:
    """Of faces that each of these judges matches in all variants, or in none."""
    verdicts = tuple(
        Verdict(judge, variant, 0.5 if match else 1.0, 0.6, None, found=True)
        for judge, match in matched.items()
        for variant in VARIANTS
    )
    faces = tuple(FaceEvidence(Box(10, 10, 50, 50), 0.9, 30.0, seen, verdicts) for seen in visible)
    return Evidence(faces, 31.0, 41, {judge: networks[judge] for judge in matched})


def test_judges_that_agree_are_named_together() -> None:
    line = summary_line(evidence(dict.fromkeys(NETWORKS, False)), set(NETWORKS.values()))
    assert line == (
        f"attacked: dlib, sface, faceplugin and mobilefacenet no longer match the face {EVERYWHERE};"
        " no recogniser that was not attacked was asked; newer recognisers may still match"
    )


def test_the_attacked_come_first_and_apart_from_others() -> None:
    asked = evidence({"sface": False, "dlib": False, "faceplugin": True, "mobilefacenet": False})
    line = summary_line(asked, {DLIB, NETWORKS["faceplugin"]})
    assert line.split("; ") == [
        f"attacked: dlib no longer matches the face {EVERYWHERE}",
        "attacked: faceplugin still matches the face",
        f"not attacked: sface and mobilefacenet no longer match the face {EVERYWHERE}",
        "newer recognisers may still match",
    ]


def test_what_is_not_known_is_not_claimed() -> None:
    asked = evidence({"dlib": False, "sface": False, "other": True}, {**NETWORKS, "other": "0"})
    assert summary_line(asked).split("; ") == [
        f"attacked if encrypt's defaults were used: dlib and sface no longer match the face {EVERYWHERE}",
        "not attacked by encrypt's defaults: other still matches the face",
        "newer recognisers may still match",
    ]


@pytest.mark.parametrize("preset", STRENGTHS)
def test_of_a_preset_it_is_said_what_was_measured(preset: str) -> None:
    *_, measured, last = summary_line(evidence({"dlib": False}), {DLIB}, preset).split("; ")
    assert measured.startswith("at this strength recognisers that were not attacked matched no other photo of the person ")
    assert measured.endswith(" % of photos (reports/frontier)")
    assert last == "newer ones may still match"


def test_what_was_measured_holds_for_a_preset_alone() -> None:
    found = Found([Face(Box(0, 0, 9, 9), {}, 1.0, "yunet")], [], 0, 0)
    options = Options(strength=STRENGTHS["subtle"], surrogates=())
    assert preset_alone(options, found) == "subtle"
    assert preset_alone(replace(options, faces="largest", format="JPEG"), found) == "subtle"
    assert preset_alone(replace(options, strength=replace(options.strength, shape=0)), found) is None
    for other in ({"surrogates": ("dlib",)}, {"decoy": 3}, {"budget": 1.0}):
        assert preset_alone(replace(options, **other), found) is None
    whole = Found([Face(Box(0, 0, 9, 9), {}, 0.0, "whole")], [], 0, 0)
    assert preset_alone(options, whole) is None


@pytest.mark.parametrize(
    ("noise", "butteraugli", "words"),
    [
        (91, 0.8, "hardly seen side by side"),
        (91, 2.4, "seen on a close look"),
        (76.1, 2.9, "seen on a close look"),
        (62, 3.8, "seen"),
        (62, 5.4, "plainly seen"),
        (50, 3, "plainly seen"),
    ],
)
def test_noise_in_words_is_the_worse_of_two_measures(noise: float, butteraugli: float, words: str) -> None:
    said = what_is_seen(evidence({}, visible=(Visibility(noise, butteraugli, 0.9),)).to_json())
    assert said.startswith(f"noise {words} (SSIMULACRA2 ")


def test_of_several_faces_the_worst_is_said() -> None:
    other = Visibility(noise=76.4, butteraugli=2.4, shape=1.3)
    assert what_is_seen(evidence({}, visible=(SEEN, None, other)).to_json()) == (
        "the worst of 2 faces: noise seen (SSIMULACRA2 62.4, butteraugli 3.8), shape changed by 1.3 % of the face;"
        " largest change 41 of 255"
    )
    assert what_is_seen(evidence({}, visible=(None,)).to_json()) == "largest change 41 of 255"
    assert what_is_seen(replace(evidence({}), psnr=math.inf).to_json()) == "unchanged"


def test_the_table_shows_what_people_see_of_each_face(capsys: pytest.CaptureFixture[str]) -> None:
    record: dict[str, Any] = evidence({"dlib": False}, visible=(SEEN, None)).to_json()
    assert [(face["noise"], face["butteraugli"], face["shape"]) for face in record["faces"]] == [
        (62.4, 3.81, 1.13),
        (None, None, None),
    ]
    print_evidence(record, [])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["face", "1", "62.4", "3.81", "1.13", "%"] in lines
    assert ["face", "2", "-", "-", "-"] in lines
    assert ["whole", "photo", "31.0", "dB", "41", "of", "255"] in lines
