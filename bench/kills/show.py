"""Kills and what came of them, in the terminal."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.kills.record import FINDINGS, Record
from client.terminal.table import FittingTable

_SHOWN = 10


class Bar:
    """How far a run is, and how it goes; use it in a `with` block."""

    def __init__(self, console: Console, title: str, kills: int) -> None:
        self._progress = Progress(
            TextColumn(title),
            BarColumn(20),
            MofNCompleteColumn(),
            TextColumn("kills"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[said]}"),
            console=console,
        )
        self._task = self._progress.add_task("", total=kills, said="starting")
        self._lines = None if console.is_terminal else console
        self._line = f"{title}: {{}} of {kills} kills, {{}}"

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._progress.stop()

    def round(self, record: Record) -> None:
        """Where this is no terminal, a line for each round."""
        if self._lines is not None:
            self._lines.print(self._line.format(record.killed, _state(record)), markup=False)

    def show(self, record: Record) -> None:
        """Draw it anew."""
        self._progress.update(self._task, completed=record.killed, said=_state(record))


def _state(record: Record) -> str:
    return (
        f"{sum(record.acknowledged.values())} acknowledged, "
        f"{sum(record.unknown.values())} unknown, {record.compared} compared, "
        f"{len(record.findings)} findings"
    )


def show(record: Record, console: Console) -> None:
    """The tables of a run and the verdict."""
    console.print(
        f"{record.database}, seed {record.seed}: {record.killed} kills of "
        f"{record.processes_killed} processes in {record.seconds / 60:.1f} minutes"
    )
    kills = _table("killed", "times", "away, median", "longest")
    restarts = record.restart_times()
    for kind, count in record.kills.most_common():
        times = restarts.get(kind)
        away = [f"{times[name]:.1f} s" for name in ("median", "longest")] if times else ["", ""]
        kills.add_row(kind, str(count), *away)
    console.print(kills)
    asked = _table("operation", "acknowledged", "refused", "unknown")
    for kind in sorted({*record.acknowledged, *record.refused, *record.unknown}):
        ends = (record.acknowledged, record.refused, record.unknown)
        asked.add_row(kind, *(str(end[kind]) for end in ends))
    asked.add_section()
    asked.add_row("all", *map(_sum, (record.acknowledged, record.refused, record.unknown)))
    console.print(asked)
    console.print(
        f"{record.compared} states compared; revoked keys tried {record.probes_of_revoked} times, "
        f"{record.grace} answered in the documented grace"
    )
    verdict = _table("what must not be", "times")
    for kind, count in record.counts().items():
        verdict.add_row(FINDINGS[kind], f"[red]{count}[/]" if count else "0")
    console.print(verdict)
    for finding in record.findings[:_SHOWN]:
        said = f"  {finding.kind}: {finding.where}: {finding.detail}"
        console.print(said, style="red", markup=False)
    complaints = record.complaints()
    told = "; ".join(complaints) if complaints else "nothing acknowledged was lost"
    console.print(told, style="red" if complaints else "green", markup=False)


def _table(name: str, *figures: str) -> FittingTable:
    return FittingTable().names(name).figures(*figures)


def _sum(counts: Counter[str]) -> str:
    return str(sum(counts.values()))
