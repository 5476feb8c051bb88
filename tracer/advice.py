"""What to change: one function for each thing that can limit the throughput.

Each returns a sentence and the settings to try. More threads are advised only where cores are
free for them, larger batches only where the present ones are full, and neither where the
interpreter's lock is what threads wait for. The trace cannot tell a thread that computes from one
that waits for the lock in between: where it matters the sentence says how to find out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tracer.period import OpPeriod, Period, Queue
from tracer.setup import OpSettings, Setup

MOST_THREADS, MOST_BATCH, MOST_REPLICAS = 64, 256, 64  # what config.yml takes
FULL = 0.8  # of batch_size, from which batches are full
DEVICE_BUSY = 0.9  # inferences at a time per GPU, from which it is at its limit
CROWDED = 1.5  # threads at work per core from which fewer of them may do as much
FULL_SERVICE = 0.9  # of limits.queue_length, from which requests are being refused
PYTHON = 0.6  # share of prep and postp in the work, from which threads may wait for the lock
GROWS = 3.0  # items by which a queue has to grow, and to twice its length, to be called growing

Advice = tuple[str, list["Change"]]


@dataclass(frozen=True)
class Change:
    """A setting of config.yml to try: its key, what it is now, and what to set."""

    key: str
    now: int | str
    value: int | str


def processor(period: Period, top: OpPeriod, setup: Setup) -> Advice:
    """All cores are at work."""
    share = top.busy_cores / period.busy_cores
    text = (
        f"The processor limits the throughput: {period.busy_cores:.1f} threads are at work on "
        f"{_cores(setup.cores)}, {share:.0%} of that in {top.name}; more threads won't help. "
        f"A faster model for {top.name}, fewer or smaller pictures, more cores, or replicas on "
        "other machines would"
    )
    settings = top.settings
    if settings is None or not settings.on_cpu or setup.cores is None:
        return f"{text}.", []
    if period.busy_cores >= CROWDED * setup.cores:
        text += (
            "; so many only take turns, and fewer threads an op may do as much in larger batches"
        )
    per_thread = max(1, setup.cores // (settings.concurrency * top.processes))
    if settings.threads > per_thread:
        change = Change(f"op.{top.name}.threads", settings.threads, per_thread)
        return f"{text}. Its math threads outnumber the cores: set {_shown(change)}.", [change]
    if _batches_full(top) and _takes_more(settings):
        change = _larger_batch(top, settings)
        return f"{text}. Its batches are full: try {_shown(change)}.", [change]
    return f"{text}.", []


def op_at_limit(period: Period, top: OpPeriod, setup: Setup) -> Advice:
    """One op's threads are at work all the time, or a queue stands before them; cores are free."""
    longest = max(("prep", "midp", "postp"), key=lambda action: top.ms.get(action, 0.0))
    text = (
        f"{top.name} limits the throughput: {_threads(top)} at work {top.load:.0%} of the time, "
        f"mostly in {longest}{_queued(period, top)}"
    )
    if top.settings is None:
        return f"{text}; raise op.{top.name}.concurrency where processor cores are free.", []
    if not top.settings.on_cpu and longest == "midp":
        return _gpu_at_limit(text, period, top, top.settings)
    return _more_threads(text, period, top, top.settings, setup)


def _more_threads(
    text: str, period: Period, top: OpPeriod, settings: OpSettings, setup: Setup
) -> Advice:
    free = max(0.0, (setup.cores or 0) - period.busy_cores)
    more = max(1, min(settings.concurrency, int(free / settings.threads / top.processes)))
    wanted = min(MOST_THREADS, settings.concurrency + more)
    if wanted == settings.concurrency:
        text += f"; it has as many threads as it can have: {_replica(setup)}"
        return f"{text}.", _more_replicas(setup)
    change = Change(f"op.{top.name}.concurrency", settings.concurrency, wanted)
    text += f"; set {_shown(change)}"
    if settings.concurrency > 1 and top.busy_inferences < (1 - PYTHON) * top.busy_threads:
        text += (
            ". If that does not raise the throughput, its threads wait for Python's interpreter "
            f"lock, and another process will: {_replica(setup)}"
        )
    return f"{text}.", [change]


