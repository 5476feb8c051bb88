"""The soak in the terminal and as a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from bench.load.growth import ALLOWANCES, after_warm_up
from bench.soak.watch import Record, Sample, rows
from client.terminal.table import FittingTable

MB = 1e6


class Bar:
    """How far the run is, and how the service is; use it in a `with` block."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            BarColumn(20),
            TextColumn("{task.percentage:.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[said]}"),
            console=console,
        )
        self._task: TaskID = self._progress.add_task("", total=1.0, said="starting")

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._progress.stop()

    def show(self, share: float, record: Record) -> None:
        """share: of the whole run, 0 to 1."""
        last = record.samples[-1]
        said = (
            f"{record.requests} requests, {last.rate:.0f}/s, {_ms(last.p50)} / {_ms(last.p99)}, "
            f"{last.pss / MB:.0f} MB, {sum(record.unexpected.values())} errors"
        )
        self._progress.update(self._task, completed=share, said=said)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def show(record: Record, console: Console) -> None:
    """The table of quarters and the verdict."""
    counts = ", ".join(f"{count} {name}" for name, count in record.counts.items())
    console.print(
        f"{record.requests} requests in {record.seconds / 60:.1f} minutes: {counts}, "
        f"{sum(record.unexpected.values())} unexpected"
    )
    for what, count in record.unexpected.most_common(10):
        console.print(f"  {count} x {what}", style="red", markup=False)
    table = FittingTable("first and last quarter after the warm-up").names("")
    table.figures("first", "last", "more", "allowed", "an hour").names("")
    for one in record.growths():
        figures = [f"{value:.1f}" for value in (one.first, one.last)]
        figures.append(f"{one.last - one.first:+.1f}")
        figures += [f"{one.allowed:.1f}", f"{one.an_hour:+.1f}"]
        title = f"{one.name} {one.unit}".strip()
        style = "red" if one.judged else "yellow"
        table.add_row(title, *figures, f"[{style}]grows[/]" if one.grows else "")
    console.print(table)
    quiet, all_of_them = record.undisturbed(), len(record.samples)
    if len(quiet) < all_of_them:
        most = max(sample.others for sample in quiet)
        console.print(
            f"latency: of the {len(quiet)} of {all_of_them} intervals in which other programs used "
            f"{most:.2f} cores at most"
        )
    complaints = record.complaints()
    verdict = "; ".join(complaints) if complaints else "nothing grows, and no request failed"
    console.print(verdict, style="red" if complaints else "green", markup=False)


def plot(samples: Sequence[Sample], path: Path) -> None:
    """Memory, descriptors and threads, latency, requests and errors over the minutes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = (
        ("memory, MB", ("pss", "rss")),
        ("count", ("descriptors", "threads")),
        ("latency, ms", ("p50", "p99")),
        ("a second", ("rate",)),
    )
    scale = {one.name: one.scale for one in ALLOWANCES}
    figure, axes = pyplot.subplots(len(panels), 1, figsize=(9, 11), sharex=True)
    start = samples[after_warm_up(len(samples))].seconds / 60.0 if samples else 0.0
    for axis, (title, names) in zip(axes, panels):
        for name in names:
            minutes, values = rows(samples, name)
            axis.plot(minutes, [value / scale.get(name, 1.0) for value in values], label=name)
        axis.axvspan(0.0, start, color="grey", alpha=0.15, label="warm-up")
        axis.set(ylabel=title, ylim=(0, 1.1 * axis.get_ylim()[1]))
        axis.legend(loc="lower right", ncol=3)
    errors = axes[-1].twinx()
    errors.plot(*rows(samples, "errors"), color="red", label="errors an interval")
    errors.set(ylabel="errors an interval", ylim=(0, max(1, *(s.errors for s in samples), 1)))
    axes[-1].set(xlabel="minutes")
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
