"""What an interval means: how busy each op was, and which one limits the throughput.

An op's threads all do the same: wait for input, work, pass on. The share of the time that they
work is the op's load. Where requests come faster than the service can answer, the op that sets
the pace has a load near 1, the ops before it are held up passing on (``out``) or by the queue's
limit, the ops after it wait (``in``). So the busiest op is the one to look at. Where as many
threads are at work as the machine has cores, the cores are the limit, however the work is spread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracer.parse import ACTIONS, DagTimes, Interval, OpTimes

LIMITED = 0.8  # load from which an op is at its limit: the rest is hand-over between threads
CORES_BUSY = 0.9  # threads at work per core from which the processor is at its limit
WAITING = 3.0  # latency in multiples of all work, from which requests mostly wait


@dataclass(frozen=True)
class OpSettings:
    """An op's section of config.yml, as far as it matters here."""

    concurrency: int = 1
    batch_size: int = 1
    on_cpu: bool = True


@dataclass(frozen=True)
class OpLoad:
    """How busy an op was. load: 0 to 1, of all its threads; settings: None where not known."""

    times: OpTimes
    load: float
    settings: OpSettings | None

    @property
    def busy_threads(self) -> float:
        """How many threads were at work on the processor, on average."""
        if self.settings is not None and not self.settings.on_cpu:
            return 0.0
        return self.load * (self.settings.concurrency if self.settings is not None else 1)


@dataclass(frozen=True)
class Verdict:
    """The result. state: ``idle``, ``light``, ``limited`` or ``processor``.

    op: the busiest, the one with most work where the processor is the limit; None when idle.
    load: of that op. busy_threads: all threads at work on the processor, on average.
    sentence: all of it for a person.
    """

    state: str
    op: str | None
    load: float
    busy_threads: float
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


def judge(
    interval: Interval, settings: Mapping[str, OpSettings], cores: int | None = None
) -> Verdict:
    """Says which op limits the throughput, that none does, or that there was nothing to do.

    cores: processor cores of the service's machine, None where not known.
    """
    if interval.dag is None or interval.dag.queries == 0:
        return Verdict("idle", None, 0.0, 0.0, "The service was idle: no query was answered.")
    ops = loads(interval, settings)
    if not ops:
        text = "No op finished a batch: every query was refused before the first op."
        return Verdict("idle", None, 0.0, 0.0, text)
    threads = sum(op.busy_threads for op in ops)
    full = cores is not None and threads >= CORES_BUSY * cores
    top = max(ops, key=lambda op: op.load)
    if top.load >= LIMITED:
        state, text = "limited", _limited(top, threads, cores if full else None)
    elif full:
        top = max(ops, key=lambda op: op.busy_threads)
        state, text = "processor", _processor(top, threads, cores)
    else:
        state, text = "light", _light(top, interval)
    return Verdict(state, top.times.name, top.load, threads, text)


def _limited(top: OpLoad, threads: float, full_cores: int | None) -> str:
    name = top.times.name
    longest = max(("prep", "midp", "postp"), key=lambda action: top.times.ms.get(action, 0.0))
    if full_cores is None:
        advice = f"raise op.{name}.concurrency where processor cores are free"
    else:
        advice = (
            f"more threads won't help, since {threads:.1f} are at work on {_cores(full_cores)}: "
            "it takes a lighter model or more cores"
        )
    return (
        f"{name} limits the throughput: {_threads(top)} at work {top.load:.0%} of the time, mostly "
        f"in {longest}; {advice}."
    )


def _processor(top: OpLoad, threads: float, cores: int | None) -> str:
    share = top.busy_threads / threads
    return (
        f"The processor limits the throughput: {threads:.1f} threads are at work on "
        f"{_cores(cores)}, {share:.0%} of that in {top.times.name}."
    )


def _light(top: OpLoad, interval: Interval) -> str:
    name = top.times.name
    text = f"No op was at its limit: the busiest, {name}, was at work {top.load:.0%} of the time"
    if _requests_wait(interval):
        return (
            f"{text}, yet requests took far longer than the work in all ops: they wait outside "
            "of them, for a processor core, for Python's interpreter lock or in the HTTP gateway."
        )
    return f"{text}."


def _cores(count: int | None) -> str:
    return "1 core" if count == 1 else f"{count} cores"


def _requests_wait(interval: Interval) -> bool:
    work = sum(op.work_ms for op in interval.ops)
    return interval.dag is not None and interval.dag.latency_ms > WAITING * work > 0


def _threads(op: OpLoad) -> str:
    if op.settings is None:
        return "it is"
    count = op.settings.concurrency
    return "its one thread is" if count == 1 else f"its {count} threads are"


def to_dict(
    interval: Interval, settings: Mapping[str, OpSettings], cores: int | None = None
) -> dict[str, Any]:
    """The interval, the loads and the verdict, JSON-ready."""
    verdict = judge(interval, settings, cores)
    return {
        "time": interval.time.isoformat(timespec="milliseconds"),
        "seconds": interval.seconds,
        "ops": [_op_dict(op) for op in loads(interval, settings)],
        "dag": None if interval.dag is None else _dag_dict(interval.dag),
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


def _dag_dict(dag: DagTimes) -> dict[str, Any]:
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
