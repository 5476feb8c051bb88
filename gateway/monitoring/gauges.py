"""What /metrics shows of others: the pipeline's trace, its connections and models, the library."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from library.records import Statistics
from settings.config import Config
from tracer.parse import ACTIONS
from tracer.period import OpPeriod, Period
from tracer.setup import Setup, cores_here, setup_of
from tracer.source import NothingFoundError, Range, read
from tracer.trace_files import NAME

MOST_APPS = 100  # apps with figures of their own; what the others have is summed up as OTHER
OTHER = "other"
# Intervals without a new block, after which a trace is a stopped pipeline's.
_LATE = 3.0
_REPLICA = ["replica"]
_STAGE = ["replica", "stage"]


class Gauges(Collector):
    """The families as they were last set; empty at first."""

    def __init__(self) -> None:
        self._families: tuple[Metric, ...] = ()

    def set(self, families: Iterable[Metric]) -> None:
        """Replace what is shown."""
        self._families = tuple(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


class Trace:
    """The newest interval of every replica's pipeline.tracer."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._setup = Setup()

    def families(self) -> list[Metric]:
        """Reads the files' ends. Replicas that are not there, or silent, are left out.

        A trace that is switched off, or of pipelines on another machine, has none at all.
        """
        shown = _Shown()
        interval_s = self._config.dag.tracer.interval_s
        if interval_s:
            if not self._setup.ops:
                self._setup = setup_of(self._config, cores_here())
            for replica in range(self._config.replicas):
                last = self._last(replica, interval_s)
                if last is not None:
                    shown.add(str(replica), last, self._setup)
        return shown.families

    def _last(self, replica: int, interval_s: int) -> Period | None:
        path = self._config.log_dir(replica) / NAME
        span = datetime.timedelta(seconds=interval_s)
        try:
            last = read([path], Range(span=span), self._setup).last
        except (NothingFoundError, OSError):
            return None  # not written yet, or being rotated
        age = (datetime.datetime.now() - last.end).total_seconds()
        return last if age <= _LATE * interval_s else None


class _Shown:
    """The families of the trace, filled replica by replica."""

    def __init__(self) -> None:
        self._rate = _gauge("pipeline_requests_per_second", "Requests of the interval.", _REPLICA)
        self._success = _gauge("pipeline_success_ratio", "Answered without error.", _REPLICA)
        self._latency = _gauge(
            "pipeline_latency_seconds",
            "From arrival to answer in the pipeline, percentiles of the interval.",
            ["replica", "quantile"],
        )
        self._time = _gauge(
            "pipeline_stage_seconds",
            "Of a batch: in is waiting for input, prep, midp (inference) and postp are work.",
            [*_STAGE, "action"],
        )
        self._load = _gauge("pipeline_stage_load", "Share of its time that it worked.", _STAGE)
        self._batch = _gauge("pipeline_stage_batch_size", "Mean requests in a batch.", _STAGE)
        self._queue = _gauge("pipeline_queue_length", "Requests before these stages.", _STAGE)
        self.families: list[Metric] = [
            self._rate, self._success, self._latency, self._time, self._load, self._batch,
            self._queue,
        ]  # fmt: skip

    def add(self, replica: str, last: Period, setup: Setup) -> None:
        self._rate.add_metric([replica], last.qps)
        if last.queries:
            self._success.add_metric([replica], last.success)
        for percent, estimate in last.percentiles.items():
            self._latency.add_metric([replica, f"{percent / 100:g}"], estimate.value / 1e3)
        stages = {op.name: op for op in last.ops}
        for name in [*setup.ops, *(name for name in stages if name not in setup.ops)]:
            self._load.add_metric([replica, name], stages[name].load if name in stages else 0.0)
            if name in stages:
                self._add_stage(replica, stages[name])
        for queue in last.queues:
            self._queue.add_metric([replica, "+".join(queue.consumers)], queue.mean)

    def _add_stage(self, replica: str, stage: OpPeriod) -> None:
        for action in ACTIONS:
            self._time.add_metric([replica, stage.name, action], stage.ms.get(action, 0.0) / 1e3)
        if stage.requests is not None:
            self._batch.add_metric([replica, stage.name], stage.requests)


def connection_families(states: Sequence[tuple[str, bool, int]]) -> list[Metric]:
    """states: address, whether it is connected, and calls under way, of every connection."""
    names = ["address", "connection"]
    up = _gauge("pipeline_connected", "1: the connection to the pipeline is up.", names)
    calls = _gauge("pipeline_calls", "Calls under way on the connection.", names)
    count: dict[str, int] = {}
    for address, connected, under_way in states:
        labels = [address, str(count.setdefault(address, 0))]
        count[address] += 1
        up.add_metric(labels, float(connected))
        calls.add_metric(labels, float(under_way))
    return [up, calls]


def model_families(models: Mapping[str, str]) -> list[Metric]:
    """models: the model's name by stage, as the pipeline told."""
    info = _gauge("pipeline_model_info", "Always 1; which stage runs what.", ["stage", "model"])
    for stage, model in models.items():
        info.add_metric([stage, model], 1.0)
    return [info]


def library_families(statistics: Sequence[Statistics] | None) -> list[Metric]:
    """statistics: of every app; None while the database does not answer."""
    up = _gauge("library_up", "1: the database answered when it was last asked.", [])
    up.add_metric([], float(statistics is not None))
    sizes: dict[str, list[int]] = {}
    ranked = sorted(statistics or (), key=lambda one: one.faces, reverse=True)
    for place, one in enumerate(ranked):
        users = sum(group.users for group in one.groups)
        figures = (len(one.groups), users, one.faces)
        total = sizes.setdefault(one.app if place < MOST_APPS else OTHER, [0, 0, 0])
        total[:] = [a + b for a, b in zip(total, figures)]
    families: list[Metric] = [up]
    for index, what in enumerate(("groups", "users", "faces")):
        family = _gauge(f"library_{what}", f"Number of {what} that are enrolled.", ["app"])
        for app, total in sizes.items():
            family.add_metric([app], float(total[index]))
        families.append(family)
    return families


def _gauge(name: str, text: str, labels: Sequence[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"face_{name}", text, labels=labels)
