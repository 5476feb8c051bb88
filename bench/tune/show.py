"""The search in the terminal: how far it is, and what it has found."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from bench.load.mixture import Mixed
from bench.load.report import QUIET
from bench.tune.knobs import Knob
from bench.tune.settings_file import Key
from bench.tune.sweep import Trial
from client.terminal.table import FittingTable


class Bar:
    """The progress bar; use it in a `with` block. until: of `time.monotonic`, the latest end."""

    def __init__(self, console: Console, until: float) -> None:
        self._progress = Progress(
            TextColumn("{task.fields[said]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
        )
        self._task: TaskID = self._progress.add_task("", total=None, said="starting", left="")
        self._until = until
        self._began = time.monotonic()
        self._done = 0

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._progress.stop()

    def plan(self, rounds: int) -> None:
        """So many rounds are left at most; a value that is slower needs fewer."""
        self._progress.update(self._task, total=self._done + rounds)

    def say(self, text: str) -> None:
        self._progress.update(self._task, said=text)

    def advanced(self) -> None:
        """A round is done."""
        self._done += 1
        task = next(task for task in self._progress.tasks if task.id == self._task)
        now = time.monotonic()
        left = (now - self._began) / self._done * max((task.total or 0) - self._done, 0)
        left = min(left, max(self._until - now, 0.0))
        self._progress.update(
            self._task,
            completed=self._done,
            total=max(task.total or 0, self._done),
            left=f"at most {_duration(left)} left",
        )

    def tried(self, trial: Trial) -> None:
        """A line for what was tried, above the bar."""
        verdict = trial.verdict
        figures = f"{verdict.ratio:.3f} ± {verdict.noise:.3f}, " if verdict else ""
        self._progress.console.print(f"{_title(trial)}: {figures}{trial.outcome}", markup=False)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _title(trial: Trial) -> str:
    if trial.value is None:
        return trial.name
    return f"{trial.name}: {trial.value}" + (" again" if trial.step == "again" else "")


def show_trials(trials: Sequence[Trial], knobs: Sequence[Knob], console: Console) -> None:
    """All that was tried, and before it the present setting as it was measured beside it."""
    caption = "medians; ratio: QPS over the present's; p50, p99: ms"
    table = FittingTable(caption=caption, keys=2).names("setting").figures("value")
    table.figures("QPS", "ratio", "p50", "p99", "cores").names("outcome")
    now = {knob.name: knob.now for knob in knobs}
    seen = ""
    for trial in trials:
        name = trial.name[3:] if trial.name.startswith("op.") else trial.name
        if trial.name != seen and trial.present:
            table.add_section()
            table.add_row(name, _value(now.get(trial.name)), *_figures(trial.present), "present")
        name = "" if trial.present else name
        seen = trial.name
        verdict = trial.verdict
        over = f"{verdict.ratio:.2f} ±{verdict.noise:.2f}" if verdict else ""
        style = "bold" if trial.better and trial.step != "first" else ""
        cells = _figures(trial.runs, over)
        # A failure was told at length when it happened.
        outcome = "failed" if trial.failure else trial.outcome
        table.add_row(name, _value(trial.value), *cells, outcome, style=style)
    console.print(table)
    _say_disturbed(trials, console)


def _value(value: int | None) -> str:
    return "" if value is None else str(value)


def _figures(runs: Sequence[Mixed], over: str = "") -> list[str]:
    if not runs:
        return ["", over, "", "", ""]
    p50, p99 = (statistics.median([run.latency(name) for run in runs]) for name in ("p50", "p99"))
    qps = statistics.median([run.qps for run in runs])
    return [f"{qps:.1f}", over, f"{p50:.0f}", f"{p99:.0f}", _cores(runs)]


def _cores(runs: Sequence[Mixed]) -> str:
    used = [sum(v for name, v in run.cores.items() if name.startswith("pipeline")) for run in runs]
    return f"{statistics.median(used):.2f}"


def _say_disturbed(trials: Sequence[Trial], console: Console) -> None:
    runs = [run for trial in trials for run in (*trial.present, *trial.runs)]
    used = statistics.median([run.cores.get("others", 0.0) for run in runs]) if runs else 0.0
    if used > QUIET:
        console.print(
            f"Others used {used:.2f} cores meanwhile: measure again when it is quiet",
            style="yellow",
        )


def changes_in_words(changes: Mapping[Key, int], knobs: Sequence[Knob]) -> str:
    """``op.ArcFace.batch_size: 8 (now 4), cores: 2 (now 0)``."""
    now = {knob.key: knob.now for knob in knobs}
    return ", ".join(f"{'.'.join(key)}: {value} (now {now[key]})" for key, value in changes.items())
