"""What the server answers."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from faceenc.media import enable_heif
from faceenc.protect import STRENGTHS
from faceenc.server import documented
from faceenc.server.bodies import FORMATS, MAX_PHOTOS, check_photo, raw_photo, read_form, read_options
from faceenc.server.jobs import Jobs, delivery
from faceenc.server.problems import ProblemError
from faceenc.server.records import ENDED, Item, Job
from faceenc.server.settings import ServerSettings
from faceenc.server.work import Done, Wish

_CHUNK = 1 << 16
_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/tiff": ".tif", "image/heif": ".heic"}

Words = Annotated[str | None, Query()]


def make_routes(settings: ServerSettings, jobs: Callable[[], Jobs], judges: Callable[[], list[dict[str, Any]]]) -> APIRouter:
    """All of /v1.

    Args:
        settings: of the server.
        jobs: its jobs, once it runs.
        judges: as of `faceenc.server.work.judges`.
    """
    router = APIRouter(prefix="/v1", responses=documented.PROBLEMS)

    @router.get("/presets", responses=documented.PRESETS)
    def presets() -> JSONResponse:
        """The strengths, and what this server takes."""
        limits = {
            "megabytes": settings.max_megabytes, "pixels": settings.max_pixels, "faces": settings.max_faces,
            "photos": MAX_PHOTOS,
        }  # fmt: skip
        texts = documented.STRENGTH_TEXTS
        named = [{"name": name, "steps": strength.steps, **texts[name]} for name, strength in STRENGTHS.items()]
        return JSONResponse(
            {
                "default": "balanced", "presets": named, "formats": [f for f in FORMATS if f != "same"],
                "heic": enable_heif(), "limits": limits, "token": bool(settings.tokens),
            }
        )  # fmt: skip

    @router.get("/judges", responses=documented.JUDGES)
    def who_judges() -> JSONResponse:
        """Who is asked whether faces still match; of each, whether it was attacked."""
        return JSONResponse({"judges": judges()})

    @router.post("/protect", openapi_extra=documented.RAW_PHOTO, responses=documented.PHOTO)
    async def protect(
        request: Request,
        strength: Words = None, faces: Words = None, format: Words = None, quality: Words = None,  # noqa: A002
        decoy: Words = None, seed: Words = None, steps: Words = None,
    ) -> Response:  # fmt: skip
        """Protect the photo in the body, and wait for it. With `Accept: application/json` evidence comes along."""
        if "to" in request.query_params or "consent" in request.query_params:
            text = "looking like somebody takes a job that carries that person's signed consent: POST /v1/jobs"
            raise ProblemError(403, text, kind="consent", field="to")
        given = {
            "strength": strength, "faces": faces, "format": format, "quality": quality, "decoy": decoy, "seed": seed,
            "steps": steps,
        }  # fmt: skip
        options = read_options({name: value for name, value in given.items() if value is not None})
        jobs().check_room(1, int(request.headers.get("content-length") or 0))  # before the body is read
        data = await raw_photo(request)
        check_photo(data, settings)
        async with _leaving(request) as gone:
            done = await jobs().run(Wish(data, options, max_faces=settings.max_faces), gone)
        headers = {
            "Faceenc-Matched": str(done.evidence["matched"]), "Faceenc-Faces": str(len(done.evidence["faces"])),
            "Evidence-SHA256": done.digest,
        }  # fmt: skip
        if "application/json" in request.headers.get("accept", ""):
            record = {"photo": base64.b64encode(done.data).decode(), "type": done.media_type}
            return JSONResponse({**record, "evidence": done.evidence, "attacked": list(done.attacked)}, headers=headers)
        return Response(done.data, media_type=done.media_type, headers=headers)

    @router.post("/verify", openapi_extra=documented.TWO_PHOTOS, responses=documented.EVIDENCE)
    async def verify(request: Request) -> JSONResponse:
        """Whether recognisers still match the people of the original in the protected photo."""
        files, _ = await read_form(request, ("original", "protected"))
        for name in ("original", "protected"):
            if len(files.get(name, ())) != 1:
                raise ProblemError(422, "expected two files, `original` and `protected`", field=name)
            check_photo(files[name][0].data, settings, name)
        async with _leaving(request) as gone:
            wish = Wish(files["original"][0].data, other=files["protected"][0].data)
            return JSONResponse((await jobs().run(wish, gone)).evidence)

    @router.post("/jobs", status_code=202, openapi_extra=documented.FORM, responses=documented.ACCEPTED)
    async def begin(request: Request) -> JSONResponse:
        """Hand in one or many photos, and fetch them later. An `Idempotency-Key` makes a repetition the same job."""
        owner, key = request.scope["owner"], request.headers.get("idempotency-key", "")[:200]
        if not jobs().knows(owner, key):
            jobs().check_room(1, int(request.headers.get("content-length") or 0))
        files, fields = await read_form(request, ("photo", "consent"))
        photos, consents = files.get("photo", []), files.get("consent", [])
        if not 1 <= len(photos) <= MAX_PHOTOS or len(consents) > 1:
            raise ProblemError(422, f"expected 1 to {MAX_PHOTOS} files `photo`, and at most one `consent`", field="photo")
        options = read_options(fields, to=fields.get("to"), consent=consents[0].data if consents else None)
        for photo in photos:
            check_photo(photo.data, settings)
        parts = [*(p.name.encode() + b"\0" + hashlib.sha256(p.data).digest() for p in photos), repr(options).encode()]
        job = jobs().add(
            [(photo.name, Wish(photo.data, options, max_faces=settings.max_faces)) for photo in photos],
            owner=owner, key=key, digest=hashlib.sha256(b"\n".join(parts)).hexdigest(),
        )  # fmt: skip
        here = f"/v1/jobs/{job.id}"
        record = {
            "id": job.id, "status": job.status, "events": f"{here}/events", "result": f"{here}/result",
            "photos": [{"number": item.number, "name": item.name} for item in job.items],
        }  # fmt: skip
        return JSONResponse(record, 202, {"Location": here})

    @router.get("/jobs/{number}", responses=documented.JOB)
    async def state(request: Request, number: str) -> JSONResponse:
        """How far a job is, and the evidence of its finished photos."""
        return JSONResponse(jobs().get(number, request.scope["owner"]).to_json())

    @router.get("/jobs/{number}/events", responses=documented.EVENTS)
    async def events(request: Request, number: str) -> StreamingResponse:
        """Server-sent events: queued, started, progress, photo, done. `Last-Event-ID` goes on from there."""
        job = jobs().get(number, request.scope["owner"])
        last = request.headers.get("last-event-id", "0")
        after = int(last) if last.isdecimal() and len(last) < 10 else 0
        return StreamingResponse(jobs().events(job, after), media_type="text/event-stream")

    @router.get("/jobs/{number}/result", responses=documented.RESULT)
    async def result(request: Request, number: str, photo: Words = None) -> Response:
        """The protected photo, or a ZIP of many with evidence.json; `photo` takes one of many."""
        job = jobs().get(number, request.scope["owner"])
        if photo is not None:
            if not photo.isdecimal() or len(photo) > 3 or int(photo) >= len(job.items):
                raise ProblemError(422, f"photo is a number from 0 to {len(job.items) - 1}", field="photo")
            return _one(job, job.items[int(photo)], jobs())
        if len(job.items) == 1:
            return _one(job, job.items[0], jobs())
        if job.status not in ENDED:
            raise ProblemError(409, f"the job is {job.status}: its events say when it is done", kind="early")
        headers = {"Content-Disposition": 'attachment; filename="protected.zip"'}
        return StreamingResponse(delivery(_zipped(job), job, jobs()), media_type="application/zip", headers=headers)

    @router.delete("/jobs/{number}", status_code=204, response_class=Response)
    async def forget(request: Request, number: str) -> Response:
        """Forget a job and its photos now; what is under way ends."""
        jobs().delete(jobs().get(number, request.scope["owner"]))
        return Response(status_code=204)

    return router


@asynccontextmanager
async def _leaving(request: Request) -> AsyncIterator[asyncio.Event]:
    """An event that is set when the client goes away; its request has been read."""
    gone = asyncio.Event()

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone.set()

    watching = asyncio.ensure_future(watch())
    try:
        yield gone
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


def _one(job: Job, item: Item, jobs: Jobs) -> Response:
    if item.problem is not None:
        raise item.problem
    if item.done is None:
        raise ProblemError(409, f"the photo is {item.status}: the job's events say when it is done", kind="early")
    name = _file_name(item.name, item.done).encode("ascii", "replace").decode().replace("?", "_")
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"', "Content-Length": str(len(item.done.data)),
        "Evidence-SHA256": item.done.digest,
    }  # fmt: skip
    data = item.done.data
    pieces = (data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK))
    return StreamingResponse(delivery(pieces, job, jobs), media_type=item.done.media_type, headers=headers)


def _zipped(job: Job) -> Iterator[bytes]:
    """A stored ZIP, one photo after the other."""
    sink = _Sink()
    records, names = [], set()
    with zipfile.ZipFile(sink, "w") as archive:  # type: ignore[call-overload]
        for item in job.items:
            record = item.to_json()
            if item.done is not None:
                stem, suffix = Path(_file_name(item.name, item.done)).stem, _SUFFIXES[item.done.media_type]
                name = next(n for k in range(len(job.items)) if (n := f"{stem}{f'-{k}' * bool(k)}{suffix}") not in names)
                names.add(name)
                record["file"] = name
                archive.writestr(zipfile.ZipInfo(name), item.done.data)
                yield sink.take()
            records.append(record)
        archive.writestr(zipfile.ZipInfo("evidence.json"), json.dumps(records, indent=1))
    yield sink.take()


class _Sink:
    """A file that is only written to, and emptied meanwhile."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        data, self._parts = b"".join(self._parts), []
        return data


def _file_name(name: str, done: Done) -> str:
    return f"{Path(name).stem or 'photo'}-protected{_SUFFIXES[done.media_type]}"
