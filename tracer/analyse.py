"""What an interval means: how busy each op was, and which one limits the throughput.

An op's threads all do the same: wait for input, work, pass on. The share of the time that they
work is the op's load. Where requests come faster than the service can answer, the op that sets
the pace has a load near 1, the ops before it are held up passing on (``out``) or by the queue's
limit, the ops after it wait (``in``). So the busiest op is the one to look at, and the rate at
which it would be fully loaded is what the service can do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracer.parse import ACTIONS, Interval, OpTimes

LIMITED = 0.8  # load from which an op is at its limit: the rest is hand-over between threads
WAITING = 3.0  # latency in multiples of all work, from which requests mostly wait


@dataclass(frozen=True)
class OpSettings:
    """An op's section of config.yml, as far as it matters here."""

    concurrency: int = 1
    batch_size: int = 1


@dataclass(frozen=True)
class OpLoad:
    """How busy an op was. load: 0 to 1, of all its threads; settings: None where not known."""

    times: OpTimes
    load: float
    settings: OpSettings | None


@dataclass(frozen=True)
class Verdict:
    """The result. state: ``idle``, ``light`` or ``limited``.

    op: the busiest, None when idle. capacity_qps: queries per second at which that op would be
    fully loaded, None where it cannot be said. sentence: all of it for a person.
    """

    state: str
    op: str | None
    load: float
    capacity_qps: float | None
    sentence: str


def loads(interval: Interval, settings: Mapping[str, OpSettings]) -> list[OpLoad]:
    """The load of every op in the interval, in the order of the text."""
    return [
        OpLoad(op, _load(op, interval, settings.get(op.name)), settings.get(op.name))
        for op in interval.ops
    ]


def _load(op: OpTimes, interval: Interval, settings: OpSettings | None) -> float:
    """1 - idle, or more where the means are spoilt by a pause before the interval.

    ``in`` counts the whole wait for a batch, also the part before the interval: after an hour of
    silence one wait outweighs all work. What the op must have worked for the queries in the
    interval, in batches as large as it takes them, is a lower bound that no pause spoils.
    """
    load = min(1.0, max(0.0, 1.0 - op.idle))
    if settings is None or interval.dag is None or not interval.seconds:
        return load
    answered = interval.dag.queries * interval.dag.success
    worked_ms = answered / settings.batch_size * op.work_ms
    available_ms = settings.concurrency * interval.seconds * 1e3
    return min(1.0, max(load, worked_ms / available_ms))


def judge(interval: Interval, settings: Mapping[str, OpSettings]) -> Verdict:
    """Says which op limits the throughput, that none does, or that there was nothing to do."""
    dag = interval.dag
    if dag is None or dag.queries == 0:
        return Verdict("idle", None, 0.0, None, "The service was idle: no query was answered.")
    busy = loads(interval, settings)
    if not busy:
        text = "No op finished a batch: every query was refused before the first op."
        return Verdict("idle", None, 0.0, None, text)
    top = max(busy, key=lambda op: op.load)
    capacity = dag.qps / top.load if top.load > 0 else None
    if top.load >= LIMITED:
        return Verdict("limited", top.times.name, top.load, capacity, _limited(top, capacity))
    return Verdict("light", top.times.name, top.load, capacity, _light(top, interval, capacity))


def _limited(top: OpLoad, capacity: float | None) -> str:
    name = top.times.name
    rate = f" and more than about {capacity:.3g} queries/s will not go through" if capacity else ""
    longest = max(("prep", "midp", "postp"), key=lambda action: top.times.ms.get(action, 0.0))
    return (
        f"{name} limits the throughput: {_threads(top)} busy {top.load:.0%} of the time, mostly "
        f"in {longest}{rate}; raise op.{name}.concurrency where processor cores are free."
    )


def _light(top: OpLoad, interval: Interval, capacity: float | None) -> str:
    text = (
        f"No op was at its limit: the busiest, {top.times.name}, worked {top.load:.0%} of the time"
    )
    if _requests_wait(interval):
        return (
            f"{text}, yet requests took far longer than the work in all ops: they wait outside "
            "of them, for a processor core, for Python's interpreter lock or in the HTTP gateway."
        )
    rate = f", so about {capacity:.3g} queries/s would go through" if capacity else ""
    return f"{text}{rate}."


def _requests_wait(interval: Interval) -> bool:
    work = sum(op.work_ms for op in interval.ops)
    return interval.dag is not None and interval.dag.latency_ms > WAITING * work > 0


def _threads(op: OpLoad) -> str:
    if op.settings is None:
        return "it was"
    count = op.settings.concurrency
    return "its one thread was" if count == 1 else f"its {count} threads were"


def to_dict(interval: Interval, settings: Mapping[str, OpSettings]) -> dict[str, Any]:
    """The interval, the loads and the verdict, JSON-ready."""
    verdict = judge(interval, settings)
    return {
        "time": interval.time.isoformat(timespec="milliseconds"),
        "seconds": interval.seconds,
        "ops": [_op_dict(op) for op in loads(interval, settings)],
        "dag": None if interval.dag is None else _dag_dict(interval),
        "channels": [
            {**vars(channel), "producers": list(channel.producers),
             "consumers": list(channel.consumers)}
            for channel in interval.channels
        ],
        "verdict": vars(verdict),
    }  # fmt: skip


def _op_dict(op: OpLoad) -> dict[str, Any]:
    return {
        "name": op.times.name,
        "concurrency": None if op.settings is None else op.settings.concurrency,
        **{f"{action}_ms": op.times.ms.get(action) for action in ACTIONS},
        "idle": op.times.idle,
        "load": op.load,
    }


def _dag_dict(interval: Interval) -> dict[str, Any]:
    assert interval.dag is not None
    dag = interval.dag
    return {
        "queries": dag.queries,
        "qps": dag.qps,
        "success": dag.success,
        "failed": list(dag.failed),
        "latency_ms": {
            "mean": dag.latency_ms,
            **{f"p{percent}": value for percent, value in sorted(dag.percentiles.items())},
        },
    }
