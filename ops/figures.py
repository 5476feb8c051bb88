"""The pipeline's figures: every replica counts, and writes them to a file for whoever shows them.

Replicas share their ports, so that nobody can ask each of them. The file is in Prometheus' text
format, as for node_exporter's textfile collector.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    write_to_textfile,
)
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from runtime.telemetry import tracing
from settings.config import Config

_LOGGER = logging.getLogger(__name__)

NAME = Path("PipelineServingLogs/pipeline.prom")  # below a replica's log.dir
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
INTERVAL_S = 10.0
# Intervals after which a file is a stopped pipeline's.
LATE = 3.0
_WORK = ("prep", "midp", "postp")
ACTIONS = ("in", *_WORK, "out")
_REPLICA = ["replica"]
_STAGE = ["replica", "stage"]
# Seconds that a request takes, and what is a part of one.
REQUEST_BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
STEP_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)

# The time of each counter's making would double the number of series.
disable_created_metrics()  # type: ignore[no-untyped-call]


class StageFigures:
    """A stage's. May be told by several threads at a time.

    threads: of the stage. waiting: tells how many requests are before it.
    """

    def __init__(
        self,
        actions: Mapping[str, Histogram],
        batches: Histogram,
        threads: int,
        waiting: Callable[[], int],
    ) -> None:
        self.threads = threads
        self.waiting = waiting
        self.worked_s = 0.0
        self._actions = actions
        self._batches = batches
        self._lock = threading.Lock()

    def step(self, requests: int, seconds: Mapping[str, float]) -> None:
        """Count a batch. seconds: by action, `in`, `prep`, `midp`, `postp` and `out`."""
        self._batches.observe(requests)
        for action, histogram in self._actions.items():
            histogram.observe(seconds[action])
        with self._lock:
            self.worked_s += sum(seconds[action] for action in _WORK)


class Figures:
    """A replica's, in a registry of their own.

    Histograms and counters go on from the replica's start; the gauges are of the interval between
    the last two writings.
    """

    def __init__(self, replica: int, queue_limit: int = 0) -> None:
        """queue_limit: most requests that the replica takes at a time."""
        self._registry = CollectorRegistry()
        self._replica = str(replica)
        self._stages: dict[str, StageFigures] = {}
        self._worked_s: dict[str, float] = {}
        self._count = {True: 0, False: 0}
        self._counted = dict(self._count)
        self._since = time.monotonic()
        self._requests = self._counter(
            "requests",
            "Requests by their outcome: ok is answered without error, refused was not let in.",
            "outcome",
        )
        self._refused = self._requests.labels(self._replica, "refused")
        self._latency = self._histogram(
            "latency_seconds", "From arrival to answer in the pipeline.", _REPLICA, REQUEST_BUCKETS
        ).labels(self._replica)
        self._time = self._histogram(
            "stage_seconds",
            "Of a batch: in is waiting for input, prep, midp (inference) and postp are work.",
            [*_STAGE, "action"],
            STEP_BUCKETS,
        )
        self._batches = self._histogram(
            "stage_batch_size", "Requests in a batch.", _STAGE, _BATCH_BUCKETS
        )
        self._rate = self._gauge("requests_per_second", "Requests of the interval.", _REPLICA)
        self._success = self._gauge("success_ratio", "Answered without error.", _REPLICA)
        self._load = self._gauge("stage_load", "Share of its time that it worked.", _STAGE)
        self._queue = self._gauge("queue_length", "Requests before the stage.", _STAGE)
        self._spans = self._counter(
            "trace_spans", "The same of the pipeline as face_gateway_trace_spans.", "outcome"
        )
        self._spans_counted = dict.fromkeys(tracing.OUTCOMES, 0)
        self._engines = self._gauge(
            "engine_info",
            "Always 1; which engine runs a stage's model, in which precision.",
            [*_STAGE, "model", "engine", "precision"],
        )
        limit = self._gauge("queue_limit", "Most requests in the replica.", _REPLICA)
        limit.labels(self._replica).set(queue_limit)

    def request(self, seconds: float, success: bool) -> None:
        """Count an answered request; for one thread."""
        self._count[success] += 1
        self._requests.labels(self._replica, "ok" if success else "failed").inc()
        self._latency.observe(seconds)

    def refused(self) -> None:
        """Count a request that was not let in; for one thread."""
        self._refused.inc()

    def stage(self, name: str, threads: int, waiting: Callable[[], int]) -> StageFigures:
        """A stage's figures, see there; before the first is written."""
        actions = {action: self._time.labels(self._replica, name, action) for action in ACTIONS}
        batches = self._batches.labels(self._replica, name)
        self._stages[name] = StageFigures(actions, batches, threads, waiting)
        return self._stages[name]

    def model(self, stage: str, model: str, engine: str, precision: str) -> None:
        """Say how a stage's model is run."""
        self._engines.labels(self._replica, stage, model, engine, precision).set(1)

    def write(self, file: Path) -> None:
        """Begin a new interval, and write what there is now. Raises OSError."""
        now = time.monotonic()
        self._show(max(now - self._since, 1e-9))
        self._since = now
        write_to_textfile(str(file), self._registry)

    async def keep_written(self, file: Path) -> None:
        """Write once in INTERVAL_S, until it is cancelled."""
        failed = False
        while True:
            await asyncio.sleep(INTERVAL_S)
            try:
                await asyncio.to_thread(self.write, file)
            except OSError as error:
                if not failed:
                    _LOGGER.warning("%s cannot be written: %s", file, error.strerror)
                failed = True
            else:
                failed = False

    def _show(self, seconds: float) -> None:
        """Set the gauges. seconds: since they were set last."""
        count = dict(self._count)
        good, bad = (count[which] - self._counted[which] for which in (True, False))
        self._counted = count
        self._rate.labels(self._replica).set((good + bad) / seconds)
        # Of an interval without requests there is none.
        if good + bad:
            self._success.labels(self._replica).set(good / (good + bad))
        else:
            self._success.clear()
        for outcome, spans in tracing.counts().items():
            grown = spans - self._spans_counted[outcome]
            self._spans.labels(self._replica, outcome).inc(max(grown, 0))
            self._spans_counted[outcome] = spans
        for name, stage in self._stages.items():
            worked_s = stage.worked_s
            load = (worked_s - self._worked_s.get(name, 0.0)) / (seconds * stage.threads)
            self._worked_s[name] = worked_s
            # A long batch is counted at its end, though it was begun before the interval.
            self._load.labels(self._replica, name).set(min(load, 1.0))
            self._queue.labels(self._replica, name).set(stage.waiting())

    def _counter(self, name: str, text: str, label: str) -> Counter:
        labels = [*_REPLICA, label]
        return Counter(f"face_pipeline_{name}", text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, labels: list[str]) -> Gauge:
        return Gauge(f"face_pipeline_{name}", text, labels, registry=self._registry)

    def _histogram(
        self, name: str, text: str, labels: list[str], buckets: tuple[float, ...]
    ) -> Histogram:
        return Histogram(
            f"face_pipeline_{name}", text, labels, buckets=buckets, registry=self._registry
        )


class Written(Collector):
    """What all replicas of a service on this machine have written last.

    Those that are not there, or silent, are left out.
    """

    def __init__(self, config: Config) -> None:
        self._config = config

    def collect(self) -> Iterable[Metric]:
        """Read the files: each family once, with the samples of every replica."""
        found: dict[str, Metric] = {}
        for replica in range(self._config.replicas):
            for family in _read(self._config.log_dir(replica) / NAME):
                found.setdefault(family.name, family)
                if found[family.name] is not family:
                    found[family.name].samples.extend(family.samples)
        return found.values()

    def text(self) -> bytes:
        """The same in Prometheus' text format."""
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)


def _read(file: Path) -> list[Metric]:
    try:
        if time.time() - file.stat().st_mtime > LATE * INTERVAL_S:
            return []
        return list(text_string_to_metric_families(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return []
