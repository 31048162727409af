"""A job, its photos, and what it tells whoever listens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from faceenc.runs import Handle
from faceenc.server.problems import ProblemError
from faceenc.server.work import Done, Wish

Status = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED = ("done", "failed", "cancelled")


@dataclass(eq=False)
class Item:
    """One photo of a job.

    Attributes:
        number: from 0.
        name: of the file, cleaned.
        wish: what is asked; None once it is done.
        status: see there.
        problem: why it failed.
        done: what was made.
        handle: of the pool.
    """

    number: int
    name: str
    wish: Wish | None
    status: Status = "queued"
    problem: ProblemError | None = None
    done: Done | None = None
    handle: Handle | None = None

    def to_json(self) -> dict[str, Any]:
        record: dict[str, Any] = {"number": self.number, "name": self.name, "status": self.status}
        if self.problem is not None:
            record["message"] = self.problem.detail
        if self.done is not None:
            record |= {"type": self.done.media_type, "size": len(self.done.data), "evidence": self.done.evidence}
            record["attacked"] = list(self.done.attacked)
        return record

    @property
    def held(self) -> int:
        """Bytes."""
        return (len(self.wish.photo) + len(self.wish.other) if self.wish else 0) + (len(self.done.data) if self.done else 0)


@dataclass(eq=False)
class Job:
    """Photos handed in together.

    Attributes:
        id: that nobody can guess.
        owner: whoever may ask for it.
        items: its photos.
        events: (name, data) in their order, for whoever listens.
        ends: when it is forgotten, on the monotonic clock; None while it is worked on.
    """

    id: str
    owner: str
    items: Sequence[Item]
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    ends: float | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def status(self) -> Status:
        states = {item.status for item in self.items}
        for status in ("running", "queued", "cancelled"):
            if status in states:
                return "running" if status == "queued" and len(states) > 1 else status
        return "done" if "done" in states else "failed"

    def to_json(self) -> dict[str, Any]:
        record: dict[str, Any] = {"id": self.id, "status": self.status, "photos": [item.to_json() for item in self.items]}
        if self.ends is not None:
            record["expires"] = max(0, round(self.ends - time.monotonic()))
        return record

    def tell(self, name: str, data: dict[str, Any]) -> None:
        self.events.append((name, data))
        self.changed.set()
        self.changed = asyncio.Event()
