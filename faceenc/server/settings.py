"""What the server may do, checked before it starts."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path

from faceenc.core import ConfigError, read_text

_LEAST_TOKEN = 16  # characters


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Of one server.

    Attributes:
        host: to bind to; any but loopback needs a token.
        port: see there; 0 takes a free one.
        workers: processes that protect photos; one takes about 1 GB. They share the processor's cores.
        tokens: each lets in; none lets everybody in.
        max_megabytes: of a request.
        max_pixels: of a photo.
        max_faces: of a photo.
        queue: photos that may wait.
        ttl: seconds that a finished job is kept.
        grace: seconds that work under way has when the server is told to end.
        certfile: of TLS, PEM.
        keyfile: see there.
        allow_origins: other pages that may use the server (CORS), as "https://photos.example"; their hosts count as ours.
        rate: requests a minute and token that begin work.
    """

    host: str = "127.0.0.1"
    port: int = 8700
    workers: int = 1
    tokens: tuple[str, ...] = ()
    max_megabytes: float = 25
    max_pixels: int = 50_000_000
    max_faces: int = 30
    queue: int = 32
    ttl: float = 600
    grace: float = 30
    certfile: Path | None = None
    keyfile: Path | None = None
    allow_origins: tuple[str, ...] = ()
    rate: int = 120

    def __post_init__(self) -> None:
        if not self.is_loopback and not self.tokens:
            raise ConfigError(
                f"`host={self.host}` can be reached from other machines: add `token_file=FILE` with a token that they have"
                " to show, or bind to 127.0.0.1"
            )
        if (self.certfile is None) != (self.keyfile is None):
            raise ConfigError("`certfile` and `keyfile` belong together: give both, or none")
        for file in (self.certfile, self.keyfile):
            if file is not None and not file.is_file():
                raise ConfigError(f"no file {file}: TLS needs the certificate and its key")
        for origin in self.allow_origins:
            if not origin.startswith(("http://", "https://")) or origin.count("/") != 2:
                raise ConfigError(f"`allow_origin={origin}` is no origin: write it as https://photos.example")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches the server."""
        return self.host == "localhost" or (_is_address(self.host) and ipaddress.ip_address(self.host).is_loopback)

    @property
    def max_bytes(self) -> int:
        """Of a request's body."""
        return int(self.max_megabytes * 1e6)

    @property
    def max_held(self) -> int:
        """Bytes of photos, as they came and as they go, beyond which no job is taken."""
        return 20 * self.max_bytes

    @property
    def scheme(self) -> str:
        return "http" if self.certfile is None else "https"

    def is_ours(self, host: str) -> bool:
        """Whether a Host header names what the server is bound to: else pages of strange names reach it (DNS rebinding).

        Args:
            host: with or without a port.
        """
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        name = name.strip("[]").lower().rstrip(".")
        names = {
            "localhost",
            self.host.lower(),
            *(origin.partition("//")[2].partition(":")[0] for origin in self.allow_origins),
        }
        if self.is_loopback:
            return name in names | {"127.0.0.1", "::1"}
        own = socket.gethostname().lower()
        return name in names | {own, f"{own.partition('.')[0]}.local"} or _is_address(
            name
        )  # a page cannot choose an address


def read_tokens(path: Path) -> tuple[str, ...]:
    """A token a line; empty lines and what begins with # are none.

    Raises:
        ConfigError: the file cannot be read, holds none, or one that can be guessed.
    """
    make = "python -c 'import secrets; print(secrets.token_urlsafe(24))' makes one"
    try:
        lines = [line.strip() for line in read_text(path, "ascii").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror.lower() if isinstance(error, OSError) and error.strerror else "it is no plain text"
        raise ConfigError(f"cannot read the tokens in {path}: {reason}; {make}") from error
    tokens = tuple(line for line in lines if line and not line.startswith("#"))
    if not tokens or any(len(token) < _LEAST_TOKEN or not token.isprintable() or " " in token for token in tokens):
        raise ConfigError(f"{path}: expected a token of at least {_LEAST_TOKEN} letters and digits a line; {make}")
    return tokens


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
