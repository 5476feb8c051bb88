"""GET /metrics: what the gateway does, and what it knows of the pipeline and the library."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import Metric

from gateway.backends.library_calls import LibraryCalls
from gateway.backends.pipeline import Pipeline
from gateway.backends.shared_result import SharedResult
from gateway.errors import ApiError
from gateway.monitoring.gauges import (
    MOST_APPS,
    OTHER,
    Gauges,
    connection_families,
    health_families,
    library_families,
    model_families,
    trace_families,
    upkeep_families,
)
from gateway.monitoring.health import Health
from gateway.monitoring.index_lag import IndexLag
from gateway.monitoring.surroundings import Surroundings
from ops.figures import REQUEST_BUCKETS, STEP_BUCKETS, Written
from runtime.telemetry import tracing
from settings.config import Config

MOST_PATHS = 200  # the API has fewer; more would be a caller's invention
PIPELINE_S = 10.0  # how old the pipeline's figures may be,
LIBRARY_S = 30.0  # and the library's: counting takes the database some time
LIBRARY_TIMEOUT_S = 5.0  # half of what Prometheus waits by default


class Metrics:
    """Counts of this process, in a registry of their own. To be used on the event loop.

    The number of series is bounded: paths and apps beyond the first MOST_PATHS and MOST_APPS are
    counted together as "other".
    """

    def __init__(self, config: Config) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._requests = Counter(
            "face_gateway_requests",
            "Requests by their outcome: code is the answer's error_code, 0 for success.",
            ["path", "code", "app"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "face_gateway_request_seconds",
            "From a request's arrival to its answer.",
            ["path"],
            buckets=REQUEST_BUCKETS,
            registry=self.registry,
        )
        self._faces = Counter(
            "face_gateway_faces", "Faces that were found in pictures.", registry=self.registry
        )
        self._search = Histogram(
            "face_gateway_search_seconds",
            "Of a search in the library, waiting for a thread included.",
            buckets=STEP_BUCKETS,
            registry=self.registry,
        )
        self._in_flight = Gauge(
            "face_gateway_requests_in_flight", "Requests under way.", registry=self.registry
        )
        limit = Gauge(
            "face_gateway_requests_limit",
            "Most requests that are worked on at a time.",
            registry=self.registry,
        )
        limit.set(config.gateway.requests)
        self._gauges = Gauges()
        self.registry.register(self._gauges)
        self._paths: set[str] = set()
        self._apps: set[str] = set()
        self._written = Written(config)
        self._written_kept: SharedResult[list[Metric]] = SharedResult(PIPELINE_S)
        self._library_kept: SharedResult[list[Metric]] = SharedResult(LIBRARY_S)
        self._surroundings = Surroundings(config)
        self._lag = IndexLag()

    def request(self, path: str, code: int, app: str, seconds: float) -> None:
        """Count an answered request.

        path: of its route; a path that has none is to be given as "other". code: 0 for success.
        app: empty where there is none. seconds: from its arrival.
        """
        path = _bounded(path, self._paths, MOST_PATHS)
        app = _bounded(app, self._apps, MOST_APPS)
        self._requests.labels(path, str(code), app).inc()
        self._seconds.labels(path).observe(seconds)

    def refused(self, code: int) -> None:
        """Count a request that was refused by its head: no path and no app, and no time worth it.

        code: of the error that it was told.
        """
        self._requests.labels(OTHER, str(code), "").inc()

    def faces(self, count: int) -> None:
        """Count faces that were found."""
        self._faces.inc(count)

    def search(self, seconds: float) -> None:
        """Count a search in the library."""
        self._search.observe(seconds)

    def in_flight(self, delta: int) -> None:
        """A request has begun (1) or ended (-1)."""
        self._in_flight.inc(delta)

    async def render(
        self, pipeline: Pipeline, library: LibraryCalls, health: Health | None = None
    ) -> bytes:
        """Everything in Prometheus's text format, as `ops.figures.MEDIA_TYPE` names it.

        Files and the database are read at most every PIPELINE_S and LIBRARY_S seconds. What does
        not answer is missing in the text, or shown as down, and delays it by LIBRARY_TIMEOUT_S at
        most.
        """
        of_pipeline, of_library, around, parts = await asyncio.gather(
            self._written_kept.get(
                lambda: asyncio.to_thread(lambda: list(self._written.collect()))
            ),
            self._library_families(library),
            self._surroundings.families(),
            _parts(health),
        )
        self._gauges.set(
            [
                *connection_families(pipeline.state()),
                *model_families(pipeline.models),
                *of_pipeline,
                *of_library,
                *around,
                *health_families(parts),
                *trace_families(tracing.counts()),
            ]
        )
        # Some thousand lines take milliseconds, in which the loop has other things to do.
        return await asyncio.to_thread(generate_latest, self.registry)

    async def _library_families(self, library: LibraryCalls) -> list[Metric]:
        async def ask() -> list[Metric]:
            try:
                found = await library.figures()
            except ApiError:
                return library_families(None)
            behind = self._lag.seconds(found.indexes, time.monotonic())
            return [*library_families(found.apps), *upkeep_families(found.backup, behind)]

        try:
            return await asyncio.wait_for(self._library_kept.get(ask), LIBRARY_TIMEOUT_S)
        except TimeoutError:
            # The question goes on, and its answer is shown the next time.
            return library_families(None)


async def _parts(health: Health | None) -> Mapping[str, bool]:
    return {} if health is None else await health.parts()


def _bounded(name: str, known: set[str], most: int) -> str:
    """The name, or OTHER where so many others are known already."""
    if name in known:
        return name
    if len(known) >= most:
        return OTHER
    known.add(name)
    return name
