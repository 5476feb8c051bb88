"""What limits the throughput in a period: an op, the processor, the lock, or nothing.

An op's threads all do the same: wait for input, work, pass on. The share of the time that they
work is the op's load. Where requests come faster than the service can answer, the op that sets
the pace has a load near 1 and a queue before it, the ops after it wait (``in``). Where as many
threads are at work as the machine has cores, the cores are the limit, however the work is spread.
Where neither is so and requests still take far longer than the work on them, they wait outside of
the ops. What to do about it is in ``advice``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tracer import advice
from tracer.advice import Change
from tracer.period import OpPeriod, Period, Queue, summarise
from tracer.setup import Setup
from tracer.source import Reading, groups
from tracer.timeline import Slice

LIMITED = 0.8  # load from which an op is at its limit: the rest is hand-over between threads
HELD = 0.5  # load from which a queue that stands before an op is that op's
CORES_BUSY = 0.9  # threads at work per core from which the processor is at its limit
PARTS = 300  # of a period that are judged by themselves
WAITING = 3.0  # latency in multiples of all work, from which requests mostly wait
STANDING = 4  # items in a queue, and 2 a thread, from which it is one


@dataclass(frozen=True)
class Verdict:
    """The result. state: ``idle``, ``light``, ``limited``, ``processor`` or ``outside``.

    op: the one that limits, the one with most work where the processor does, else the busiest;
    None when idle. load: of that op. busy_cores: threads at work on the processor, on average.
    sentence: all of it for a person. changes: settings to try. notes: further sentences.
    """

    state: str
    op: str | None
    load: float
    busy_cores: float
    sentence: str
    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()


def judge(period: Period, setup: Setup) -> Verdict:
    """Says what limits the throughput, that nothing does, or that there was nothing to do."""
    if not period.queries:
        return Verdict("idle", None, 0.0, 0.0, "The service was idle: no query was answered.")
    if not period.ops:
        text = "No op finished a batch: every query was refused before the first op."
        return Verdict("idle", None, 0.0, 0.0, text)
    state, top = _limit(period, setup)
    sentence, changes = {
        "processor": advice.processor,
        "limited": advice.op_at_limit,
        "outside": advice.outside,
        "light": advice.light,
    }[state](period, top, setup)
    notes = tuple(advice.notes(period, setup))
    return Verdict(state, top.name, top.load, period.busy_cores, sentence, tuple(changes), notes)


def judge_reading(reading: Reading, setup: Setup) -> Verdict:
    """The verdict on the period; where that finds no limit, on the part of it that had one.

    Quiet hours would hide a rush otherwise: the means over both are far from any limit.
    """
    verdict = judge(reading.period, setup)
    if verdict.state not in ("light", "outside"):
        return verdict
    found: dict[str, list[Slice]] = {}
    for part in groups(reading, PARTS):
        state = judge(_summary(part, reading, setup), setup).state
        found.setdefault(state, []).extend(part)
    pressed = sorted(
        found.get("limited", []) + found.get("processor", []) or found.get("outside", []),
        key=lambda one: one.end,
    )
    if not pressed or len(pressed) == sum(map(len, found.values())):
        return verdict
    worst = judge(_summary(pressed, reading, setup), setup)
    quiet, _ = advice.light(reading.period, max(reading.period.ops, key=lambda op: op.load), setup)
    time = sum(one.seconds for one in pressed) / sum(one.seconds for one in reading.slices)
    share = f"{time:.0%} of the time" if time >= 0.01 else "less than 1% of the time"
    average = f"On average {quiet[0].lower()}{quiet[1:]}"
    return replace(
        worst, sentence=f"{average} But in {share}: {worst.sentence}", notes=verdict.notes
    )


def _summary(slices: list[Slice], reading: Reading, setup: Setup) -> Period:
    return summarise(slices, setup, min(reading.processes, len(slices)))


def _limit(period: Period, setup: Setup) -> tuple[str, OpPeriod]:
    top = max(period.ops, key=lambda op: op.load)
    if setup.cores is not None and period.busy_cores >= CORES_BUSY * setup.cores:
        on_gpu = top.settings is not None and not top.settings.on_cpu
        if not (on_gpu and top.load >= LIMITED):
            return "processor", max(period.ops, key=lambda op: op.busy_cores)
    if top.load >= LIMITED:
        return "limited", top
    queued = _behind_a_queue(period)
    if queued is not None and queued.load >= HELD:
        return "limited", queued
    if queued is not None or requests_wait(period):
        return "outside", queued or top
    return "light", top


def _behind_a_queue(period: Period) -> OpPeriod | None:
    """The op before which most requests stand, if that many are more than its threads take."""
    queue = max(period.queues, key=lambda queue: queue.mean, default=None)
    if queue is None:
        return None
    ops = [op for op in period.ops if op.name in queue.consumers]
    if not ops or not _stands(queue, ops):
        return None
    return max(ops, key=lambda op: op.load)


def _stands(queue: Queue, ops: list[OpPeriod]) -> bool:
    threads = sum(op.settings.concurrency if op.settings else 1 for op in ops)
    return queue.mean >= max(STANDING, 2 * threads)


def requests_wait(period: Period) -> bool:
    """Whether requests took far longer than the work on them in all ops."""
    work = sum(op.work_ms for op in period.ops)
    return (period.latency_ms or 0.0) > WAITING * work > 0
