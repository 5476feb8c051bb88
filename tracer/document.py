"""A reading as one JSON document."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tracer.analyse import judge, judge_reading
from tracer.period import OpPeriod, Period
from tracer.setup import Setup
from tracer.source import Reading, course

MOST_POINTS = 10_000  # of the course; of a longer one neighbours are taken together


def to_dict(reading: Reading, setup: Setup) -> dict[str, Any]:
    """JSON-ready: ``cores``, ``interval`` (the last), ``period``, and ``course``, its parts."""
    points = course(reading, setup, MOST_POINTS)
    return {
        "cores": setup.cores,
        "interval": {**_period(reading.last), "verdict": asdict(judge(reading.last, setup))},
        "period": {**_period(reading.period), "verdict": asdict(judge_reading(reading, setup))},
        "course": [_period(point) for point in points if point is not None],
    }


def _period(period: Period) -> dict[str, Any]:
    """Percentiles of a single interval are exact: low and high are the same."""
    return {
        "begin": period.begin.isoformat(timespec="milliseconds"),
        "end": period.end.isoformat(timespec="milliseconds"),
        "seconds": round(period.seconds, 3),
        "intervals": period.intervals,
        "restarts": period.restarts,
        "processes": period.processes,
        "queries": period.queries,
        "failed": period.failed,
        "qps": period.qps,
        "success": period.success,
        "in_service": period.in_service,
        "busy_cores": period.busy_cores,
        "latency_ms": {
            "mean": period.latency_ms,
            **{f"p{percent}": asdict(value) for percent, value in period.percentiles.items()},
        },
        "ops": [_op(op) for op in period.ops],
        "queues": [asdict(queue) for queue in period.queues],
    }


def _op(op: OpPeriod) -> dict[str, Any]:
    return {
        "name": op.name,
        **{f"{action}_ms": value for action, value in op.ms.items()},
        "load": op.load,
        "busy_cores": op.busy_cores,
        "requests_per_batch": op.requests,
        "settings": None if op.settings is None else asdict(op.settings),
    }
