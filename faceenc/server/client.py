"""The client: photos to a server, protected photos and evidence back."""

from __future__ import annotations

import base64
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from faceenc.core import ConfigError, DataError, FaceencError, read_file
from faceenc.media import save_photo
from faceenc.protect import STRENGTHS, Options

if TYPE_CHECKING:
    import httpx

_CONNECT, _WORK = 10.0, 900.0  # seconds
_MOST_WAITS = 60


class ServerError(FaceencError):
    """A server that cannot be reached, or refuses: one line that says what, why and what to do."""


@dataclass(frozen=True)
class Sent:
    """What came back for a photo.

    Attributes:
        image: the protected photo's file.
        media_type: of it.
        evidence: as `faceenc encrypt --json` gives it.
        attacked: names of the judges that were attacked.
    """

    image: bytes
    media_type: str
    evidence: Mapping[str, Any]
    attacked: tuple[str, ...] = ()

    @property
    def matched(self) -> int:
        """How many faces are still matched, as saved, by a judge that was attacked."""
        return int(self.evidence["matched"])


class Client:
    """Sends photos to a server of `faceenc serve`. A context manager.

    >>> with faceenc.Client("http://127.0.0.1:8700") as client:
    ...     found = client.protect("photo.jpg")

    Args:
        url: of the server.
        token: where it wants one.
        patience: seconds to wait where the server is full; it says itself when to come again.
    """

    def __init__(self, url: str, *, token: str | None = None, patience: float = 600) -> None:
        try:
            import httpx
        except ImportError as error:
            raise ConfigError("a server is asked by httpx, which is not installed: pip install 'faceenc[server]'") from error
        self.url, self.patience = url.rstrip("/"), patience
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        timeout = httpx.Timeout(_WORK, connect=_CONNECT)
        try:
            # Without the environment's proxies, which do not lead into a house; SSL_CERT_FILE counts nonetheless.
            trusted = ssl.create_default_context()
            self._http = httpx.Client(base_url=self.url, headers=headers, timeout=timeout, trust_env=False, verify=trusted)
        except (httpx.InvalidURL, ValueError) as error:
            raise ConfigError(f"{url} is no address of a server ({error}): write it as http://192.168.1.5:8700") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the connection."""
        self._http.close()

    def protect(self, photo: str | Path | bytes, options: Options | None = None) -> Sent:
        """Let a photo be protected.

        Args:
            photo: path of a photo, or a photo file's bytes.
            options: how: strength (a preset, perhaps with fewer steps), faces, format, quality, decoy, seed, and a target
                with its consent; others are not a server's.

        Raises:
            ConfigError: another option is set.
            DataError: there is no such photo.
            ServerError: the server cannot be reached, or refuses.
        """
        options = options or Options()
        words = _words(options)
        data = photo if isinstance(photo, bytes) else _read(Path(photo))
        if options.target is not None:
            return self._by_job(data, words, options)
        answer = self._ask("POST", "/v1/protect", params=words, content=data, headers={"Accept": "application/json"})
        record = answer.json()
        image = base64.b64decode(record["photo"])
        return Sent(image, record["type"], record["evidence"], tuple(record["attacked"]))

    def verify(self, original: bytes, protected: bytes) -> dict[str, Any]:
        """What judges say of two photos' files, as `faceenc verify --json` gives it."""
        files = {"original": ("original", original), "protected": ("protected", protected)}
        found: dict[str, Any] = self._ask("POST", "/v1/verify", files=files).json()
        return found

    def _by_job(self, data: bytes, words: dict[str, str], options: Options) -> Sent:
        assert options.target is not None
        consent = options.consent if isinstance(options.consent, bytes) else _read(Path(str(options.consent)))
        files = {"photo": ("photo", data), "consent": ("consent", consent)}
        job = self._ask("POST", "/v1/jobs", data={**words, "to": options.target}, files=files).json()
        here = f"/v1/jobs/{job['id']}"
        try:
            self._listen(job["events"])
            image = self._ask("GET", job["result"])
            [photo] = self._ask("GET", here).json()["photos"]
        finally:
            self._ask("DELETE", here)
        return Sent(image.content, photo["type"], photo["evidence"], tuple(photo["attacked"]))

    def _listen(self, path: str) -> None:
        """Until the job is done, whatever came of it."""
        import httpx

        try:
            with self._http.stream("GET", path) as stream:
                for _ in stream.iter_lines():
                    pass
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> ServerError:
        reason = " ".join(str(error).split()) or type(error).__name__
        return ServerError(f"{self.url} cannot be reached ({reason}): check the address, and that it runs")

    def _ask(self, method: str, path: str, **words: Any) -> httpx.Response:
        """An answer that is no error; where the server is full, after waiting as it says."""
        import httpx

        deadline = time.monotonic() + self.patience
        for _ in range(_MOST_WAITS):
            try:
                answer = self._http.request(method, path, **words)
            except httpx.HTTPError as error:
                raise self._unreachable(error) from error
            wait = answer.headers.get("retry-after", "")
            if answer.status_code != 429 or not wait.isdecimal() or time.monotonic() + int(wait) > deadline:
                break
            time.sleep(int(wait))
        if answer.is_error:
            raise ServerError(f"{self.url} refuses: {_detail(answer)}")
        return answer


@dataclass(frozen=True, slots=True)
class EncryptRemotely:
    """The work of a folder run by a server: photo -> protected photo and what is known about it; picklable.

    Attributes:
        options: how.
        url: of the server.
        token: where it wants one.
    """

    options: Options
    url: str
    token: str | None = None

    def __call__(self, source: Path, target: Path) -> dict[str, Any]:
        with Client(self.url, token=self.token) as client:
            try:
                sent = client.protect(source, self.options)
            except ServerError as error:
                raise ServerError(f"cannot protect {source}: {error}") from error
        save_photo(target, sent.image, force=False)
        return dict(sent.evidence)

    def prepare(self) -> None:
        """Ask the server whether it is there, and the options whether they are for one, before the first photo."""
        _words(self.options)
        with Client(self.url, token=self.token) as client:
            client._ask("GET", "/v1/judges")


def _words(options: Options) -> dict[str, str]:
    """The options as a query.

    Raises:
        ConfigError: one that is not a server's.
    """
    from dataclasses import fields, replace

    own = {"strength", "faces", "format", "quality", "decoy", "seed", "target", "consent"}
    if options.target is not None:
        own |= {"surrogates"}
    others = [f.name for f in fields(options) if f.name not in own and getattr(options, f.name) != f.default]
    if others:
        raise ConfigError(f"`{others[0]}` is not for a server, which protects by its own nets: leave it or `server` out")
    name = next((n for n, s in STRENGTHS.items() if replace(options.strength, steps=s.steps) == s), None)
    if name is None or options.strength.steps > STRENGTHS[name].steps:
        raise ConfigError("a server takes the strengths as they are, with no more `steps`: leave `eps` and `shape` out")
    words = {
        "strength": name, "steps": str(options.strength.steps), "faces": options.faces,
        "format": (options.format or "same").lower(), "seed": str(options.seed),
    }  # fmt: skip
    given = {"quality": options.quality, "decoy": options.decoy}
    return words | {key: str(value) for key, value in given.items() if value is not None}


def _read(photo: Path) -> bytes:
    try:
        return read_file(photo)
    except OSError as error:
        raise DataError(f"cannot read {photo}: {(error.strerror or str(error)).lower()}; check the path") from error


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError):
        return f"it answers {answer.status_code}, as no server of faceenc does: check the address"
