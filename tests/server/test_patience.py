"""Connections that begin a request and never end it are closed, the first request and every later one."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("uvicorn")

import uvicorn

from faceenc.server import patient_protocol

WHOLE = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
HALF = b"GET / HTTP/1.1\r\nHost: loc"
_SILENCE, _IDLE = 1.0, 3  # seconds; the second is uvicorn's, between requests


async def _hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"hi"})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(
            _hello, http=patient_protocol(_SILENCE), ws="none", lifespan="off", log_config=None, timeout_keep_alive=_IDLE
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join(10)


@pytest.mark.parametrize(
    ("answered", "pieces"),
    [
        (0, [HALF]),
        (1, [WHOLE, HALF]),
        (1, [WHOLE + HALF]),
        (2, [WHOLE, WHOLE, HALF]),
        (1, [WHOLE, *(bytes([byte]) for byte in HALF)]),  # a trickle does not begin the time anew
    ],
)  # fmt: skip
def test_headers_that_do_not_end_are_not_waited_for(port: int, answered: int, pieces: list[bytes]) -> None:
    with socket.create_connection(("127.0.0.1", port), 10) as line:
        began = time.monotonic()
        for piece in pieces:
            line.sendall(piece)
            time.sleep(0.02)
        got = b"".join(iter(lambda: line.recv(4096), b""))  # until the server closes; else the line's own time runs out
        assert got.count(b" 200 ") == answered
        assert time.monotonic() - began < _IDLE  # not uvicorn's limit did it


def test_a_connection_may_pause_between_requests(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 10) as line:
        for _ in range(2):
            line.sendall(WHOLE)
            got = b""
            while not got.endswith(b"hi"):  # headers and body may come apart
                piece = line.recv(4096)
                assert piece, f"closed after {got!r}"
                got += piece
            time.sleep(1.3 * _SILENCE)
