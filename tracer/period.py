"""A stretch of time as one: what ops, requests and queues did in all of its intervals.

Sums are exact where the trace has counts (queries, failures, seconds). Means are weighted: a
latency by its interval's queries, an op's times by the batches that it ran. The trace has no count
of batches, but a thread is always in one of the actions, so the threads' time over the mean of a
batch's whole cycle (waiting included) is their number; a batch holds at least one request and at
most ``batch_size``, which bounds it.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from tracer.parse import ACTIONS, DagTimes, OpTimes
from tracer.percentiles import Estimate, pooled
from tracer.setup import OpSettings, Setup
from tracer.timeline import Slice


@dataclass(frozen=True)
class OpPeriod:
    """An op, means over its batches.

    ms: milliseconds by action. load: 0 to 1, the share of its threads' time that they worked,
    intervals without a batch included. requests: in a batch on average, None where not known.
    settings: None where not known. processes: that run the op, each with its own threads.
    """

    name: str
    ms: dict[str, float]
    load: float
    requests: float | None
    settings: OpSettings | None
    processes: int = 1

    @property
    def work_ms(self) -> float:
        """Milliseconds of work on a batch."""
        return sum(self.ms.get(action, 0.0) for action in ("prep", "midp", "postp"))

    @property
    def busy_threads(self) -> float:
        """How many of its threads were at work, on average."""
        return self.load * self.processes * (self.settings.concurrency if self.settings else 1)

    @property
    def busy_cores(self) -> float:
        """How many cores that takes: inference on a GPU none, on the CPU all its math threads."""
        settings = self.settings or OpSettings()
        share = self.ms.get("midp", 0.0) / self.work_ms if self.work_ms else 0.0
        per_inference = settings.threads if settings.on_cpu else 0
        return self.busy_threads * (1.0 - share + share * per_inference)

    @property
    def busy_inferences(self) -> float:
        """How many of its threads were in inference, on average."""
        return self.busy_threads * self.ms.get("midp", 0.0) / self.work_ms if self.work_ms else 0.0


@dataclass(frozen=True)
class Queue:
    """What waited before some ops when the blocks were written: snapshots, not means over time.

    first, last: means of the first and the last third of the period. limit: 0 for none.
    Where several ops take from a queue it counts what the fastest has not taken yet.
    """

    consumers: tuple[str, ...]
    mean: float
    peak: int
    first: float
    last: float
    limit: int


@dataclass(frozen=True)
class Period:
    """Intervals of one or several processes taken together.

    seconds: covered by blocks, shorter than from ``begin`` to ``end`` where the service was
    down. qps: requests a second. success: 0 to 1. latency_ms: mean from arrival to answer in
    the pipeline, None without requests. processes: that ran side by side.
    """

    begin: datetime.datetime
    end: datetime.datetime
    seconds: float
    intervals: int
    restarts: int
    processes: int
    queries: int
    failed: int
    latency_ms: float | None
    percentiles: dict[int, Estimate]
    ops: list[OpPeriod]
    queues: list[Queue]

    @property
    def qps(self) -> float:
        return self.queries / self.seconds if self.seconds else 0.0

    @property
    def success(self) -> float:
        return 1.0 - self.failed / self.queries if self.queries else 1.0

    @property
    def in_service(self) -> float:
        """Requests in the service at a time, on average (Little's law)."""
        return self.qps * (self.latency_ms or 0.0) / 1e3

    @property
    def busy_cores(self) -> float:
        return sum(op.busy_cores for op in self.ops)


def summarise(slices: Sequence[Slice], setup: Setup, processes: int = 1) -> Period:
    """The period of the slices, which are in the order of time and at least one.

    processes: how many wrote them, each with blocks over the same time.
    """
    dags = [one.interval.dag for one in slices if one.interval.dag is not None]
    queries = sum(dag.queries for dag in dags)
    return Period(
        begin=min(one.begin for one in slices),
        end=slices[-1].end,
        seconds=sum(one.seconds for one in slices) / processes,
        intervals=sum(1 for one in slices if one.seconds),
        # Where the first block is a start, it is where the period's text begins, too.
        restarts=sum(one.starts for one in slices[processes:]),
        processes=processes,
        queries=queries,
        failed=sum(round(dag.queries * (1.0 - dag.success)) for dag in dags),
        latency_ms=sum(d.latency_ms * d.queries for d in dags) / queries if queries else None,
        percentiles=pooled(dags),
        ops=[_op(name, slices, setup, processes) for name in _op_names(slices, setup)],
        queues=_queues(slices),
    )


def _op_names(slices: Sequence[Slice], setup: Setup) -> list[str]:
    """The ops that ran, in the order of config.yml, then of the text."""
    seen = dict.fromkeys(op.name for one in slices for op in one.interval.ops)
    known = [name for name in setup.ops if name in seen]
    return known + [name for name in seen if name not in setup.ops]


def _op(name: str, slices: Sequence[Slice], setup: Setup, processes: int) -> OpPeriod:
    settings = setup.ops.get(name)
    ms = dict.fromkeys(ACTIONS, 0.0)
    batches = busy_s = seconds = queries = 0.0
    for one in slices:
        seconds += one.seconds
        for op in one.interval.ops:
            if op.name != name:
                continue
            ran = _batches(op, one, settings)
            batches += ran
            queries += one.interval.dag.queries if one.interval.dag else 0
            busy_s += one.seconds * _load(op, one, settings)
            for action, value in op.ms.items():
                ms[action] += value * ran
    return OpPeriod(
        name=name,
        ms={action: value / batches for action, value in ms.items()} if batches else {},
        load=busy_s / seconds if seconds else 0.0,
        requests=max(1.0, queries / batches) if settings and batches and queries else None,
        settings=settings,
        processes=processes,
    )


def _batches(op: OpTimes, one: Slice, settings: OpSettings | None) -> float:
    """How many batches the op ran; without settings in proportion, as if it had one thread."""
    cycle_ms = sum(op.ms.values())
    threads = settings.concurrency if settings else 1
    ran = threads * one.seconds * 1e3 / cycle_ms if cycle_ms else 0.0
    dag = one.interval.dag
    if dag is None or not dag.queries:
        return max(ran, 1.0)
    if settings is not None:
        ran = max(ran, _answered(dag) / settings.batch_size)
    return max(1.0, min(ran, dag.queries))


def _load(op: OpTimes, one: Slice, settings: OpSettings | None) -> float:
    """1 - idle, within what the interval's requests can have taken.

    ``in`` counts the whole wait for a batch, also the part before the interval: after an hour of
    silence one wait outweighs all work. The work on the answered requests, in batches as large
    as the op takes them, is a lower bound that no pause spoils. And a thread that waits all
    through the interval reports nothing: the work on all requests one by one is the upper bound.
    """
    load = min(1.0, max(0.0, 1.0 - op.idle))
    if settings is None or not one.seconds:
        return load
    available_ms = settings.concurrency * one.seconds * 1e3
    dag = one.interval.dag or DagTimes()
    least = _answered(dag) / settings.batch_size * op.work_ms / available_ms
    # A batch of each thread may belong to requests that are answered in the next interval.
    most = (dag.queries + settings.concurrency) * op.work_ms / available_ms
    return min(1.0, max(least, min(load, most)))


def _answered(dag: DagTimes) -> float:
    return dag.queries * dag.success


def _queues(slices: Sequence[Slice]) -> list[Queue]:
    sizes: dict[tuple[str, ...], list[int]] = {}
    limits: dict[tuple[str, ...], int] = {}
    for one in slices:
        if not one.seconds:
            continue
        for channel in one.interval.channels:
            sizes.setdefault(channel.consumers, []).append(channel.size)
            limits[channel.consumers] = max(channel.limit, 0)
    return [_queue(consumers, found, limits[consumers]) for consumers, found in sizes.items()]


def _queue(consumers: tuple[str, ...], sizes: list[int], limit: int) -> Queue:
    third = -(-len(sizes) // 3)
    first, last = sizes[:third], sizes[-third:]
    return Queue(
        consumers,
        sum(sizes) / len(sizes),
        max(sizes),
        sum(first) / len(first),
        sum(last) / len(last),
        limit,
    )