def _gpu_at_limit(text: str, period: Period, top: OpPeriod, settings: OpSettings) -> Advice:
    """Larger batches where they are full; threads while the GPU has pauses; then another GPU."""
    if _takes_more(settings) and (top.requests is None or _batches_full(top)):
        change = _larger_batch(top, settings)
        return f"{text}; on a GPU larger batches cost little more: set {_shown(change)}.", [change]
    there = set(settings.devices)
    others = [o for o in period.ops if o.settings and there & set(o.settings.devices)]
    per_device = sum(op.busy_inferences for op in others) / len(there)
    if per_device < DEVICE_BUSY and settings.concurrency < MOST_THREADS:
        change = Change(
            f"op.{top.name}.concurrency", settings.concurrency, settings.concurrency + 1
        )
        return (
            f"{text}, while its GPU has pauses: set {_shown(change)}, so that one thread prepares "
            "while another infers.",
            [change],
        )
    devices = ",".join(settings.devices)
    return (
        f"{text}, and GPU {devices} is always at it; more threads won't help. A further GPU in "
        f"op.{top.name}.devices (now {devices}), or a faster model would.",
        [],
    )


def outside(period: Period, top: OpPeriod, setup: Setup) -> Advice:
    """Ops and cores have time left, and requests take long all the same."""
    work = sum(op.work_ms for op in period.ops)
    queued = sum(queue.mean for queue in period.queues)
    where = "the queues are empty" if queued < 1 else f"{queued:.0f} stand in queues"
    return (
        f"Requests wait outside of the ops: they take {period.latency_ms or 0:.0f} ms, the work "
        f"in all ops {work:.0f} ms; {where}, and no op is at work more than "
        f"{max(op.load for op in period.ops):.0%} of the time. They wait for Python's interpreter "
        "lock (unpacking, answers, hand-overs between threads), or come in bursts that the "
        "trace's snapshots of the queues miss. More threads won't help; another process would: "
        f"{_replica(setup)}.",
        _more_replicas(setup),
    )


def light(period: Period, top: OpPeriod, setup: Setup) -> Advice:
    """Nothing is at its limit."""
    text = (
        f"No op was at its limit: the busiest, {top.name}, was at work {top.load:.0%} of the time"
    )
    return f"{text}.", []


def notes(period: Period, setup: Setup) -> Iterator[str]:
    """Further things to know, each a sentence."""
    if period.failed:
        yield f"{period.failed} of {period.queries} requests failed."
    if setup.queue_length is not None:
        most = setup.queue_length * period.processes
        if period.in_service >= FULL_SERVICE * most:
            yield (
                f"The service is full: {period.in_service:.0f} requests are in it of "
                f"{most} that limits.queue_length allows; more are refused as busy."
            )
    for queue in period.queues:
        if _grows(queue):
            yield (
                f"The queue before {'+'.join(queue.consumers)} grew from {queue.first:.0f} "
                f"to {queue.last:.0f}."
            )


def _grows(queue: Queue) -> bool:
    return queue.last >= queue.first + GROWS and queue.last >= 2 * queue.first


def _batches_full(op: OpPeriod) -> bool:
    if op.settings is None or op.requests is None:
        return False
    return op.requests >= FULL * op.settings.batch_size


def _takes_more(settings: OpSettings) -> bool:
    most = settings.max_batch or MOST_BATCH
    return settings.model and settings.batch_size < most


def _larger_batch(op: OpPeriod, settings: OpSettings) -> Change:
    value = min(2 * settings.batch_size, settings.max_batch or MOST_BATCH)
    return Change(f"op.{op.name}.batch_size", settings.batch_size, value)


def _queued(period: Period, op: OpPeriod) -> str:
    """``, with 12 requests queued before it`` where that is so."""
    sizes = [queue.mean for queue in period.queues if op.name in queue.consumers]
    if not sizes or sizes[0] < 1:
        return ""
    count = f"{sizes[0]:.0f} {'request' if round(sizes[0]) == 1 else 'requests'}"
    return f", with {count} queued before it"


def _more_replicas(setup: Setup) -> list[Change]:
    """One more, where there is a core for it."""
    now = setup.replicas
    if now is None or now >= MOST_REPLICAS or (setup.cores is not None and now >= setup.cores):
        return []
    return [Change("replicas", now, now + 1)]


def _replica(setup: Setup) -> str:
    changes = _more_replicas(setup)
    return f"set {_shown(changes[0])}" if changes else "a replica, on a machine with more cores"


def _shown(change: Change) -> str:
    return f"{change.key}: {change.value} (now {change.now})"


def _cores(count: int | None) -> str:
    return "1 core" if count == 1 else f"{count} cores"


def _threads(op: OpPeriod) -> str:
    if op.settings is None:
        return "it is"
    count = op.settings.concurrency
    text = "its one thread is" if count == 1 else f"its {count} threads are"
    return text if op.processes == 1 else text.replace(" is", " in each process is", 1)
