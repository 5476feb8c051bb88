"""``python -m tracer [FILE...]``: the last interval of pipeline.tracer, and a period."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from client.terminal.command import run_command
from client.terminal.console import open_console
from settings.config import Config, ConfigError, load_config
from terminal.options import (
    PATH,
    SETTINGS,
    Count,
    at_most_one,
    config_option,
    json_option,
    run_program,
)
from tracer import source, terminal_view
from tracer.document import to_dict
from tracer.plot import SUFFIXES, save
from tracer.setup import Setup, cores_here, setup_of
from tracer.source import NothingFoundError, Range, Reading
from tracer.trace_files import NAME, existing
from tracer.watch import watch

STALE = datetime.timedelta(minutes=5)
USUAL_SPAN = datetime.timedelta(minutes=10)


class _When(click.ParamType):
    """A duration before now, or a time."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return source.parse_when(value)
        except ValueError:
            self.fail(
                f"{value!r} is neither a duration like 10m nor a time like 14:30.", param, ctx
            )


def main(argv: Sequence[str]) -> int:
    """Returns the exit status: 0 with something shown, 1 without any, 2 for wrong usage."""
    return run_program(program, argv, "python -m tracer")


When = datetime.timedelta | datetime.datetime | None


@click.command(context_settings=SETTINGS)
@click.argument("files", nargs=-1, type=PATH, metavar="[FILE]...")
@click.option("--since", "--last", type=_When(), help="The period: the last 10m (the default), "
              "90s, 1.5h, 2d of the file, or from 14:30 or 2026-01-31T14:30 on.")  # fmt: skip
@click.option("--all", "every", is_flag=True, help="The period: the whole file.")
@click.option("--until", type=_When(), help="Leave out what is later.")
@click.option("--busy", is_flag=True, help="End with the last interval that answered queries.")
@json_option
@click.option("--watch", "live", is_flag=True, help="Live, until Ctrl-C.")
@click.option("--plot", type=PATH, metavar="FILE", help="Also a picture: .png, .svg, .html.")
@config_option
@click.option("--cores", type=Count(1), help="Of the service's machine, where that is another one.")
def program(
    files: tuple[Path, ...],
    since: When,
    every: bool,
    until: When,
    busy: bool,
    as_json: bool,
    live: bool,
    plot: Path | None,
    config: Path,
    cores: int | None,
) -> int:
    """Where the pipeline's time goes, what limits it and what to change.

    FILE: of each replica one; without, where the settings' log.dir says, of them all.
    """
    at_most_one("since", "every")
    at_most_one("as_json", "live", "plot")
    if plot and plot.suffix.lower() not in SUFFIXES:
        raise click.UsageError(f"--plot {plot}: one of {', '.join(SUFFIXES)} is expected.")
    settings = _config(config)
    setup = setup_of(settings, cores or cores_here())
    paths = list(files) or _usual_files(settings)
    wanted = _range(since, until, every)
    if live:
        watch(paths, wanted, setup, busy, open_console())
        return 0
    try:
        found = paths if files else existing(paths)
        with open_console(stderr=True).status("reading"):  # some seconds for a whole log
            reading = source.read(found, wanted, setup, busy)
            if plot:
                save(reading, setup, plot)
    except NothingFoundError as error:
        return _fail(str(error))
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.strerror else str(error)
        return _fail(f"{reason} (has the service been started?)")
    if as_json:
        print(json.dumps(to_dict(reading, setup), allow_nan=False))
    else:
        _show(reading, setup, busy, plot)
    return 0


def _usual_files(config: Config | None) -> list[Path]:
    """Where the service writes, a file for each replica."""
    if config is None:
        return [NAME]
    return [config.log_dir(replica) / NAME for replica in range(config.replicas)]


def _fail(text: str) -> int:
    print(f"tracer: {text}", file=sys.stderr)
    return 1


def _config(path: Path) -> Config | None:
    try:
        return load_config(path) if path.is_file() else None
    except ConfigError as error:
        print(f"tracer: threads are not known: {error}", file=sys.stderr)
        return None


def _range(since: When, until: When, every: bool) -> Range:
    if isinstance(until, datetime.timedelta):
        until = datetime.datetime.now() - until
    if isinstance(since, datetime.datetime):
        return Range(since=since, until=until)
    return Range(span=None if every else since or USUAL_SPAN, until=until)


def _show(reading: Reading, setup: Setup, busy: bool, plot: Path | None) -> None:
    console = open_console(highlight=True)
    console.print(terminal_view.interval_view(reading.last, setup))
    if reading.period.intervals > reading.last.intervals:
        points = source.course(reading, setup, terminal_view.TREND)
        console.print()
        console.print(terminal_view.period_view(reading, setup, points))
    if not reading.last.queries and not busy:
        console.print("The last interval with queries: python -m tracer --busy", style="dim")
    age = datetime.datetime.now() - reading.last.end
    if age > STALE:
        text = f"This was {age // datetime.timedelta(minutes=1)} minutes ago."
        console.print(text, style="yellow", highlight=False)
    if plot:
        console.print(f"Plot: {plot}", style="dim", highlight=False)


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
