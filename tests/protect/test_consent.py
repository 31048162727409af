"""Consents: made from real faces, signed, and refused for every reason there is."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from faceenc.cli import main
from faceenc.core import ConsentError, DataError
from faceenc.protect import (
    clean_name,
    fingerprint,
    load_consent,
    make_consent,
    own_public_key,
    read_consent,
    same_name,
    sign,
    signature_holds,
    statement,
    today_utc,
)
from faceenc.recognizers import DLIB, MATCH_DISTANCE, Portrait, ensemble_networks, read_portraits, strangers
from tests.face_photos import write_blank, write_people

NAME = "Zoë Müller"
DAY = date(2030, 3, 1)
UNTIL = date(2030, 3, 31)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    write_people(folder, {"s1": 4, "s2": 2, "s3": 1, "s4": 1, "s5": 1})
    write_blank(folder / "blank.png")
    return folder


@pytest.fixture(scope="module")
def portraits(people: Path) -> dict[str, Portrait]:
    names = ["s1/1", "s1/2", "s1/3", "s1/4", "s2/1", "s2/2", "s3/1", "s4/1", "s5/1"]
    return dict(zip(names, read_portraits([people / f"{name}.png" for name in names]), strict=True))


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEENC_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("FACEENC_LOG", str(tmp_path / "log"))


@pytest.fixture
def embeddings() -> Any:
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=(3, size)).astype(np.float32) for name, size in ((DLIB, 128), ("0c" * 32, 512))}


@pytest.fixture
def file(tmp_path: Path, embeddings: Any) -> Path:
    path = tmp_path / "zoe.consent"
    text = make_consent(NAME, embeddings, ["0a" * 32, "1b" * 32, "2c" * 32], signed=DAY, valid_until=UNTIL)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_consent_says_what_was_signed(file: Path, embeddings: Any) -> None:
    for name in (NAME, "zoe\u0308  MU\u0308LLER "):
        consent = read_consent(file, name=name, today=DAY)
        assert consent.name == NAME
        assert consent.embeddings.keys() == embeddings.keys()
        for network, rows in consent.embeddings.items():
            assert np.array_equal(rows, embeddings[network])
            assert rows.dtype == np.float32
        assert (consent.signed, consent.valid_until) == (DAY, UNTIL)
        assert consent.photos == ("0a" * 32, "1b" * 32, "2c" * 32)
        assert consent.fingerprint == fingerprint(own_public_key())
        assert consent.statement == statement(NAME, UNTIL)
        assert NAME in consent.statement
        assert "2030-03-31" in consent.statement


@pytest.mark.parametrize(
    ("name", "today", "reason"),
    [
        ("Ada", DAY, "is that of Zoë Müller, not of Ada"),
        (NAME, UNTIL + timedelta(days=1), "expired on 2030-03-31"),
        (NAME, DAY - timedelta(days=1), "not valid before 2030-03-01"),
        ("", DAY, "is no name"),
    ],
)
def test_it_holds_for_one_person_and_for_its_days(file: Path, name: str, today: date, reason: str) -> None:
    with pytest.raises(ConsentError, match=reason) as caught:
        read_consent(file, name=name, today=today)
    assert "\n" not in str(caught.value)
    assert read_consent(file, name=NAME, today=UNTIL).valid_until == UNTIL


def edited(fields: dict[str, Any], key: str) -> dict[str, Any]:
    value = fields[key]
    if isinstance(value, list):
        return fields | {key: value[::-1]}
    if isinstance(value, dict):
        return fields | {key: {network: rows[::-1] for network, rows in value.items()}}
    if key in ("signed", "valid_until"):
        return fields | {key: value.replace("2030", "2031")}
    if key in ("public_key", "signature"):
        raw = base64.b64decode(value)
        return fields | {key: base64.b64encode(bytes([raw[0] ^ 1]) + raw[1:]).decode()}
    return fields | {key: value.replace("M", "N") if isinstance(value, str) else 0}


@pytest.mark.parametrize(
    "key",
    [
        "faceenc_consent",
        "name",
        "statement",
        "signed",
        "valid_until",
        "photos",
        "embeddings",
        "public_key",
        "signature",
    ],
)
def test_no_field_can_be_edited(file: Path, key: str) -> None:
    fields = json.loads(file.read_text(encoding="utf-8"))
    changed = edited(fields, key)
    assert set(fields) == set(changed)
    assert changed != fields
    file.write_text(json.dumps(changed), encoding="utf-8")
    with pytest.raises(ConsentError, match="does not hold"):
        load_consent(file)


def test_the_layout_of_the_json_does_not_matter(file: Path) -> None:
    fields = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(dict(sorted(fields.items(), reverse=True)), indent=4), encoding="utf-8")
    assert load_consent(file).name == NAME


def sign_anew(file: Path, fields: dict[str, Any]) -> None:
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    signature = base64.b64encode(sign(b"faceenc consent\n" + canonical.encode())).decode()
    file.write_text(json.dumps(fields | {"signature": signature}), encoding="utf-8")


def test_a_consent_of_version_1_holds_for_dlib_alone(file: Path, embeddings: Any) -> None:
    fields = json.loads(file.read_text(encoding="utf-8"))
    del fields["signature"]
    sign_anew(file, fields | {"faceenc_consent": 1, "embeddings": fields["embeddings"][DLIB]})
    consent = load_consent(file)
    assert consent.embeddings.keys() == {DLIB}
    assert np.array_equal(consent.embeddings[DLIB], embeddings[DLIB])


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields | {"more": 1},
        lambda fields: {name: value for name, value in fields.items() if name != "photos"},
        lambda fields: fields | {"statement": "I agree to nothing."},
        lambda fields: fields | {"name": "Ada\x1b[2J"},
        lambda fields: fields | {"embeddings": {DLIB: fields["embeddings"][DLIB][:2]}},
        lambda fields: fields | {"embeddings": {DLIB: ["AAAA"] * 3}},
        lambda fields: fields | {"embeddings": {DLIB: [base64.b64encode(b"\xff" * 512).decode()] * 3}},
        lambda fields: fields | {"embeddings": {"0c" * 32: fields["embeddings"]["0c" * 32]}},
        lambda fields: fields | {"embeddings": fields["embeddings"][DLIB]},
        lambda fields: fields | {"embeddings": {f"{k}": fields["embeddings"][DLIB] for k in (DLIB, *range(16))}},
        lambda fields: fields | {"embeddings": {}, "photos": []},
        lambda fields: fields | {"valid_until": "never"},
        lambda fields: fields | {"photos": ["\x1b[2J", "x", "y"]},
        lambda fields: fields | {"faceenc_consent": "1"},
    ],
)
def test_a_good_signature_does_not_make_nonsense_a_consent(file: Path, change: Callable[[Any], Any]) -> None:
    fields = json.loads(file.read_text(encoding="utf-8"))
    del fields["signature"]
    changed = change(fields)
    sign_anew(file, changed)
    with pytest.raises(ConsentError, match="not a consent of faceenc, or is damaged"):
        load_consent(file)


def test_signed_anew_by_another_the_fingerprint_tells(file: Path) -> None:
    fields = json.loads(file.read_text(encoding="utf-8"))
    before = load_consent(file).fingerprint
    del fields["signature"]
    other = Ed25519PrivateKey.generate()
    fields["public_key"] = base64.b64encode(other.public_key().public_bytes_raw()).decode()
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    fields["signature"] = base64.b64encode(other.sign(b"faceenc consent\n" + canonical.encode())).decode()
    file.write_text(json.dumps(fields), encoding="utf-8")
    assert load_consent(file).fingerprint != before


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG",
        b"{}",
        b"[]",
        b"null",
        b'"x"',
        b"\xff\xfe",
        b'{"faceenc_consent": 1}',
        b'{"faceenc_consent": 1, "signature": 5, "public_key": 7}',
        b'{"faceenc_consent": 1, "signature": "", "public_key": "", "a": "\\ud800"}',
        b"[" * 200_000,
        b" " * (1 << 23) + b"{}",
    ],
)
def test_files_that_are_no_consents(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.consent"
    path.write_bytes(content)
    with pytest.raises(ConsentError, match="is not a consent of faceenc, or is damaged"):
        load_consent(path)


def test_a_field_twice_a_newer_version_and_no_file(file: Path, tmp_path: Path) -> None:
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("{", '{"name": "Ada",', 1), encoding="utf-8")
    with pytest.raises(ConsentError, match="damaged"):
        load_consent(file)
    file.write_text(text.replace('"faceenc_consent": 2', '"faceenc_consent": 3'), encoding="utf-8")
    with pytest.raises(ConsentError, match="version 3, newer than this faceenc"):
        load_consent(file)
    with pytest.raises(ConsentError, match="no such file"):
        load_consent(tmp_path / "none.consent")


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\x00b", "a\u202eb", "\ud800"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(ConsentError, match="is no name"):
        clean_name(name)


def test_names_are_compared_as_people_do() -> None:
    assert same_name(" ada   LOVELACE", "Ada Lovelace")
    assert not same_name("Ada Lovelace", "Ada Lovelac")
    assert clean_name("Наталья\t O'Neill-Łuk") == "Наталья O'Neill-Łuk"


def test_the_key_is_made_once_and_is_the_user_s_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = own_public_key()
    path = tmp_path / "config" / "consent-key.pem"
    assert own_public_key() == first
    assert signature_holds(b"x", public_key=first, signature=sign(b"x"))
    assert not signature_holds(b"y", public_key=first, signature=sign(b"x"))
    assert not signature_holds(b"x", public_key=b"short", signature=sign(b"x"))
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.chmod(0o644)
        own_public_key()
        assert "chmod 600" in caplog.text
    path.unlink()
    assert own_public_key() != first


def test_two_first_commands_at_once_sign_with_one_key(tmp_path: Path) -> None:
    script = "import sys; from faceenc.protect import own_public_key; print(own_public_key().hex())"
    running = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = {process.communicate(timeout=60)[0] for process in running}
    assert said == {f"{own_public_key().hex()}\n"}
    assert [entry.name for entry in (tmp_path / "config").iterdir()] == ["consent-key.pem"]


def test_a_key_that_cannot_be_read_or_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_public_key()
    path = tmp_path / "config" / "consent-key.pem"
    for content in (b"", b"rubbish", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"):
        path.write_bytes(content)
        with pytest.raises(ConsentError, match="is damaged"):
            own_public_key()
        assert path.read_bytes() == content
    monkeypatch.setenv("FACEENC_CONFIG", str(path))
    with pytest.raises(ConsentError, match="set FACEENC_CONFIG to a writable folder"):
        own_public_key()


def test_without_the_extra_one_line_says_what_to_install(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(ConsentError, match=r"pip install 'faceenc\[key\]'"):
        load_consent(file)


def test_photos_of_one_person_agree_and_others_do_not(portraits: dict[str, Portrait]) -> None:
    one, two = portraits["s1/1"], portraits["s2/1"]
    assert one.embedding.shape == (128,)
    assert np.linalg.norm(one.embedding - portraits["s1/2"].embedding) < MATCH_DISTANCE
    assert strangers([one]) == []
    own = [portraits[f"s1/{number}"] for number in range(1, 5)]
    assert strangers(own) == []
    assert strangers([*own, two]) == [two]
    assert strangers([one, two]) == [one, two]
    assert len(strangers([portraits[f"s{person}/1"] for person in range(1, 6)])) >= 4


def test_copies_add_nothing_and_a_photo_needs_a_face(people: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.png"
    copy.write_bytes((people / "s1/1.png").read_bytes())
    assert [portrait.path.name for portrait in read_portraits([people / "s1/1.png", copy])] == ["1.png"]
    with pytest.raises(DataError, match=r"no face found in .*blank\.png"):
        read_portraits([people / "s1/1.png", people / "blank.png"])
    with pytest.raises(DataError, match="no such file"):
        read_portraits([people / "none.png"])


def run(*words: str | Path, typed: str | None = None) -> Result:
    return CliRunner().invoke(main, ["consent", *map(str, words)], input=typed)


def test_the_command_from_statement_to_file(people: Path, tmp_path: Path, portraits: dict[str, Portrait]) -> None:
    output = tmp_path / "own.consent"
    done = run(NAME, people / "s1/1.png", people / "s1/2.png", "--output", output, "--valid-days", "10", typed=f"{NAME}\n")
    assert done.exit_code == 0, done.output
    consent = read_consent(output, name=NAME)
    assert statement(NAME, consent.valid_until) in done.output
    assert consent.fingerprint in done.output
    assert consent.valid_until - consent.signed == timedelta(days=10)
    assert consent.signed in (today_utc(), today_utc() - timedelta(days=1))
    wanted = [portraits["s1/1"], portraits["s1/2"]]
    assert consent.embeddings.keys() == ensemble_networks().keys()
    for network, rows in consent.embeddings.items():
        assert np.allclose(rows, [portrait.embeddings[network] for portrait in wanted], atol=1e-5)
    assert consent.photos == tuple(portrait.sha256 for portrait in wanted)
    line = json.loads((tmp_path / "log" / "audit.jsonl").read_text(encoding="utf-8"))
    assert (line["action"], line["fingerprint"]) == ("consent", consent.fingerprint)

    again = run(NAME, people / "s1/3.png", "--output", output, "--yes-i-am", NAME)
    assert again.exit_code == 2
    assert "exists already" in again.output
    again = run(NAME, people / "s1/3.png", "--output", output, "--yes-i-am", NAME, "--force")
    assert again.exit_code == 0, again.output
    assert load_consent(output).fingerprint == consent.fingerprint
    assert len(load_consent(output).photos) == 1

    shown = run("--show", output)
    assert shown.exit_code == 0
    for words in (
        NAME,
        "valid today",
        consent.fingerprint,
        portraits["s1/3"].sha256,
        "I agree that",
        "dlib, sface, faceplugin",
    ):
        assert words in shown.output


@pytest.mark.parametrize(
    ("words", "typed", "reason"),
    [
        (("Ada", "s1/1.png"), "Zoë\n", "that is not Ada: nothing was written"),
        (("Ada", "s1/1.png", "--yes-i-am", "Zoë"), None, "that is not Ada: nothing was written"),
        (("Ada", "s1/1.png"), "", "Aborted!"),
        (("Ada", "s1/1.png", "s1/2.png", "s2/1.png", "--yes-i-am", "ada"), None, "2/1.png differ"),
        (("Ada", "blank.png", "--yes-i-am", "Ada"), None, "no face found"),
        (("Ada",), None, "give your name and a few photos"),
        ((), None, "give your name and a few photos"),
        (("  ", "s1/1.png"), None, "is no name"),
        (("Ada", "s1/1.png", "--show", "x"), None, "leave NAME and PHOTOS out"),
        (("--show", "x"), None, "no such file"),
    ],
)
def test_nothing_is_written_where_something_is_amiss(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], typed: str | None, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*(people / word if word.endswith(".png") else word for word in words), typed=typed)
    assert done.exit_code in (1, 2)
    assert reason.casefold() in done.output.casefold()
    assert not list(tmp_path.glob("*.consent"))
    assert not (tmp_path / "log").exists()


def test_a_name_makes_a_file_name_without_surprises(people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("../Zoë/O'Neill", people / "s1/1.png", "--yes-i-am", "../Zoë/O'Neill")
    assert done.exit_code == 0, done.output
    assert [path.name for path in tmp_path.glob("*.consent")] == ["___Zoë_O'Neill.consent"]
