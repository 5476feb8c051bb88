r"""The text of ``pipeline.tracer`` as a sequence of intervals.

Paddle Serving's ``PerformanceTracer`` writes a block every ``tracer.interval_s`` seconds, each
line behind a timestamp::

    2026-01-01 12:00:00,000 ==================== TRACER ======================
    2026-01-01 12:00:00,000 Op(Detection):
    2026-01-01 12:00:00,000 \tin[12.3 ms]
    ...

A block covers the seconds before it. Ops come in the order in which they were first heard of,
then the DAG, then the channels. Without a query there is no DAG in the block; an op is only there
if it finished a batch.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

ACTIONS = ("in", "prep", "midp", "postp", "out")

_STAMP = r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3})"
# Searched for anywhere in a line: after a kill the last line may end without a newline, and the
# next process appends its first block to it.
_HEADER = re.compile(_STAMP + r" =+ TRACER =+$")
_LINE = re.compile(_STAMP + r" (.*)$", re.DOTALL)
_OP = re.compile(r"Op\((.+)\):$")
_VALUE = re.compile(r"\t{1,2}\.?(ave|\w[\w ]*)\[([^\]]*?)(?: ms| q/s)?\]$")
_CHANNELS = re.compile(r"Channel \(server worker num\[(-?\d+)\]\):$")
_CHANNEL = re.compile(r"\t(.*)\(In: (.*), Out: (.*)\) size\[(-?\d+)/(-?\d+)\]$")


@dataclass
class OpTimes:
    """What one op did in an interval, means over its batches.

    ms: milliseconds by action: ``in`` waiting for input, ``prep``, ``midp`` (inference) and
        ``postp`` working, ``out`` passing on. idle: 0 to 1, the share of in and out.
    """

    name: str
    ms: dict[str, float] = field(default_factory=dict)
    idle: float = 1.0

    @property
    def work_ms(self) -> float:
        """Milliseconds of work on a batch."""
        return sum(self.ms.get(action, 0.0) for action in ("prep", "midp", "postp"))


@dataclass
class DagTimes:
    """All requests of an interval.

    qps: per second. success: 0 to 1. failed: the ids of failed requests. latency_ms: from arrival
    to answer; percentiles: milliseconds by percent (50 to 99).
    """

    queries: int = 0
    qps: float = 0.0
    success: float = 1.0
    failed: tuple[int, ...] = ()
    latency_ms: float = 0.0
    percentiles: dict[int, float] = field(default_factory=dict)


@dataclass
class Channel:
    """A queue between ops: how many items it held when the block was written, 0 as limit: none."""

    name: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    size: int
    limit: int


@dataclass
class Interval:
    """One block. time: when it was written, in the service's local time.

    complete: it has its last part, the channels; a block without was cut off by the service's end.
    """

    time: datetime.datetime
    ops: list[OpTimes] = field(default_factory=list)
    dag: DagTimes | None = None
    channels: list[Channel] = field(default_factory=list)
    workers: int | None = None

    @property
    def complete(self) -> bool:
        """Whether the block was written to its end, as far as that shows."""
        return self.workers is not None

    @property
    def seconds(self) -> float | None:
        """Length of the interval, known from the queries and their rate; None without."""
        if self.dag is None or self.dag.qps <= 0:
            return None
        return self.dag.queries / self.dag.qps


def parse(lines: Iterable[str]) -> Iterator[Interval]:
    """The intervals in the order of the text; lines before the first header are skipped.

    A line that fits nothing (torn, or another program's) is passed over: the file is a log, and
    one bad line must not hide the rest.
    """
    block: _Block | None = None
    for line in lines:
        text = line.rstrip("\r\n")
        header = _HEADER.search(text)
        if header:
            if block is not None:
                yield block.interval
            block = _Block(_time(header.group(1)))
        elif block is not None:
            match = _LINE.match(text)
            if match:
                block.add(match.group(2))
    if block is not None:
        yield block.interval


def _time(stamp: str) -> datetime.datetime:
    return datetime.datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S,%f")


class _Block:
    """An interval that is being read; knows which part the next line belongs to."""

    def __init__(self, time: datetime.datetime):
        self.interval = Interval(time)
        self._op: OpTimes | None = None

    def add(self, text: str) -> None:
        op, channels = _OP.match(text), _CHANNELS.match(text)
        if op:
            self._op = OpTimes(op.group(1))
            self.interval.ops.append(self._op)
        elif text == "DAGExecutor:":
            self._op = None
            self.interval.dag = DagTimes()
        elif channels:
            self.interval.workers = int(channels.group(1))
        elif self.interval.workers is not None:
            self._add_channel(text)
        else:
            self._add_value(text)

    def _add_channel(self, text: str) -> None:
        match = _CHANNEL.match(text)
        if match:
            name, producers, consumers, size, limit = match.groups()
            self.interval.channels.append(
                Channel(name, _names(producers), _names(consumers), int(size), int(limit))
            )

    def _add_value(self, text: str) -> None:
        match = _VALUE.match(text)
        if not match:
            return
        name, value = match.groups()
        try:
            if self._op is not None:
                _set_op(self._op, name, float(value))
            elif self.interval.dag is not None:
                _set_dag(self.interval.dag, name, value)
        except ValueError:
            return  # a torn number


def _set_op(op: OpTimes, name: str, value: float) -> None:
    if name in ACTIONS:
        op.ms[name] = value
    elif name == "idle":
        op.idle = value


def _set_dag(dag: DagTimes, name: str, value: str) -> None:
    match name:
        case "Query count":
            dag.queries = int(value)
        case "QPS":
            dag.qps = float(value)
        case "Succ":
            dag.success = float(value)
        case "Error req":
            dag.failed = tuple(int(number) for number in value.split(",") if number.strip())
        case "ave":
            dag.latency_ms = float(value)
        case _ if name.isdigit():
            dag.percentiles[int(name)] = float(value)


def _names(listed: str) -> tuple[str, ...]:
    """The names out of ``['a', 'b']`` or ``dict_keys(['a'])``."""
    return tuple(re.findall(r"'([^']*)'", listed))
