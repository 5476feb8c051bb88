"""What a run of the reader looks at: the files of one or several processes, and which period."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tracer import timeline, trace_files
from tracer.parse import Interval
from tracer.period import Period, summarise
from tracer.setup import Setup
from tracer.timeline import Slice

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_MARGIN = datetime.timedelta(minutes=1)  # to read further back than asked, for what lies before
_CLOCK = re.compile(r"\d\d?:\d\d(:\d\d)?")


@dataclass(frozen=True)
class Range:
    """Which blocks make the period: the last ``span`` of the file, or from ``since`` on.

    Neither means all of them. The span ends with the newest block and not now, so that a copied
    or an old file can be read. until: leaves out what is later.
    """

    span: datetime.timedelta | None = None
    since: datetime.datetime | None = None
    until: datetime.datetime | None = None


@dataclass(frozen=True)
class Reading:
    """What was found.

    last: the newest interval, of all files together. slices: the period's, in the order of time.
    processes: files that have one of them.
    """

    last: Period
    period: Period
    slices: list[Slice]
    processes: int


class NothingFoundError(Exception):
    """The files have no interval that is wanted; the text says which."""


def read(paths: Sequence[Path], wanted: Range, setup: Setup, busy: bool = False) -> Reading:
    """Reads the files, one of each process.

    busy: the newest interval is the last in which queries were answered. Raises OSError for a
    file that is not there, NothingFoundError.
    """
    names = ", ".join(map(str, paths))
    streams = []
    size = trace_files.FIRST_LOOK if wanted.span or wanted.since else trace_files.EVERYTHING
    for path in paths:
        found = trace_files.read_while(
            path, lambda found: not _far_enough(found, wanted, busy), size
        )
        stream = timeline.place(found, setup.interval_s)
        while stream and not _is_last(stream[-1].interval, wanted, busy):
            stream.pop()
        if stream:
            streams.append(stream)
    if not streams:
        what = "interval with queries" if busy else "complete interval"
        before = f" before {wanted.until}" if wanted.until else " yet"
        raise NothingFoundError(f"no {what} in {names}{before}")
    newest = max(stream[-1].end for stream in streams)
    begin = _begin(wanted, newest) or datetime.datetime.min
    streams = [[one for one in stream if one.end > begin] for stream in streams]
    streams = [stream for stream in streams if stream]
    if not streams:
        raise NothingFoundError(f"no interval after {begin} in {names}; the last is of {newest}")
    slices = sorted((one for stream in streams for one in stream), key=lambda one: one.end)
    lasts = sorted((stream[-1] for stream in streams), key=lambda one: one.end)
    return Reading(
        last=summarise(lasts, setup, len(streams)),
        period=summarise(slices, setup, len(streams)),
        slices=slices,
        processes=len(streams),
    )


def _far_enough(found: Sequence[Interval], wanted: Range, busy: bool) -> bool:
    """Whether the intervals reach back to before the period's first."""
    lasts = [one for one in found if one.complete and _is_last(one, wanted, busy)]
    begin = _begin(wanted, lasts[-1].time) if lasts else wanted.since
    return begin is not None and bool(found) and found[0].time < begin - _MARGIN


def _begin(wanted: Range, newest: datetime.datetime) -> datetime.datetime | None:
    return wanted.since if wanted.span is None else newest - wanted.span


def _is_last(interval: Interval, wanted: Range, busy: bool) -> bool:
    """Whether the period may end with this one."""
    if wanted.until is not None and interval.time > wanted.until:
        return False
    return interval.dag is not None or not busy


def groups(reading: Reading, most: int) -> list[list[Slice]]:
    """The period's slices in at most about ``most`` groups of neighbours."""
    return timeline.grouped(reading.slices, reading.processes, most)


def course(reading: Reading, setup: Setup, most: int) -> list[Period | None]:
    """The period in at most about ``most`` parts in the order of time, None where a gap is."""
    points: list[Period | None] = []
    for group in groups(reading, most):
        point = summarise(group, setup, min(reading.processes, len(group)))
        if points and points[-1] is not None:
            silence = (point.begin - points[-1].end).total_seconds()
            if silence > 2 * group[0].seconds:
                points.append(None)
        points.append(point)
    return points


def parse_when(
    text: str, now: datetime.datetime | None = None
) -> datetime.timedelta | datetime.datetime:
    """``10m``, ``1.5h``, ``90s``, ``2d``; ``14:30`` (the last time it was that), or an ISO time.

    Raises ValueError.
    """
    now = now or datetime.datetime.now()
    match = _DURATION.fullmatch(text)
    if match:
        return datetime.timedelta(**{_UNITS[match.group(2)]: float(match.group(1))})
    if _CLOCK.fullmatch(text):
        clock = datetime.time.fromisoformat(text.rjust(len(text) + (text[1] == ":"), "0"))
        found = datetime.datetime.combine(now.date(), clock)
        return found if found <= now else found - datetime.timedelta(days=1)
    return datetime.datetime.fromisoformat(text)
