"""Errors as HTTP says them: problem details (RFC 9457), each one line and the field that it is about."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

from faceenc.core import AssetError, ConfigError, ConsentError, FaceencError, NoFaceError
from faceenc.runs import Failure

MEDIA_TYPE = "application/problem+json"


class ProblemError(Exception):
    """An answer other than the one asked for.

    Args:
        status: of HTTP.
        detail: what, why, what to do, in one line.
        kind: of the problem, in one word; "" is what the status says.
        field: of the request that it is about.
        headers: of the answer.
    """

    def __init__(
        self, status: int, detail: str, *, kind: str = "", field: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.kind, self.field, self.headers = status, detail, kind, field, headers

    def record(self) -> dict[str, Any]:
        """JSON-like."""
        kind = f"/problems/{self.kind}" if self.kind else "about:blank"
        record = {"type": kind, "title": HTTPStatus(self.status).phrase, "status": self.status, "detail": self.detail}
        return record | ({"field": self.field} if self.field else {})

    def response(self) -> JSONResponse:
        return JSONResponse(self.record(), self.status, self.headers, MEDIA_TYPE)


def problem_of(error: Exception | Failure) -> ProblemError:
    """What a worker's error, or its end, is to whoever asked."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, Failure):
        return ProblemError(503, f"the photo's worker {error}: try again, or a smaller photo", kind="worker")
    if isinstance(error, NoFaceError):
        return ProblemError(422, _plain(error).partition(": nothing is written")[0], kind="no-face", field="photo")
    if isinstance(error, ConsentError):
        return ProblemError(403, _plain(error), kind="consent", field="consent")
    if isinstance(error, AssetError):
        return ProblemError(503, _plain(error), kind="asset")
    if isinstance(error, ConfigError):
        return ProblemError(422, _plain(error), kind="option")
    if isinstance(error, FaceencError):
        return ProblemError(422, _plain(error), kind="photo", field="photo")
    return ProblemError(500, "something went wrong here, and the server's log says what: try again", kind="fault")


def _plain(error: Exception) -> str:
    return " ".join(str(error).split()).replace("the photo's bytes", "the photo").replace("the image", "the photo")
