"""An interval as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tracer.analyse import OpSettings, Verdict, judge, loads
from tracer.parse import ACTIONS, Channel, DagTimes, Interval


def show(
    interval: Interval, settings: Mapping[str, OpSettings], cores: int | None, console: Console
) -> None:
    """Prints the ops, the requests, the queues that hold something, and the verdict."""
    verdict = judge(interval, settings, cores)
    length = f", {interval.seconds:g} s" if interval.seconds else ""
    console.print(f"[bold]Interval up to {interval.time:%Y-%m-%d %H:%M:%S}{length}[/]")
    if interval.ops:
        console.print(_op_table(interval, settings, verdict))
    if interval.dag is not None:
        console.print(_dag_line(interval.dag))
    if interval.channels:
        console.print(_channel_line(interval.channels))
    console.print(f"[bold]{escape(verdict.sentence)}[/]", highlight=False)


def _op_table(interval: Interval, settings: Mapping[str, OpSettings], verdict: Verdict) -> Table:
    table = Table(header_style="bold", title="ms, means per batch", title_justify="left")
    table.add_column("op")
    table.add_column("threads", justify="right")
    for action in ACTIONS:
        table.add_column(action, justify="right")
    table.add_column("idle", justify="right")
    for op in loads(interval, settings):
        threads = "" if op.settings is None else str(op.settings.concurrency)
        times = (_milliseconds(op.times.ms.get(action)) for action in ACTIONS)
        limits = verdict.state in ("limited", "processor") and op.times.name == verdict.op
        style = "bold red" if limits else ""
        name = escape(op.times.name)
        table.add_row(name, threads, *times, f"{op.times.idle:.0%}", style=style)
    return table


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"


def _dag_line(dag: DagTimes) -> str:
    latency = [f"mean {dag.latency_ms:.1f}"]
    latency += [f"p{percent} {value:.1f}" for percent, value in sorted(dag.percentiles.items())]
    failed = f" ({len(dag.failed)} failed)" if dag.failed else ""
    return (
        f"{dag.queries} queries, {dag.qps:.1f}/s, {dag.success:.1%} answered{failed}\n"
        f"latency in ms: {', '.join(latency)}"
    )


def _channel_line(channels: list[Channel]) -> str:
    """Items waiting before each op, e.g. ``queued: Detection 3/64, Landmark 0``."""
    parts = []
    for channel in channels:
        name = "+".join(channel.consumers) or "answers"
        limit = f"/{channel.limit}" if channel.limit > 0 else ""
        parts.append(f"{name} {channel.size}{limit}")
    return escape("queued before: " + ", ".join(parts))
