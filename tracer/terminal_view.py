"""A reading as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from client.terminal.table import FittingTable
from tracer.analyse import Verdict, judge, judge_reading
from tracer.parse import ACTIONS
from tracer.percentiles import Estimate
from tracer.period import OpPeriod, Period, Queue
from tracer.setup import Setup
from tracer.source import Reading

_BARS = "▁▂▃▄▅▆▇█"
TREND = 14  # characters of a course over time
_SHOWN = (50, 90, 95, 99)  # percentiles; --json has all
_TIME = "%Y-%m-%d %H:%M:%S"


def interval_view(last: Period, setup: Setup) -> RenderableType:
    """The newest interval: its ops, requests and queues, and what limits it."""
    head = f"[bold]Interval up to {last.end:{_TIME}}, {last.seconds:.0f} s[/]"
    verdict = judge(last, setup)
    return Group(head, *_body(last, verdict, None), *verdict_view(verdict))


def period_view(reading: Reading, setup: Setup, course: Sequence[Period | None]) -> RenderableType:
    """The period: the same, with the course over time of each op's load and of the requests."""
    period, verdict = reading.period, judge_reading(reading, setup)
    end = f"{period.end:%H:%M:%S}" if _same_day(period) else f"{period.end:{_TIME}}"
    parts = [
        f"Period {period.begin:{_TIME}} to {end}: {_count(period.intervals, 'interval')}",
        _duration(period.seconds),
    ]
    if period.restarts:
        parts.append(_count(period.restarts, "restart"))
    if period.processes > 1:
        parts.append(f"{period.processes} processes")
    head = f"[bold]{', '.join(parts)}[/]"
    return Group(head, *_body(period, verdict, course), *verdict_view(verdict))


def live_view(reading: Reading, setup: Setup, course: Sequence[Period | None]) -> Group:
    """For a screen that may be short: what matters first, one table."""
    last, period = reading.last, reading.period
    now, then = judge(last, setup), judge_reading(reading, setup)
    over = f"[dim]Last interval, {last.seconds:.0f} s, up to {last.end:%H:%M:%S}[/]"
    lines = verdict_view(now)
    if (then.state, then.op) != (now.state, now.op) and then.state != "idle":
        lines += [f"[dim]Over the last {_duration(period.seconds)}:[/]", *verdict_view(then)]
    return Group(over, *lines, *_body(last, now, course))


def verdict_view(verdict: Verdict) -> list[RenderableType]:
    """The sentence, the settings to try in a line each, and further notes."""
    changes = [Text(f"config.yml: {c.key}: {c.value}", style="green") for c in verdict.changes]
    return [_sentence(verdict), *changes, *(Text(note, style="yellow") for note in verdict.notes)]


def _sentence(verdict: Verdict) -> Text:
    return Text(verdict.sentence, style="bold")


def _body(
    period: Period, verdict: Verdict, course: Sequence[Period | None] | None
) -> list[RenderableType]:
    parts: list[RenderableType] = []
    if period.ops:
        parts.append(_op_table(period, verdict, course))
        parts.append("[dim]ms: means per batch. batch: requests in one, on average.[/]")
    if period.queries:
        parts.append(_requests(period, course))
    if period.queues:
        parts.append(_queues(period.queues))
    return parts


def _op_table(
    period: Period, verdict: Verdict, course: Sequence[Period | None] | None
) -> FittingTable:
    table = FittingTable().names("op").figures("threads", "busy")
    if course:
        table.names("over time")
    table.figures("batch", *ACTIONS)
    for op in period.ops:
        limits = verdict.state in ("limited", "processor") and op.name == verdict.op
        cells = [escape(op.name), _threads(op), f"{op.load:.0%}"]
        if course:
            cells.append(trend([_load(point, op.name) for point in course], 1.0))
        cells.append("" if op.requests is None else f"{op.requests:.1f}")
        cells += [_milliseconds(op.ms.get(action)) for action in ACTIONS]
        table.add_row(*cells, style="bold red" if limits else "")
    return table


def _load(point: Period | None, name: str) -> float | None:
    if point is None:
        return None
    return next((op.load for op in point.ops if op.name == name), 0.0)


def _threads(op: OpPeriod) -> str:
    if op.settings is None:
        return ""
    times = f" x{op.processes}" if op.processes > 1 else ""
    return f"{op.settings.concurrency}{times}"


def trend(values: Sequence[float | None], top: float | None = None) -> str:
    """The newest values as bars, None as a blank. top: of the scale; the largest without it."""
    shown = values[-TREND:]
    top = top or max((value for value in shown if value is not None), default=0.0) or 1.0
    steps = len(_BARS) - 1
    return "".join(
        " " if value is None else _BARS[round(steps * max(0.0, min(1.0, value / top)))]
        for value in shown
    )


def _requests(period: Period, course: Sequence[Period | None] | None) -> str:
    queries = "1 query" if period.queries == 1 else f"{period.queries} queries"
    failed = f" ({period.failed} failed)" if period.failed else ""
    text = f"{queries}, {period.qps:.1f}/s, {period.success:.1%} answered{failed}"
    if course:
        text += f"  {trend([None if point is None else point.qps for point in course])}"
    latency = [] if period.latency_ms is None else [f"mean {period.latency_ms:.1f}"]
    shown = {percent: e for percent, e in period.percentiles.items() if percent in _SHOWN}
    latency += [f"p{percent} {_estimate(estimate)}" for percent, estimate in shown.items()]
    text += f"\nlatency in ms: {', '.join(latency)}"
    if any(_vague(estimate) for estimate in shown.values()):
        text += "\n[dim]~ estimated from the intervals' percentiles, (between these bounds)[/]"
    return text


def _estimate(estimate: Estimate) -> str:
    if not _vague(estimate):
        return f"{estimate.value:.1f}"
    return f"~{estimate.value:.1f} ({estimate.low:.1f} to {estimate.high:.1f})"


def _vague(estimate: Estimate) -> bool:
    return f"{estimate.low:.1f}" != f"{estimate.high:.1f}"


def _queues(queues: Sequence[Queue]) -> str:
    """Items waiting before each op, e.g. ``queued: Detection 3/64, Landmark 0``."""
    parts = []
    for queue in queues:
        name = "+".join(queue.consumers).replace("@DAGExecutor", "") or "answers"
        limit = f"/{queue.limit}" if queue.limit > 0 else ""
        peak = "" if queue.peak <= queue.mean else f" (at most {queue.peak})"
        mean = f"{queue.mean:.1f}".rstrip("0").rstrip(".")
        parts.append(f"{name} {mean}{limit}{peak}")
    return escape("queued before: " + ", ".join(parts))


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _same_day(period: Period) -> bool:
    return period.begin.date() == period.end.date()
