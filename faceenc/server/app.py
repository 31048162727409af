"""The application, and the server that runs it until it is told to end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from faceenc import __version__
from faceenc.core import ConfigError
from faceenc.runs import Pool
from faceenc.server.guards import Guard, patient_protocol
from faceenc.server.jobs import Jobs
from faceenc.server.metrics import Metrics
from faceenc.server.problems import ProblemError
from faceenc.server.routes import make_routes
from faceenc.server.settings import ServerSettings
from faceenc.server.work import fulfil, judges, open_nets

logger = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "page"
_WORKER_MEMORY = 4e9  # bytes; a photo of 50 megapixels takes about 2


class Application:
    """What a server is made of.

    Args:
        settings: of the server.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.judges = judges()
        # As many as a command of one's own takes: another number adds in another order, and gives other last bits.
        chosen = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
        threads = int(chosen) if chosen.isdecimal() and int(chosen) else max(1, (os.cpu_count() or 1) // settings.workers)
        setup = partial(open_nets, threads)
        self.pool = Pool(fulfil, setup=setup, jobs=settings.workers, memory=_WORKER_MEMORY)
        self.jobs: Jobs | None = None
        self.metrics = Metrics(
            {
                ("photos_waiting", "Photos that no worker has begun"): lambda: self.pool.waiting,
                ("photos_running", "Photos that workers are at"): lambda: self.pool.busy,
                ("workers_ready", "Workers that can take a photo"): lambda: self.pool.ready,
                ("workers_replaced", "Workers that died or grew too large"): lambda: self.pool.replaced,
                ("bytes_held", "Bytes of photos in memory"): lambda: self.jobs.held if self.jobs else 0,
            }
        )
        self.app = self._app()
        self.guard = Guard(self.app, settings, self.metrics)

    def running(self) -> Jobs:
        """The jobs, which begin with the event loop."""
        assert self.jobs is not None
        return self.jobs

    def _app(self) -> FastAPI:
        app = FastAPI(
            title="faceenc", version=__version__, lifespan=self._life, docs_url=None, redoc_url=None,
            description="Protects photos of people from face recognisers. Photos live in memory only.",
        )  # fmt: skip
        app.include_router(make_routes(self.settings, self.running, lambda: self.judges))

        @app.get("/", include_in_schema=False)
        async def page() -> Response:
            return FileResponse(PAGE / "index.html", media_type="text/html")

        @app.get("/health/live", include_in_schema=False)
        async def live() -> dict[str, str]:
            return {"status": "live"}

        @app.get("/health/ready", include_in_schema=False)
        async def ready() -> dict[str, str]:
            if self.guard.draining or not self.pool.ready:
                why = f" ({self.pool.broken})" if self.pool.broken else ""
                raise ProblemError(503, f"no worker is ready{why}", kind="not-ready", headers={"Retry-After": "2"})
            return {"status": "ready"}

        @app.get("/metrics", include_in_schema=False)
        async def metrics() -> Response:
            return Response(self.metrics.text(), media_type="text/plain; version=0.0.4")

        app.mount("/static", StaticFiles(directory=PAGE))
        app.add_exception_handler(ProblemError, _as_problem)
        app.add_exception_handler(HTTPException, _as_problem)
        app.add_exception_handler(RequestValidationError, _as_problem)
        app.add_exception_handler(Exception, _as_problem)
        return app

    @asynccontextmanager
    async def _life(self, app: FastAPI) -> AsyncIterator[None]:
        self.jobs = Jobs(self.settings, self.pool, self.metrics)
        sweeping = asyncio.ensure_future(self.jobs.sweep())
        try:
            yield
        finally:
            sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await sweeping
            await asyncio.to_thread(self.pool.close)


def build_app(settings: ServerSettings) -> Guard:
    """The server as an ASGI application, its workers started.

    Raises:
        AssetError: a net cannot be had.
    """
    return Application(settings).guard


def serve(settings: ServerSettings, *, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C: then finish what runs, for `grace` seconds, and take nothing new.

    Args:
        settings: of the server.
        announce: told the address once requests are taken.

    Raises:
        ConfigError: the address is taken, or the certificate does not fit.
        AssetError: a net cannot be had.
    """
    import uvicorn

    whole = Application(settings)

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            if self.started:
                port = self.servers[0].sockets[0].getsockname()[1]
                host = _reachable(settings.host)
                announce(f"{settings.scheme}://{f'[{host}]' if ':' in host else host}:{port}/")

        def handle_exit(self, sig: int, frame: Any) -> None:
            whole.guard.draining = True
            self.force_exit = self.should_exit and sig == signal.SIGINT  # who presses Ctrl-C twice will not wait
            self.should_exit = True

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            # As uvicorn's, but that the signals have done their work with this: the process ends in good order.
            before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    config = uvicorn.Config(
        whole.guard, host=settings.host, port=settings.port, http=patient_protocol(), ws="none", log_config=None,
        access_log=False, server_header=False, timeout_keep_alive=15, timeout_graceful_shutdown=int(settings.grace),
        h11_max_incomplete_event_size=16 << 10, backlog=256, ssl_certfile=settings.certfile, ssl_keyfile=settings.keyfile,
    )  # fmt: skip
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    try:
        Server(config).run()
    except (SystemExit, OSError) as error:
        raise ConfigError(
            f"cannot listen on {settings.host}, port {settings.port}: it is taken, or not this machine's; choose another"
            " `port` or `host`"
        ) from error
    finally:
        whole.pool.close()


def _reachable(host: str) -> str:
    """What others write in their browsers: of "every address" one that this machine has in its network."""
    if host not in ("0.0.0.0", "::"):
        return host
    family, anywhere = (socket.AF_INET, "192.0.2.1") if host == "0.0.0.0" else (socket.AF_INET6, "2001:db8::1")
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((anywhere, 9))  # nothing is sent
        return str(probe.getsockname()[0])
    return "127.0.0.1" if host == "0.0.0.0" else "::1"


async def _as_problem(request: Request, error: Exception) -> Response:
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where = str(first["loc"][-1])
        error = ProblemError(422, f"{where}: {first['msg']}", kind="option", field=where)
    elif isinstance(error, HTTPException):
        text = {404: "nothing is here: /openapi.json says what is", 405: "this way of asking is not taken here"}
        error = ProblemError(
            error.status_code, text.get(error.status_code, str(error.detail)), headers=dict(error.headers or {})
        )
    elif not isinstance(error, ProblemError):
        logger.error("a request failed", exc_info=error)
        error = ProblemError(500, "something went wrong here, and the server's log says what: try again", kind="fault")
    return error.response()
