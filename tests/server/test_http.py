"""The server over HTTP: what programs ask of it, and what the hostile do."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import faceenc
from faceenc.cli import main
from faceenc.protect import STRENGTHS, Options, make_consent, today_utc
from faceenc.recognizers import DLIB
from tests.server.running import QUICK, Running, write_faces


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_faces(tmp_path_factory.mktemp("faces"), "s1/1", "s2/1")


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with Running("--max-megabytes", "3", "--max-pixels", "2M", "--queue", "4") as running:
        yield running.wait_until_ready()


@pytest.fixture
def http(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=120, trust_env=False) as client:
        yield client
        assert client.get("/health/ready").status_code == 200, "the server lives on"


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The problem details of an answer, which are one line."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    record: dict[str, Any] = answer.json()
    assert record["status"] == status
    assert "\n" not in record["detail"]
    assert record["detail"]
    return record


def wait(http: httpx.Client, job: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """A job's events until it is done."""
    events = []
    with http.stream("GET", job["events"]) as stream:
        name = ""
        for line in stream.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            if line.startswith("data: "):
                events.append((name, json.loads(line.removeprefix("data: "))))
    return events


def test_a_photo_comes_back_with_its_evidence(http: httpx.Client, faces: list[Path], tmp_path: Path) -> None:
    data = faces[0].read_bytes()
    answer = http.post("/v1/protect", params=QUICK, content=data)
    assert answer.headers["content-type"] == "image/png"
    assert (answer.headers["faceenc-faces"], answer.headers["cache-control"]) == ("1", "no-store")
    told = http.post("/v1/protect", params=QUICK, content=data, headers={"Accept": "application/json"})
    again = told.json()
    assert base64.b64decode(again["photo"]) == answer.content
    canonical = json.dumps(again["evidence"], sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert answer.headers["faceenc-matched"] == str(again["evidence"]["matched"])
    assert hashlib.sha256(canonical).hexdigest() == told.headers["evidence-sha256"]
    files = {"original": data, "protected": answer.content}
    found = http.post("/v1/verify", files=files).json()
    assert [v["judge"] for v in found["faces"][0]["judges"]][:1] == ["dlib"]
    jpeg = http.post("/v1/protect", params=QUICK | {"format": "jpeg", "quality": "90"}, content=data)
    assert (jpeg.headers["content-type"], jpeg.content[:2]) == ("image/jpeg", b"\xff\xd8")


def test_the_command_gives_the_same_bytes_with_a_server_and_without(
    server: Running, faces: list[Path], tmp_path: Path
) -> None:
    local, remote = tmp_path / "local.png", tmp_path / "remote.png"
    words = ["encrypt", str(faces[0]), "--strength", "subtle", "--steps", "2", "--json"]
    # In a process of its own: how MKL adds is settled when a process begins.
    command = [sys.executable, "-m", "faceenc", *words, "-o", str(local)]
    here = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    there = CliRunner().invoke(main, [*words, "-o", str(remote), "--server", server.url])
    assert (here.returncode, there.exit_code) == (4, 4), there.stderr
    assert local.read_bytes() == remote.read_bytes()
    one, other = json.loads(here.stdout), json.loads(there.stdout)
    assert one.keys() == other.keys()
    assert one["faces"] == other["faces"]


def test_a_client_says_what_is_wrong_in_one_line(server: Running, faces: list[Path]) -> None:
    quick = Options(strength=STRENGTHS["subtle"])
    with faceenc.Client(server.url) as client:
        with pytest.raises(faceenc.ConfigError, match="`thorough` is not for a server"):
            client.protect(faces[0], Options(thorough=True))
        with pytest.raises(faceenc.DataError, match=r"cannot read none.jpg: no such file"):
            client.protect("none.jpg", quick)
        with pytest.raises(faceenc.FaceencError, match="refuses: cannot read the photo"):
            client.protect(b"no photo", quick)
    with faceenc.Client("http://127.0.0.1:1") as client, pytest.raises(faceenc.FaceencError, match="cannot be reached"):
        client.protect(faces[0], quick)


def test_a_job_of_two_photos_tells_how_far_it_is(http: httpx.Client, faces: list[Path]) -> None:
    files = [("photo", ("../../etc/päss wd.png", faces[0].read_bytes())), ("photo", ("a\r\nb.png", faces[1].read_bytes()))]
    answer = http.post("/v1/jobs", data=QUICK, files=files, headers={"Idempotency-Key": "one"})
    job = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (202, f"/v1/jobs/{job['id']}")
    assert [photo["name"] for photo in job["photos"]] == ["päss wd.png", "a_0D_0Ab.png"]
    again = http.post("/v1/jobs", data=QUICK, files=files, headers={"Idempotency-Key": "one"}).json()
    assert again["id"] == job["id"]
    other = http.post("/v1/jobs", data=QUICK, files=files[:1], headers={"Idempotency-Key": "one"})
    assert "another request" in problem(other, 422)["detail"]
    events = wait(http, job)
    assert [name for name, _ in events[:2]] == ["queued", "started"]
    steps = [data for name, data in events if name == "progress" and data.get("distances")]
    assert {(data["photo"], data["step"], data["steps"]) for data in steps} >= {(0, 1, 2), (0, 2, 2), (1, 1, 2)}
    assert all(0 < value < 3 for data in steps for value in data["distances"].values())
    assert events[-1] == ("done", {"status": "done"})
    assert wait(http, job)[-1] == ("done", {"status": "done"}), "events after the end are told again"
    state = http.get(answer.headers["location"]).json()
    assert [photo["status"] for photo in state["photos"]] == ["done", "done"]
    assert http.get(job["result"], params={"photo": 1}).headers["content-type"] == "image/png"
    result = http.get(job["result"])
    with zipfile.ZipFile(io.BytesIO(result.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["päss wd-protected.png", "a_0D_0Ab-protected.png", "evidence.json"]
        assert [one["number"] for one in json.loads(archive.read("evidence.json"))] == [0, 1]
    assert http.get(answer.headers["location"]).json()["expires"] <= 60, "a minute after a complete delivery"
    assert http.delete(answer.headers["location"]).status_code == 204
    for path in (answer.headers["location"], job["events"], job["result"]):
        problem(http.get(path), 404)


def png(width: int, height: int, *, rows: int | None = None) -> bytes:
    """A file that says it has so many pixels, all of them black, in a few kilobytes; of so many rows, or of all."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" * (3 * width + 1)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(height if rows is None else rows)) + packer.flush()
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", data)
        + chunk(b"IEND", b"")
    )


def test_bad_photos_and_options_get_their_status_and_one_line(http: httpx.Client, faces: list[Path]) -> None:
    data = faces[0].read_bytes()
    noise = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(noise, "PNG")
    jpeg = io.BytesIO()
    Image.open(faces[0]).save(jpeg, "JPEG")
    cases: list[tuple[bytes, dict[str, str], int, str | None]] = [
        (b"", {}, 422, "photo"),
        (b"hello", {}, 422, "photo"),
        (data[: len(data) // 2], {}, 422, "photo"),
        (jpeg.getvalue()[:2000], {}, 422, "photo"),
        (b"GIF89a" + b"\xff" * 50, {}, 422, "photo"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", {}, 422, "photo"),
        (png(5000, 500), {}, 422, "photo"),
        (png(60000, 60000, rows=9), {}, 422, "photo"),
        (noise.getvalue(), QUICK, 422, "photo"),
        (b"x" * 3_000_001, {}, 413, "photo"),
        (data, {"strength": "none"}, 422, "strength"),
        (data, {"steps": "0"}, 422, "steps"),
        (data, {"steps": "1e3"}, 422, "steps"),
        (data, {"faces": "-1"}, 422, "faces"),
        (data, {"format": "exe"}, 422, "format"),
        (data, {"quality": "101"}, 422, "quality"),
        (data, {"quality": "90"}, 422, None),
        (data, {"seed": "9" * 40}, 422, "seed"),
        (data, {"decoy": "\x00\r\nX-A: b"}, 422, "decoy"),
        (data, {"to": "Ada"}, 403, "to"),
    ]
    for content, params, status, field in cases:
        record = problem(http.post("/v1/protect", params=params, content=content), status)
        assert record.get("field") == field, (record, params)
    assert problem(http.post("/v1/jobs", data={"steps": "2"}), 415)
    problem(http.post("/v1/jobs", content=b"--x--", headers={"Content-Type": "multipart/form-data; boundary=x"}), 422)
    problem(http.post("/v1/jobs", content=b"abc", headers={"Content-Type": "multipart/form-data; boundary=x"}), 400)
    problem(http.post("/v1/jobs", files={"photo": data}, data={"colour": "red"}), 422)
    problem(http.post("/v1/verify", files={"original": data}), 422)
    problem(http.get("/v1/jobs/..%2f..%2fetc%2fpasswd"), 404)
    problem(http.get("/static/../settings.py"), 404)
    problem(http.get("/static/%2e%2e/settings.py"), 404)
    problem(http.put("/v1/protect", content=data), 405)
    chunked = http.post("/v1/protect", content=(b"x" * 100_000 for _ in range(40)))
    problem(chunked, 413)


def test_only_the_server_s_own_pages_and_names_reach_it(http: httpx.Client, faces: list[Path]) -> None:
    data = faces[0].read_bytes()
    for host in ("evil.example", "evil.example:8700", "127.0.0.1.evil.example", "", "localhost.", "[::2]"):
        answer = http.get("/v1/presets", headers={"Host": host})
        assert answer.status_code == (200 if host == "localhost." else 421), host
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
        problem(http.post("/v1/protect", content=data, headers={"Origin": origin}), 403)
        problem(http.delete("/v1/jobs/x", headers={"Origin": origin}), 403)
    problem(http.post("/v1/protect", content=data, headers={"Sec-Fetch-Site": "cross-site"}), 403)
    own = str(http.base_url).rstrip("/")
    problem(http.delete("/v1/jobs/x", headers={"Origin": own}), 404)
    answer = http.get("/")
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert "access-control-allow-origin" not in http.get("/", headers={"Origin": "https://evil.example"}).headers
    names = {
        line.partition("{")[0].partition(" ")[0]
        for line in http.get("/metrics").text.splitlines()
        if not line.startswith("#")
    }
    assert {"faceenc_requests_total", "faceenc_photos_waiting", "faceenc_bytes_held"} <= names


@pytest.fixture(scope="module")
def consent() -> bytes:
    pytest.importorskip("cryptography")
    embeddings = np.random.default_rng(0).normal(size=(1, 128)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    today = today_utc()
    return make_consent("Ada", {DLIB: embeddings}, ["ab" * 32], signed=today, valid_until=today + timedelta(days=1)).encode()


def test_looking_like_somebody_takes_a_consent_that_holds(http: httpx.Client, faces: list[Path], consent: bytes) -> None:
    today = datetime.now(UTC).date()
    rows = np.ones((1, 128), np.float32) / 128**0.5
    old = make_consent(
        "Ada", {DLIB: rows}, ["ab" * 32], signed=today - timedelta(9), valid_until=today - timedelta(2)
    ).encode()
    data = faces[0].read_bytes()

    def ask(name: str, file: bytes | None) -> httpx.Response:
        files = {"photo": data} | ({"consent": file} if file is not None else {})
        return http.post("/v1/jobs", data={**QUICK, "to": name}, files=files)

    for name, file, says in (
        ("Ada", None, "needs that person's signed consent"),
        ("Ada", old, "expired"),
        ("Bob", consent, "is that of Ada, not of Bob"),
        ("Ada", consent.replace(b"Ada", b"Bob"), "does not hold"),
        ("Ada", b"{}", "is not a consent"),
        ("Ada", b"\xff" * 999, "is not a consent"),
    ):
        record = problem(ask(name, file), 403)
        assert says in record["detail"]
        assert record["field"] == "consent"
    job = ask("Ada", consent).json()
    assert wait(http, job)[-1] == ("done", {"status": "done"})
    [photo] = http.get(f"/v1/jobs/{job['id']}").json()["photos"]
    assert photo["attacked"] == ["dlib"]


def test_a_full_queue_says_when_to_come_again_and_a_leaver_frees_his_worker(
    server: Running, http: httpx.Client, faces: list[Path]
) -> None:
    data = faces[0].read_bytes()
    long = {"strength": "strong"}

    def leave() -> None:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{server.url}/v1/protect", params=long, content=data, timeout=2, trust_env=False)

    jobs = []
    with ThreadPoolExecutor(1) as pool:
        leaving = pool.submit(leave)
        time.sleep(0.5)
        keyed = [{"Idempotency-Key": str(number)} for number in range(6)]
        answers = [http.post("/v1/jobs", data=long, files={"photo": data}, headers=headers) for headers in keyed]
        jobs = [answer.json()["id"] for answer in answers if answer.status_code == 202]
        full = [answer for answer in answers if answer.status_code != 202]
        assert len(jobs) >= 3
        assert full
        assert int(full[0].headers["retry-after"]) >= 1
        assert "wait already" in problem(full[0], 429)["detail"]
        again = http.post("/v1/jobs", data=long, files={"photo": data}, headers=keyed[0])
        assert again.json()["id"] == jobs[0], "what is known needs no room"
        leaving.result()
    for job in jobs:
        assert http.delete(f"/v1/jobs/{job}").status_code == 204
    began = time.monotonic()
    assert http.post("/v1/protect", params=QUICK, content=data).status_code == 200
    assert time.monotonic() - began < 60


@pytest.mark.slow
def test_a_killed_worker_costs_time_only(server: Running, http: httpx.Client, faces: list[Path]) -> None:
    job = http.post("/v1/jobs", data=QUICK | {"steps": "12"}, files={"photo": faces[0].read_bytes()}).json()
    killed = False
    with http.stream("GET", job["events"]) as stream:
        for line in stream.iter_lines():
            if not killed and '"step":1,' in line:
                killed = True
                for pid in server.workers:
                    os.kill(pid, signal.SIGKILL)
    assert killed
    assert http.get(f"/v1/jobs/{job['id']}").json()["status"] == "done"
    deadline = time.monotonic() + 60
    while http.get("/health/ready").status_code != 200 and time.monotonic() < deadline:
        time.sleep(0.2)


def test_the_idle_and_the_slow_hold_nobody_up(server: Running, http: httpx.Client) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection((host, int(port)), 10)) for _ in range(300)]
        idle[0].sendall(b"POST /v1/protect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx")
        idle[1].sendall(b"GET / HTTP/1.1\r\nHost: loc")
        idle[2].sendall(b"\x16\x03\x01" + b"\0" * 200)
        idle[3].sendall(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000)
        began = time.monotonic()
        assert http.get("/v1/presets").status_code == 200
        assert time.monotonic() - began < 5


def test_bodies_that_come_at_the_same_time_are_bounded_together(server: Running, http: httpx.Client) -> None:
    """Twenty times the largest body are held at most, and these never end."""
    host, port = server.url.removeprefix("http://").split(":")
    body = b"POST /v1/protect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 2_900_000
    with ExitStack() as stack:
        sending = [stack.enter_context(socket.create_connection((host, int(port)), 20)) for _ in range(25)]
        refused = 0
        for one in sending:
            one.sendall(body)
            one.settimeout(0.2)
            try:
                refused += one.recv(200).startswith(b"HTTP/1.1 429")
            except TimeoutError:
                one.settimeout(20)
        assert 1 <= refused <= 6
    deadline = time.monotonic() + 10
    while http.post("/v1/protect", content=b"x" * 2_900_000).status_code != 422:  # all is let go of
        assert time.monotonic() < deadline


def test_tokens_let_in_and_a_server_for_others_needs_one(faces: list[Path], tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("# of the house\ntwenty-letters-of-luck\nanother-of-twenty-letters\n")
    for words, says in (
        (("--host", "0.0.0.0"), "can be reached from other machines"),
        (("--token-file", str(tmp_path / "none")), "cannot read the tokens"),
        (("--certfile", str(tmp_path / "none")), "belong together"),
        (("--max-pixels", "lots"), "give a number such as 50M"),
        (("--host", "192.0.2.1", "--token-file", str(tmp_path / "tokens")), "cannot listen on 192.0.2.1"),
    ):
        done = CliRunner().invoke(main, ["serve", "--port", "0", *words])
        assert done.exit_code == 2, done.stderr
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1
        assert says in errors[0]
    words = ("--host", "0.0.0.0", "--token-file", str(tmp_path / "tokens"))
    with Running(*words) as server, httpx.Client(base_url=server.url, trust_env=False) as http:
        for token in (None, "wrong", "twenty-letters-of-luc", "Twenty-letters-of-luck"):
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            answer = http.get("/v1/judges", headers=headers)
            problem(answer, 401)
            assert answer.headers["www-authenticate"].startswith("Bearer")
        for path in ("/", "/static/app.js", "/v1/presets", "/health/live"):
            assert http.get(path).status_code == 200
        owners = [{"Authorization": f"Bearer {token}"} for token in ("twenty-letters-of-luck", "another-of-twenty-letters")]
        assert http.get("/v1/judges", headers=owners[0]).status_code == 200
        job = http.post("/v1/jobs", data=QUICK, files={"photo": faces[0].read_bytes()}, headers=owners[0]).json()
        problem(http.get(f"/v1/jobs/{job['id']}", headers=owners[1]), 404)
        assert http.get(f"/v1/jobs/{job['id']}", headers=owners[0]).status_code == 200
    assert "travel in clear" in server.stderr
    assert "luck" not in server.stderr
    assert "s1-1" not in server.stderr
