"""What /metrics counts. No names, no addresses, no pixels: routes by their patterns, statuses and seconds."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.01, 0.1, 0.5, 1, 2, 5, 10, 20, 40, 80, 160, 320)


class Metrics:
    """Counters of one server.

    Args:
        gauges: a name and what it says -> what is read whenever /metrics is.
    """

    def __init__(self, gauges: dict[tuple[str, str], Callable[[], float]]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "faceenc_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self.photos = Counter("faceenc_photos", "Photos by what became of them", ["status"], registry=self.registry)
        self.seconds = Histogram(
            "faceenc_photo_seconds", "From a photo's coming to its end", registry=self.registry, buckets=_SECONDS
        )
        for (name, says), read in gauges.items():
            Gauge(f"faceenc_{name}", says, registry=self.registry).set_function(read)

    def text(self) -> bytes:
        """In Prometheus's format."""
        return generate_latest(self.registry)
