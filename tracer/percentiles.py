"""Percentiles of a period out of those of its intervals: an estimate between hard bounds.

The trace has each interval's count and its 50th to 99th percentile, not the latencies, so a
period's percentile cannot be known. It can be bounded: the percentiles say of any latency how many
of an interval's requests were at least, and at most, that fast; added up over the intervals
that gives the fastest and the slowest latency the period's percentile can have been. For one
interval the two coincide. Between them lies the estimate, for which the requests are spread evenly
between their interval's neighbouring percentiles, those below the 50th down to half of it, and
those above the 99th are put at the 99th. The mean of the intervals' percentiles would be neither:
it can lie outside of the bounds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tracer.parse import DagTimes

_POINTS = (np.arange(4) + 0.5) / 4  # a bracket's requests, as shares of its width


@dataclass(frozen=True)
class Estimate:
    """A percentile in milliseconds: ``low`` <= the true one <= ``high``, ``value`` in between."""

    value: float
    low: float
    high: float


def rank(queries: int, percent: int) -> int:
    """The place, from 0, of a percentile in the sorted latencies: as Paddle Serving counts."""
    return int(queries * percent / 100.0)


def pooled(dags: Iterable[DagTimes]) -> dict[int, Estimate]:
    """Percentiles of all requests together, by percent; empty without requests.

    A percentile that one of the intervals lacks (torn lines) is left out.
    """
    counted = [dag for dag in dags if dag.queries > 0 and dag.percentiles]
    if not counted:
        return {}
    percents = sorted(set.intersection(*(set(dag.percentiles) for dag in counted)))
    if not percents:
        return {}
    values = np.array([[dag.percentiles[p] for p in percents] for dag in counted])
    values = np.maximum.accumulate(values, axis=1)
    counts = np.array([dag.queries for dag in counted])
    ranks = np.array([[rank(dag.queries, p) for p in percents] for dag in counted])
    low, high = _bounds(values, ranks, counts)
    points, weights = _spread(values, ranks, counts)
    total = int(counts.sum())
    result = {}
    for percent in percents:
        wanted = rank(total, percent) + 1  # so many requests are not slower than it
        bottom, top = low(wanted), high(wanted)
        middle = points[min(int(np.searchsorted(weights, wanted - 0.5)), len(points) - 1)]
        result[percent] = Estimate(float(np.clip(middle, bottom, top)), bottom, top)
    return result


class _Steps:
    """A count that grows with latency: where it first reaches a number."""

    def __init__(self, values: np.ndarray, steps: np.ndarray, start: int) -> None:
        order = np.argsort(values, axis=None, kind="stable")
        self._values = values.ravel()[order]
        self._counts = start + np.cumsum(steps.ravel()[order])
        self._start = start

    def __call__(self, wanted: int) -> float:
        if self._start >= wanted:
            return 0.0
        place = min(int(np.searchsorted(self._counts, wanted)), len(self._values) - 1)
        return float(self._values[place])


def _bounds(values: np.ndarray, ranks: np.ndarray, counts: np.ndarray) -> tuple[_Steps, _Steps]:
    """The most and the fewest requests that were not slower than a latency.

    values, ranks: (intervals, percents), rising in each row; counts: (intervals,). Of the first
    the place of a number is its lower bound, of the second the upper one.
    """
    most = np.diff(np.column_stack([ranks, counts]), axis=1)
    fewest = np.diff(np.column_stack([np.zeros_like(counts), ranks + 1]), axis=1)
    return _Steps(values, most, int(ranks[:, 0].sum())), _Steps(values, fewest, 0)


def _spread(
    values: np.ndarray, ranks: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Latencies in rising order and how many requests are up to each, for the estimate."""
    edges = np.column_stack([values[:, 0] / 2, values, values[:, -1]])
    masses = np.diff(np.column_stack([np.zeros_like(counts), ranks, counts]), axis=1)
    width = np.diff(edges, axis=1)
    points = (edges[:, :-1, None] + width[:, :, None] * _POINTS).ravel()
    weights = np.repeat(masses.ravel() / len(_POINTS), len(_POINTS))
    order = np.argsort(points, kind="stable")
    return points[order], np.cumsum(weights[order])
