"""Who is let in, and how much they may send: a layer around the whole application, before anything of a body is read."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import time
from collections import defaultdict
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from faceenc.server.metrics import Metrics
from faceenc.server.problems import ProblemError
from faceenc.server.settings import ServerSettings

logger = logging.getLogger(__name__)

_OPEN = ("/", "/v1/presets", "/health/live", "/health/ready")  # what needs no token, besides /static/
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self';"
    " form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
_SILENCE = 20.0  # seconds without a byte of a body
_SLOW, _BEGIN = 2_000, 15.0  # bytes a second that a body must come at, once so many seconds have gone
_MINUTE = 60.0


class Guard:
    """An ASGI layer: Host, Origin, token, rate, size and speed of bodies; headers of all answers; a line in the log each.

    Args:
        app: that is guarded.
        settings: what is allowed.
        metrics: counts.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings, metrics: Metrics) -> None:
        self.app, self.settings, self.metrics = app, settings, metrics
        self.draining = False
        self._digests = [hashlib.sha256(token.encode()).digest() for token in settings.tokens]
        self.receiving = 0  # bytes of the bodies of requests under way
        self._spent: dict[str, list[float]] = defaultdict(list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status, received = time.perf_counter(), 500, [0]

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add_headers(scope, message)
            await send(message)

        try:
            refused = self._refuse(scope)
            if refused is not None:
                await refused.response()(scope, receive, answer)
            else:
                await self.app(scope, self._measured(received, receive), answer)
        finally:
            self.receiving -= received[0]
            route = getattr(scope.get("route"), "path", "(none)")
            method = scope["method"] if scope["method"].isalpha() and len(scope["method"]) < 8 else "(other)"
            self.metrics.requests.labels(method, route, status).inc()
            logger.info("%s %s %s %.0f ms", method, route, status, 1000 * (time.perf_counter() - began))

    def _refuse(self, scope: Scope) -> ProblemError | None:
        """Why the request goes no further; sets `scope["owner"]`, who asks, otherwise."""
        headers, method, path = Headers(scope=scope), scope["method"], scope["path"]
        host = headers.get("host", "")
        if not self.settings.is_ours(host):
            return ProblemError(421, "the Host header names another server: use the address that it was started with")
        if method not in ("GET", "HEAD", "OPTIONS"):
            origin = headers.get("origin")
            if origin is not None and not self._ours(origin, host):
                return ProblemError(403, "another page sent this: use the server's own, or start it with --allow-origin")
            if origin is None and headers.get("sec-fetch-site") not in (None, "same-origin", "none"):
                return ProblemError(403, "another page sent this: use the server's own, or start it with --allow-origin")
        scope["owner"] = ""
        if self._digests and path not in _OPEN and not path.startswith("/static/") and method != "OPTIONS":
            owner = self._owner(headers.get("authorization", ""))
            if owner is None:
                wanted = {"WWW-Authenticate": 'Bearer realm="faceenc"'}
                return ProblemError(401, "a token is needed: send it as `Authorization: Bearer TOKEN`", headers=wanted)
            scope["owner"] = owner
        if self.draining and method == "POST":
            return ProblemError(503, "the server is ending: try again in a minute", headers={"Retry-After": "60"})
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self.settings.max_bytes:
            return self._too_large()
        if method == "POST" and scope["owner"]:
            return self._too_often(scope["owner"])
        return None

    def _ours(self, origin: str, host: str) -> bool:
        return origin in self.settings.allow_origins or origin.partition("://")[2] == host

    def _owner(self, authorization: str) -> str | None:
        kind, _, token = authorization.partition(" ")
        digest = hashlib.sha256(token.strip().encode(errors="surrogateescape")).digest()
        found = [one for one in self._digests if hmac.compare_digest(one, digest)]  # all of them, in constant time
        return found[0].hex() if found and kind.lower() == "bearer" else None

    def _too_often(self, owner: str) -> ProblemError | None:
        now = time.monotonic()
        recent = self._spent[owner] = [when for when in self._spent[owner] if now - when < _MINUTE]
        if len(recent) >= self.settings.rate:
            wait = {"Retry-After": str(int(_MINUTE - (now - recent[0])) + 1)}
            return ProblemError(429, f"more than {self.settings.rate} requests a minute: wait a little", headers=wait)
        recent.append(now)
        return None

    def _too_large(self) -> ProblemError:
        text = f"more than {self.settings.max_megabytes:g} megabytes: send smaller photos, or fewer at once"
        return ProblemError(413, text, field="photo", headers={"Connection": "close"})

    def _measured(self, received: list[int], receive: Receive) -> Receive:
        """The body as it comes, as long as it is neither too large nor too slow; `received` counts its bytes."""
        began, whole = time.monotonic(), False

        async def next_message() -> Message:
            nonlocal whole
            if whole:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), _SILENCE)
            except TimeoutError:
                raise _too_slow() from None
            size = len(message.get("body", b""))
            received[0] += size
            self.receiving += size
            whole = not message.get("more_body", False)
            spent = time.monotonic() - began
            if self.receiving > self.settings.max_held:
                text = "too much comes in at the same time: try again in a moment"
                raise ProblemError(429, text, kind="memory", headers={"Retry-After": "5", "Connection": "close"})
            if received[0] > self.settings.max_bytes:
                raise self._too_large()
            if not whole and spent > _BEGIN and received[0] < _SLOW * spent:
                raise _too_slow()
            return message

        return next_message

    def _add_headers(self, scope: Scope, message: Message) -> None:
        headers = MutableHeaders(scope=message)
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        if self.settings.scheme == "https":
            headers.setdefault("Strict-Transport-Security", "max-age=31536000")
        origin = Headers(scope=scope).get("origin")
        if origin in self.settings.allow_origins:
            headers["Access-Control-Allow-Origin"] = str(origin)
            headers["Vary"] = "Origin"
            headers["Access-Control-Allow-Methods"] = "GET, POST, DELETE"
            headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID"
            headers["Access-Control-Expose-Headers"] = "Evidence-SHA256, Faceenc-Faces, Faceenc-Matched, Location"
            headers["Cross-Origin-Resource-Policy"] = "cross-origin"


def _too_slow() -> ProblemError:
    return ProblemError(408, "the body came too slowly: send it anew", headers={"Connection": "close"})


def patient_protocol(silence: float = _SILENCE) -> type[Any]:
    """Uvicorn's protocol, which else waits for ever for a request that never begins, or whose headers never end.

    Each request of a connection has to have all its headers `silence` seconds after its first byte, the first one after
    the connection; between requests uvicorn's own limit of idleness counts, which ends with the next request's first byte.
    """
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Patient(H11Protocol):
        _due: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._due = self.loop.call_later(silence, self.transport.close)

        def handle_events(self) -> None:
            super().handle_events()
            begun = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
            if begun and self._due is None:
                self._due = self.loop.call_later(silence, self.transport.close)
            elif not begun:
                self._forget()

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget()
            super().connection_lost(exc)

        def _forget(self) -> None:
            if self._due is not None:
                self._due.cancel()
                self._due = None

    return Patient
