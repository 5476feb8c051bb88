"""Whether something grows: the last quarter of a series of samples against the first."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

WARM_UP = 0.1  # of the samples: caches fill, heaps find their size
FEWEST = 12  # samples after the warm-up, below which nothing can be said
_NORMAL = 1.4826  # median absolute deviation to standard deviation, for normal noise
_OF_MEDIAN = 1.2533  # a median's standard error to a mean's, for normal noise
_ERRORS = 4.0  # standard errors that the difference of two medians may have by chance


@dataclass(frozen=True)
class Allowance:
    """What is no growth yet: a share of the first quarter or a number, whichever is more.

    scale: by which values are divided to be shown in `unit`. judged: growth is a fault.
    """

    name: str
    unit: str
    share: float
    least: float
    scale: float = 1.0
    judged: bool = True


# Memory: a leak of 200 bytes a request is 40 MB after 200,000. Descriptors and threads come and go
# with connections, so a few more mean nothing.
MEMORY = Allowance("rss", "MB", 0.02, 8e6, 1e6)
ALLOWANCES = (
    # Grows too when another program that shares libraries with the service ends.
    Allowance("pss", "MB", 0.02, 8e6, 1e6, judged=False),
    MEMORY,
    Allowance("descriptors", "", 0.0, 4.0),
    Allowance("threads", "", 0.0, 2.0),
    Allowance("p50", "ms", 0.10, 1.0),
    Allowance("p99", "ms", 0.20, 5.0),
)


@dataclass(frozen=True)
class Growth:
    """Of one measure. first, last: medians of the quarters. allowed: growth that is none yet.

    an_hour: slope of a straight line through the samples after the warm-up, an hour. judged: as in
    `Allowance`.
    """

    name: str
    unit: str
    first: float
    last: float
    allowed: float
    an_hour: float
    judged: bool = True

    @property
    def grows(self) -> bool:
        return self.last - self.first > self.allowed

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "grows": self.grows}


def after_warm_up(count: int) -> int:
    """The first of `count` samples that counts."""
    return int(count * WARM_UP)


def growth(allowance: Allowance, times: Sequence[float], values: Sequence[float]) -> Growth | None:
    """Of a series of samples, warm-up included; None where they are too few.

    times: seconds, ascending. What differs by chance alone is allowed too: four standard errors of
    the difference of the two medians, judged by the samples' spread within their quarters.
    """
    start = after_warm_up(len(values))
    times, values = times[start:], [value / allowance.scale for value in values[start:]]
    if len(values) < FEWEST:
        return None
    quarter = len(values) // 4
    first, last = values[:quarter], values[-quarter:]
    before, after = statistics.median(first), statistics.median(last)
    chance = _ERRORS * (_error(first) ** 2 + _error(last) ** 2) ** 0.5
    allowed = max(allowance.share * before, allowance.least / allowance.scale, chance)
    slope = _slope(times, values) * 3600.0
    return Growth(allowance.name, allowance.unit, before, after, allowed, slope, allowance.judged)


def _error(values: Sequence[float]) -> float:
    """The standard error of the median."""
    middle = statistics.median(values)
    spread = statistics.median([abs(value - middle) for value in values])
    return _OF_MEDIAN * _NORMAL * spread / len(values) ** 0.5


def _slope(times: Sequence[float], values: Sequence[float]) -> float:
    mean_time, mean = statistics.fmean(times), statistics.fmean(values)
    across = sum((t - mean_time) ** 2 for t in times)
    along = sum((t - mean_time) * (v - mean) for t, v in zip(times, values))
    return along / across if across else 0.0
