"""Figures of a measurement: rates, percentiles, medians, ratios."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

PERCENTILES = (50, 90, 99)


@dataclass
class Load:
    """What one run of a load came to.

    qps: answers a second. latency_ms: p50, p90, p99 and max. errors: requests that were not
    answered as they should. cores: processor seconds a second, by process; `others` is what the
    rest of the machine took meanwhile.
    """

    side: str
    concurrency: int
    qps: float
    latency_ms: dict[str, float] = field(default_factory=dict)
    errors: int = 0
    generator: str = ""
    cores: dict[str, float] = field(default_factory=dict)
    batch: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {k: _rounded(v) for k, v in asdict(self).items() if v not in ("", {})}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return value


def latencies_ms(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p90, p99 and max in milliseconds; empty for no requests."""
    if not len(seconds):
        return {}
    values = np.asarray(seconds, np.float64) * 1e3
    named = {f"p{p}": float(v) for p, v in zip(PERCENTILES, np.percentile(values, PERCENTILES))}
    return {**named, "max": float(np.max(values))}


def steady_rate(ends: Sequence[float], start: float, seconds: float, skip: float = 0.2) -> float:
    """Completions a second between `skip` of the run and its end.

    ends: times of completion, seconds. What is under way at a run's end is not counted, and at
    its start nothing can have been completed: the first part of the run is left out.
    """
    first, last = start + skip * seconds, start + seconds
    counted = sum(first < end <= last for end in ends)
    return counted / (last - first)


def median_load(loads: Sequence[Load]) -> Load:
    """The run in the middle by qps, with the median of every figure."""
    rates = [load.qps for load in loads]
    middle = min(loads, key=lambda load: abs(load.qps - statistics.median(rates)))
    return Load(
        middle.side,
        middle.concurrency,
        statistics.median(rates),
        _medians([load.latency_ms for load in loads]),
        sum(load.errors for load in loads),
        middle.generator,
        _medians([load.cores for load in loads]),
        middle.batch,
    )


def _medians(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: statistics.median([row[name] for row in rows if name in row]) for name in names}


def ratio(above: Sequence[float], below: Sequence[float]) -> float | None:
    """Median over rounds of above/below; None without rounds.

    The two figures of a round were measured one after the other, so that what else the machine
    was doing hit both alike: their ratio is steadier than the ratio of medians.
    """
    pairs = [a / b for a, b in zip(above, below) if b > 0]
    return statistics.median(pairs) if pairs else None
