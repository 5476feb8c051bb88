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

import argparse
import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from bench.load.cpu import machine
from bench.load.mixture import Mixture, interface_here
from bench.load.outputs import output_file
from bench.load.pictures import NAMES, PictureSet, make_sets
from bench.tuning.knobs import WHOLE, Knob, idle_ops, knobs, set_values
from bench.tuning.settings_file import EditError, Key, read_text, with_values, write_values
from bench.tuning.show import Bar, changes_in_words, show_trials
from bench.tuning.sweep import Plan, Sweep
from client.pipeline.answer import WANTS
from runtime.launch import ended_by_sigterm, started
from settings.config import ConfigError, load_config
from settings.stages import STAGES
from terminal.console import open_console
from tracer.setup import cores_here

SETS = ("vga", "hd", "six")
WARM_UP_S = 1.0


def main(argv: Sequence[str]) -> int:
    """Search; 0 when it was done, 1 when it could not be, 130 when it was interrupted."""
    arguments = _parser().parse_args(argv)
    console = open_console()
    try:
        with ended_by_sigterm():
            return _Tune(arguments, console).run()
    except (ConfigError, EditError, RuntimeError, OSError, psutil.Error) as error:
        console.print(f"bench tune: {error}", style="red", markup=False)
        return 1


class _Services:
    """Starts the service of a file with settings changed, and says how it is loaded."""

    def __init__(self, arguments: argparse.Namespace, sets: Sequence[PictureSet]) -> None:
        self._arguments = arguments
        self._sets = sets
        self.interface = interface_here()

    @contextlib.contextmanager
    def started(self, values: Mapping[Key, int]) -> Iterator[Mixture]:
        """Ready and warm."""
        asked = self._arguments
        with started(asked.config, partial(set_values, values=values)) as service:
            mixture = Mixture(service, self._sets, asked.concurrency, self.interface)
            mixture.run(min(WARM_UP_S, asked.seconds))
            yield mixture


class _Tune:
    def __init__(self, arguments: argparse.Namespace, console: Console) -> None:
        self._arguments = arguments
        self._console = console
        self._text = read_text(arguments.config)
        self._config = load_config(arguments.config)
        self._sets = _sets(arguments)
        self._knobs = self._make_knobs()

    def _make_knobs(self) -> list[Knob]:
        asked, config = self._arguments, self._config
        unknown = set(asked.ops) - set(config.op)
        if unknown:
            raise ConfigError(f"{config.path}: there is no op {', '.join(sorted(unknown))}")
        idle = idle_ops(config, self._sets) - set(asked.ops)
        if idle:
            self._console.print(
                f"{', '.join(sorted(idle))}: left alone, without work in this load "
                "(--want and --sets change it, --ops turns them all the same)"
            )
        # Those with models first: the work is in them.
        ordered = sorted(STAGES.values(), key=lambda stage: stage.task is None)
        named = asked.ops or [stage.name for stage in ordered if stage.name in config.op]
        names = [name for name in dict.fromkeys(named) if name not in idle]
        return knobs(config, cores_here(), names, asked.also)

    def run(self) -> int:
        asked = self._arguments
        if asked.write:
            self._check_writable()
        until = time.monotonic() + 60.0 * asked.max_minutes
        services = _Services(asked, self._sets)
        with Bar(self._console, until) as bar:
            sweep = Sweep(services, Plan(asked.seconds, asked.runs, until), bar)
            try:
                sweep.run(self._knobs)
                status = 0
            except KeyboardInterrupt:
                status = 130
            except (RuntimeError, OSError, psutil.Error) as error:
                self._console.print(f"bench tune: {error}", style="red", markup=False)
                status = 1
        if sweep.trials:
            show_trials(sweep.trials, self._knobs, self._console)
        if asked.json:
            document = self._document(sweep, services.interface, status)
            asked.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        return self._conclude(sweep, status)

    def _check_writable(self) -> None:
        """Whether every knob can be set in the file, before minutes are spent; EditError if not."""
        with_values(self._text, {knob.key: knob.values[0] for knob in self._knobs})

    def _conclude(self, sweep: Sweep, status: int) -> int:
        asked, say = self._arguments, self._console.print
        if status == 0 and not sweep.complete:
            say(f"Not everything was tried: {asked.max_minutes:g} minutes are over (--max-minutes)")
        if not sweep.changes:
            so_far = "" if status == 0 and sweep.complete else " so far"
            say(f"Nothing better than {asked.config} was found{so_far}.", markup=False)
            return status
        found = changes_in_words(sweep.changes, self._knobs)
        if status:
            say(f"Better so far, and not written: {found}", markup=False)
        elif not sweep.confirmed:
            say(f"All together they are no better, so nothing is to be changed: {found}")
        elif asked.write:
            write_values(asked.config, sweep.changes, self._text)
            say(f"{asked.config}: {found}: written", markup=False)
        else:
            say(f"Better: {found}. --write puts it into {asked.config}", markup=False)
        return status

    def _document(self, sweep: Sweep, interface: str, status: int) -> dict[str, Any]:
        asked = self._arguments
        return {
            "machine": machine(),
            "sets": [pictures.name for pictures in self._sets],
            "want": asked.want,
            "concurrency": asked.concurrency,
            "interface": interface,
            "seconds": asked.seconds,
            "runs": asked.runs,
            "complete": sweep.complete and status == 0,
            "changes": {".".join(key): value for key, value in sweep.changes.items()},
            "confirmed": sweep.confirmed,
            "trials": [trial.to_dict() for trial in sweep.trials],
        }


def _sets(arguments: argparse.Namespace) -> list[PictureSet]:
    sets = make_sets(arguments.sets)
    return [one.wanting(arguments.want) for one in sets] if arguments.want else sets


def _at_least(least: float, text: str) -> float:
    value = float(text)
    if not least <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is less than {least:g}")
    return value


def _count(text: str) -> int:
    return int(_at_least(1, str(int(text))))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench tune", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--config", type=Path, default=Path("config.yml"), metavar="FILE")
    add("--ops", nargs="+", default=[], metavar="OP", help="default: all that have work")
    add("--also", nargs="+", choices=WHOLE, default=[], help="settings of the whole service")
    add("--sets", nargs="+", choices=NAMES, default=list(SETS), help="default: vga hd six")
    add("--want", nargs="+", choices=WANTS, default=[], help="default: the service's own")
    add("--concurrency", type=_count, default=16, metavar="N", help="at a time (default: 16)")
    seconds = partial(_at_least, 0.2)
    add("--seconds", type=seconds, default=4.0, help="of one run (default: 4)")
    add("--runs", type=_count, default=5, metavar="N", help="rounds of a trial (default: 5)")
    minutes = partial(_at_least, 0.0)
    add("--max-minutes", type=minutes, default=30.0, metavar="N", help="default: 30")
    add("--write", action="store_true", help="put what was found into the file")
    add("--json", type=output_file, metavar="FILE")
    return parser
