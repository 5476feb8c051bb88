"""The search: one setting after the other, each value against the present ones, side by side."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import psutil

from bench.load.mixture import Mixed
from bench.tune.judge import Verdict, is_hopeless, judge
from bench.tune.knobs import Knob
from bench.tune.settings_file import Key

DISTURBED = 0.25  # cores that others may use in a round


class Side(Protocol):
    """A running service with certain settings."""

    def run(self, seconds: float) -> Mixed:
        """Load it."""


class Bench(Protocol):
    """What starts services."""

    def started(self, values: Mapping[Key, int]) -> contextlib.AbstractContextManager[Side]:
        """The service with these settings changed; RuntimeError where it does not start."""


class Watch(Protocol):
    """What is told how far the search has come."""

    def plan(self, rounds: int) -> None:
        """So many rounds are left at most."""

    def say(self, text: str) -> None:
        """This is being measured now."""

    def advanced(self) -> None:
        """A round is done."""

    def tried(self, trial: Trial) -> None:
        """This has been measured."""


@dataclass
class Trial:
    """A value of a setting against the present ones. present, runs: of the rounds.

    step: "first", "again" for the best value of a setting, "all" for all changes at the end.
    failure: why it could not be measured, or empty.
    """

    name: str
    value: int | None
    step: str = "first"
    present: list[Mixed] = field(default_factory=list)
    runs: list[Mixed] = field(default_factory=list)
    failure: str = ""

    @property
    def ratios(self) -> list[float]:
        return [new.over(old) for new, old in zip(self.runs, self.present)]

    @property
    def verdict(self) -> Verdict | None:
        return judge(self.ratios) if self.runs else None

    @property
    def errors(self) -> int:
        return sum(run.errors for run in self.runs)

    @property
    def better(self) -> bool:
        """Faster by more than the noise, and without errors."""
        verdict = self.verdict
        return verdict is not None and verdict.better and not self.errors and not self.failure

    @property
    def outcome(self) -> str:
        """In words."""
        if self.failure:
            return self.failure
        if self.errors:
            return f"{self.errors} errors"
        if self.step == "again":
            return "taken" if self.better else "not again"
        return "better" if self.better else "no better"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        verdict = self.verdict
        return {
            "setting": self.name,
            "value": self.value,
            "step": self.step,
            "outcome": self.outcome,
            "ratio": round(verdict.ratio, 4) if verdict else None,
            "noise": round(verdict.noise, 4) if verdict else None,
            "present": [run.to_dict() for run in self.present],
            "runs": [run.to_dict() for run in self.runs],
        }


@dataclass(frozen=True)
class Plan:
    """seconds: of a run. runs: rounds of a trial. until: of `time.monotonic`, when to end."""

    seconds: float
    runs: int
    until: float


class TimeOverError(Exception):
    """The time that was given has passed, or would within the next trial."""


class _FailedError(Exception):
    """The service with the tried settings does not start, or not go on."""


class Sweep:
    """trials: all that were made. changes: what is better so far. Both hold at any moment.

    complete: every knob was turned. confirmed: all changes together are better than none.
    """

    def __init__(self, bench: Bench, plan: Plan, watch: Watch) -> None:
        self._bench = bench
        self._plan = plan
        self._watch = watch
        self._longest_s = 0.0
        self._running = contextlib.ExitStack()
        self._present: Side | None = None
        self._new: Side | None = None
        self.trials: list[Trial] = []
        self.changes: dict[Key, int] = {}
        self.complete = False
        self.confirmed = False

    def run(self, knobs: Sequence[Knob]) -> None:
        """Turn each knob once, then hold all changes against the settings as they were.

        Raises RuntimeError when the service does not run with the settings as they are.
        """
        try:
            for number, knob in enumerate(knobs):
                left = sum(len(later.values) for later in knobs[number:])
                self._watch.plan(left * self._plan.runs)
                self._turn(knob)
            self.complete = True
        except TimeOverError:
            pass
        finally:
            self._running.close()
        if self.changes:
            self._confirm()

    def _turn(self, knob: Knob) -> None:
        """Try each value; the best one again, on its own, because the best of many was lucky."""
        tried = []
        for value in knob.values:
            with contextlib.ExitStack() as stack:
                trial = self._try(stack, knob, value, "first")
            tried.append(trial)
        best = max((trial for trial in tried if trial.better), key=_ratio, default=None)
        if best is not None and best.value is not None:
            # A process that was lucky when it started, or unlucky, is so until it ends.
            self._running.close()
            self._present = None
            self._again(knob, best.value)

    def _again(self, knob: Knob, value: int) -> None:
        with contextlib.ExitStack() as stack:
            trial = self._try(stack, knob, value, "again")
            if not trial.better:
                return
            self.changes[knob.key] = value
            self._running.close()
            self._running, self._present = stack.pop_all(), self._new

    def _try(self, stack: contextlib.ExitStack, knob: Knob, value: int, step: str) -> Trial:
        """Measure a value; its service is `self._new`, and runs as long as the stack is open."""
        if time.monotonic() + 2 * self._longest_s > self._plan.until:
            raise TimeOverError  # there has to be time for all changes together too
        began = time.monotonic()
        trial = Trial(knob.name, value, step)
        self._watch.say(f"{knob.name}: {value}" + (", again" if step == "again" else ""))
        if self._present is None:
            self._present = self._running.enter_context(self._bench.started(self.changes))
        try:
            self._new = new = self._start(stack, {**self.changes, knob.key: value})
            self._rounds(trial, new, self._present)
        except _FailedError as error:
            trial.failure = str(error)
        self._longest_s = max(self._longest_s, time.monotonic() - began)
        self._note(trial)
        return trial

    def _start(self, stack: contextlib.ExitStack, values: Mapping[Key, int]) -> Side:
        try:
            return stack.enter_context(self._bench.started(values))
        except (RuntimeError, OSError, psutil.Error) as error:
            raise _FailedError(f"does not start: {error}") from None

    def _rounds(self, trial: Trial, new: Side, old: Side) -> None:
        """The two take turns in going first: what changes with time meets both alike.

        A round in which others used the machine is forgotten, as often as there are rounds.
        """
        spare = self._plan.runs
        while len(trial.runs) < self._plan.runs:
            if len(trial.runs) % 2:
                run = self._run_new(new)
                present = old.run(self._plan.seconds)
            else:
                present = old.run(self._plan.seconds)
                run = self._run_new(new)
            if spare and max(one.cores.get("others", 0.0) for one in (present, run)) > DISTURBED:
                spare -= 1
                continue
            trial.present.append(present)
            trial.runs.append(run)
            self._watch.advanced()
            if trial.step == "first" and is_hopeless(trial.ratios):
                return

    def _run_new(self, new: Side) -> Mixed:
        try:
            return new.run(self._plan.seconds)
        except (RuntimeError, OSError, psutil.Error) as error:
            raise _FailedError(f"failed: {error}") from None

    def _confirm(self) -> None:
        """Everything that was taken against the file as it is, both newly started."""
        self._watch.say("all changes together")
        trial = Trial("all changes", None, "all")
        with contextlib.ExitStack() as stack:
            old = stack.enter_context(self._bench.started({}))
            try:
                self._rounds(trial, self._start(stack, self.changes), old)
            except _FailedError as error:
                trial.failure = str(error)
        self.confirmed = trial.better
        self._note(trial)

    def _note(self, trial: Trial) -> None:
        self.trials.append(trial)
        self._watch.tried(trial)


def _ratio(trial: Trial) -> float:
    return statistics.median(trial.ratios)
