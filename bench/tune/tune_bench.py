"""The best concurrency and batch sizes on this machine, found under load: ``bench tune``.

One setting after the other: each value is measured against the present ones, both services running
at the same time and loaded in turns, so that whatever else the machine does meets both. A value is
taken when it is faster by more than the rounds differ among each other, and is so again with both
services newly started. At the end all that was taken is held against the file as it was.

The load is that of `bench throughput`: its picture sets, several at the same time, over HTTP. What
counts is the geometric mean of the sets' requests a second; p50 and p99 are those of the set that
waits longest. ``--want`` asks for more of an answer, which gives Attributes and Liveness work;
ops without work are left alone. ``--write`` puts what was found into the configuration file, whose
comments and order stay. Ctrl-C ends it with what was found so far, and writes nothing.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import click
import psutil

from bench.frame import CONFIG, Bench, benchmark, runs, seconds, several
from bench.load.mixture import Mixture, interface_here
from bench.load.pictures import NAMES, PictureSet, make_sets
from bench.tune.knobs import WHOLE, Knob, idle_ops, knobs, set_values
from bench.tune.settings_file import EditError, Key, read_text, with_values, write_values
from bench.tune.show import Bar, changes_in_words, show_trials
from bench.tune.sweep import Plan, Sweep
from client.pipeline.answer import WANTS
from runtime.launch import started
from settings.config import ConfigError, load_config
from settings.stages import STAGES
from terminal.options import Count, Number
from tracer.setup import cores_here

SETS = ("vga", "hd", "six")
WARM_UP_S = 1.0


class _Services:
    """Starts the service of a file with settings changed, and says how it is loaded."""

    def __init__(self, asked: Any, sets: Sequence[PictureSet]) -> None:
        self._asked = asked
        self._sets = sets
        self.interface = interface_here()

    @contextlib.contextmanager
    def started(self, values: Mapping[Key, int]) -> Iterator[Mixture]:
        """Ready and warm."""
        asked = self._asked
        with started(asked.config, partial(set_values, values=values)) as service:
            mixture = Mixture(service, self._sets, asked.concurrency, self.interface)
            mixture.run(min(WARM_UP_S, asked.seconds))
            yield mixture


class _Tune:
    def __init__(self, bench: Bench) -> None:
        self._bench, self._asked = bench, bench.asked
        self._text = read_text(self._asked.config)
        self._config = load_config(self._asked.config)
        self._sets = _sets(self._asked)
        self._knobs = self._make_knobs()

    def _make_knobs(self) -> list[Knob]:
        asked, config = self._asked, self._config
        unknown = set(asked.ops) - set(config.op)
        if unknown:
            raise ConfigError(f"{config.path}: there is no op {', '.join(sorted(unknown))}")
        idle = idle_ops(config, self._sets) - set(asked.ops)
        if idle:
            self._bench.console.print(
                f"{', '.join(sorted(idle))}: left alone, without work in this load "
                "(--want and --sets change it, --ops turns them all the same)"
            )
        # Those with models first: the work is in them.
        ordered = sorted(STAGES.values(), key=lambda stage: stage.task is None)
        named = asked.ops or [stage.name for stage in ordered if stage.name in config.op]
        names = [name for name in dict.fromkeys(named) if name not in idle]
        return knobs(config, cores_here(), names, asked.also)

    def run(self) -> None:
        """Search; what ends it early is raised after all has been told that was found so far."""
        asked, trouble = self._asked, None
        if asked.write:
            self._check_writable()
        until = time.monotonic() + 60.0 * asked.max_minutes
        services = _Services(asked, self._sets)
        with Bar(self._bench.notes, until) as bar:
            sweep = Sweep(services, Plan(asked.seconds, asked.runs, until), bar)
            try:
                sweep.run(self._knobs)
            except (KeyboardInterrupt, RuntimeError, OSError, psutil.Error) as error:
                trouble = error
        if sweep.trials:
            show_trials(sweep.trials, self._knobs, self._bench.console)
        self._bench.results = self._figures(sweep, services.interface, trouble is None)
        self._conclude(sweep, trouble is None)
        if trouble is not None:
            raise trouble

    def _check_writable(self) -> None:
        """Whether every knob can be set in the file, before minutes are spent; EditError if not."""
        with_values(self._text, {knob.key: knob.values[0] for knob in self._knobs})

    def _conclude(self, sweep: Sweep, done: bool) -> None:
        asked, say = self._asked, self._bench.console.print
        if done and not sweep.complete:
            say(f"Not everything was tried: {asked.max_minutes:g} minutes are over (--max-minutes)")
        if not sweep.changes:
            so_far = "" if done and sweep.complete else " so far"
            say(f"Nothing better than {asked.config} was found{so_far}.", markup=False)
            return
        found = changes_in_words(sweep.changes, self._knobs)
        if not done:
            say(f"Better so far, and not written: {found}", markup=False)
        elif not sweep.confirmed:
            say(f"All together they are no better, so nothing is to be changed: {found}")
        elif asked.write:
            write_values(asked.config, sweep.changes, self._text)
            say(f"{asked.config}: {found}: written", markup=False)
        else:
            say(f"Better: {found}. --write puts it into {asked.config}", markup=False)

    @staticmethod
    def _figures(sweep: Sweep, interface: str, done: bool) -> dict[str, Any]:
        return {
            "interface": interface,
            "complete": sweep.complete and done,
            "changes": {".".join(key): value for key, value in sweep.changes.items()},
            "confirmed": sweep.confirmed,
            "trials": [trial.to_dict() for trial in sweep.trials],
        }


def _sets(asked: Any) -> list[PictureSet]:
    sets = make_sets(asked.sets)
    return [one.wanting(asked.want) for one in sets] if asked.want else sets


@benchmark(
    CONFIG,
    several("--ops", metavar="OP", help="Those to turn.  [default: all that have work]"),
    several("--also", type=click.Choice(WHOLE), help="Settings of the whole service."),
    several("--sets", type=click.Choice(NAMES), default=SETS, help="Of pictures."),
    several("--want", type=click.Choice(WANTS),
            help="Of an answer.  [default: the service's own]"),
    click.option("--concurrency", type=Count(1), default=16, help="Requests at a time."),
    seconds(4.0, least=0.2),
    runs("Rounds of a trial."),
    click.option("--max-minutes", type=Number(0), default=30.0),
    click.option("--write", is_flag=True, help="Put what was found into the file."),
    failures=(EditError,),
)  # fmt: skip
def main(bench: Bench) -> None:
    """Search; nothing is held to a limit."""
    _Tune(bench).run()
