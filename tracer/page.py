"""A page that needs nothing but itself: the verdict, the plot as inline SVG, the ops as a table."""

from __future__ import annotations

import html
import re

from tracer.analyse import judge_reading
from tracer.parse import ACTIONS
from tracer.period import OpPeriod, Period
from tracer.setup import Setup
from tracer.source import Reading

_STYLE = """
body { font: 15px/1.5 sans-serif; max-width: 1200px; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; } td, th { padding: .2em .8em; text-align: right; }
th { border-bottom: 1px solid #888; } td:first-child, th:first-child { text-align: left; }
.verdict { font-weight: bold; } .note { color: #a60; } svg { width: 100%; height: auto; }
.limits td { color: #b00; font-weight: bold; }
"""


def page(reading: Reading, setup: Setup, svg: str) -> str:
    """HTML of a period. svg: the plot, as a file of its own would hold it."""
    period = reading.period
    verdict = judge_reading(reading, setup)
    limiting = verdict.op if verdict.state in ("limited", "processor") else None
    title = f"Pipeline, {period.begin:%Y-%m-%d %H:%M:%S} to {period.end:%Y-%m-%d %H:%M:%S}"
    notes = "".join(f'<p class="note">{html.escape(note)}</p>' for note in verdict.notes)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body>\n<h1>{title}</h1>\n"
        f'<p class="verdict">{html.escape(verdict.sentence)}</p>{notes}\n'
        f"{_requests(period)}\n{_table(period, limiting)}\n{_inline(svg)}\n</body></html>\n"
    )


def _inline(svg: str) -> str:
    """Without the prolog, which stands at the beginning of a file."""
    return svg[re.search(r"<svg\b", svg).start() :]  # type: ignore[union-attr]


def _requests(period: Period) -> str:
    text = f"{period.queries} queries, {period.qps:.1f}/s, {period.success:.1%} answered"
    if period.restarts:
        text += f", restarts: {period.restarts}"
    rows = "".join(
        f"<tr><td>p{percent}</td><td>{e.value:.1f}</td><td>{e.low:.1f} to {e.high:.1f}</td></tr>"
        for percent, e in period.percentiles.items()
    )
    if period.latency_ms is None:
        return f"<p>{text}</p>"
    return (
        f"<p>{text}; mean latency {period.latency_ms:.1f} ms</p>\n"
        "<table><tr><th>latency</th><th>ms, estimated</th><th>between, for certain</th></tr>"
        f"{rows}</table>"
    )


def _table(period: Period, limiting: str | None) -> str:
    titles = "".join(f"<th>{action}</th>" for action in ACTIONS)
    rows = "".join(_row(op, op.name == limiting) for op in period.ops)
    return (
        "<table><tr><th>op</th><th>threads</th><th>busy</th><th>requests/batch</th>"
        f"{titles}</tr>{rows}</table><p>in, prep, midp (inference), postp and out: ms per batch</p>"
    )


def _row(op: OpPeriod, limits: bool) -> str:
    threads = "" if op.settings is None else str(op.settings.concurrency)
    requests = "" if op.requests is None else f"{op.requests:.1f}"
    cells = [html.escape(op.name), threads, f"{op.load:.0%}", requests]
    cells += [f"{op.ms.get(action, 0.0):,.1f}" for action in ACTIONS]
    style = ' class="limits"' if limits else ""
    return f"<tr{style}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
