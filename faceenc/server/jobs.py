"""Jobs: photos that are worked on while nobody waits, in memory, until they are fetched, deleted, or too old."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from faceenc.runs import Failure, Pool
from faceenc.server.metrics import Metrics
from faceenc.server.problems import ProblemError, problem_of
from faceenc.server.records import ENDED, Item, Job
from faceenc.server.settings import ServerSettings
from faceenc.server.work import Done, Wish

logger = logging.getLogger(__name__)

_AFTER_DELIVERY = 60.0  # seconds: a broken download can be repeated
_SWEEP = 1.0
_HEARTBEAT = 15.0
_USUAL = 20.0  # seconds a photo, until any was done


class Jobs:
    """All of them, and their way through the pool. Everything here happens in the event loop's thread.

    Args:
        settings: of the server.
        pool: whose task takes a `Wish`.
        metrics: counts photos.
    """

    def __init__(self, settings: ServerSettings, pool: Pool, metrics: Metrics) -> None:
        self.settings, self.pool, self.metrics = settings, pool, metrics
        self._jobs: dict[str, Job] = {}
        self._known: dict[tuple[str, str], tuple[str, str]] = {}  # owner and key -> digest of the body and job
        self._usual = _USUAL
        self._passing = 0  # bytes of photos that are no job's
        self._loop = asyncio.get_running_loop()

    @property
    def held(self) -> int:
        """Bytes of all photos."""
        return self._passing + sum(item.held for job in self._jobs.values() for item in job.items)

    def check_room(self, photos: int, size: int) -> None:
        """Raises ProblemError where so many more, of so many bytes, cannot wait."""
        wait = {"Retry-After": str(max(1, round(self._usual * (self.pool.waiting + 1) / self.settings.workers)))}
        if self.pool.waiting + photos > self.settings.queue + max(0, self.pool.ready - self.pool.busy):
            text = f"{self.pool.waiting} photos wait already, more than {self.settings.queue} may: try again later"
            raise ProblemError(429, text, kind="queue", headers=wait)
        if self.held + size > self.settings.max_held:
            text = "the server holds as many photos as it may: fetch and delete yours, or try again later"
            raise ProblemError(429, text, kind="memory", headers=wait)

    async def run(self, wish: Wish, gone: asyncio.Event) -> Done:
        """One photo while somebody waits; its work ends when they are gone.

        Raises:
            ProblemError: it failed.
        """
        size = len(wish.photo) + len(wish.other)
        self.check_room(1, size)
        answer: asyncio.Future[Any] = self._loop.create_future()
        began = time.monotonic()
        self._passing += size
        handle = self.pool.submit(wish, lambda result: self._call(_settle, answer, result))
        leaving = asyncio.ensure_future(gone.wait())
        try:
            await asyncio.wait({answer, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                self.pool.cancel(handle)
            result = await answer
        finally:
            leaving.cancel()
            self._passing -= size
        return self._counted(result, began)

    def add(self, wishes: Sequence[tuple[str, Wish]], *, owner: str, key: str = "", digest: str = "") -> Job:
        """A job of these photos, or the one that was made of the same request before.

        Args:
            wishes: with their files' names, cleaned.
            owner: who asks.
            key: of the request, by which it can be repeated; "" for none.
            digest: of its body.

        Raises:
            ProblemError: another body under the same key, or no room.
        """
        if self.knows(owner, key):
            before, number = self._known[owner, key]
            if before != digest:
                raise ProblemError(422, "the Idempotency-Key was used for another request: choose a new one", kind="key")
            return self._jobs[number]
        self.check_room(len(wishes), sum(len(wish.photo) for _, wish in wishes))
        items = [Item(number, name, wish) for number, (name, wish) in enumerate(wishes)]
        job = Job(secrets.token_urlsafe(16), owner, items)
        self._jobs[job.id] = job
        if key:
            self._known[owner, key] = (digest, job.id)
        job.tell("queued", {"ahead": self.pool.waiting})
        for item in items:
            self._begin(job, item)
        return job

    def knows(self, owner: str, key: str) -> bool:
        """Whether the owner's request of this key has a job, so that its repetition needs no room."""
        return bool(key) and self._known.get((owner, key), ("", ""))[1] in self._jobs

    def get(self, number: str, owner: str) -> Job:
        """The owner's job of this id.

        Raises:
            ProblemError: there is none, any more.
        """
        job = self._jobs.get(number)
        if job is None or job.owner != owner:
            raise ProblemError(404, "no such job: it was deleted, fetched, or its time is over", kind="job")
        return job

    def delete(self, job: Job) -> None:
        """Forget it, whatever of it is under way."""
        self._jobs.pop(job.id, None)
        self._known = {key: value for key, value in self._known.items() if value[1] != job.id}
        for item in job.items:
            if item.status not in ENDED:
                item.status = "cancelled"
                if item.handle is not None:
                    self.pool.cancel(item.handle)
            item.wish = item.done = None
        job.tell("done", {"status": "cancelled" if job.status == "cancelled" else job.status})

    def delivered(self, job: Job) -> None:
        """Its result has reached somebody."""
        if job.ends is not None:
            job.ends = min(job.ends, time.monotonic() + _AFTER_DELIVERY)

    async def events(self, job: Job, after: int) -> AsyncIterator[str]:
        """Server-sent events from number `after` on, until the job has ended; a comment where nothing happens for long."""
        number = after
        while True:
            changed = job.changed
            while number < len(job.events):
                name, data = job.events[number]
                number += 1
                yield f"id: {number}\nevent: {name}\ndata: {_json(data)}\n\n"
                if name == "done":
                    return
            try:
                await asyncio.wait_for(changed.wait(), _HEARTBEAT)
            except TimeoutError:
                yield ": still at work\n\n"

    async def sweep(self) -> None:
        """For ever: forget what is too old, and say how far queues have moved."""
        while True:
            await asyncio.sleep(_SWEEP)
            now = time.monotonic()
            for job in list(self._jobs.values()):
                if job.ends is not None and job.ends <= now:
                    self.delete(job)
                elif job.status == "queued" and (handle := job.items[0].handle) is not None:
                    ahead = {"ahead": self.pool.place(handle)}
                    if ahead != job.events[-1][1]:
                        job.tell("queued", ahead)

    def _call(self, function: Callable[..., None], *words: Any) -> None:
        """From a thread of the pool; once the loop is closed nobody listens."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *words)

    def _begin(self, job: Job, item: Item) -> None:
        began = time.monotonic()

        def told(what: dict[str, Any]) -> None:
            self._call(self._progress, job, item, what)

        def done(result: Any) -> None:
            self._call(self._end, job, item, result, began)

        item.handle = self.pool.submit(item.wish, done, told)

    def _progress(self, job: Job, item: Item, what: dict[str, Any]) -> None:
        if item.status == "queued":
            item.status = "running"
            job.tell("started", {"photo": item.number})
        if item.status == "running":
            job.tell("progress", {"photo": item.number, **what})

    def _end(self, job: Job, item: Item, result: Any, began: float) -> None:
        if item.status in ENDED:
            return
        try:
            item.done = self._counted(result, began)
            item.status = "done"
        except ProblemError as problem:
            item.problem, item.status = problem, "failed"
        item.wish = None
        said = {"message": item.problem.detail} if item.problem else {}
        job.tell("photo", {"photo": item.number, "status": item.status, **said})
        if all(one.status in ENDED for one in job.items):
            job.ends = time.monotonic() + self.settings.ttl
            job.tell("done", {"status": job.status})

    def _counted(self, result: Any, began: float) -> Done:
        """What a worker made.

        Raises:
            ProblemError: in its place.
        """
        if isinstance(result, Done):
            seconds = time.monotonic() - began
            self._usual += 0.1 * (seconds - self._usual)
            self.metrics.photos.labels("done").inc()
            self.metrics.seconds.observe(seconds)
            return result
        assert isinstance(result, Exception | Failure)
        problem = problem_of(result)
        self.metrics.photos.labels("failed" if problem.status < 500 else "lost").inc()
        if problem.status == 500 and isinstance(result, Exception):
            logger.error("a worker failed: %s", "\n".join(getattr(result, "__notes__", ())) or result)
        raise problem


def delivery(data: Iterator[bytes], job: Job, jobs: Jobs) -> Iterator[bytes]:
    """The data, and word of it when the last piece was taken."""
    yield from data
    jobs.delivered(job)


def _settle(answer: asyncio.Future[Any], result: Any) -> None:
    if not answer.done():
        answer.set_result(result)


def _json(data: dict[str, Any]) -> str:
    import json

    return json.dumps(data, separators=(",", ":"))
