"""``--plot FILE``: a period as panels over time, PNG or SVG, or a page with the SVG in it.

From above: requests a second, their latency, the time that a batch takes in each op, the threads
at work against the machine's cores, and the queues. A line breaks where no process ran.
"""

from __future__ import annotations

import datetime
import io
import os
import re
import tempfile
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tracer.analyse import judge_reading
from tracer.page import page
from tracer.period import OpPeriod, Period
from tracer.setup import Setup
from tracer.source import Reading, course

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".html")
MOST_POINTS = 300  # along the time: more are closer than a picture shows
# Colours that people who confuse red and green tell apart: Okabe and Ito, 2008.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#999999")
_SHOWN = {50: "#56B4E9", 90: "#0072B2", 99: "#D55E00"}  # percentiles

Points = Sequence[Period | None]


def save(reading: Reading, setup: Setup, path: Path) -> None:
    """Writes the plot in the format that the name ends in, one of ``SUFFIXES``.

    A file that is there is replaced at once, or kept where something fails. Raises OSError,
    ValueError for another ending.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path}: one of {', '.join(SUFFIXES)} is expected at its end")
    figure = draw(reading, setup)
    if suffix == ".png":
        content = _rendered(figure, "png")
    elif suffix == ".svg":
        content = _rendered(figure, "svg")
    else:
        content = page(reading, setup, _rendered(figure, "svg").decode()).encode()
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".plot-", delete=False) as file:
        try:
            file.write(content)
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def _rendered(figure: Figure, kind: str) -> bytes:
    import matplotlib

    buffer = io.BytesIO()
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type")) if kind == "svg" else None
    # Text stays text: it can be searched, and the file is a fifth as large.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tracer"}):
        figure.savefig(buffer, format=kind, dpi=110, metadata=metadata)
    # The document type names an address, and nothing needs it.
    return (
        re.sub(rb"<!DOCTYPE[^>]*>\s*", b"", buffer.getvalue())
        if kind == "svg"
        else buffer.getvalue()
    )


def draw(reading: Reading, setup: Setup) -> Figure:
    """The figure."""
    # Takes half a second, and the tables don't need it.
    from matplotlib import dates
    from matplotlib.figure import Figure

    points = course(reading, setup, MOST_POINTS)
    period = reading.period
    figure = Figure(figsize=(11, 13), layout="constrained")
    panels = figure.subplots(5, 1, sharex=True, height_ratios=[3, 3, 3, 3, 2])
    for axes, panel in zip(panels, (_requests, _latency, _times, _threads, _queues)):
        panel(axes, points, period, setup)
        _mark_starts(axes, reading, named=axes is panels[0])
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        handles, labels = axes.get_legend_handles_labels()
        if handles:
            if panel in (_times, _threads):  # as they lie on top of each other
                handles, labels = handles[::-1], labels[::-1]
            place = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
            axes.legend(handles, labels, **place, frameon=False, fontsize=9)
    locator = dates.AutoDateLocator()  # type: ignore[no-untyped-call]
    panels[-1].xaxis.set_major_locator(locator)
    formatter = dates.ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    panels[-1].xaxis.set_major_formatter(formatter)
    panels[-1].margins(x=0.01)
    title = f"{period.begin:%Y-%m-%d %H:%M:%S} to {period.end:%Y-%m-%d %H:%M:%S}"
    verdict = textwrap.fill(judge_reading(reading, setup).sentence, 130)
    figure.suptitle(f"{title}\n{verdict}", fontsize=10)
    return figure


def _requests(axes: Axes, points: Points, period: Period, setup: Setup) -> None:
    axes.set_title("Requests a second", loc="left", fontsize=11)
    _line(axes, points, lambda p: p.qps, "all", _COLOURS[0])
    if period.failed:
        _line(axes, points, lambda p: p.failed / p.seconds, "failed", _COLOURS[3])


def _latency(axes: Axes, points: Points, period: Period, setup: Setup) -> None:
    axes.set_title("Latency in the pipeline, ms", loc="left", fontsize=11)
    for percent, colour in sorted(_SHOWN.items(), reverse=True):
        if percent not in period.percentiles:
            continue

        def value(point: Period, percent: int = percent) -> float | None:
            estimate = point.percentiles.get(percent)
            return None if estimate is None else estimate.value

        _line(axes, points, value, f"p{percent}", colour)
    _line(axes, points, lambda p: p.latency_ms, "mean", "black", dashed=True)


def _times(axes: Axes, points: Points, period: Period, setup: Setup) -> None:
    axes.set_title("Work on a batch by op, ms (the rest of the latency is waiting)", loc="left",
                   fontsize=11)  # fmt: skip
    _stack(axes, points, period, lambda op: op.work_ms)


def _threads(axes: Axes, points: Points, period: Period, setup: Setup) -> None:
    axes.set_title("Threads at work on the processor, by op", loc="left", fontsize=11)
    _stack(axes, points, period, lambda op: op.busy_cores)
    if setup.cores is not None:
        label = "cores there are"
        axes.axhline(setup.cores, color="black", linestyle="--", linewidth=1, label=label)


def _queues(axes: Axes, points: Points, period: Period, setup: Setup) -> None:
    axes.set_title("Requests queued before an op", loc="left", fontsize=11)
    shown = [queue for queue in period.queues if queue.peak]
    for number, queue in enumerate(shown):
        consumers = queue.consumers

        def value(point: Period, consumers: tuple[str, ...] = consumers) -> float | None:
            return next((q.mean for q in point.queues if q.consumers == consumers), None)

        label = "\n".join(consumers).replace("@DAGExecutor", "answers")
        _line(axes, points, value, label, _COLOURS[number % len(_COLOURS)])
    if not shown:
        axes.set_ylim(0, 1)
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", color="grey")


def _line(
    axes: Axes,
    points: Points,
    value: Callable[[Period], float | None],
    label: str,
    colour: str,
    dashed: bool = False,
) -> None:
    found = [None if point is None else value(point) for point in points]
    heights = np.array([np.nan if height is None else height for height in found])
    # A value with none on either side would be a line without length.
    alone = len(heights) - np.isnan(heights).sum() < 40
    axes.plot(
        np.array(_times_of(points)),
        heights,
        label=label,
        color=colour,
        linewidth=1.2,
        linestyle="--" if dashed else "-",
        marker="." if alone and not dashed else None,
        markersize=4,
    )


def _stack(axes: Axes, points: Points, period: Period, value: Callable[[OpPeriod], float]) -> None:
    """Areas on top of each other, level over each point's time and nothing in the gaps."""
    times: list[datetime.datetime] = []
    columns: list[dict[str, float]] = []
    for point in points:
        if point is None:
            continue
        if times and point.begin > times[-1]:
            times += [times[-1], point.begin]
            columns += [{}, {}]
        times += [point.begin, point.end]
        columns += [{op.name: value(op) for op in point.ops}] * 2
    names = [op.name for op in period.ops]
    heights = np.array([[column.get(name, 0.0) for column in columns] for name in names])
    if names:
        colours = [_COLOURS[number % len(_COLOURS)] for number in range(len(names))]
        axes.stackplot(np.array(times), heights, labels=names, colors=colours)


def _times_of(points: Points) -> list[datetime.datetime]:
    """The middle of each point; a gap lies right behind the point before it."""
    times: list[datetime.datetime] = []
    for number, point in enumerate(points):
        if point is not None:
            times.append(point.begin + (point.end - point.begin) / 2)
        else:
            before = points[number - 1]
            times.append(before.end if before is not None else times[-1])
    return times


def _mark_starts(axes: Axes, reading: Reading, named: bool) -> None:
    label = "a process starts" if named else None
    for one in reading.slices:
        if one.starts:
            axes.axvline(one.end, color="grey", linestyle=":", linewidth=1, label=label)  # type: ignore[arg-type]
            label = None
