"""Where each block lies in time: the seconds that it covers, and where a process started.

A block has only the time of its writing. Paddle Serving writes the first one when the process
starts, empty, and each further one after ``interval_s`` seconds and the little that writing takes.
So an empty block that does not come one interval after its predecessor is a start, and one with
figures never is. Times are the service's local ones: where the clock is set (summer time ends) a
start may be seen that was none, which changes the sums by one interval at most.
"""

from __future__ import annotations

import datetime
import itertools
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tracer.parse import Interval

EARLY, LATE = 0.9, 1.5  # of the interval's length: within these, a block is the next of its process
STALLED = 3.0  # of it: a process that is held up may write a block with figures as late as this
DEFAULT_S = 10.0  # Paddle Serving's own


@dataclass(frozen=True)
class Slice:
    """A block and the time before it that it covers.

    seconds: 0 for the empty block that a process writes when it starts (``starts``).
    """

    interval: Interval
    seconds: float
    starts: bool = False

    @property
    def end(self) -> datetime.datetime:
        return self.interval.time

    @property
    def begin(self) -> datetime.datetime:
        return self.end - datetime.timedelta(seconds=self.seconds)


def place(intervals: Iterable[Interval], interval_s: float | None = None) -> list[Slice]:
    """The complete blocks of one file with the time that each covers, in the file's order.

    interval_s: the setting, used where the text does not show it. A block that was cut off by
    the end of its process is left out: its figures are not whole.
    """
    listed = list(intervals)
    slices: list[Slice] = []
    before: Interval | None = None
    nominal = _first_length(listed, interval_s)
    for interval in listed:
        nominal = interval.seconds or nominal
        if interval.complete:
            slices.append(_slice(interval, before, nominal))
        before = interval
    return slices


def _slice(interval: Interval, before: Interval | None, nominal: float) -> Slice:
    gap = None
    if before is not None and before.complete:
        gap = (interval.time - before.time).total_seconds()
    if interval.ops or interval.dag is not None:
        usual = gap is not None and EARLY * nominal <= gap <= STALLED * nominal
        return Slice(interval, gap if usual and gap is not None else nominal)
    if gap is not None and EARLY * nominal <= gap <= LATE * nominal:
        return Slice(interval, gap)
    return Slice(interval, 0.0, starts=True)


def _first_length(intervals: Sequence[Interval], interval_s: float | None) -> float:
    """Seconds between blocks at the beginning: from queries and their rate, else from the times."""
    for interval in intervals:
        if interval.seconds:
            return interval.seconds
    if interval_s:
        return interval_s
    pairs = itertools.pairwise(intervals)
    gaps = [(later.time - earlier.time).total_seconds() for earlier, later in pairs]
    return statistics.median([gap for gap in gaps if gap > 0] or [DEFAULT_S])


def grouped(slices: Sequence[Slice], processes: int, most: int) -> list[list[Slice]]:
    """Slices in at most about ``most`` groups of neighbours, for a plot's points.

    slices: in the order of time, of all ``processes``, each of which has one in every interval.
    No group reaches over a start or a silence.
    """
    covering = [one for one in slices if one.seconds or one.starts]
    size = processes * max(1, -(-len(covering) // (processes * most)))
    groups: list[list[Slice]] = []
    for one in covering:
        if not groups or one.starts or len(groups[-1]) >= size or _apart(groups[-1][-1], one):
            groups.append([])
        groups[-1].append(one)
    running = ([one for one in group if one.seconds] for group in groups)
    return [group for group in running if group]


def _apart(earlier: Slice, later: Slice) -> bool:
    silence = (later.begin - earlier.end).total_seconds()
    return silence > LATE * max(earlier.seconds, later.seconds)
